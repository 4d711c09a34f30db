//! The rows of a report in memory: names, distances and errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::report::options::Options;
use crate::results::schema::{Columns, MetricResult, Row};

/// All rows of a report, as columns. A series is a column of distances: one per metric, and for triplets another per
/// metric.
#[derive(Debug)]
pub(super) struct Table {
    columns: Columns,
    pub(super) rows: Vec<RowNames>,
    /// Row by row, in the order of [`Table::series`]; NaN where there is no distance.
    distances: Vec<f64>,
    /// By place among the rows.
    pub(super) errors: BTreeMap<usize, String>,
}

/// The names of a row.
#[derive(Debug)]
pub(super) struct RowNames {
    pub(super) index: u64,
    pub(super) reference: Box<Path>,
    pub(super) candidate: Box<Path>,
    pub(super) second: Option<Box<Path>>,
}

impl Table {
    pub(super) fn new(columns: Columns) -> Self {
        Self { columns, rows: Vec::new(), distances: Vec::new(), errors: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, row: &Row) {
        let boxed = |path: &PathBuf| path.as_path().into();
        match &row.outcome {
            Ok(results) => {
                for at in 0..self.columns.metrics.len() {
                    let of = results.get(at);
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
        self.rows.push(RowNames {
            index: row.index,
            reference: boxed(&row.reference),
            candidate: boxed(&row.candidate),
            second: row.second.as_ref().map(boxed),
        });
    }

    pub(super) fn has_triplets(&self) -> bool {
        self.columns.triplets
    }

    /// Names of the series.
    pub(super) fn series(&self) -> Vec<String> {
        let of = |metric: &String| {
            let second = self.columns.triplets.then(|| format!("{metric} (second)"));
            std::iter::once(metric.clone()).chain(second)
        };
        self.columns.metrics.iter().flat_map(of).collect()
    }

    /// The distances of a series, one per row.
    pub(super) fn values(&self, series: usize) -> impl Iterator<Item = f64> {
        self.distances.iter().skip(series).step_by(self.series_count().max(1)).copied()
    }

    /// The distance of a row in a series.
    pub(super) fn distance(&self, row: usize, series: usize) -> f64 {
        self.distances[row * self.series_count() + series]
    }

    /// The first series of a metric.
    pub(super) fn series_of(&self, metric: usize) -> usize {
        metric * self.series_per_metric()
    }

    fn series_count(&self) -> usize {
        self.columns.metrics.len() * self.series_per_metric()
    }

    fn series_per_metric(&self) -> usize {
        if self.columns.triplets { 2 } else { 1 }
    }

    /// The rows with a distance in a series, the largest first.
    pub(super) fn ranked(&self, series: usize) -> Vec<usize> {
        let distances: Vec<f64> = self.values(series).collect();
        let mut order: Vec<usize> = (0..distances.len()).filter(|at| distances[*at].is_finite()).collect();
        order.sort_by(|a, b| distances[*b].total_cmp(&distances[*a]));
        order
    }

    /// The rows shown with pictures: the worst, and a sample of the others, each with the largest distance first.
    pub(super) fn shown(&self, options: &Options) -> (Vec<usize>, Vec<usize>) {
        let mut worst = self.ranked(self.series_of(options.by));
        let rest = worst.split_off(options.worst.min(worst.len()));
        let count = options.sample.min(rest.len());
        (worst, (0..count).map(|i| rest[(2 * i + 1) * rest.len() / (2 * count)]).collect())
    }

    /// The rows listed in the page's table, in their order: all, or as many as [`Options::rows`] allows, first those
    /// that are shown.
    pub(super) fn listed(&self, shown: &[usize], options: &Options) -> Vec<usize> {
        let most = options.rows.max(shown.len());
        if self.rows.len() <= most {
            return (0..self.rows.len()).collect();
        }
        let ranked = self.ranked(self.series_of(options.by));
        let candidates =
            shown.iter().copied().chain(self.errors.keys().copied()).chain(ranked).chain(0..self.rows.len());
        let mut listed = BTreeSet::new();
        for at in candidates {
            listed.insert(at);
            if listed.len() == most {
                break;
            }
        }
        listed.into_iter().collect()
    }

    /// A row, without layers and tiles.
    pub(super) fn row(&self, at: usize) -> Row {
        let RowNames { index, reference, candidate, second } = &self.rows[at];
        let each = self.series_count();
        let of =
            |own: &[f64]| MetricResult { distance: own[0], second: own.get(1).copied(), ..MetricResult::default() };
        let distances = self.distances[at * each..(at + 1) * each].chunks(self.series_per_metric()).map(of).collect();
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
mod tests {
    use super::*;

    fn columns(metrics: &[&str], triplets: bool) -> Columns {
        Columns { triplets, ..Columns::new(metrics.iter().copied()) }
    }

    fn row(index: u64, distances: &[f64]) -> Row {
        let of = |distance: &f64| MetricResult { distance: *distance, ..MetricResult::default() };
        let (reference, candidate) = ("a.png".into(), "b.png".into());
        Row { index, reference, candidate, second: None, outcome: Ok(distances.iter().map(of).collect()) }
    }

    /// Row `i` of `count` has the distance (7 i mod count) / count; every tenth row has failed.
    fn table(count: u64) -> Table {
        let mut table = Table::new(columns(&["alex", "l2"], false));
        for i in 0..count {
            let distance = (7 * i % count) as f64 / count as f64;
            let mut row = row(i, &[distance, distance / 2.0]);
            if i % 10 == 9 {
                row.outcome = Err("broken".to_string());
            }
            table.add(&row);
        }
        table
    }

    #[test]
    fn shown_rows_are_the_worst_and_an_even_sample_of_the_others() {
        let table = table(101);
        let (worst, sample) = table.shown(&Options { worst: 5, sample: 4, ..Options::default() });
        let distance = |at: &usize| table.distance(*at, 0);
        let all: Vec<f64> = table.ranked(0).iter().map(distance).collect();
        assert!(all.is_sorted_by(|a, b| a >= b) && all.len() == 91);
        assert_eq!(worst.iter().map(distance).collect::<Vec<_>>(), all[..5]);
        // The middles of four equal parts of the 86 others.
        assert_eq!(sample.iter().map(distance).collect::<Vec<_>>(), [10, 32, 53, 75].map(|at| all[5 + at]));
    }

    #[test]
    fn shown_rows_of_few_pairs_are_all_of_them_once() {
        let (worst, sample) = table(8).shown(&Options { worst: 5, sample: 40, ..Options::default() });
        let mut all = [worst, sample].concat();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn triplets_are_ranked_by_the_metric_chosen() {
        let mut table = Table::new(columns(&["alex", "l2"], true));
        for (index, distances) in [(0, [0.9, 0.1]), (1, [0.1, 0.2])] {
            table.add(&Row { second: Some("c.png".into()), ..row(index, &distances) });
        }
        assert_eq!(table.shown(&Options { by: 1, worst: 1, sample: 0, ..Options::default() }).0, [1]);
        assert_eq!(table.series(), ["alex", "alex (second)", "l2", "l2 (second)"]);
        let row = table.row(1);
        assert_eq!(row.second, Some(PathBuf::from("c.png")));
        assert!((row.outcome.unwrap()[1].distance - 0.2).abs() < 1e-12);
    }
}
