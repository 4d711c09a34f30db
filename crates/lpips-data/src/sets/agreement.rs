//! Inter-annotator agreement: votes behind fractional judgments, and the human ceiling of a metric's score.

/// Probability that one vote agrees with another on the same triplet, in [0, 1] for each judgment.
///
/// The mean is the human ceiling: the average two-alternative score of a metric that knew all other votes. `None` where
/// each judgment is of a single vote.
pub fn agreements(judges: &[f64], votes: u32) -> Option<Vec<f64>> {
    let n = f64::from(votes);
    let agreement = |judge: &f64| {
        // k of n votes are for p1. Each of them agrees with k - 1 of the n - 1 others, and likewise for p0.
        let k = judge * n;
        (k * (k - 1.0) + (n - k) * (n - k - 1.0)) / (n * (n - 1.0))
    };
    (votes > 1).then(|| judges.iter().map(agreement).collect())
}

/// Fraction of at most 100 votes that a 32-bit judgment was rounded from, or the judgment itself where there is none.
pub fn fraction(judge: f32) -> f64 {
    let judge = f64::from(judge);
    let nearest = |n: u32| (judge * f64::from(n)).round() / f64::from(n);
    (1..=100).map(nearest).find(|fraction| (fraction - judge).abs() < 1e-7).unwrap_or(judge)
}

/// Whether all judgments are fractions of this number of votes.
pub fn fits(judges: &[f64], votes: u32) -> bool {
    judges.iter().all(|judge| {
        let votes = judge * f64::from(votes);
        (votes - votes.round()).abs() < 1e-4
    })
}

/// Smallest number of votes, up to 20, of which all judgments are fractions.
///
/// `None` where no judgment lies between 0 and 1, or they are no fractions of so few votes.
pub fn votes_behind(judges: &[f64]) -> Option<u32> {
    const MOST: u32 = 20;
    (1..=MOST).find(|n| fits(judges, *n)).filter(|n| *n > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_behind_finds_smallest_common_denominator() {
        assert_eq!(votes_behind(&[0.2, 0.4, 1.0, f64::from(0.6f32)]), Some(5));
        assert_eq!(votes_behind(&[0.5, 0.0]), Some(2));
        assert_eq!(votes_behind(&[0.0, 1.0]), None);
        assert_eq!(votes_behind(&[0.123_456, 0.7]), None);
    }

    #[test]
    #[allow(clippy::float_cmp)] // Exact by construction.
    fn fraction_of_f32_judgment_restores_f64_fraction() {
        for (k, n) in [(1, 5), (2, 3), (1, 3), (3, 7), (0, 1), (1, 1), (33, 100)] {
            assert_eq!(fraction(k as f32 / n as f32), f64::from(k) / f64::from(n));
        }
        assert_eq!(fraction(0.123_456), f64::from(0.123_456f32));
    }

    #[test]
    fn agreement_of_one_vote_against_four_is_three_fifths() {
        // Each of the four agrees with three of the other four votes, the fifth with none.
        assert_eq!(agreements(&[0.2], 5).map(|a| (a[0] * 1e9).round() / 1e9), Some(0.6));
        assert_eq!(agreements(&[0.0, 1.0], 3), Some(vec![1.0, 1.0]));
        assert_eq!(agreements(&[0.0], 1), None);
    }
}
