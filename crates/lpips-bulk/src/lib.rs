#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod pipeline;
pub mod report;
pub mod results;
pub mod source;
pub mod video;

pub use lpips_data::{Error, Result};
