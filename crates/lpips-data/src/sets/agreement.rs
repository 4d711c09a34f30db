//! What judgments tell of the people behind them.

/// How often one vote agrees with another on the same triplet, in [0, 1] for each: what a metric that knows the others' votes would
/// score on average. `None` where a judgment is of one vote alone.
pub fn agreements(judges: &[f64], votes: u32) -> Option<Vec<f64>> {
    let n = f64::from(votes);
    let agreement = |judge: &f64| {
        // Of n votes k are for p1: of the n - 1 others as many as are left say the same.
        let k = judge * n;
        (k * (k - 1.0) + (n - k) * (n - k - 1.0)) / (n * (n - 1.0))
    };
    (votes > 1).then(|| judges.iter().map(agreement).collect())
}

/// The fraction of votes, of at most 100, that a number of 32 bits stands for, or the number itself where there is none.
pub fn fraction(judge: f32) -> f64 {
    let judge = f64::from(judge);
    let nearest = |n: u32| (judge * f64::from(n)).round() / f64::from(n);
    (1..=100).map(nearest).find(|fraction| (fraction - judge).abs() < 1e-7).unwrap_or(judge)
}

/// Whether all judgments are fractions of so many votes.
pub fn fits(judges: &[f64], votes: u32) -> bool {
    judges.iter().all(|judge| {
        let votes = judge * f64::from(votes);
        (votes - votes.round()).abs() < 1e-4
    })
}

/// The smallest number of votes of which all judgments are fractions; `None` where they tell nothing: none is between 0 and 1, or
/// they are no fractions of a few votes.
pub fn votes_behind(judges: &[f64]) -> Option<u32> {
    const MOST: u32 = 20;
    (1..=MOST).find(|n| fits(judges, *n)).filter(|n| *n > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_counted_where_judgments_tell() {
        assert_eq!(votes_behind(&[0.2, 0.4, 1.0, f64::from(0.6f32)]), Some(5));
        assert_eq!(votes_behind(&[0.5, 0.0]), Some(2));
        assert_eq!(votes_behind(&[0.0, 1.0]), None);
        assert_eq!(votes_behind(&[0.123_456, 0.7]), None);
    }

    #[test]
    #[allow(clippy::float_cmp)] // As they were written.
    fn fractions_are_what_they_were_before_they_were_written() {
        for (k, n) in [(1, 5), (2, 3), (1, 3), (3, 7), (0, 1), (1, 1), (33, 100)] {
            assert_eq!(fraction(k as f32 / n as f32), f64::from(k) / f64::from(n));
        }
        assert_eq!(fraction(0.123_456), f64::from(0.123_456f32));
    }

    #[test]
    fn one_vote_in_five_against_four() {
        // The four agree with three of the other four, the one with none.
        assert_eq!(agreements(&[0.2], 5).map(|a| (a[0] * 1e9).round() / 1e9), Some(0.6));
        assert_eq!(agreements(&[0.0, 1.0], 3), Some(vec![1.0, 1.0]));
        assert_eq!(agreements(&[0.0], 1), None);
    }
}
