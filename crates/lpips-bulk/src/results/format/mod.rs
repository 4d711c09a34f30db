//! File formats of rows: JSON lines, CSV, JSON and Parquet.

pub(super) mod csv;
mod flat_table;
pub(super) mod json;
#[cfg(feature = "parquet")]
mod parquet;

use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::csv::CsvLayout;
use crate::results::fields::is_finite;
use crate::results::schema::{Columns, Row};
use crate::{Error, Result};

#[cfg(feature = "parquet")]
pub(crate) use parquet::ParquetEncoder;

/// The format of a file of rows.
///
/// ```
/// use lpips_bulk::results::format::Format;
///
/// assert_eq!(Format::of_path("results.CSV".as_ref()), Some(Format::Csv));
/// assert!(Format::Jsonl.is_appendable() && !Format::Parquet.is_appendable());
/// assert!("xml".parse::<Format>().unwrap_err().is_usage());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// A JSON object per line.
    Jsonl,
    /// Comma-separated values with a line of column names; without tiles. Paths are written byte by byte, UTF-8 or not.
    Csv,
    /// One JSON array.
    Json,
    /// Apache Parquet, with the columns of CSV; paths that are not UTF-8 are written as near as text comes. Needs the
    /// feature `parquet`.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Csv, Self::Json, Self::Parquet];

    /// The format's name, which is also the extension of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a file by its extension; `None` for any other.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        Self::ALL.into_iter().find(|format| extension.eq_ignore_ascii_case(format.name()))
    }

    /// Whether rows can be appended to a file: it can then be resumed, and merged with others. True for JSON lines and
    /// CSV.
    pub fn is_appendable(self) -> bool {
        matches!(self, Self::Jsonl | Self::Csv)
    }

    /// Rejects formats that this build can't write.
    ///
    /// # Errors
    /// Parquet without the feature `parquet`.
    pub fn check(self) -> Result<()> {
        if self == Self::Parquet && !cfg!(feature = "parquet") {
            return Err(Error::choice("this build writes no Parquet: build it with --features parquet, or take csv"));
        }
        Ok(())
    }

    /// The bytes before all rows.
    pub(crate) fn head(self, columns: &Columns) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv::head(columns),
            Self::Json => Ok(b"[".to_vec()),
            Self::Jsonl | Self::Parquet => Ok(Vec::new()),
        }
    }

    /// Appends a row of JSON lines or CSV, with its line break.
    pub(crate) fn write_row(self, columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
        if !row.outcome.iter().flatten().all(is_finite) {
            return Err(io::Error::other(format!("row {} has a distance that is no finite number", row.index)));
        }
        match self {
            Self::Csv => csv::write_row(columns, row, to),
            Self::Jsonl | Self::Json | Self::Parquet => json::write_row(columns, row, to),
        }
    }

    /// Parses a row that [`Self::write_row`] has written; the error says what is wrong with it.
    #[doc(hidden)]
    pub fn parse(self, columns: &Columns, line: &[u8]) -> Result<Row, String> {
        self.parser(columns).parse(columns, line)
    }

    /// The parser of rows that [`Self::write_row`] has written.
    pub(in crate::results) fn parser(self, columns: &Columns) -> RowParser {
        match self {
            Self::Csv => RowParser::Csv(CsvLayout::own(columns)),
            Self::Jsonl | Self::Json | Self::Parquet => RowParser::Json,
        }
    }
}

/// A parser of rows written by this crate, with certain columns.
#[derive(Debug)]
pub(in crate::results) enum RowParser {
    Json,
    Csv(CsvLayout),
}

impl RowParser {
    /// Parses a line.
    ///
    /// # Errors
    /// The reason that it is no row: "lacks the distance of alex".
    pub(in crate::results) fn parse(&self, columns: &Columns, line: &[u8]) -> Result<Row, String> {
        match self {
            Self::Csv(layout) => layout.parse_line(columns, line),
            Self::Json => json::parse_row(columns, line),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        let expected = || Error::choice(format!("there is no format '{name}': expected jsonl, csv, json or parquet"));
        format.ok_or_else(expected)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A row as a JSON object, with the keys and numbers of JSON lines.
///
/// # Errors
/// A distance that is no finite number.
pub fn object(columns: &Columns, row: &Row) -> Result<serde_json::Map<String, serde_json::Value>> {
    let mut line = Vec::new();
    let object = Format::Jsonl.write_row(columns, row, &mut line).and_then(|()| Ok(serde_json::from_slice(&line)?));
    object.map_err(|error| Error::invalid(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests;
