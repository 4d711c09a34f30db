//! Schema of results: rows, the metrics' results in them, and the columns that the rows of a file share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One row of results: the distances of a pair or triplet, or the reason that there are none.
///
/// ```
/// use lpips_bulk::results::schema::{MetricResult, Row};
///
/// let result = MetricResult { distance: 0.25, ..MetricResult::default() };
/// let row =
///     Row { index: 0, reference: "a.png".into(), candidate: "b.png".into(), second: None, outcome: Ok(vec![result]) };
/// assert_eq!(row.outcome.unwrap()[0].distance, 0.25);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's number, counted from 0 over all shards.
    pub index: u64,
    /// The reference's path, as it was given.
    pub reference: PathBuf,
    /// The candidate's path.
    pub candidate: PathBuf,
    /// The second candidate's path, in a triplet.
    pub second: Option<PathBuf>,
    /// One result per metric, in the order of [`Columns::metrics`]; or the reason of the failure, in one sentence.
    pub outcome: Result<Vec<MetricResult>, String>,
}

/// One metric's distances of a row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricResult {
    /// The distance of reference and candidate.
    pub distance: f64,
    /// The distance of reference and second candidate, in a triplet.
    pub second: Option<f64>,
    /// The layers' parts of the distance, in the order of [`Columns::layers`]; empty unless they were requested and the
    /// metric has layers.
    pub layers: Vec<f64>,
    /// The distances of tiles, row by row from the top left, if they were requested; their mean is [`Self::distance`].
    pub tiles: Vec<f64>,
}

/// Metrics, layers and the kind of rows that all rows of a file share.
///
/// ```
/// use lpips_bulk::results::schema::Columns;
///
/// let columns = Columns::new(["alex", "l2"]);
/// assert_eq!(columns.metrics, ["alex", "l2"]);
/// assert!(columns.layers.iter().all(Vec::is_empty) && !columns.triplets);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The metrics' names.
    pub metrics: Vec<String>,
    /// For each metric the names of its layers, where rows hold the layers' parts; otherwise empty.
    pub layers: Vec<Vec<String>>,
    /// Whether rows are triplets.
    pub triplets: bool,
}

impl Columns {
    /// Columns of pairs, without layers.
    pub fn new<M: Into<String>>(metrics: impl IntoIterator<Item = M>) -> Self {
        let metrics: Vec<String> = metrics.into_iter().map(Into::into).collect();
        Self { layers: vec![Vec::new(); metrics.len()], metrics, triplets: false }
    }
}
