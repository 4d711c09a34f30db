#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod calibration;
pub mod compare;
pub mod folds;
pub mod metric;
pub mod page;
pub mod pixel;
pub mod plot;
pub mod plots;
pub mod results;
pub mod run;
pub mod score;
pub mod statistics;
pub mod table;

pub use lpips_data::{Error, Result};
