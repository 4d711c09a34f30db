//! Rows as a flat table: the columns of CSV and Parquet.

use crate::results::schema::{Columns, MetricResult, Row};

/// The names of the columns of numbers: each metric's distance, then the second candidate's, then the layers.
pub(super) fn names(columns: &Columns) -> Vec<String> {
    let metric = |name: &String| if columns.metrics.len() == 1 { "distance".to_string() } else { name.clone() };
    let distances: Vec<String> = columns.metrics.iter().map(metric).collect();
    let seconds = distances.iter().filter(|_| columns.triplets).map(|name| format!("second_{name}"));
    let layers = columns.metrics.iter().zip(&columns.layers);
    let layers = layers.flat_map(|(metric, layers)| layers.iter().map(move |layer| format!("{metric}.{layer}")));
    distances.iter().cloned().chain(seconds).chain(layers).collect()
}

/// A row's numbers, one for each of [`names`]; none where it failed.
pub(super) fn numbers(columns: &Columns, row: &Row) -> Vec<Option<f64>> {
    let Ok(measured) = &row.outcome else { return vec![None; names(columns).len()] };
    let seconds = measured.iter().filter(|_| columns.triplets).map(|own| own.second);
    let layers = measured.iter().flat_map(|own| own.layers.iter().copied().map(Some));
    measured.iter().map(|own| Some(own.distance)).chain(seconds).chain(layers).collect()
}

/// The distances of [`numbers`], or what is missing.
pub(super) fn measured(columns: &Columns, numbers: &[Option<f64>]) -> Result<Vec<MetricResult>, String> {
    let (count, mut layer) = (columns.metrics.len(), columns.metrics.len() * (1 + usize::from(columns.triplets)));
    let lacks = |at: usize| numbers[at].ok_or_else(|| format!("the column {} is empty", names(columns)[at]));
    (0..count)
        .map(|metric| {
            let first = layer;
            layer += columns.layers.get(metric).map_or(0, Vec::len);
            Ok(MetricResult {
                distance: lacks(metric)?,
                second: if columns.triplets { numbers[count + metric] } else { None },
                layers: (first..layer).map(lacks).collect::<Result<_, String>>()?,
                tiles: Vec::new(),
            })
        })
        .collect()
}
