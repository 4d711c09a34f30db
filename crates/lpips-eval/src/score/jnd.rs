//! The JND score: precision and recall of just noticeable differences.

/// A point of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The largest distance of pairs that are called the same; negative infinity where none is.
    pub threshold: f64,
    /// The fraction of pairs that are called the same, in [0, 1].
    pub share: f64,
    /// The fraction of pairs called the same that people judged the same, in [0, 1]; 1 where none is called so.
    pub precision: f64,
    /// The fraction of pairs judged the same that are called the same, in [0, 1].
    pub recall: f64,
    /// The fraction of pairs on which metric and people agree, in [0, 1].
    pub accuracy: f64,
}

/// Computes the precision-recall curve of just noticeable differences, from no pair to all.
///
/// Each pair has a distance and the fraction of people who judged both pictures the same, in [0, 1]. Pairs at one
/// distance are called the same together. Where no pair was judged the same by anyone, recalls are NaN.
///
/// ```
/// use lpips_eval::score::{average_precision, best_threshold, precision_recall};
///
/// let curve = precision_recall(&[(0.1, 1.0), (0.2, 1.0), (0.7, 0.0)]);
/// assert_eq!(average_precision(&curve), 1.0);
/// assert_eq!(best_threshold(&curve).map(|best| best.threshold), Some(0.2));
/// ```
pub fn precision_recall(pairs: &[(f64, f64)]) -> Vec<Point> {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (count, all): (usize, f64) = (pairs.len(), pairs.iter().map(|(_, same)| same).sum());
    let point = |threshold, hits: f64, alarms: f64| {
        let called = hits + alarms;
        // Agreement is on the hits, and on the pairs that both call different.
        let rejected = count as f64 - all - alarms;
        Point {
            threshold,
            share: called / count as f64,
            precision: if called > 0.0 { hits / called } else { 1.0 },
            recall: hits / all,
            accuracy: (hits + rejected) / count as f64,
        }
    };
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut points = vec![point(f64::NEG_INFINITY, hits, alarms)];
    for equal in pairs.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        for (_, same) in equal {
            hits += same;
            alarms += 1.0 - same;
        }
        points.push(point(equal[0].0, hits, alarms));
    }
    points
}

/// The published mAP: the area under the precision-recall curve as in PASCAL VOC 2012, with each precision raised to
/// the highest at its recall or a larger one.
pub fn average_precision(points: &[Point]) -> f64 {
    let mut area = 0.0;
    let mut highest = 0f64;
    for pair in points.windows(2).rev() {
        highest = highest.max(pair[1].precision);
        area += (pair[1].recall - pair[0].recall) * highest;
    }
    area
}

/// The point of the highest accuracy, of several the one that calls the fewest pairs the same.
pub fn best_threshold(points: &[Point]) -> Option<Point> {
    points.iter().copied().reduce(|best, point| if point.accuracy > best.accuracy { point } else { best })
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Sums of a few halves.
mod tests {
    use super::*;

    #[test]
    fn average_precision_of_a_perfect_order_is_one() {
        let points = precision_recall(&[(0.1, 1.0), (0.9, 0.0), (0.2, 1.0), (0.8, 0.0)]);
        assert_eq!(average_precision(&points), 1.0);
        let best = best_threshold(&points).unwrap();
        assert_eq!((best.threshold, best.accuracy, best.precision, best.recall), (0.2, 1.0, 1.0, 1.0));
    }

    #[test]
    fn precision_recall_takes_pairs_at_one_distance_together() {
        for order in [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]] {
            let points = precision_recall(&order.map(|same| (0.1, same)));
            assert_eq!(average_precision(&points), 0.5);
            assert_eq!(best_threshold(&points).unwrap().accuracy, 0.5);
        }
        // People take the nearest pair for different: calling none the same agrees on the most.
        let points = precision_recall(&[(0.1, 0.0), (0.2, 0.0), (0.3, 0.0), (0.4, 1.0)]);
        let best = best_threshold(&points).unwrap();
        assert_eq!((best.threshold, best.share, best.accuracy), (f64::NEG_INFINITY, 0.0, 0.75));
    }

    #[test]
    fn precision_recall_of_three_pairs_is_as_by_hand() {
        // Different, the same, half of the people.
        let points = precision_recall(&[(0.1, 0.0), (0.2, 1.0), (0.3, 0.5)]);
        let of = |f: fn(&Point) -> f64| points.iter().map(f).collect::<Vec<_>>();
        assert_eq!(of(|p| p.precision), [1.0, 0.0, 0.5, 0.5]);
        assert_eq!(of(|p| p.recall), [0.0, 0.0, 2.0 / 3.0, 1.0]);
        assert!((average_precision(&points) - 0.5).abs() < 1e-12);
    }
}
