//! Distances of a video's frames over time: the worst frames, and a chart.

use std::path::Path;

use lpips_data::files;
use lpips_eval::svg_chart::{Labels, Line, LineStyle, lines};

use crate::Result;
use crate::results::schema::Row;

/// Distances by the first metric, by frame.
///
/// ```
/// use lpips_bulk::results::schema::{MetricResult, Row};
/// use lpips_bulk::video::DistancesOverTime;
///
/// // Every second frame from frame 10 on, at 4 frames per second.
/// let mut over_time = DistancesOverTime::new(10, 2, Some(4.0));
/// for (index, distance) in [(0, 0.1), (1, 0.7)] {
///     let outcome = Ok(vec![MetricResult { distance, ..MetricResult::default() }]);
///     over_time.add(&Row { index, reference: "a".into(), candidate: "b".into(), second: None, outcome });
/// }
/// let worst = &over_time.worst(1)[0];
/// assert_eq!((worst.frame, worst.distance, worst.seconds), (12, 0.7, Some(3.0)));
/// ```
#[derive(Debug, Clone)]
pub struct DistancesOverTime {
    first: u64,
    every: u64,
    rate: Option<f64>,
    frames: Vec<(u64, f64)>,
}

/// A frame, its time and its distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameDistance {
    /// The frame's number, counted from 0.
    pub frame: u64,
    /// The time from the beginning of the video, where the number of frames per second is known.
    pub seconds: Option<f64>,
    /// The distance.
    pub distance: f64,
}

impl DistancesOverTime {
    /// No distances yet: row 0 is the frame `first`, and each next row is `every` frames later. `rate` is in frames per
    /// second.
    pub fn new(first: u64, every: u64, rate: Option<f64>) -> Self {
        Self { first, every, rate, frames: Vec::new() }
    }

    /// Adds a row; one that failed has no distance and is left out.
    pub fn add(&mut self, row: &Row) {
        if let Some(first) = row.outcome.as_ref().ok().and_then(|results| results.first()) {
            self.frames.push((self.first + row.index * self.every, first.distance));
        }
    }

    /// The `count` frames with the largest distances, the largest first; of equal ones the earlier first.
    pub fn worst(&self, count: usize) -> Vec<FrameDistance> {
        let mut worst = self.frames.clone();
        worst.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        worst.truncate(count);
        let seconds = |frame: u64| self.rate.map(|rate| frame as f64 / rate);
        worst.into_iter().map(|(frame, distance)| FrameDistance { frame, seconds: seconds(frame), distance }).collect()
    }

    /// Writes an SVG chart of one metric's distances over seconds, or over frame numbers where no rate is known.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write_chart(&self, path: &Path, metric: &str) -> Result<()> {
        let x = if self.rate.is_some() { "seconds" } else { "frame" };
        let at = |frame: u64| self.rate.map_or(frame as f64, |rate| frame as f64 / rate);
        let points: Vec<(f64, f64)> = self.frames.iter().map(|(frame, distance)| (at(*frame), *distance)).collect();
        let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let line = Line { name: metric.to_string(), points, style: LineStyle::Plain };
        let labels = Labels { title: "distance over time", x, y: "distance" };
        let svg = lines(labels, &[line], (None, Some((0.0, (1.05 * top).max(1e-6)))))?;
        Ok(files::write(path, svg.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::schema::MetricResult;

    fn over_time(rate: Option<f64>, distances: &[Option<f64>]) -> DistancesOverTime {
        let mut over_time = DistancesOverTime::new(5, 10, rate);
        for (index, distance) in (0..).zip(distances) {
            let result = |distance| vec![MetricResult { distance, ..MetricResult::default() }];
            let outcome = distance.map(result).ok_or_else(|| "broken".to_string());
            over_time.add(&Row { index, reference: "r".into(), candidate: "c".into(), second: None, outcome });
        }
        over_time
    }

    #[test]
    fn worst_frames_are_ordered_by_distance_then_frame_without_failed_rows() {
        let worst = over_time(None, &[Some(0.1), None, Some(0.3), Some(0.3)]).worst(3);
        assert_eq!(worst.iter().map(|worst| worst.frame).collect::<Vec<_>>(), [25, 35, 5]);
        assert!(worst.iter().all(|worst| worst.seconds.is_none()));
        assert!(over_time(None, &[None]).worst(3).is_empty());
    }

    #[test]
    fn chart_over_time_is_labelled_in_seconds_where_a_rate_is_known() {
        let folder = tempfile::tempdir().unwrap();
        for (rate, label) in [(Some(25.0), "seconds"), (None, "frame")] {
            let path = folder.path().join("chart.svg");
            over_time(rate, &[Some(0.1), Some(0.2)]).write_chart(&path, "alex").unwrap();
            assert!(std::fs::read_to_string(&path).unwrap().contains(label));
        }
    }
}
