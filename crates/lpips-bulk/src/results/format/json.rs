//! A row as a JSON object.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{bytes, name};
use crate::results::schema::{Columns, MetricResult, Row};

#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    reference: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_base64: Option<String>,
    candidate: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_distance: Option<f64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    distances: Map<'a, f64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    second_distances: Map<'a, f64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    layers: Map<'a, Map<'a, f64>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tiles: Map<'a, &'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// An object whose keys stay in their order.
struct Map<'a, T>(Vec<(&'a str, T)>);

impl<T> Map<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Map<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

#[derive(Deserialize)]
struct Parsed {
    index: u64,
    reference: PathBuf,
    reference_base64: Option<String>,
    candidate: PathBuf,
    candidate_base64: Option<String>,
    second: Option<PathBuf>,
    second_base64: Option<String>,
    distance: Option<f64>,
    second_distance: Option<f64>,
    #[serde(default)]
    distances: HashMap<String, f64>,
    #[serde(default)]
    second_distances: HashMap<String, f64>,
    #[serde(default)]
    layers: HashMap<String, HashMap<String, f64>>,
    #[serde(default)]
    tiles: HashMap<String, Vec<f64>>,
    error: Option<String>,
}

pub(super) fn line(columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
    let (reference, reference_base64) = texts(&row.reference);
    let (candidate, candidate_base64) = texts(&row.candidate);
    let (second, second_base64) =
        row.second.as_deref().map(texts).map_or((None, None), |(text, bytes)| (Some(text), bytes));
    let measured = row.outcome.as_deref().unwrap_or_default();
    let metrics = || columns.metrics.iter().map(String::as_str).zip(measured);
    let several = || metrics().filter(|_| columns.metrics.len() > 1);
    let layers = metrics().zip(&columns.layers).filter(|(_, names)| !names.is_empty());
    let line = Line {
        index: row.index,
        reference,
        reference_base64,
        candidate,
        candidate_base64,
        second,
        second_base64,
        distance: measured.first().map(|first| first.distance),
        second_distance: measured.first().and_then(|first| first.second),
        distances: Map(several().map(|(metric, own)| (metric, own.distance)).collect()),
        second_distances: Map(several().filter_map(|(metric, own)| Some((metric, own.second?))).collect()),
        layers: Map(layers
            .map(|((metric, own), names)| {
                (metric, Map(names.iter().map(String::as_str).zip(own.layers.iter().copied()).collect()))
            })
            .collect()),
        tiles: Map(metrics().filter(|(_, own)| !own.tiles.is_empty()).map(|(m, own)| (m, &own.tiles[..])).collect()),
        error: row.outcome.as_ref().err().map(String::as_str),
    };
    serde_json::to_writer(&mut *to, &line)?;
    to.push(b'\n');
    Ok(())
}

pub(super) fn parse(columns: &Columns, line: &[u8]) -> Result<Row, String> {
    let mut parsed: Parsed = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let reference = path(parsed.reference, parsed.reference_base64)?;
    let candidate = path(parsed.candidate, parsed.candidate_base64)?;
    let second = parsed.second.map(|text| path(text, parsed.second_base64)).transpose()?;
    let outcome = if let Some(error) = parsed.error {
        Err(error)
    } else {
        let is_only = columns.metrics.len() == 1;
        let of = |(at, metric): (usize, &String)| {
            let (distance, second) = if is_only {
                (parsed.distance, parsed.second_distance)
            } else {
                (parsed.distances.get(metric).copied(), parsed.second_distances.get(metric).copied())
            };
            let parts = parsed.layers.get(metric);
            let part = |layer| {
                let value = parts.and_then(|parts| parts.get(layer)).copied();
                value.ok_or_else(|| format!("it lacks the layer {layer} of {metric}"))
            };
            Ok(MetricResult {
                distance: distance.ok_or_else(|| format!("it lacks the distance of {metric}"))?,
                second,
                layers: columns.layers.get(at).into_iter().flatten().map(part).collect::<Result<_, String>>()?,
                tiles: parsed.tiles.remove(metric).unwrap_or_default(),
            })
        };
        Ok(columns.metrics.iter().enumerate().map(of).collect::<Result<_, String>>()?)
    };
    Ok(Row { index: parsed.index, reference, candidate, second, outcome })
}

/// A name as text, and its bytes where the text is not all of it.
fn texts(name: &Path) -> (Cow<'_, str>, Option<String>) {
    let text = name.to_string_lossy();
    let lost = matches!(text, Cow::Owned(_)) && cfg!(unix);
    let base64 = lost.then(|| STANDARD.encode(bytes(name)));
    (text, base64)
}

pub(super) fn path(text: PathBuf, base64: Option<String>) -> Result<PathBuf, String> {
    match base64 {
        Some(base64) if cfg!(unix) => {
            let bytes = STANDARD.decode(base64).map_err(|error| format!("a name is no base64: {error}"))?;
            Ok(name(&bytes))
        }
        _ => Ok(text),
    }
}
