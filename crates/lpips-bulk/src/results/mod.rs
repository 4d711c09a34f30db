//! Results: the schema of rows, their file formats, readers and writers, summaries, merging of shards, and matrices.
//!
//! - [`schema`]: rows and columns; `fields`: what a row must have, for every format
//! - [`mod@format`], `encoder`, `names`: JSON lines, CSV, JSON and Parquet
//! - [`reader`], [`writer`], [`run_file`]: files of rows, resumable, and the settings beside them
//! - [`merge`]: shards joined to one file
//! - [`summary`], [`threshold`], [`nearest`], [`matrix`]: statistics, violations of a limit, neighbours and distance
//!   matrices

mod encoder;
mod fields;
pub mod format;
pub mod matrix;
pub mod merge;
mod names;
pub mod nearest;
pub mod reader;
pub mod run_file;
pub mod schema;
pub mod summary;
pub mod threshold;
pub mod writer;

pub use fields::UNNAMED_METRIC;
