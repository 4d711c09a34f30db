#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod augment;
pub mod builtin_samples;
pub mod diff;
mod digest;
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
pub mod rng;
pub mod sets;
pub mod synth;

pub use digest::short_hex;
pub use error::{Error, Result};
pub use outcome::Outcome;
pub use problem::Problem;
pub use sets::{CheckDepth, Dataset, Item, JudgmentSet, Pairs, Source, Split, Task, Triplet};
