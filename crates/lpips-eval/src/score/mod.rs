//! Published scores of a metric against judgments: 2AFC and JND (Zhang et al., 2018, sections 2 and 4).

mod jnd;
mod two_afc;

pub use jnd::{Point, average_precision, best_threshold, precision_recall};
pub use two_afc::two_afc_score;
