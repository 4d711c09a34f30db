//! Curves of a run, drawn as SVG files.

use std::path::Path;

use lpips_data::files;
use lpips_eval::svg_chart::{self, Labels, Line, LineStyle};

use super::log::{StepRecord, Validation};
use crate::error::Result;

/// Draws `loss.svg`, `accuracy.svg` and `lins.svg` into a folder. `lins` are the lin heads' weights by layer.
///
/// # Errors
/// A folder that can't be written to.
pub(crate) fn draw(
    folder: &Path,
    steps: &[StepRecord],
    scores: &[Validation],
    lins: &[(String, Vec<f32>)],
) -> Result<()> {
    let of = |value: fn(&StepRecord) -> f64| -> Vec<(f64, f64)> {
        steps.iter().map(|step| (step.step as f64, value(step))).collect()
    };
    let pair = |name: &str, points: Vec<(f64, f64)>| {
        let smooth = smoothed(&points);
        [
            Line { name: format!("{name}, each step"), points, style: LineStyle::Faint },
            Line { name: format!("{name}, smoothed"), points: smooth, style: LineStyle::Plain },
        ]
    };
    chart(&folder.join("loss.svg"), "loss", ("step", "loss"), &pair("training", of(|step| step.loss)), None)?;
    let mut lines: Vec<Line> = pair("training", of(|step| step.accuracy)).into();
    if !scores.is_empty() {
        let points = scores.iter().map(|score| (score.step as f64, score.score)).collect();
        lines.push(Line { name: "validation (2AFC)".to_string(), points, style: LineStyle::Plain });
    }
    chart(&folder.join("accuracy.svg"), "agreement with people", ("step", "accuracy"), &lines, Some((0.0, 1.0)))?;
    let lines: Vec<Line> = lins
        .iter()
        .map(|(name, weights)| {
            // Over the share of channels, as layers differ in their number of channels.
            let mut weights = weights.clone();
            weights.sort_by(|a, b| b.total_cmp(a));
            let share = |i: usize| 100.0 * (i + 1) as f64 / weights.len() as f64;
            let points = weights.iter().enumerate().map(|(i, weight)| (share(i), f64::from(*weight))).collect();
            Line { name: name.clone(), points, style: LineStyle::Plain }
        })
        .collect();
    let title = "lin weights, each layer's from the largest down";
    chart(&folder.join("lins.svg"), title, ("channels, %", "weight"), &lines, None)
}

/// The exponential moving average of a curve, without a bias at its start.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (1.0 + points.len() as f64 / 40.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&(x, y)| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            (x, sum / weight)
        })
        .collect()
}

fn chart(path: &Path, title: &str, axes: (&str, &str), lines: &[Line], y: Option<(f64, f64)>) -> Result<()> {
    let svg = svg_chart::lines(Labels { title, x: axes.0, y: axes.1 }, lines, (None, y));
    Ok(files::write(path, svg?.as_bytes())?)
}
