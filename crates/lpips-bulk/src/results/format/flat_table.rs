//! Rows as a flat table: the columns of CSV and Parquet.

use crate::results::fields::UNNAMED_METRIC;
use crate::results::schema::{Columns, Row};

/// Names of the columns of numbers: each metric's distance, then the second candidates', then the layers.
pub(super) fn names(columns: &Columns) -> Vec<String> {
    let metric = |name: &String| if columns.metrics.len() == 1 { UNNAMED_METRIC.to_string() } else { name.clone() };
    let distances: Vec<String> = columns.metrics.iter().map(metric).collect();
    let seconds = distances.iter().filter(|_| columns.triplets).map(|name| format!("second_{name}"));
    let layers = columns.metrics.iter().zip(&columns.layers);
    let layers = layers.flat_map(|(metric, layers)| layers.iter().map(move |layer| format!("{metric}.{layer}")));
    distances.iter().cloned().chain(seconds).chain(layers).collect()
}

/// A row's numbers, one for each of [`names`]; `None` for all of a row that failed.
pub(super) fn numbers(columns: &Columns, row: &Row) -> Vec<Option<f64>> {
    let Ok(results) = &row.outcome else { return vec![None; names(columns).len()] };
    let seconds = results.iter().filter(|_| columns.triplets).map(|own| own.second);
    let layers = results.iter().flat_map(|own| own.layers.iter().copied().map(Some));
    results.iter().map(|own| Some(own.distance)).chain(seconds).chain(layers).collect()
}
