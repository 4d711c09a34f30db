//! The published scores of a metric against judgments: 2AFC and JND (Zhang et al., 2018, sections 2 and 4).

/// What a triplet earns: the fraction of people who chose as the distances do, and one half at equal distances.
///
/// `judge` is the fraction that preferred p1; `d0` and `d1` are the distances of p0 and p1 from the reference.
pub fn two_afc_score(d0: f64, d1: f64, judge: f64) -> f64 {
    match d0.partial_cmp(&d1) {
        Some(std::cmp::Ordering::Less) => 1.0 - judge,
        Some(std::cmp::Ordering::Greater) => judge,
        _ => 0.5,
    }
}

/// A point of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Pairs at this distance or nearer are called the same; at negative infinity none is.
    pub threshold: f64,
    /// The fraction of pairs that are, in [0, 1].
    pub share: f64,
    /// Of those called the same, the fraction that people call the same, in [0, 1]; 1 where none is called so.
    pub precision: f64,
    /// Of those that people call the same, the fraction called so, in [0, 1].
    pub recall: f64,
    /// The fraction of pairs on which metric and people agree, in [0, 1].
    pub accuracy: f64,
}

/// The precision-recall curve of just noticeable differences, from no pair to all: `same` is the fraction of people who took
/// a pair for the same picture twice. Pairs at one distance are called the same together.
///
/// Where no one took any pair for the same, recalls are not defined and come out as NaN.
pub fn precision_recall(pairs: &[(f64, f64)]) -> Vec<Point> {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (count, all): (usize, f64) = (pairs.len(), pairs.iter().map(|(_, same)| same).sum());
    let point = |threshold, hits: f64, alarms: f64| {
        let called = hits + alarms;
        // Right are those called the same by both, and those called different by both.
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

/// The published mAP: the area under the precision-recall curve as PASCAL VOC 2012 has it, where each precision counts as the highest
/// at its recall or a larger one.
pub fn average_precision(points: &[Point]) -> f64 {
    let mut area = 0.0;
    let mut highest = 0f64;
    for pair in points.windows(2).rev() {
        highest = highest.max(pair[1].precision);
        area += (pair[1].recall - pair[0].recall) * highest;
    }
    area
}

/// The point at which most pairs are agreed on, the one that calls the fewest pairs the same where there are several.
pub fn best_threshold(points: &[Point]) -> Option<Point> {
    points.iter().copied().reduce(|best, point| if point.accuracy > best.accuracy { point } else { best })
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Sums of a few halves.
mod tests {
    use super::*;

    #[test]
    fn credits_are_the_published_ones() {
        assert_eq!(two_afc_score(0.1, 0.2, 0.25), 0.75);
        assert_eq!(two_afc_score(0.2, 0.1, 0.25), 0.25);
        assert_eq!(two_afc_score(0.2, 0.2, 0.25), 0.5);
        assert_eq!(two_afc_score(f64::NAN, 0.2, 0.25), 0.5);
    }

    #[test]
    fn a_metric_in_order_has_the_whole_area() {
        let points = precision_recall(&[(0.1, 1.0), (0.9, 0.0), (0.2, 1.0), (0.8, 0.0)]);
        assert_eq!(average_precision(&points), 1.0);
        let best = best_threshold(&points).unwrap();
        assert_eq!((best.threshold, best.accuracy, best.precision, best.recall), (0.2, 1.0, 1.0, 1.0));
    }

    #[test]
    fn pairs_at_one_distance_can_not_be_told_apart() {
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
    fn the_curve_is_stepped_through_by_hand() {
        // Different, the same, half of the people.
        let points = precision_recall(&[(0.1, 0.0), (0.2, 1.0), (0.3, 0.5)]);
        let of = |f: fn(&Point) -> f64| points.iter().map(f).collect::<Vec<_>>();
        assert_eq!(of(|p| p.precision), [1.0, 0.0, 0.5, 0.5]);
        assert_eq!(of(|p| p.recall), [0.0, 0.0, 2.0 / 3.0, 1.0]);
        assert!((average_precision(&points) - 0.5).abs() < 1e-12);
    }
}
