#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod calibration;
pub mod charts;
pub mod compare;
mod error;
pub mod folds;
pub mod html;
pub mod metric;
pub mod page;
pub mod results;
pub mod run;
pub mod score;
pub mod statistics;
pub mod svg_chart;
pub mod table;

pub use error::{Error, Result};
