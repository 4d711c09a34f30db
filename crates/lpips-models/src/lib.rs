#![doc = include_str!("../README.md")]

pub mod arch;
mod backbone;
mod error;
pub mod ops;
#[cfg(feature = "hub")]
pub mod transfer;
pub mod weights;

pub use arch::Network;
pub use backbone::{Activations, Backbone, Bands, Gradients, LayerProfile, Segment, Stream};
pub use error::{Error, Result};
