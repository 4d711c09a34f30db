//! Curves of a run as SVG files.

use std::path::Path;

use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::files;
use crate::folder::{StepRecord, Validation};

const SIZE: (u32, u32) = (800, 420);
const COLOURS: [RGBColor; 7] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(23, 190, 207),
];

/// A line with a name.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    /// Drawn in the background.
    faint: bool,
}

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
            Line { name: format!("{name}, each step"), points, faint: true },
            Line { name: format!("{name}, smoothed"), points: smooth, faint: false },
        ]
    };
    chart(&folder.join("loss.svg"), "loss", ("step", "loss"), &pair("training", of(|step| step.loss)), None)?;
    let mut lines: Vec<Line> = pair("training", of(|step| step.accuracy)).into();
    if !scores.is_empty() {
        let points = scores.iter().map(|score| (score.step as f64, score.score)).collect();
        lines.push(Line { name: "validation (2AFC)".to_string(), points, faint: false });
    }
    chart(&folder.join("accuracy.svg"), "agreement with people", ("step", "accuracy"), &lines, Some((0.0, 1.0)))?;
    let lines: Vec<Line> = lins
        .iter()
        .map(|(name, weights)| {
            // From the largest down, over the share of channels, as layers differ in how many they have.
            let mut weights = weights.clone();
            weights.sort_by(|a, b| b.total_cmp(a));
            let share = |i: usize| 100.0 * (i + 1) as f64 / weights.len() as f64;
            let points = weights.iter().enumerate().map(|(i, weight)| (share(i), f64::from(*weight))).collect();
            Line { name: name.clone(), points, faint: false }
        })
        .collect();
    let title = "lin weights, each layer's from the largest down";
    chart(&folder.join("lins.svg"), title, ("channels, %", "weight"), &lines, None)
}

/// An exponential mean, started without a bias.
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

/// The least and the largest of some values, with a little room, and never the same.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.05).max(1e-6 + 1e-3 * high.abs());
    (low - room, high + room)
}

fn chart(path: &Path, title: &str, axes: (&str, &str), lines: &[Line], fixed: Option<(f64, f64)>) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (left, right) = range(points().map(|point| point.0));
    let (bottom, top) = fixed.unwrap_or_else(|| range(points().map(|point| point.1)));
    let mut svg = String::new();
    let draw = |svg: &mut String| -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(left..right, bottom..top)?;
        chart
            .configure_mesh()
            .x_desc(axes.0)
            .y_desc(axes.1)
            .x_label_formatter(&|x| x.to_string())
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (i, line) in lines.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()].mix(if line.faint { 0.25 } else { 1.0 });
            let style = colour.stroke_width(if line.faint { 1 } else { 2 });
            let points = line.points.iter().copied().filter(|point| point.1.is_finite());
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
        area.present()?;
        Ok(())
    };
    draw(&mut svg).map_err(|error| Error::file(path, format!("can't be drawn: {error}")))?;
    files::write(path, svg.as_bytes())
}
