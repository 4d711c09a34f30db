//! How well a metric agrees with people, how sure that is, and whether one metric really beats another.

pub mod calibration;
pub mod compare;
pub mod folds;
pub mod metric;
pub mod page;
pub mod pixel;
pub mod plots;
pub mod results;
pub mod run;
pub mod score;
pub mod statistics;
pub mod table;
