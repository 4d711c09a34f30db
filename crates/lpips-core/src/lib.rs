#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accumulator;
mod builder;
#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "heatmap")]
pub mod canvas;
mod comparison;
mod config;
pub mod device;
mod error;
mod features;
#[cfg(feature = "image")]
#[doc(hidden)]
pub mod files;
mod head;
#[cfg(feature = "heatmap")]
pub mod heatmap;
#[cfg(feature = "image")]
pub mod image;
mod input;
mod loss;
mod lpips;
mod memory;
mod metadata;
mod pairs;
mod range;
mod reference;
mod size;
#[cfg(feature = "serde")]
mod text;
mod tile;
#[doc(hidden)]
pub mod training;
mod version;

pub use accumulator::{Accumulator, Reduction};
pub use builder::Builder;
pub use comparison::{Comparison, Layer};
pub use config::Config;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use features::Features;
#[cfg(feature = "image")]
pub use image::Picture;
pub use input::Images;
pub use loss::{Loss, LossKind, accuracy};
pub use lpips::Lpips;
pub use metadata::ModelMetadata;
pub use range::Range;
pub use reference::Reference;
pub use size::{ParseSizeError, Size};
pub use version::Version;

pub use lpips_models::weights;
pub use lpips_models::{Backbone, Network};

/// The candle crates that this crate is built with, for programs that name no candle of their own.
///
/// ```
/// use lpips_core::candle::candle_core::{Device, Tensor};
/// use lpips_core::{Lpips, Network};
///
/// let gray = Tensor::full(0f32, (1, 3, 64, 64), &Device::Cpu)?;
/// assert_eq!(Lpips::new(Network::AlexNet)?.compare(&gray, &gray)?.values()?, [0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod candle {
    pub use candle_core;
    pub use candle_nn;
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Lpips>();
    assert_send_sync::<Builder>();
    assert_send_sync::<Features>();
    assert_send_sync::<Reference>();
    assert_send_sync::<Comparison>();
    assert_send_sync::<Accumulator>();
    assert_send_sync::<Loss>();
    assert_send_sync::<Error>();
    #[cfg(feature = "image")]
    assert_send_sync::<Picture>();
    #[cfg(feature = "cache")]
    assert_send_sync::<cache::FeatureCache>();
    #[cfg(feature = "cache")]
    assert_send_sync::<cache::Keyer>();
};
