//! What was measured of a pair.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A result: a pair's distances, or why there are none.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The number of the row, from 0 on, in the whole work: of all shards.
    pub index: u64,
    /// The reference's name, as it was given.
    pub reference: PathBuf,
    /// The candidate's.
    pub candidate: PathBuf,
    /// Of a triplet the second candidate's.
    pub second: Option<PathBuf>,
    /// By metric, in the order of [`Columns::metrics`]; or what went wrong, in one sentence.
    pub outcome: Result<Vec<MetricResult>, String>,
}

/// One metric's distances of a row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricResult {
    /// Of reference and candidate.
    pub distance: f64,
    /// Of reference and second candidate, if there is one.
    pub second: Option<f64>,
    /// The distance's parts by layer, in the order of [`Columns::layers`], if they were asked for and the metric has layers.
    pub layers: Vec<f64>,
    /// The distances of tiles, row by row from the top left, if they were asked for; their mean is [`Self::distance`].
    pub tiles: Vec<f64>,
}

/// What the rows of one result have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The metrics' names.
    pub metrics: Vec<String>,
    /// By metric: the names of its layers where their parts are told, otherwise nothing.
    pub layers: Vec<Vec<String>>,
    /// Whether the rows are triplets.
    pub triplets: bool,
}
