//! What many distances come to. The same rows give the same numbers, in whatever batches, runs or shards they were measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::results::schema::{Columns, Row};

/// The percentiles that are told.
pub const PERCENTILES: [u8; 7] = [1, 5, 25, 50, 75, 95, 99];

/// Collects rows, in the order of their indices. It holds every distance: 8 bytes each.
#[derive(Debug, Clone)]
pub struct Summary {
    names: Vec<String>,
    values: Vec<Vec<f64>>,
    ends: Vec<Option<(Extreme, Extreme)>>,
    rows: u64,
    failures: u64,
    folders: BTreeMap<PathBuf, Vec<Mean>>,
}

/// What a [`Summary`] has come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Rows, those that failed with them.
    pub rows: u64,
    /// Rows that failed.
    pub failures: u64,
    /// By metric, in the rows' order; after them, of triplets, `second_` and the metric's name for the second candidates.
    pub metrics: Vec<MetricSummary>,
    /// The means by the references' folders, by name, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Folder>,
}

/// One metric's distances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricSummary {
    /// The metric.
    pub name: String,
    /// How many distances there are.
    pub count: u64,
    /// What they come to, if there is one.
    #[serde(flatten)]
    pub of: Option<Stats>,
}

/// What distances come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Their mean.
    pub mean: f64,
    /// The mean's standard error as the published `lpips_1dir_allpairs.py` prints it: the standard deviation with the divisor n (not
    /// n - 1), over the root of n.
    pub error: f64,
    /// The median: of an even number the mean of the middle two.
    pub median: f64,
    /// The smallest, and the first row that has it.
    pub min: Extreme,
    /// The largest, and the first row that has it.
    pub max: Extreme,
    /// Of [`PERCENTILES`], interpolated as numpy does by default.
    #[serde(serialize_with = "by_percent")]
    pub percentiles: [f64; PERCENTILES.len()],
}

/// A distance and where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extreme {
    /// The distance.
    pub distance: f64,
    /// The row's number.
    pub index: u64,
    /// The reference's name.
    #[serde(serialize_with = "lossy")]
    pub reference: PathBuf,
    /// The candidate's, or the second candidate's.
    #[serde(serialize_with = "lossy")]
    pub candidate: PathBuf,
}

/// The rows whose references are in one folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folder {
    /// The folder.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// Rows that did not fail.
    pub count: u64,
    /// The means, as in [`Totals::metrics`]; none where all failed.
    pub means: Vec<Option<f64>>,
}

impl Summary {
    /// Nothing seen yet.
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

    /// Takes the next row.
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

    /// Rows so far, and how many of them failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.rows, self.failures)
    }

    /// What they all come to.
    pub fn totals(self) -> Totals {
        let folders = self.folders.into_iter().map(|(folder, means)| Folder {
            folder,
            count: means.first().map_or(0, |mean| mean.count),
            means: means.iter().map(Mean::value).collect(),
        });
        let folders: Vec<Folder> = folders.collect();
        let metrics = self.names.into_iter().zip(self.values).zip(self.ends).map(|((name, values), ends)| {
            MetricSummary { name, count: values.len() as u64, of: ends.map(|(min, max)| spread(values, min, max)) }
        });
        Totals {
            rows: self.rows,
            failures: self.failures,
            metrics: metrics.collect(),
            folders: if folders.len() > 1 { folders } else { Vec::new() },
        }
    }
}

fn spread(mut values: Vec<f64>, min: Extreme, max: Extreme) -> Stats {
    let n = values.len() as f64;
    let mean = mean(values.iter().copied());
    let variance = self::mean(values.iter().map(|value| (value - mean) * (value - mean)));
    values.sort_unstable_by(f64::total_cmp);
    Stats {
        mean,
        error: variance.sqrt() / n.sqrt(),
        median: f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]),
        min,
        max,
        percentiles: PERCENTILES.map(|percent| percentile(&values, f64::from(percent))),
    }
}

/// The value below which so many percent of sorted values lie, of which there is at least one: between two of them on the straight
/// line, as `numpy.percentile` has it by default.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = percent / 100.0 * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let (part, step) = (place.fract(), high - low);
    if part < 0.5 { low + step * part } else { high - step * (1.0 - part) }
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut mean = Mean::default();
    values.for_each(|value| mean.add(value));
    mean.value().unwrap_or_default()
}

/// A mean whose sum carries what rounding takes away (Neumaier, 1974).
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    count: u64,
    sum: f64,
    lost: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() { (self.sum, value) } else { (value, self.sum) };
        self.lost += (large - sum) + small;
        self.sum = sum;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.sum + self.lost) / self.count as f64)
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
