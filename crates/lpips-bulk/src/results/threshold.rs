//! Violations of a maximum distance.

use std::cmp::Ordering;
use std::path::PathBuf;

use crate::results::schema::Row;

/// Number of the worst violations that are listed.
const WORST: usize = 20;

/// Counts the rows above a distance by the first metric, and lists the worst.
///
/// ```
/// use lpips_bulk::results::schema::{MetricResult, Row};
/// use lpips_bulk::results::threshold::Threshold;
///
/// let mut threshold = Threshold::new(0.3);
/// for (index, distance) in [(0, 0.2), (1, 0.4)] {
///     let outcome = Ok(vec![MetricResult { distance, ..MetricResult::default() }]);
///     threshold.add(&Row { index, reference: "a".into(), candidate: "b".into(), second: None, outcome });
/// }
/// assert_eq!((threshold.count(), threshold.worst()[0].index), (1, 1));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    limit: f64,
    count: u64,
    worst: Vec<Violation>,
}

/// A row above the limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The row's number.
    pub index: u64,
    /// The distance; of a triplet the larger one.
    pub distance: f64,
    /// The reference's name.
    pub reference: PathBuf,
    /// The name of the candidate that has this distance.
    pub candidate: PathBuf,
}

impl Threshold {
    /// No rows yet.
    pub fn new(limit: f64) -> Self {
        Self { limit, count: 0, worst: Vec::new() }
    }

    /// Adds a row; a failed row violates nothing.
    pub fn add(&mut self, row: &Row) {
        let Some(first) = row.outcome.as_ref().ok().and_then(|measured| measured.first()) else { return };
        let second = first.second.zip(row.second.as_ref()).filter(|(distance, _)| *distance > first.distance);
        let (distance, candidate) = second.unwrap_or((first.distance, &row.candidate));
        if distance <= self.limit {
            return;
        }
        self.count += 1;
        let order = |own: &Violation| own.distance.total_cmp(&distance).reverse().then(own.index.cmp(&row.index));
        let place = self.worst.partition_point(|own| order(own) == Ordering::Less);
        if place < WORST {
            let (reference, candidate) = (row.reference.clone(), candidate.clone());
            self.worst.insert(place, Violation { index: row.index, distance, reference, candidate });
            self.worst.truncate(WORST);
        }
    }

    /// The limit.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// Number of rows above the limit.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The worst violations, at most 20, the largest distance first.
    pub fn worst(&self) -> &[Violation] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::schema::MetricResult;

    fn row(index: u64, distance: f64, second: Option<f64>) -> Row {
        Row {
            index,
            reference: "r".into(),
            candidate: format!("c{index}").into(),
            second: second.map(|_| format!("s{index}").into()),
            outcome: Ok(vec![
                MetricResult { distance, second, ..MetricResult::default() },
                MetricResult { distance: 9.0, ..MetricResult::default() },
            ]),
        }
    }

    #[test]
    fn threshold_counts_violations_and_keeps_the_worst() {
        let mut threshold = Threshold::new(0.5);
        for index in 0..100 {
            // 0.00, 0.07, ... in a mixed order; 0.5 itself is not above.
            threshold.add(&row(index, ((index * 7) % 100) as f64 / 100.0, None));
        }
        threshold.add(&Row { outcome: Err("broken".into()), ..row(100, 0.0, None) });
        assert_eq!(threshold.count(), 49);
        let worst: Vec<f64> = threshold.worst().iter().map(|own| own.distance).collect();
        assert_eq!(worst, (80..100).rev().map(|i| i as f64 / 100.0).collect::<Vec<_>>());
    }

    #[test]
    fn violations_of_triplets_name_the_worse_candidate_in_row_order() {
        let mut threshold = Threshold::new(0.1);
        for (index, first, second) in [(0, 0.2, 0.3), (1, 0.3, 0.2), (2, 0.05, 0.01), (3, 0.0, 0.4)] {
            threshold.add(&row(index, first, Some(second)));
        }
        let worst: Vec<_> =
            threshold.worst().iter().map(|own| (own.index, own.candidate.display().to_string())).collect();
        assert_eq!(worst, [(3, "s3".to_string()), (0, "s0".to_string()), (1, "c1".to_string())]);
        assert_eq!(threshold.count(), 3);
    }
}
