#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
pub mod cache;
pub mod canvas;
pub mod device;
mod error;
mod head;
pub mod heatmap;
pub mod image;
mod input;
mod loss;
mod lpips;
mod metadata;
mod metric;
mod reference;
mod size;
mod tile;

pub use builder::{Builder, Version};
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use image::Picture;
pub use input::{Images, Range};
pub use loss::{Loss, LossKind, accuracy};
pub use lpips::{Comparison, Features, Layer, Lpips, PairIndex, StackedBatch};
pub use metadata::ModelMetadata;
pub use metric::{Accumulator, Reduction};
pub use reference::Reference;
pub use size::{ParseSizeError, Size};

pub use lpips_models::ops::dropout::Dropout;
pub use lpips_models::weights;
pub use lpips_models::{Backbone, Network};
