#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
mod error;
mod head;
pub mod heatmap;
pub mod image;
mod input;
mod lpips;
mod metric;
mod reference;
mod tile;

pub use builder::{Builder, Version};
pub use error::{Error, Result};
pub use image::Picture;
pub use input::{Images, Range};
pub use lpips::{Comparison, Features, Layer, Lpips, Stack};
pub use metric::{Accumulator, Reduction};
pub use reference::Reference;

pub use lpips_models::weights;
pub use lpips_models::{Backbone, Network};
