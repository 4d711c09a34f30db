#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod augment;
pub mod builtin_samples;
pub mod diff;
mod digest;
pub mod discover;
pub mod distort;
mod error;
#[cfg(feature = "fetch")]
#[cfg_attr(docsrs, doc(cfg(feature = "fetch")))]
pub mod fetch;
pub mod files;
pub mod float_image;
pub mod journal;
pub mod label;
pub mod loader;
pub mod lock;
pub mod npy;
mod outcome;
mod problem;
pub mod records;
pub mod rng;
pub mod sets;
pub mod synth;

/// Asserts at compile time that the main types can be shared between threads.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Dataset>();
    is_send_and_sync::<Pairs>();
    is_send_and_sync::<Error>();
    is_send_and_sync::<augment::Augment>();
    is_send_and_sync::<distort::Distortion>();
    is_send_and_sync::<float_image::FloatImage>();
    is_send_and_sync::<label::Questions>();
    is_send_and_sync::<label::votes::Votes>();
    is_send_and_sync::<loader::Batch>();
    is_send_and_sync::<loader::Batching>();
    is_send_and_sync::<rng::Rng>();
    is_send_and_sync::<synth::Synth>();
};

pub use digest::short_hex;
pub use error::{Error, Result};
pub use outcome::Outcome;
pub use problem::Problem;
pub use sets::{CheckDepth, Dataset, Item, JudgmentSet, Pairs, Source, Split, Task, Triplet};
