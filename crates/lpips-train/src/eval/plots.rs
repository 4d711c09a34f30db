//! What is rather looked at than read.

use super::calibration::{self, BINS};
use super::results::Results;
use super::score::Point;
use super::table::{Row, curve};
use crate::data::Kind;
use crate::error::{Error, Result};
use crate::plot::{self, Bar, Labels, Line, Look, Span};

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// A name for its file.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub caption: &'static str,
    /// The chart.
    pub svg: String,
}

/// Scores as bars with their intervals; of triplets how predictions compare with judgments, of pairs the precision-recall curves and
/// the agreement at each threshold.
///
/// # Errors
/// None that is known: what is drawn is made of finite numbers.
pub fn plots(results: &Results, rows: &[Row]) -> Result<Vec<Plot>> {
    let mut plots = vec![scores(results.header.kind, rows)?];
    match results.header.kind {
        Kind::TwoAfc => plots.push(calibration(results)?),
        Kind::Jnd => {
            plots.push(by_metric(
                results,
                (
                    "precision-recall",
                    "Of the pairs called the same, how many people call the same, against how many of those are found.",
                ),
                Labels { title: "precision and recall", x: "recall", y: "precision" },
                |point| (point.recall, point.precision),
                (Some((0.0, 1.0)), Some((0.0, 1.0))),
            )?);
            plots.push(by_metric(
                results,
                (
                    "threshold",
                    "On how many pairs metric and people agree, when pairs up to a distance are called the same.",
                ),
                Labels { title: "agreement at a threshold", x: "share of pairs called the same", y: "accuracy" },
                |point| (point.share, point.accuracy),
                (Some((0.0, 1.0)), None),
            )?);
        }
    }
    Ok(plots)
}

fn scores(kind: Kind, rows: &[Row]) -> Result<Plot> {
    let unique = |of: fn(&Row) -> &String| {
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
        Kind::TwoAfc => "2AFC score",
        Kind::Jnd => "mAP",
    };
    let labels = Labels { title: "scores", x: "", y };
    let svg = plot::bars(labels, &datasets, &series).map_err(Error::Data)?;
    Ok(Plot { name: "scores", caption: "Scores by dataset, with their intervals.", svg })
}

fn calibration(results: &Results) -> Result<Plot> {
    let ideal = Line { name: "as judged".to_string(), points: vec![(0.0, 0.0), (1.0, 1.0)], look: Look::Faint };
    let of = |(metric, name): (usize, &String)| {
        let bins = calibration::bins(results, metric, BINS);
        Line {
            name: name.clone(),
            points: bins.iter().map(|bin| (bin.predicted, bin.judged)).collect(),
            look: Look::Dotted,
        }
    };
    let lines: Vec<Line> = results.header.metrics.iter().enumerate().map(of).chain([ideal]).collect();
    let labels = Labels { title: "calibration", x: "predicted share that prefers p1", y: "share that prefers p1" };
    let svg = plot::lines(labels, &lines, (Some((0.0, 1.0)), Some((0.0, 1.0)))).map_err(Error::Data)?;
    let caption = "The share of people that distances predict to prefer p1, against the share that did, in tenths of all triplets. The \
        prediction is 1 / (1 + exp(-k (d0 - d1))) with the most likely k.";
    Ok(Plot { name: "calibration", caption, svg })
}

fn by_metric(
    results: &Results,
    (name, caption): (&'static str, &'static str),
    labels: Labels<'_>,
    point: impl Fn(&Point) -> (f64, f64),
    spans: (Span, Span),
) -> Result<Plot> {
    let of = |(metric, name): (usize, &String)| {
        let points = curve(results, metric).iter().map(&point).collect();
        Line { name: name.clone(), points, look: Look::Plain }
    };
    let lines: Vec<Line> = results.header.metrics.iter().enumerate().map(of).collect();
    Ok(Plot { name, caption, svg: plot::lines(labels, &lines, spans).map_err(Error::Data)? })
}
