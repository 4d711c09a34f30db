//! Printing of summaries.

use std::io::{self, Write};
use std::path::Path;

use lpips_bulk::results::summary::{Extreme, MetricSummary, PERCENTILES, Stats, Totals};

use crate::output::{self, Result};

/// Maximum number of folders printed.
const FOLDERS: usize = 30;

/// Prints a summary on standard output; where rows are on standard output, on standard error and not with --quiet.
pub(crate) fn print(totals: &Totals, rows_on_stdout: bool, percentiles: bool) -> Result {
    let lines = lines(totals, percentiles);
    if !rows_on_stdout {
        return lines.iter().try_for_each(|line| output::line(line));
    }
    if tracing::enabled!(tracing::Level::WARN) {
        for line in lines {
            // A closed standard error is no reason to fail.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
    Ok(())
}

fn lines(totals: &Totals, percentiles: bool) -> Vec<String> {
    let measured: Vec<(&MetricSummary, &Stats)> =
        totals.metrics.iter().filter_map(|metric| Some((metric, metric.stats.as_ref()?))).collect();
    let mut lines = vec![format!("{}, {} failed", counted(totals.rows, "row"), totals.failures)];
    if measured.is_empty() {
        return lines;
    }
    let mut table = vec![cells(["", "n", "mean", "+/-", "median", "min", "max", ""])];
    for (metric, stats) in &measured {
        let front = [metric.name.clone(), metric.count.to_string()];
        let numbers = [stats.mean, stats.error, stats.median, stats.min.distance, stats.max.distance];
        table.push(front.into_iter().chain(numbers.map(number)).chain(end()).collect());
    }
    lines.extend(left(table));
    if percentiles {
        let mut table = vec![end().chain(PERCENTILES.map(|p| format!("{p} %"))).chain(end()).collect()];
        for (metric, stats) in &measured {
            table.push([metric.name.clone()].into_iter().chain(stats.percentiles.map(number)).chain(end()).collect());
        }
        lines.push(String::new());
        lines.extend(left(table));
    }
    let mut table = Vec::new();
    for (metric, stats) in &measured {
        for (which, end) in [("min", &stats.min), ("max", &stats.max)] {
            let Extreme { index, reference, candidate, .. } = end;
            let names = format!("{}, {}", name(reference), name(candidate));
            table.push(vec![format!("{} {which}", metric.name), format!("row {index}"), names]);
        }
    }
    lines.push(String::new());
    lines.extend(left(table));
    if !totals.folders.is_empty() {
        let names = totals.metrics.iter().map(|metric| metric.name.clone());
        let mut table = vec![cells(["folder", "n"]).into_iter().chain(names).chain(end()).collect::<Vec<_>>()];
        for folder in totals.folders.iter().take(FOLDERS) {
            let means = folder.means.iter().map(|mean| mean.map_or_else(|| "-".to_string(), number));
            table
                .push([name(&folder.folder), folder.count.to_string()].into_iter().chain(means).chain(end()).collect());
        }
        lines.push(String::new());
        lines.extend(left(table));
        if totals.folders.len() > FOLDERS {
            lines.push(format!("and {} more", counted((totals.folders.len() - FOLDERS) as u64, "folder")));
        }
    }
    lines
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}

/// An empty cell.
fn end() -> impl Iterator<Item = String> {
    std::iter::once(String::new())
}

fn number(value: f64) -> String {
    format!("{value:.5}")
}

/// A path on one line, with control characters escaped.
pub(super) fn name(path: &Path) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    match output::text(path) {
        text if text.is_empty() => ".".to_string(),
        text => text.chars().map(escape).collect(),
    }
}

/// A table with the first column aligned left, and the others but the last aligned right.
fn left(mut table: Vec<Vec<String>>) -> Vec<String> {
    let first = table.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    for row in &mut table {
        row[0] = format!("{:<first$}", row[0]);
    }
    output::table(&table).iter().map(|line| line.trim_end().to_string()).collect()
}
