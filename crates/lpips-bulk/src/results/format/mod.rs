//! The forms that rows are written in, and read back from.

mod csv;
mod json;
#[cfg(feature = "parquet")]
mod parquet;
mod table;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::results::schema::{Columns, MetricResult, Row};
use crate::{Error, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values with a line of names; without tiles. Names are written byte by byte, UTF-8 or not.
    Csv,
    /// One JSON array.
    Json,
    /// Apache Parquet, with the columns of CSV; names that are not UTF-8 are put as near as text comes. Needs the feature `parquet`.
    Parquet,
}

impl Format {
    /// All.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Csv, Self::Json, Self::Parquet];

    /// Its name, and the ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }

    /// By a file's ending, if that tells.
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?;
        Self::ALL.into_iter().find(|format| ending.eq_ignore_ascii_case(format.name()))
    }

    /// Whether a file can be gone on with after its run was stopped, and merged with others: JSONL and CSV.
    pub fn is_appendable(self) -> bool {
        matches!(self, Self::Jsonl | Self::Csv)
    }

    /// Refuses what this build can't write.
    ///
    /// # Errors
    /// Parquet without the feature `parquet`.
    pub fn check(self) -> Result<()> {
        if self == Self::Parquet && !cfg!(feature = "parquet") {
            let message = "this build writes no Parquet: build it with --features parquet, or take csv";
            return Err(Error::choice(message.to_string()));
        }
        Ok(())
    }

    /// The text before all rows.
    pub(crate) fn head(self, columns: &Columns) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv::head(columns),
            Self::Json => Ok(b"[".to_vec()),
            Self::Jsonl | Self::Parquet => Ok(Vec::new()),
        }
    }

    /// Adds a row, with the line's end, of JSONL or CSV.
    pub(crate) fn line(self, columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
        let is_finite = |own: &MetricResult| {
            let all = own.second.iter().chain(&own.layers).chain(&own.tiles);
            own.distance.is_finite() && all.copied().all(f64::is_finite)
        };
        if !row.outcome.iter().flatten().all(is_finite) {
            return Err(io::Error::other(format!("row {} has a distance that is no finite number", row.index)));
        }
        match self {
            Self::Csv => csv::line(columns, row, to),
            Self::Jsonl | Self::Json | Self::Parquet => json::line(columns, row, to),
        }
    }

    /// Reads what [`Self::line`] has written, or says what is wrong with it.
    #[doc(hidden)]
    pub fn parse(self, columns: &Columns, line: &[u8]) -> Result<Row, String> {
        match self {
            Self::Csv => csv::parse(columns, line),
            Self::Jsonl | Self::Json | Self::Parquet => json::parse(columns, line),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format
            .ok_or_else(|| Error::choice(format!("there is no format '{name}': expected jsonl, csv, json or parquet")))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Rows on their way, from the first byte to the last.
pub(crate) enum RowEncoder<W: Write + Send> {
    Text {
        format: Format,
        columns: Columns,
        to: W,
        rows: u64,
        line: Vec<u8>,
    },
    #[cfg(feature = "parquet")]
    Parquet(parquet::ParquetEncoder<W>),
}

impl<W: Write + Send> RowEncoder<W> {
    pub(crate) fn new(format: Format, columns: &Columns, mut to: W) -> io::Result<Self> {
        #[cfg(feature = "parquet")]
        if format == Format::Parquet {
            return Ok(Self::Parquet(parquet::ParquetEncoder::new(columns, to)?));
        }
        to.write_all(&format.head(columns)?)?;
        Ok(Self::Text { format, columns: columns.clone(), to, rows: 0, line: Vec::new() })
    }

    pub(crate) fn add(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Text { format, columns, to, rows, line } => {
                line.clear();
                if *format == Format::Json {
                    line.extend_from_slice(if *rows == 0 { b"\n" } else { b",\n" });
                }
                format.line(columns, row, line)?;
                if *format == Format::Json {
                    line.pop();
                }
                *rows += 1;
                to.write_all(line)
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.add(row),
        }
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Text { format, mut to, .. } => {
                if format == Format::Json {
                    to.write_all(b"\n]\n")?;
                }
                to.flush()?;
                Ok(to)
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// A name's bytes, as the system has them.
#[cfg(unix)]
fn bytes(name: &Path) -> Cow<'_, [u8]> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()))
}

#[cfg(not(unix))]
fn bytes(name: &Path) -> Cow<'_, [u8]> {
    Cow::Owned(name.to_string_lossy().into_owned().into_bytes())
}

/// The name of these bytes, as CSV has names.
#[cfg(unix)]
pub fn name(bytes: &[u8]) -> PathBuf {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into()
}

/// The name of these bytes, as CSV has names.
#[cfg(not(unix))]
pub fn name(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The name that JSON has as this text and, where it is not UTF-8, as its bytes in base64.
///
/// # Errors
/// What is no base64, in a sentence.
pub fn name_of(text: PathBuf, base64: Option<String>) -> Result<PathBuf, String> {
    json::path(text, base64)
}

#[cfg(test)]
pub(crate) mod tests;
