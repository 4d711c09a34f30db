//! Rows as JSON objects.

use std::borrow::Cow;
use std::fmt;
use std::io;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::results::fields::{ALIASES, Fields, Origin};
use crate::results::names;
use crate::results::schema::{Columns, Row};

/// The JSON object of a row, with the keys in this order. `N` maps metrics to numbers, `L` to the layers' parts, `T` to
/// the tiles.
///
/// `distance` and `second_distance` are those of the first metric; the maps of distances are there for several metrics
/// only. A name that is not UTF-8 is written as near as text comes, with its bytes in base64 beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Record<'a, N, L, T> {
    index: Option<u64>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    distances: Option<N>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_distances: Option<N>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<L>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tiles: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
}

/// A record as it is written.
type Written<'a> = Record<'a, Ordered<'a, f64>, Ordered<'a, Ordered<'a, f64>>, Ordered<'a, &'a [f64]>>;
/// A record as it is read: a number, a layer or a tile of another type is a missing one.
type Read = Record<'static, serde_json::Map<String, Value>, Value, Value>;

/// An object whose keys keep their order.
struct Ordered<'a, T>(Vec<(&'a str, T)>);

impl<'a, T> Ordered<'a, T> {
    /// The object, unless it has no keys.
    fn non_empty(entries: impl Iterator<Item = (&'a str, T)>) -> Option<Self> {
        let entries: Vec<_> = entries.collect();
        (!entries.is_empty()).then_some(Self(entries))
    }
}

impl<T: Serialize> Serialize for Ordered<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

/// Appends a row as a line.
pub(super) fn write_row(columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
    let (reference, reference_base64) = names::text(&row.reference);
    let (candidate, candidate_base64) = names::text(&row.candidate);
    let (second, second_base64) =
        row.second.as_deref().map(names::text).map_or((None, None), |(text, bytes)| (Some(text), bytes));
    let results = row.outcome.as_deref().unwrap_or_default();
    let metrics = || columns.metrics.iter().map(String::as_str).zip(results);
    let several = || metrics().filter(|_| columns.metrics.len() > 1);
    let layers = metrics().zip(&columns.layers).filter(|(_, names)| !names.is_empty());
    let layers = layers.map(|((metric, own), names)| {
        (metric, Ordered(names.iter().map(String::as_str).zip(own.layers.iter().copied()).collect()))
    });
    let tiles = metrics().filter(|(_, own)| !own.tiles.is_empty()).map(|(metric, own)| (metric, &own.tiles[..]));
    let record = Written {
        index: Some(row.index),
        reference,
        reference_base64,
        candidate,
        candidate_base64,
        second,
        second_base64,
        distance: results.first().map(|first| first.distance),
        second_distance: results.first().and_then(|first| first.second),
        distances: Ordered::non_empty(several().map(|(metric, own)| (metric, own.distance))),
        second_distances: Ordered::non_empty(several().filter_map(|(metric, own)| Some((metric, own.second?)))),
        layers: Ordered::non_empty(layers),
        tiles: Ordered::non_empty(tiles),
        error: row.outcome.as_ref().err().map(Cow::from),
    };
    serde_json::to_writer(&mut *to, &record)?;
    to.push(b'\n');
    Ok(())
}

/// Parses a line that [`write_row`] has written.
pub(super) fn parse_row(columns: &Columns, line: &[u8]) -> Result<Row, String> {
    let record: Read = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    record.row(columns, Origin::Own)
}

impl Read {
    fn row(self, columns: &Columns, origin: Origin) -> Result<Row, String> {
        let mut fields = Fields::new(columns);
        let number = |of: &Option<serde_json::Map<String, Value>>, first: Option<f64>, at: usize| {
            let named = of.as_ref().and_then(|of| of.get(&columns.metrics[at])?.as_f64());
            named.or(first.filter(|_| at == 0))
        };
        for (at, metric) in columns.metrics.iter().enumerate() {
            fields.distances[at] = number(&self.distances, self.distance, at);
            fields.seconds[at] = number(&self.second_distances, self.second_distance, at);
            if origin != Origin::Own {
                continue;
            }
            let parts = self.layers.as_ref().and_then(|layers| layers.get(metric));
            for (part, name) in fields.layers[at].iter_mut().zip(columns.layers.get(at).into_iter().flatten()) {
                *part = parts.and_then(|parts| parts.get(name)?.as_f64());
            }
            if let Some(tiles) = self.tiles.as_ref().and_then(|tiles| tiles.get(metric)) {
                let tiles = Vec::<f64>::deserialize(tiles);
                fields.tiles[at] = tiles.map_err(|error| format!("has unreadable tiles of {metric}: {error}"))?;
            }
        }
        fields.index = self.index;
        fields.reference = names::from_text(self.reference.into_owned(), self.reference_base64)?;
        fields.candidate = names::from_text(self.candidate.into_owned(), self.candidate_base64)?;
        let second = self.second.map(|second| names::from_text(second.into_owned(), self.second_base64));
        fields.second = second.transpose()?;
        fields.error = self.error.map(Cow::into_owned);
        fields.row(columns, origin)
    }
}

/// A row's object in a file that may come from another program; see [`ALIASES`].
#[derive(Debug)]
pub(in crate::results) struct AnyRecord(Read);

impl AnyRecord {
    /// Whether the row has failed.
    pub(in crate::results) fn is_failed(&self) -> bool {
        self.0.error.is_some()
    }

    /// Whether the row is a triplet.
    pub(in crate::results) fn is_triplet(&self) -> bool {
        self.0.second.is_some()
    }

    /// The metrics that the row names.
    pub(in crate::results) fn metrics(&self) -> Vec<String> {
        self.0.distances.iter().flatten().map(|(metric, _)| metric.clone()).collect()
    }

    /// Assembles the row, which has this place in its file.
    pub(in crate::results) fn row(self, columns: &Columns, place: u64) -> Result<Row, String> {
        self.0.row(columns, Origin::Any(place))
    }
}

impl<'de> Deserialize<'de> for AnyRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = AnyRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with reference, candidate and distance")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyRecord, A::Error> {
                let mut object = serde_json::Map::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    object.insert(key, value);
                }
                for (alias, field) in ALIASES {
                    if !object.contains_key(field)
                        && let Some(value) = object.get(alias).cloned()
                    {
                        object.insert(field.to_string(), value);
                    }
                }
                Read::deserialize(Value::Object(object)).map(AnyRecord).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_map(Object)
    }
}
