//! Options of a report.

/// Title, ranking and size of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The page's title.
    pub title: String,
    /// A sentence on the origin of the results; may be empty.
    pub about: String,
    /// The place among [`Columns::metrics`](crate::results::schema::Columns::metrics) of the metric that ranks pairs.
    pub by: usize,
    /// Number of the worst pairs that are shown with their pictures.
    pub worst: usize,
    /// Number of the other pairs that are shown with their pictures, evenly spaced in the order of their distances.
    pub sample: usize,
    /// Maximum number of rows in the table: failed rows first, then the worst. All numbers and charts cover the others,
    /// too.
    pub rows: usize,
    /// Whether rows follow each other in time, as a video's frames do: distances are then also drawn over row numbers.
    pub timeline: bool,
}

impl Default for Options {
    fn default() -> Self {
        let title = "How far apart the pictures look".to_string();
        Self { title, about: String::new(), by: 0, worst: 24, sample: 24, rows: 200_000, timeline: false }
    }
}
