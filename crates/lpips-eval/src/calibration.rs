//! Calibration: the predicted share of people who prefer p1 against the judged share (Bradley-Terry model).

use super::results::Results;

/// The number of bins of a calibration curve.
pub const BINS: usize = 10;

/// A bin of triplets with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The mean predicted share of people who prefer p1, in [0, 1].
    pub predicted: f64,
    /// The mean judged share, in [0, 1].
    pub judged: f64,
    /// The number of triplets.
    pub n: usize,
}

/// Bins triplets by a metric's prediction, in at most `count` bins of similar size. The predicted share that prefers p1
/// is 1 / (1 + exp(-k (d0 - d1))), with the most likely k of at least 0 (Bradley and Terry, 1952).
///
/// ```
/// # use lpips_data::Task;
/// # use lpips_eval::results::{Header, Record, Results};
/// use lpips_eval::calibration::bins;
///
/// # let names = vec!["alex".to_string()];
/// # let (metrics, identities) = (names.clone(), names);
/// # let (kind, set) = (Task::TwoAfc, String::new());
/// # let header = Header { kind, set, size: 64, items: 4, labelled_here: false, metrics, identities };
/// # let record = |(d0, d1, judge)| Record { dataset: 0, files: Vec::new(), judge, distances: vec![vec![d0, d1]] };
/// // d0, d1 and the judgment of each triplet.
/// let records = [(0.1, 0.4, 0.0), (0.2, 0.3, 0.4), (0.3, 0.2, 0.6), (0.4, 0.1, 1.0)].map(record).to_vec();
/// # let results = Results { header, datasets: vec!["cnn".to_string()], records };
/// let curve = bins(&results, 0, 2);
/// assert_eq!(curve.len(), 2);
/// assert!((curve[0].judged - 0.2).abs() < 1e-12 && curve[0].predicted < 0.5);
/// ```
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

/// The most likely slope k of at least 0, for differences of distances and judgments.
pub(super) fn slope(triplets: &[(f64, f64)]) -> f64 {
    let spread = triplets.iter().map(|(x, _)| x.abs()).sum::<f64>() / triplets.len().max(1) as f64;
    if spread == 0.0 {
        return 0.0;
    }
    // The derivative of the log-likelihood falls with k: bisection finds its zero, in units of the spread.
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
    fn calibration_slope_of_simulated_judgments_is_recovered() {
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
