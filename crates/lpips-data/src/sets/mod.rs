//! Judgment sets: 2AFC triplets and JND pairs, read from BAPPS folders and lists, with checks and statistics.

pub mod agreement;
pub(crate) mod bapps;
pub(crate) mod check;
pub(crate) mod item;
mod judgment_set;
mod list;
mod open;
pub mod stats;
mod task;

pub use check::{CheckDepth, check_picture};
pub use item::{Item, Source, Triplet};
pub use judgment_set::{Dataset, JudgmentSet, Pairs, Split};
pub use task::Task;

/// File name of the votes log in a labelled root.
pub const VOTES_LOG: &str = "votes.jsonl";
