//! Commands for many pairs.

pub(crate) mod dirs;
mod files;
mod lines;
pub(crate) mod list;
pub(crate) mod merge;
mod options;
pub(crate) mod pairs;
pub(crate) mod report;
mod run;
pub(crate) mod summary;
pub(crate) mod video;
