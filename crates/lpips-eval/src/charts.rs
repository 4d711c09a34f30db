//! Charts of an evaluation: scores, calibration, precision and recall, agreement by threshold.

use lpips_data::Task;

use super::calibration::{self, BINS};
use super::results::Results;
use super::score::best_threshold;
use super::table::{ScoreRow, curve};
use crate::Result;
use crate::svg_chart::{self, Bar, Labels, Line, LineStyle};

/// A chart as SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The name of its file, without extension.
    pub name: String,
    /// A caption, in full sentences.
    pub caption: String,
    /// The SVG document.
    pub svg: String,
}

/// Draws the charts of an evaluation: scores as bars with their intervals; for triplets the calibration of predictions;
/// for pairs the precision-recall curves and the agreement at each threshold.
///
/// # Errors
/// A chart that can't be drawn.
pub fn charts(results: &Results, rows: &[ScoreRow]) -> Result<Vec<Chart>> {
    let mut charts = vec![scores(results.header.kind, rows)?];
    match results.header.kind {
        Task::TwoAfc => charts.push(calibration(results)?),
        Task::Jnd => {
            charts.push(precision_recall(results)?);
            for metric in 0..results.header.metrics.len() {
                charts.push(threshold(results, metric)?);
            }
        }
    }
    Ok(charts)
}

fn scores(kind: Task, rows: &[ScoreRow]) -> Result<Chart> {
    let unique = |of: fn(&ScoreRow) -> &String| {
        let mut names: Vec<String> = Vec::new();
        rows.iter().map(of).for_each(|name| {
            if !names.contains(name) {
                names.push(name.clone());
            }
        });
        names
    };
    let (datasets, metrics) = (unique(|row| &row.dataset), unique(|row| &row.metric));
    let bar = |dataset: &String, metric: &String| -> Option<Bar> {
        let row = rows.iter().find(|row| row.dataset == *dataset && row.metric == *metric)?;
        Some((row.score, row.low, row.high))
    };
    let series: Vec<_> = metrics
        .into_iter()
        .map(|metric| {
            let bars = datasets.iter().map(|dataset| bar(dataset, &metric)).collect();
            (metric, bars)
        })
        .collect();
    let y = match kind {
        Task::TwoAfc => "2AFC score",
        Task::Jnd => "mAP",
    };
    let labels = Labels { title: "scores", x: "", y };
    let svg = svg_chart::bars(labels, &datasets, &series)?;
    Ok(Chart { name: "scores".to_string(), caption: "Scores by dataset, with their intervals.".to_string(), svg })
}

fn calibration(results: &Results) -> Result<Chart> {
    let ideal = Line { name: "as judged".to_string(), points: vec![(0.0, 0.0), (1.0, 1.0)], style: LineStyle::Faint };
    let of = |(metric, name): (usize, &String)| {
        let bins = calibration::bins(results, metric, BINS);
        Line {
            name: name.clone(),
            points: bins.iter().map(|bin| (bin.predicted, bin.judged)).collect(),
            style: LineStyle::Dotted,
        }
    };
    let lines: Vec<Line> = results.header.metrics.iter().enumerate().map(of).chain([ideal]).collect();
    let labels = Labels { title: "calibration", x: "predicted share that prefers p1", y: "share that prefers p1" };
    let svg = svg_chart::lines(labels, &lines, (Some((0.0, 1.0)), Some((0.0, 1.0))))?;
    let caption = "The share of people that distances predict to prefer p1, against the share that did, in tenths of all triplets. The \
        prediction is 1 / (1 + exp(-k (d0 - d1))) with the most likely k.";
    Ok(Chart { name: "calibration".to_string(), caption: caption.to_string(), svg })
}

fn precision_recall(results: &Results) -> Result<Chart> {
    let of = |(metric, name): (usize, &String)| {
        let points = curve(results, metric).iter().map(|point| (point.recall, point.precision)).collect();
        Line { name: name.clone(), points, style: LineStyle::Plain }
    };
    let lines: Vec<Line> = results.header.metrics.iter().enumerate().map(of).collect();
    let labels = Labels { title: "precision and recall", x: "recall", y: "precision" };
    let svg = svg_chart::lines(labels, &lines, (Some((0.0, 1.0)), Some((0.0, 1.0))))?;
    let caption = "Precision, the fraction of pairs called the same that people call the same, against recall, the fraction of those that is found.";
    Ok(Chart { name: "precision-recall".to_string(), caption: caption.to_string(), svg })
}

fn threshold(results: &Results, metric: usize) -> Result<Chart> {
    let name = &results.header.metrics[metric];
    let curve = curve(results, metric);
    let points = curve.iter().filter(|point| point.threshold.is_finite());
    let points = points.map(|point| (point.threshold, point.accuracy)).collect();
    let line = Line { name: name.clone(), points, style: LineStyle::Plain };
    let labels = Labels { title: "agreement by threshold", x: "threshold", y: "accuracy" };
    let svg = svg_chart::lines(labels, &[line], (None, Some((0.0, 1.0))))?;
    let best = match best_threshold(&curve) {
        Some(best) if best.threshold.is_finite() => format!("the most at {:.4}", best.threshold),
        _ => "the most when no pair is".to_string(),
    };
    let caption = format!(
        "{name}: on how many pairs metric and people agree when pairs up to a distance are called the same; {best}."
    );
    Ok(Chart { name: format!("threshold-{}", metric + 1), caption, svg })
}
