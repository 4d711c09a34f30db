//! What a page tells of many distances: summaries, histograms, means of folders, the timeline over time.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::Report;
use crate::results::summary;

/// Bars of a histogram at most, and of few distances at least.
const BARS: (f64, f64) = (8.0, 48.0);
/// Points of a line at most.
const POINTS: u64 = 1000;
/// Folders that are listed at most.
const FOLDERS: usize = 200;

/// The distances of one series, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SeriesSummary {
    pub(super) name: String,
    /// How many there are.
    pub(super) count: usize,
    /// Of these, if there are any.
    #[serde(flatten)]
    pub(super) of: Option<SeriesStats>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SeriesStats {
    pub(super) mean: f64,
    /// The standard error of the mean, with the divisor n as the published `lpips_1dir_allpairs.py` has it; of two and more.
    pub(super) error: Option<f64>,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) histogram: Histogram,
}

/// A histogram: bar `i` counts the distances from `from + i * step` on, below that of the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Histogram {
    pub(super) from: f64,
    pub(super) step: f64,
    pub(super) counts: Vec<usize>,
}

impl SeriesSummary {
    pub(super) fn of(name: String, distances: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = distances.filter(|distance| distance.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let spread = |min: f64, max: f64| {
            let (mean, error) = mean(&sorted);
            let median = sorted[(count - 1) / 2].midpoint(sorted[count / 2]);
            SeriesStats { mean, error, median, min, max, histogram: Histogram::of(&sorted, min, max) }
        };
        let of = sorted.first().zip(sorted.last()).map(|(min, max)| spread(*min, *max));
        Self { name, count, of }
    }
}

/// The mean and, of two and more, its standard error.
fn mean(values: &[f64]) -> (f64, Option<f64>) {
    let mean = summary::mean(values.iter().copied());
    let variance = summary::mean(values.iter().map(|value| (value - mean).powi(2)));
    (mean, (values.len() > 1).then(|| (variance / values.len() as f64).sqrt()))
}

impl Histogram {
    fn of(sorted: &[f64], min: f64, max: f64) -> Self {
        // Below that, numbers of this size no longer tell bars apart.
        let range = (max - min).max(max.abs().max(min.abs()) * 1e-9).max(f64::MIN_POSITIVE * 1e9);
        let step = round_above(range / (2.0 * (sorted.len() as f64).sqrt()).clamp(BARS.0, BARS.1));
        let first = (min / step).floor();
        let bar = |value: f64| ((value / step).floor() - first).max(0.0) as usize;
        let mut counts = vec![0; bar(max) + 1];
        for value in sorted {
            counts[bar(*value)] += 1;
        }
        Self { from: first * step, step, counts }
    }
}

/// The next of 1, 2 or 5 times a power of ten.
fn round_above(value: f64) -> f64 {
    let magnitude = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|k| k * magnitude).find(|round| *round >= value).unwrap_or(10.0 * magnitude)
}

/// The rows of one folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) count: usize,
    pub(super) failed: usize,
    /// By series.
    pub(super) means: Vec<Option<f64>>,
}

/// How many folders the references are in, and the farthest of these; none where it is only one.
pub(super) fn folders(report: &Report) -> (usize, Vec<Folder>) {
    let mut rows: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (at, row) in report.rows.iter().enumerate() {
        rows.entry(row.reference.parent().unwrap_or(Path::new(""))).or_default().push(at);
    }
    if rows.len() < 2 {
        return (rows.len(), Vec::new());
    }
    let each = report.series().len();
    let folder = |(path, rows): (&&Path, &Vec<usize>)| {
        let values = |series: usize| {
            let values = rows.iter().map(|at| report.distances[at * each + series]);
            values.filter(|distance| distance.is_finite()).collect::<Vec<_>>()
        };
        let mean =
            |series: usize| Some(values(series)).filter(|values| !values.is_empty()).map(|values| mean(&values).0);
        Folder {
            name: path.to_string_lossy().into_owned(),
            count: rows.len(),
            failed: rows.iter().filter(|at| report.errors.contains_key(at)).count(),
            means: (0..each).map(mean).collect(),
        }
    };
    let mut folders: Vec<Folder> = rows.iter().map(folder).collect();
    let key = |folder: &Folder| folder.means.get(report.by()).copied().flatten().unwrap_or(f64::NEG_INFINITY);
    folders.sort_by(|a, b| key(b).total_cmp(&key(a)));
    folders.truncate(FOLDERS);
    (rows.len(), folders)
}

/// A line over the rows' numbers: in each of equal steps from `first` on the smallest distance, the mean and the largest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Timeline {
    pub(super) first: u64,
    /// How many numbers fall in one step.
    pub(super) step: u64,
    pub(super) points: Vec<Option<[f64; 3]>>,
}

impl Timeline {
    pub(super) fn of(report: &Report, series: usize) -> Option<Self> {
        let indices = || report.rows.iter().map(|row| row.index);
        let (first, last) = indices().min().zip(indices().max())?;
        let step = (last - first) / POINTS + 1;
        let mut values = vec![Vec::new(); ((last - first) / step + 1) as usize];
        for (index, distance) in indices().zip(report.series_values(series)).filter(|(_, d)| d.is_finite()) {
            values[((index - first) / step) as usize].push(distance);
        }
        let point = |values: &Vec<f64>| {
            let low = values.iter().copied().reduce(f64::min)?;
            let high = values.iter().copied().reduce(f64::max)?;
            Some([low, mean(values).0, high])
        };
        Some(Self { first, step, points: values.iter().map(point).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_what_statistics_say() {
        let summary = SeriesSummary::of("alex".into(), [0.4, f64::NAN, 0.1, 0.3, 0.2].into_iter());
        let of = summary.of.unwrap();
        assert_eq!((summary.count, of.min, of.max), (4, 0.1, 0.4));
        assert!((of.mean - 0.25).abs() < 1e-12 && (of.median - 0.25).abs() < 1e-12);
        // The standard deviation is the root of 0.0125.
        assert!((of.error.unwrap() - 0.0125f64.sqrt() / 2.0).abs() < 1e-12);
        let one = SeriesSummary::of("alex".into(), [0.5].into_iter()).of.unwrap();
        assert_eq!((one.mean, one.median, one.error, one.histogram.counts), (0.5, 0.5, None, vec![1]));
        assert_eq!(SeriesSummary::of("alex".into(), [f64::NAN].into_iter()).of, None);
    }

    #[test]
    fn bars_are_round_few_and_hold_every_distance() {
        let sets: [Vec<f64>; 6] = [
            (0..1000).map(|i| f64::from(i) / 1370.0).collect(),
            vec![0.0; 5],
            vec![-41.5, -20.0, -3.0],
            vec![1e-300, 2e-300],
            vec![1e12, 1e12 + 1.0],
            vec![0.3, 0.1 + 0.2, 0.6],
        ];
        for sorted in sets {
            let histogram = Histogram::of(&sorted, sorted[0], sorted[sorted.len() - 1]);
            assert!(histogram.counts.len() <= 50, "{histogram:?}");
            assert_eq!(histogram.counts.iter().sum::<usize>(), sorted.len());
            assert!(histogram.from <= sorted[0] && histogram.step > 0.0 && histogram.step.is_finite(), "{histogram:?}");
        }
        for (value, round) in [(0.013, 0.02), (0.02, 0.02), (0.021, 0.05), (0.9, 1.0), (7.0, 10.0)] {
            assert!((round_above(value) - round).abs() < 1e-12, "{value}");
        }
    }
}
