//! Results as one HTML page to look at, which needs nothing else: summary, charts, a table of all rows, and a viewer of the worst pairs
//! and of some of the others.

mod data;
mod numbers;
mod page;
mod pictures;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use lpips_core::Picture;

use crate::Result;
use crate::results::schema::{Columns, MetricResult, Row};
use lpips_data::files;

/// What is shown, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The page's title.
    pub title: String,
    /// A sentence on how the results came about; may be empty.
    pub about: String,
    /// The place among [`Columns::metrics`] of the metric that says which pairs are worst.
    pub by: usize,
    /// How many of the worst pairs are shown with their pictures.
    pub worst: usize,
    /// How many of the others: evenly spaced in the order of their distances, so that they show what these look like.
    pub sample: usize,
    /// How many rows the table lists at most: those that failed first, then the worst. The rest is in all numbers and charts.
    pub rows: usize,
    /// Whether rows follow each other in time, as a video's frames do: their distances are then drawn over their numbers.
    pub timeline: bool,
}

impl Default for Options {
    fn default() -> Self {
        let title = "How far apart the pictures look".to_string();
        Self { title, about: String::new(), by: 0, worst: 24, sample: 24, rows: 200_000, timeline: false }
    }
}

/// Opens reference and candidate of a row as they were measured; or says, in one sentence, why they can't be had.
pub type Load<'a> = dyn FnMut(&Row) -> Result<(Picture, Picture), String> + 'a;

/// Where reference and candidate differ, (1, 1, H, W); or why there is no such map, in one sentence.
pub type DrawMap<'a> = dyn FnMut(&Picture, &Picture) -> Result<Tensor, String> + 'a;

/// Where the pictures of the pairs that are shown come from. Both are called for one shown pair after the other, in the order of the rows'
/// numbers.
pub struct Pictures<'a> {
    /// Opens a pair.
    pub load: &'a mut Load<'a>,
    /// Where the two differ.
    pub map: Option<Map<'a>>,
}

/// What draws heat maps.
pub struct Map<'a> {
    /// What it is called on the page.
    pub name: &'a str,
    /// Draws one.
    pub of: &'a mut DrawMap<'a>,
}

/// Rows on their way to a page.
///
/// The names and distances of all rows are held until the page is written: about 200 bytes a row with names of usual lengths. Of all else
/// that is done in bulk nothing grows with the number of rows.
#[derive(Debug)]
pub struct Report {
    columns: Columns,
    options: Options,
    rows: Vec<Names>,
    /// Row by row, in the order of [`Report::series`]; NaN where there is none.
    distances: Vec<f64>,
    /// By place among the rows.
    errors: BTreeMap<usize, String>,
}

#[derive(Debug)]
struct Names {
    index: u64,
    reference: Box<Path>,
    candidate: Box<Path>,
    second: Option<Box<Path>>,
}

impl Report {
    /// Of no rows yet.
    pub fn new(columns: Columns, options: Options) -> Self {
        Self { columns, options, rows: Vec::new(), distances: Vec::new(), errors: BTreeMap::new() }
    }

    /// Takes a row in.
    pub fn add(&mut self, row: &Row) {
        let boxed = |path: &PathBuf| path.as_path().into();
        match &row.outcome {
            Ok(measured) => {
                for at in 0..self.columns.metrics.len() {
                    let of = measured.get(at);
                    self.distances.push(of.map_or(f64::NAN, |of| of.distance));
                    if self.columns.triplets {
                        self.distances.push(of.and_then(|of| of.second).unwrap_or(f64::NAN));
                    }
                }
            }
            Err(error) => {
                self.errors.insert(self.rows.len(), error.clone());
                self.distances.extend(std::iter::repeat_n(f64::NAN, self.series().len()));
            }
        }
        self.rows.push(Names {
            index: row.index,
            reference: boxed(&row.reference),
            candidate: boxed(&row.candidate),
            second: row.second.as_ref().map(boxed),
        });
    }

