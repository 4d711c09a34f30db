//! Statistics of the series of a report: mean, median and histogram.

use lpips_eval::statistics::{mean_and_variance, median};
use serde::Serialize;

/// Bars of a histogram: the minimum for few distances, and the maximum.
const BARS: (f64, f64) = (8.0, 48.0);

/// The statistics of one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SeriesSummary {
    pub(super) name: String,
    /// Number of distances.
    pub(super) count: usize,
    /// `None` of no distances.
    #[serde(flatten)]
    pub(super) stats: Option<SeriesStats>,
}

/// Mean, median, range and histogram of at least one distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SeriesStats {
    pub(super) mean: f64,
    /// The standard error of the mean of two and more distances, with the divisor n as in the published
    /// `lpips_1dir_allpairs.py`.
    pub(super) error: Option<f64>,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) histogram: Histogram,
}

/// A histogram: bar `i` counts the distances from `from + i * step` up to, but without, `from + (i + 1) * step`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Histogram {
    pub(super) from: f64,
    pub(super) step: f64,
    pub(super) counts: Vec<usize>,
}

impl SeriesSummary {
    /// Of the finite distances.
    pub(super) fn of(name: String, distances: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = distances.filter(|distance| distance.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let stats = |min: f64, max: f64| {
            let (mean, variance) = mean_and_variance(&sorted);
            let error = (count > 1).then(|| (variance / count as f64).sqrt());
            SeriesStats { mean, error, median: median(&sorted), min, max, histogram: Histogram::of(&sorted, min, max) }
        };
        let stats = sorted.first().zip(sorted.last()).map(|(min, max)| stats(*min, *max));
        Self { name, count, stats }
    }
}

impl Histogram {
    /// Of sorted distances.
    fn of(sorted: &[f64], min: f64, max: f64) -> Self {
        // Smaller steps are lost in floating point.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_statistics_ignore_missing_distances() {
        let summary = SeriesSummary::of("alex".into(), [0.4, f64::NAN, 0.1, 0.3, 0.2].into_iter());
        let stats = summary.stats.unwrap();
        assert_eq!((summary.count, stats.min, stats.max), (4, 0.1, 0.4));
        assert!((stats.mean - 0.25).abs() < 1e-12 && (stats.median - 0.25).abs() < 1e-12);
        // The standard deviation is the root of 0.0125.
        assert!((stats.error.unwrap() - 0.0125f64.sqrt() / 2.0).abs() < 1e-12);
        let one = SeriesSummary::of("alex".into(), [0.5].into_iter()).stats.unwrap();
        assert_eq!((one.mean, one.median, one.error, one.histogram.counts), (0.5, 0.5, None, vec![1]));
        assert_eq!(SeriesSummary::of("alex".into(), [f64::NAN].into_iter()).stats, None);
    }

    #[test]
    fn histogram_has_few_round_bars_and_counts_every_distance() {
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
            let Histogram { from, step, .. } = histogram;
            assert!(from <= sorted[0] && step > 0.0 && step.is_finite(), "{histogram:?}");
        }
        for (value, round) in [(0.013, 0.02), (0.02, 0.02), (0.021, 0.05), (0.9, 1.0), (7.0, 10.0)] {
            assert!((round_above(value) - round).abs() < 1e-12, "{value}");
        }
    }
}
