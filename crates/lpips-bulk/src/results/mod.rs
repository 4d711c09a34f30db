//! Results: the schema of rows, readers and writers of files of rows, summaries, merging of shards, and matrices.

pub mod format;
pub mod matrix;
pub mod merge;
pub mod nearest;
pub mod reader;
pub mod run_file;
pub mod schema;
pub mod summary;
pub mod threshold;
pub mod writer;
