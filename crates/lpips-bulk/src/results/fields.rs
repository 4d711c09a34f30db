//! The fields of a row as a file holds them, checked and assembled to a row.
//!
//! Every format is parsed into these fields: one place decides what a row must have.

use std::path::PathBuf;

use crate::results::schema::{Columns, MetricResult, Row};

/// Name of the only metric in files that don't name it, and of its column.
pub const UNNAMED_METRIC: &str = "distance";

/// Names that files of other programs may use instead, where the field itself is missing.
pub(super) const ALIASES: [(&str, &str); 3] = [("ref", "reference"), ("p0", "candidate"), ("p1", "second")];

/// The kind of file that a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file written by this crate: complete.
    Own,
    /// A file that may come from another program, in which the row has this place, counted from 0. It may lack the
    /// index; layers and tiles are not read.
    Any(u64),
}

/// The fields of one row.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) index: Option<u64>,
    pub(super) reference: PathBuf,
    pub(super) candidate: PathBuf,
    pub(super) second: Option<PathBuf>,
    /// By metric.
    pub(super) distances: Vec<Option<f64>>,
    pub(super) seconds: Vec<Option<f64>>,
    pub(super) layers: Vec<Vec<Option<f64>>>,
    pub(super) tiles: Vec<Vec<f64>>,
    pub(super) error: Option<String>,
}

impl Fields {
    /// No fields yet, of rows with these columns.
    pub(super) fn new(columns: &Columns) -> Self {
        let count = columns.metrics.len();
        let layers = (0..count).map(|at| vec![None; columns.layers.get(at).map_or(0, Vec::len)]).collect();
        let (distances, seconds, tiles) = (vec![None; count], vec![None; count], vec![Vec::new(); count]);
        Self { distances, seconds, layers, tiles, ..Self::default() }
    }

    /// Assembles the row.
    ///
    /// # Errors
    /// The field that is missing or wrong.
    pub(super) fn row(mut self, columns: &Columns, origin: Origin) -> Result<Row, String> {
        let place = if let Origin::Any(place) = origin { Some(place) } else { None };
        let outcome: Result<Vec<MetricResult>, String> = match self.error.take() {
            Some(error) => Err(error),
            None => Ok((0..columns.metrics.len()).map(|at| self.result(at, columns)).collect::<Result<_, _>>()?),
        };
        if !outcome.iter().flatten().all(is_finite) {
            return Err("has a distance that is no finite number".to_string());
        }
        Ok(Row {
            index: self.index.or(place).ok_or("lacks its index")?,
            reference: self.reference,
            candidate: self.candidate,
            second: self.second,
            outcome,
        })
    }

    fn result(&mut self, at: usize, columns: &Columns) -> Result<MetricResult, String> {
        let metric = &columns.metrics[at];
        let lacks = || match metric.as_str() {
            UNNAMED_METRIC => "lacks its distance".to_string(),
            _ => format!("lacks the distance of {metric}"),
        };
        let distance = self.distances[at].ok_or_else(lacks)?;
        let layer =
            |(part, name): (&Option<f64>, &String)| part.ok_or_else(|| format!("lacks the layer {name} of {metric}"));
        let names = columns.layers.get(at).into_iter().flatten();
        Ok(MetricResult {
            distance,
            second: self.seconds[at],
            layers: self.layers[at].iter().zip(names).map(layer).collect::<Result<_, _>>()?,
            tiles: std::mem::take(&mut self.tiles[at]),
        })
    }
}

/// Whether all numbers of a result are finite.
pub(super) fn is_finite(result: &MetricResult) -> bool {
    let all = result.second.iter().chain(&result.layers).chain(&result.tiles);
    result.distance.is_finite() && all.copied().all(f64::is_finite)
}
