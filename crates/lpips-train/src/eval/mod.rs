//! How well a metric agrees with people, how sure that is, and whether one metric really beats another.

pub mod pixel;
pub mod score;
pub mod statistics;
