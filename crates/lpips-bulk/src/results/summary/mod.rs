//! Summary statistics of results. The same rows give the same numbers, in any batches, runs or shards they were
//! measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lpips_eval::statistics::{Mean, mean_and_variance, median, quantile};
use serde::{Serialize, Serializer};

use crate::results::schema::{Columns, Row};

/// The percentiles of a summary.
pub const PERCENTILES: [u8; 7] = [1, 5, 25, 50, 75, 95, 99];

/// Collects rows, in the order of their indices. Every distance stays in memory, at 8 bytes.
///
/// ```
/// use lpips_bulk::results::schema::{Columns, MetricResult, Row};
/// use lpips_bulk::results::summary::Summary;
///
/// let mut summary = Summary::new(&Columns::new(["alex"]));
/// for (index, distance) in [(0, 0.25), (1, 0.75)] {
///     let outcome = Ok(vec![MetricResult { distance, ..MetricResult::default() }]);
///     summary.add(&Row { index, reference: "a".into(), candidate: "b".into(), second: None, outcome });
/// }
/// let totals = summary.totals();
/// let stats = totals.metrics[0].stats.as_ref().unwrap();
/// assert_eq!((totals.rows, stats.mean, stats.max.index), (2, 0.5, 1));
/// ```
#[derive(Debug, Clone)]
pub struct Summary {
    names: Vec<String>,
    values: Vec<Vec<f64>>,
    ends: Vec<Option<(Extreme, Extreme)>>,
    rows: u64,
    failures: u64,
    folders: BTreeMap<PathBuf, Vec<Mean>>,
}

/// The statistics of all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Number of rows, failed ones included.
    pub rows: u64,
    /// Number of failed rows.
    pub failures: u64,
    /// By metric, in the order of columns; for triplets then the second candidates' distances, named `second_` and the
    /// metric.
    pub metrics: Vec<MetricSummary>,
    /// The means of the references' folders, in the order of names, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Folder>,
}

/// The statistics of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricSummary {
    /// The metric.
    pub name: String,
    /// Number of distances.
    pub count: u64,
    /// The statistics; `None` without distances.
    #[serde(flatten)]
    pub stats: Option<Stats>,
}

/// Mean, quantiles and extremes of at least one distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// The mean.
    pub mean: f64,
    /// The standard error of the mean as the published `lpips_1dir_allpairs.py` prints it: the standard deviation with
    /// the divisor n (not n - 1), over the root of n.
    pub error: f64,
    /// The median; of an even number of distances the mean of the middle two.
    pub median: f64,
    /// The smallest, and the first row that has it.
    pub min: Extreme,
    /// The largest, and the first row that has it.
    pub max: Extreme,
    /// The percentiles [`PERCENTILES`], interpolated as numpy does by default.
    #[serde(serialize_with = "by_percent")]
    pub percentiles: [f64; PERCENTILES.len()],
}

/// The smallest or largest distance and its row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extreme {
    /// The distance.
    pub distance: f64,
    /// The row's number.
    pub index: u64,
    /// The reference's name.
    #[serde(serialize_with = "lossy")]
    pub reference: PathBuf,
    /// The name of the candidate, or of the second candidate.
    #[serde(serialize_with = "lossy")]
    pub candidate: PathBuf,
}

/// The statistics of the rows whose references are in one folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folder {
    /// The folder.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// Number of rows that did not fail.
    pub count: u64,
    /// The means, in the order of [`Totals::metrics`]; `None` where all rows failed.
    pub means: Vec<Option<f64>>,
}

impl Summary {
    /// No rows yet.
    pub fn new(columns: &Columns) -> Self {
        let seconds = columns.metrics.iter().filter(|_| columns.triplets).map(|name| format!("second_{name}"));
        let names: Vec<String> = columns.metrics.iter().cloned().chain(seconds).collect();
        let count = names.len();
        Self {
            names,
            values: vec![Vec::new(); count],
            ends: vec![None; count],
            rows: 0,
            failures: 0,
            folders: BTreeMap::new(),
        }
    }

    /// Adds the next row.
    pub fn add(&mut self, row: &Row) {
        self.rows += 1;
        let folder = row.reference.parent().unwrap_or(Path::new(""));
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_path_buf(), vec![Mean::default(); self.names.len()]);
        }
        let Ok(measured) = &row.outcome else {
            self.failures += 1;
            return;
        };
        let firsts = measured.iter().map(|own| Some((own.distance, &row.candidate)));
        let seconds = measured.iter().map(|own| own.second.zip(row.second.as_ref()));
        let mut means = self.folders.get_mut(folder);
        for (at, value) in firsts.chain(seconds).enumerate().take(self.names.len()) {
            let Some((distance, candidate)) = value else { continue };
            self.values[at].push(distance);
            if let Some(means) = &mut means {
                means[at].add(distance);
            }
            let here = || Extreme {
                distance,
                index: row.index,
                reference: row.reference.clone(),
                candidate: candidate.clone(),
            };
            let (min, max) = self.ends[at].get_or_insert_with(|| (here(), here()));
            if distance < min.distance {
                *min = here();
            }
            if distance > max.distance {
                *max = here();
            }
        }
    }

    /// The numbers of rows and of failed rows so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.rows, self.failures)
    }

    /// The statistics of the rows added.
    pub fn totals(self) -> Totals {
        let folders = self.folders.into_iter().map(|(folder, means)| Folder {
            folder,
            count: means.first().map_or(0, Mean::count),
            means: means.iter().map(Mean::value).collect(),
        });
        let folders: Vec<Folder> = folders.collect();
        let metrics = self.names.into_iter().zip(self.values).zip(self.ends).map(|((name, values), ends)| {
            MetricSummary { name, count: values.len() as u64, stats: ends.map(|(min, max)| stats(values, min, max)) }
        });
        Totals {
            rows: self.rows,
            failures: self.failures,
            metrics: metrics.collect(),
            folders: if folders.len() > 1 { folders } else { Vec::new() },
        }
    }
}

fn stats(mut values: Vec<f64>, min: Extreme, max: Extreme) -> Stats {
    let (mean, variance) = mean_and_variance(&values);
    let n = values.len() as f64;
    values.sort_unstable_by(f64::total_cmp);
    Stats {
        mean,
        error: variance.sqrt() / n.sqrt(),
        median: median(&values),
        min,
        max,
        percentiles: PERCENTILES.map(|percent| quantile(&values, f64::from(percent) / 100.0)),
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn by_percent<S: Serializer>(values: &[f64; PERCENTILES.len()], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(PERCENTILES.iter().map(ToString::to_string).zip(values))
}

#[cfg(test)]
mod tests;
