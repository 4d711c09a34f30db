#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod desk;
pub mod engine;
mod flow;
pub mod folders;
pub mod format;
pub mod list;
pub mod maps;
pub mod matrix;
mod measure;
pub mod merge;
pub mod nearest;
pub mod output;
pub mod pair;
pub mod pairs;
pub mod prepare;
mod records;
pub mod report;
pub mod row;
mod rows;
pub mod run_file;
pub mod shard;
mod slot;
mod stored;
pub mod summary;
pub mod threshold;
pub mod video;
pub mod walk;

pub use lpips_data::{Error, Result};
