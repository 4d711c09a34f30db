//! Rows and violations as lines of text.

use lpips_bulk::results::schema::{Columns, MetricResult, Row};
use lpips_bulk::results::threshold::Threshold;

use super::summary::name;
use crate::output;

/// Formats a row: distances, layers, names. `None` for a row that failed.
pub(super) fn row(columns: &Columns, row: &Row) -> Option<String> {
    let measured = row.outcome.as_ref().ok()?;
    let number = |value: f64| format!("{value:.5}");
    let several = columns.metrics.len() > 1;
    let mut cells: Vec<String> = Vec::new();
    for ((metric, layers), measured) in columns.metrics.iter().zip(&columns.layers).zip(measured) {
        let MetricResult { distance, second, layers: parts, .. } = measured;
        let distance = number(*distance);
        cells.push(if several { format!("{metric} {distance}") } else { distance });
        cells.extend(second.map(number));
        cells.extend(layers.iter().zip(parts).map(|(layer, part)| format!("{layer} {}", number(*part))));
    }
    let names = [Some(&row.reference), Some(&row.candidate), row.second.as_ref()];
    cells.extend(names.into_iter().flatten().map(|path| name(path)));
    Some(cells.join("  "))
}

/// Prints the worst rows above a threshold on standard error.
pub(super) fn print_violations(threshold: &Threshold) {
    let (count, limit) = (threshold.count(), threshold.limit());
    let (s, are) = if count == 1 { ("", "is") } else { ("s", "are") };
    output::error(&format!("{count} pair{s} {are} above {limit}:"));
    for violation in threshold.worst() {
        let [reference, candidate] = [&violation.reference, &violation.candidate].map(|path| name(path));
        output::plain(&format!("  {:.5}  {reference}  {candidate}", violation.distance));
    }
    let more = count - threshold.worst().len() as u64;
    if more > 0 {
        output::plain(&format!("  and {more} more"));
    }
}
