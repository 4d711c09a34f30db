//! Sets of judgments: their files, what is in them, and what is wrong with it.

pub mod agreement;
pub(crate) mod bapps;
pub(crate) mod list;
pub mod stats;
