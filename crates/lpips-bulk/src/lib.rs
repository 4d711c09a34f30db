#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
pub mod pipeline;
pub mod report;
pub mod results;
pub mod run;
pub mod source;
pub mod video;

pub use error::{Error, Result};
