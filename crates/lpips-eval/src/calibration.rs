//! How well differences of distances tell the share of people who prefer p1.

use super::results::Results;

/// Bins of a curve.
pub const BINS: usize = 10;

/// Triplets of like predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The mean predicted share of people who prefer p1, in [0, 1].
    pub predicted: f64,
    /// The mean share that did.
    pub judged: f64,
    /// How many triplets.
    pub n: usize,
}

/// Triplets by what a metric predicts, in at most `count` bins of like size: a share of 1 / (1 + exp(-k (d0 - d1))), with the k that
/// makes the judgments most likely (Bradley and Terry, 1952).
pub fn bins(results: &Results, metric: usize, count: usize) -> Vec<Bin> {
    let mut triplets: Vec<(f64, f64)> = results
        .records
        .iter()
        .filter_map(|record| match record.distances[metric][..] {
            [d0, d1] => Some((d0 - d1, record.judge)),
            _ => None,
        })
        .collect();
    triplets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let k = slope(&triplets);
    let n = triplets.len();
    let count = count.min(n);
    let bin = |at: usize| {
        let members = &triplets[at * n / count..(at + 1) * n / count];
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| members.iter().map(of).sum::<f64>() / members.len() as f64;
        Bin { predicted: mean(&|(x, _)| share(k * x)), judged: mean(&|(_, judge)| *judge), n: members.len() }
    };
    (0..count).map(bin).collect()
}

/// The logistic function.
pub(super) fn share(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The most likely factor, from 0 up.
pub(super) fn slope(triplets: &[(f64, f64)]) -> f64 {
    let spread = triplets.iter().map(|(x, _)| x.abs()).sum::<f64>() / triplets.len().max(1) as f64;
    if spread == 0.0 {
        return 0.0;
    }
    // The likelihood's derivative falls with k: where it changes its sign is found by halving, in units of the spread.
    let derivative =
        |k: f64| triplets.iter().map(|(x, judge)| x / spread * (judge - share(k * x / spread))).sum::<f64>();
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if derivative(middle) > 0.0 { low = middle } else { high = middle }
    }
    low / spread
}

#[cfg(test)]
mod tests {
    use super::*;
    use lpips_data::rng::{Rng, Stream};

    #[test]
    fn the_slope_that_made_the_judgments_is_found() {
        let mut rng = Rng::new(1, Stream::Samples, (0, 0));
        let triplets: Vec<(f64, f64)> = (0..4000)
            .map(|_| {
                let x = rng.between(-0.3, 0.3);
                (x, (0..5).filter(|_| rng.chance(share(8.0 * x))).count() as f64 / 5.0)
            })
            .collect();
        let k = slope(&triplets);
        assert!((k - 8.0).abs() < 0.5, "{k}");
        assert!(slope(&[(0.0, 0.5)]).abs() < 1e-12);
        // Judgments against the metric: no factor above 0 is better than none.
        let against: Vec<(f64, f64)> = triplets.iter().map(|(x, judge)| (*x, 1.0 - judge)).collect();
        assert!(slope(&against).abs() < 1e-6);
    }
}
