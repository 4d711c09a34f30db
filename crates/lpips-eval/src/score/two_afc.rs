//! The 2AFC score: two alternatives, forced choice.

/// The 2AFC score of a triplet, in [0, 1]: the fraction of people who chose as the distances do, and one half at equal
/// distances.
///
/// `judge` is the fraction of people who preferred p1; `d0` and `d1` are the distances of p0 and p1 from the reference.
/// The score of a set is the mean over its triplets.
///
/// ```
/// use lpips_eval::score::two_afc_score;
///
/// assert_eq!(two_afc_score(0.1, 0.3, 0.2), 0.8, "p0 is nearer, and 80 % of people chose it");
/// assert_eq!(two_afc_score(0.1, 0.1, 0.2), 0.5);
/// ```
pub fn two_afc_score(d0: f64, d1: f64, judge: f64) -> f64 {
    match d0.partial_cmp(&d1) {
        Some(std::cmp::Ordering::Less) => 1.0 - judge,
        Some(std::cmp::Ordering::Greater) => judge,
        _ => 0.5,
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Sums of a few halves.
mod tests {
    use super::*;

    #[test]
    fn two_afc_score_is_the_published_one() {
        assert_eq!(two_afc_score(0.1, 0.2, 0.25), 0.75);
        assert_eq!(two_afc_score(0.2, 0.1, 0.25), 0.25);
        assert_eq!(two_afc_score(0.2, 0.2, 0.25), 0.5);
        assert_eq!(two_afc_score(f64::NAN, 0.2, 0.25), 0.5);
    }
}
