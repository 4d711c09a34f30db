//! SVG charts: lines and grouped bars with a legend.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::Error;

const SIZE: (u32, u32) = (940, 420);
/// Pixels beside a chart for the names of its series.
const LEGEND: u32 = 150;
/// Characters of a name that fit in the legend.
const NAME: usize = 18;
const COLOURS: [RGBColor; 12] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(23, 190, 207),
    RGBColor(227, 119, 194),
    RGBColor(188, 189, 34),
    RGBColor(127, 127, 127),
    RGBColor(52, 73, 94),
    RGBColor(158, 218, 229),
];

/// The style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// In the foreground.
    Plain,
    /// In the background.
    Faint,
    /// With a dot at each point.
    Dotted,
}

/// A named series of points, joined by a line.
pub struct Line {
    /// The name, shown in the legend.
    pub name: String,
    /// The points, (x, y).
    pub points: Vec<(f64, f64)>,
    /// The style.
    pub style: LineStyle,
}

/// The range of an axis; `None` fits it to the points.
pub type Span = Option<(f64, f64)>;

/// The title of a chart and the labels of its axes.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The chart's title.
    pub title: &'a str,
    /// The label of the x axis.
    pub x: &'a str,
    /// The label of the y axis.
    pub y: &'a str,
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The smallest and the largest finite value with a margin, never equal.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = ((high - low) * 0.05).max(1e-6 + 1e-3 * high.abs());
    (low - room, high + room)
}

/// Draws lines on axes of these ranges.
///
/// ```
/// use lpips_eval::svg_chart::{Labels, Line, LineStyle, lines};
///
/// let line = Line { name: "alex".to_string(), points: vec![(0.0, 0.1), (1.0, 0.4)], style: LineStyle::Plain };
/// let labels = Labels { title: "distances", x: "frame", y: "LPIPS" };
/// let svg = lines(labels, &[line], (None, Some((0.0, 1.0))))?;
/// assert!(svg.starts_with("<svg") && svg.contains("distances"));
/// # Ok::<(), lpips_eval::Error>(())
/// ```
///
/// # Errors
/// A chart that the plotting library can't draw.
pub fn lines(labels: Labels<'_>, lines: &[Line], (x, y): (Span, Span)) -> Result<String, Error> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x = x.unwrap_or_else(|| range(points().map(|point| point.0)));
    let y = y.unwrap_or_else(|| range(points().map(|point| point.1)));
    let colour = |(i, line): (usize, &Line)| {
        COLOURS[i % COLOURS.len()].mix(if line.style == LineStyle::Faint { 0.25 } else { 1.0 })
    };
    let series: Vec<_> = lines.iter().enumerate().map(|(i, line)| (line.name.as_str(), colour((i, line)))).collect();
    drawn(labels, (x, y), &series, |chart| {
        chart
            .configure_mesh()
            .x_desc(labels.x)
            .y_desc(labels.y)
            .x_label_formatter(&|x| number(*x))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, (_, colour)) in lines.iter().zip(&series) {
            let style = colour.stroke_width(if line.style == LineStyle::Faint { 1 } else { 2 });
            let points = || line.points.iter().copied().filter(|point| point.1.is_finite());
            chart.draw_series(LineSeries::new(points(), style))?;
            if line.style == LineStyle::Dotted {
                chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
            }
        }
        Ok(())
    })
}

/// A bar: its height, and the lower and upper end of its interval.
pub type Bar = (f64, f64, f64);

/// Draws grouped bars with intervals. Each series has a name and, for each group, a bar or none; the y axis spans [0,
/// 1].
///
/// # Errors
/// A chart that the plotting library can't draw.
pub fn bars(labels: Labels<'_>, groups: &[String], series: &[(String, Vec<Option<Bar>>)]) -> Result<String, Error> {
    let sides = (-0.5, groups.len() as f64 - 0.5);
    let colours = COLOURS.iter().cycle().map(|colour| colour.mix(0.75));
    let names: Vec<_> = series.iter().map(|(name, _)| name.as_str()).zip(colours).collect();
    drawn(labels, (sides, (0.0, 1.0)), &names, |chart| {
        let name = |x: &f64| {
            let is_group = (x - x.round()).abs() < 1e-6 && *x >= 0.0;
            groups.get(x.round() as usize).filter(|_| is_group).cloned().unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(groups.len() + 1)
            .x_desc(labels.x)
            .y_desc(labels.y)
            .x_label_formatter(&name)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let width = 0.8 / series.len().max(1) as f64;
        for (i, ((_, bars), (_, colour))) in series.iter().zip(&names).enumerate() {
            let left = |group: usize| group as f64 - 0.4 + i as f64 * width;
            let found = || bars.iter().enumerate().filter_map(|(group, bar)| Some((group, (*bar)?)));
            let bar = |(group, (score, ..)): (usize, Bar)| {
                Rectangle::new([(left(group), 0.0), (left(group) + 0.9 * width, score)], colour.filled())
            };
            chart.draw_series(found().map(bar))?;
            let whisker = |(group, (_, low, high)): (usize, Bar)| {
                let middle = left(group) + 0.45 * width;
                PathElement::new([(middle, low), (middle, high)], BLACK.mix(0.7).stroke_width(2))
            };
            chart.draw_series(found().map(whisker))?;
        }
        Ok(())
    })
}

/// A tick's value, without digits from rounding.
fn number(x: f64) -> String {
    // Ticks are sums of steps, which are off by a last bit.
    ((x * 1e9).round() / 1e9).to_string()
}

/// The names of series, each behind its colour.
fn legend(area: &DrawingArea<SVGBackend<'_>, Shift>, series: &[(&str, RGBAColor)]) -> Drawn<()> {
    for ((name, colour), top) in series.iter().zip((40..).step_by(20)) {
        area.draw(&Rectangle::new([(8, top + 2), (24, top + 10)], colour.filled()))?;
        // The end of a long path says more than its beginning.
        let hidden = name.chars().count().saturating_sub(NAME);
        let shown = if hidden == 0 { name.to_string() } else { name.chars().skip(hidden).collect() };
        area.draw(&Text::new(shown, (32, top), ("sans-serif", 13)))?;
    }
    Ok(())
}

fn drawn(
    labels: Labels<'_>,
    ((left, right), (bottom, top)): ((f64, f64), (f64, f64)),
    series: &[(&str, RGBAColor)],
    draw: impl FnOnce(&mut Chart<'_>) -> Drawn<()>,
) -> Result<String, Error> {
    let mut svg = String::new();
    let whole = |svg: &mut String| -> Drawn<()> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left_part, right_part) = area.split_horizontally(SIZE.0 - LEGEND);
        let mut chart = ChartBuilder::on(&left_part)
            .caption(labels.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(left..right, bottom..top)?;
        draw(&mut chart)?;
        legend(&right_part, series)?;
        area.present()?;
        Ok(())
    };
    match whole(&mut svg) {
        Ok(()) => Ok(svg),
        Err(error) => Err(Error::Chart { title: labels.title.to_string(), reason: error.to_string() }),
    }
}