    /// How many pairs the page will show with pictures.
    pub fn shown(&self) -> usize {
        let measured = self.series_values(self.by()).filter(|distance| distance.is_finite()).count();
        measured.min(self.options.worst + self.options.sample)
    }

    /// Writes the page, whole or not at all. Without `pictures` it has names and numbers only.
    ///
    /// All pictures together take at most 16 MB of the page, and each at most 512 pixels a side. A pair whose pictures can't be had is shown
    /// with the reason in their place.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write(&self, path: &Path, pictures: Option<&mut Pictures<'_>>) -> Result<()> {
        Ok(files::write(path, self.html(pictures)?.as_bytes())?)
    }

    fn html(&self, pictures: Option<&mut Pictures<'_>>) -> Result<String> {
        let (worst, sample) = self.choice();
        let shown = [&worst[..], &sample[..]].concat();
        let seen = pictures.map(|pictures| {
            let rows: Vec<Row> = shown.iter().map(|at| self.row(*at)).collect();
            pictures::prepare(&rows, pictures)
        });
        let listed = self.listed(&shown);
        page::page(&self.options.title, &data::of(self, &listed, (&worst, &sample), seen.as_ref()))
    }

    /// What the columns of distances are called: for each metric one, and of triplets one more.
    fn series(&self) -> Vec<String> {
        let of = |metric: &String| {
            let second = self.columns.triplets.then(|| format!("{metric} (second)"));
            std::iter::once(metric.clone()).chain(second)
        };
        self.columns.metrics.iter().flat_map(of).collect()
    }

    fn series_values(&self, series: usize) -> impl Iterator<Item = f64> {
        self.distances.iter().skip(series).step_by(self.series().len().max(1)).copied()
    }

    /// The series that says which pairs are worst.
    fn by(&self) -> usize {
        self.options.by * self.per_metric()
    }

    /// How many distances a row has by one metric.
    fn per_metric(&self) -> usize {
        if self.columns.triplets { 2 } else { 1 }
    }

    /// The rows that have a distance, the farthest first.
    fn order(&self) -> Vec<usize> {
        let distances: Vec<f64> = self.series_values(self.by()).collect();
        let mut order: Vec<usize> = (0..distances.len()).filter(|at| distances[*at].is_finite()).collect();
        order.sort_by(|a, b| distances[*b].total_cmp(&distances[*a]));
        order
    }

    /// The rows to look at: the worst, and some of the others, the farthest first.
    fn choice(&self) -> (Vec<usize>, Vec<usize>) {
        let mut worst = self.order();
        let rest = worst.split_off(self.options.worst.min(worst.len()));
        let count = self.options.sample.min(rest.len());
        (worst, (0..count).map(|i| rest[(2 * i + 1) * rest.len() / (2 * count)]).collect())
    }

    /// The rows that the table lists, in their own order: all of them, if they are not too many.
    fn listed(&self, shown: &[usize]) -> Vec<usize> {
        let most = self.options.rows.max(shown.len());
        if self.rows.len() <= most {
            return (0..self.rows.len()).collect();
        }
        let candidates =
            shown.iter().copied().chain(self.errors.keys().copied()).chain(self.order()).chain(0..self.rows.len());
        let mut listed = BTreeSet::new();
        for at in candidates {
            listed.insert(at);
            if listed.len() == most {
                break;
            }
        }
        listed.into_iter().collect()
    }

    /// A row as far as it is kept.
    fn row(&self, at: usize) -> Row {
        let Names { index, reference, candidate, second } = &self.rows[at];
        let each = self.series().len();
        let of =
            |own: &[f64]| MetricResult { distance: own[0], second: own.get(1).copied(), ..MetricResult::default() };
        let distances = self.distances[at * each..(at + 1) * each].chunks(self.per_metric()).map(of).collect();
        let outcome = self.errors.get(&at).map_or(Ok(distances), |error| Err(error.clone()));
        Row {
            index: *index,
            reference: reference.to_path_buf(),
            candidate: candidate.to_path_buf(),
            second: second.as_ref().map(|second| second.to_path_buf()),
            outcome,
        }
    }
}

#[cfg(test)]
mod tests;
