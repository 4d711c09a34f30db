//! Readers of results: of the files that this crate writes, and of those of other programs that name references,
//! candidates and distances.

mod any;
mod records;
mod rows;

pub use any::ResultsReader;
pub(crate) use rows::{RowReader, count_whole_rows};
