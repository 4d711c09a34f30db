//! Distances over time as a chart.

use std::path::Path;

use crate::{Error, Result};
use lpips_data::files;
use lpips_eval::svg_chart::{Labels, Line, LineStyle, lines};

/// Writes an SVG of one metric's distances over `x`, which is seconds or frames.
///
/// # Errors
/// A folder that can't be written to, or a full disk.
pub fn plot(path: &Path, metric: &str, x: &str, points: Vec<(f64, f64)>) -> Result<()> {
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let line = Line { name: metric.to_string(), points, style: LineStyle::Plain };
    let labels = Labels { title: "distance over time", x, y: "distance" };
    let svg = lines(labels, &[line], (None, Some((0.0, (1.05 * top).max(1e-6))))).map_err(Error::invalid)?;
    Ok(files::write(path, svg.as_bytes())?)
}
