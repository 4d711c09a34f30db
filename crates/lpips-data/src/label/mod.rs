//! Labelling: questions for people, and their votes.

mod questions;
pub mod votes;

pub use questions::{Answer, Choice, Place, Question, Questions};
