//! Pairs and triplets of a list in CSV or JSON lines, streamed: one row is in memory at a time.
//!
//! CSV has named columns (`reference`, `ref` or `a`; `candidate`, `p0` or `b`; for triplets `second`, `p1` or `c`;
//! others are ignored), or two or three columns in this order without names. JSON lines have objects with these names
//! as keys.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use lpips_data::discover::with_slashes;
use lpips_data::records::{CsvRecords, JsonLines, Stream, Text};

pub use lpips_data::records::Format;

/// Options of reading a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Default: by the file's extension (`.csv`, `.jsonl`, `.ndjson`), otherwise by the first character: `{` begins
    /// JSON lines.
    pub format: Option<Format>,
    /// The folder that relative paths start from. Default: the current one.
    pub root: Option<PathBuf>,
}

/// An iterator over the pairs of a list, which ends after an error.
///
/// ```
/// use lpips_bulk::source::list::{List, Options};
///
/// let csv: &[u8] = b"ref,p0,p1\na.png,b.png,c.png\n";
/// let list = List::read("triplets.csv".as_ref(), csv, Options::default())?;
/// assert!(list.triplets());
/// let pairs = list.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(pairs[0].candidate.name(), std::path::Path::new("b.png"));
/// # Ok::<(), lpips_bulk::Error>(())
/// ```
pub struct List {
    rows: Rows,
    root: Option<PathBuf>,
    index: u64,
}

impl List {
    /// Opens a list, `-` being standard input, and reads its first row.
    ///
    /// # Errors
    /// A file that can't be read, is no such list, or has no row.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        if path == Path::new("-") {
            return Self::read(Path::new("standard input"), io::stdin(), options);
        }
        Ok(Self { rows: Rows::open(path, options.format)?, root: options.root, index: 0 })
    }

    /// Reads a list from a stream, which errors call `name`.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn read(name: &Path, stream: impl Read + Send + 'static, options: Options) -> Result<Self> {
        Ok(Self { rows: Rows::new(name, stream, options.format)?, root: options.root, index: 0 })
    }

    /// Whether the rows are triplets; otherwise they are pairs.
    pub fn triplets(&self) -> bool {
        self.rows.triplets == Some(true)
    }
}

impl Iterator for List {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let input =
            |name: PathBuf| Input::File(Arc::from(self.root.as_ref().map_or(name.clone(), |root| root.join(name))));
        let pair = Pair {
            index: self.index,
            reference: input(row.reference),
            candidate: input(row.candidate),
            second: row.second.map(input),
        };
        self.index += 1;
        Some(Ok(pair))
    }
}

/// Reads the paths of a list of pairs, with `/`.
pub(crate) fn pairs(path: &Path) -> Result<Vec<[Box<Path>; 2]>> {
    let rows = Rows::open(path, None)?;
    if rows.triplets == Some(true) {
        return Err(Error::file(path, "is a list of triplets: expected pairs, a reference and a candidate"));
    }
    let name = |name: &Path| with_slashes(name).into_boxed_path();
    rows.map(|row| row.map(|row| [name(&row.reference), name(&row.candidate)])).collect()
}

/// The paths in a line.
struct Row {
    reference: PathBuf,
    candidate: PathBuf,
    second: Option<PathBuf>,
}

/// The rows of a list; the first is read when it is opened.
struct Rows {
    name: PathBuf,
    lines: Lines,
    first: Option<Row>,
    /// Known from the first row on.
    triplets: Option<bool>,
    done: bool,
}

enum Lines {
    /// The columns of reference, candidate and second, and the expected number of columns where these have no names.
    Csv { records: Box<CsvRecords<Stream>>, places: Vec<usize>, expected: Option<usize> },
    /// JSON objects, one a line.
    Jsonl(JsonLines<Stream>),
}

/// Names of the columns or keys.
const NAMES: [[&str; 3]; 3] = [["reference", "ref", "a"], ["candidate", "p0", "b"], ["second", "p1", "c"]];

impl Rows {
    fn open(path: &Path, format: Option<Format>) -> Result<Self> {
        Self::begin_text(path, Text::open(path)?, format.or_else(|| Format::of_path(path)))
    }

    fn new(name: &Path, stream: impl Read + Send + 'static, format: Option<Format>) -> Result<Self> {
        let text = Text::new(stream).map_err(|error| Error::io(name, "read", &error))?;
        Self::begin_text(name, text, format)
    }

    fn begin_text(name: &Path, text: Text, format: Option<Format>) -> Result<Self> {
        let Text { stream, first, line } = text;
        let format = format.unwrap_or(if first == Some(b'{') { Format::Jsonl } else { Format::Csv });
        let lines = match format {
            Format::Csv => {
                Lines::Csv { records: Box::new(CsvRecords::new(stream)), places: Vec::new(), expected: None }
            }
            Format::Jsonl => Lines::Jsonl(JsonLines::new(stream)),
        };
        if format == Format::Jsonl && first == Some(b'[') {
            return Err(wrong(name, line, "is a JSON array: expected one object a line"));
        }
        let mut rows = Self { name: name.to_path_buf(), lines, first: None, triplets: None, done: false };
        let row = rows.begin()?;
        rows.triplets = Some(row.second.is_some());
        rows.first = Some(row);
        Ok(rows)
    }

    /// Reads the first row, which decides the columns of all rows.
    fn begin(&mut self) -> Result<Row> {
        let nothing = || Error::file(&self.name, "holds no pairs: expected one row for each");
        if let Lines::Csv { records, places, expected } = &mut self.lines {
            let wrong = |line, reason: &str| wrong(&self.name, line, reason);
            let line = records.read().map_err(|(line, reason)| wrong(line, &reason))?.ok_or_else(nothing)?;
            let fields = records.fields();
            let texts: Vec<String> = fields.iter().map(|field| String::from_utf8_lossy(field).to_lowercase()).collect();
            if texts.iter().any(|text| NAMES.as_flattened().contains(&text.as_str())) {
                *places = columns(&texts).map_err(|reason| wrong(line, &reason))?;
            } else {
                *places = (0..fields.len()).collect();
                *expected = Some(fields.len());
                if !(2..=3).contains(&fields.len()) {
                    let reason = format!(
                        "{} without names: expected two (reference, candidate), three (reference, candidate, second), or a line of \
                         names above them",
                        count(fields.len(), "column")
                    );
                    return Err(wrong(line, &format!("has {reason}")));
                }
                let row = csv_row(&fields, places, *expected);
                return row.map_err(|reason| wrong(line, &reason));
            }
        }
        self.read()?.ok_or_else(|| Error::file(&self.name, "holds no pairs: expected one row for each"))
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let (line, row) = match &mut self.lines {
            Lines::Csv { records, places, expected } => {
                let Some(line) = records.read().map_err(|(line, reason)| wrong(&self.name, line, &reason))? else {
                    return Ok(None);
                };
                (line, csv_row(&records.fields(), places, *expected))
            }
            Lines::Jsonl(lines) => {
                let next = lines.read().map_err(|(line, reason)| wrong(&self.name, line, &reason))?;
                let Some((line, text)) = next else { return Ok(None) };
                (line, json_row(&text))
            }
        };
        let alike = |row: Row| match self.triplets {
            Some(true) if row.second.is_none() => Err("is a pair, and the first row a triplet: expected all alike"),
            Some(false) if row.second.is_some() => Err("is a triplet, and the first row a pair: expected all alike"),
            _ => Ok(Some(row)),
        };
        row.and_then(|row| alike(row).map_err(String::from)).map_err(|reason| wrong(&self.name, line, &reason))
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.first.take() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        let row = self.read().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

/// An error at a line of a list.
fn wrong(name: &Path, line: u64, reason: &str) -> Error {
    Error::invalid(format!("{}:{line}: {reason}", name.display()))
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The places of reference, candidate and, for triplets, second among names.
fn columns(names: &[String]) -> Result<Vec<usize>, String> {
    let mut places = Vec::new();
    for (known, what) in NAMES.iter().zip(["reference", "candidate", "second"]) {
        let mut found = (0..names.len()).filter(|at| known.contains(&names[*at].as_str()));
        match (found.next(), found.next()) {
            (Some(place), None) => places.push(place),
            (Some(one), Some(other)) => {
                return Err(format!("names the {what} twice, as {} and as {}", names[one], names[other]));
            }
            (None, _) if what == "second" => {}
            (None, _) => {
                return Err(format!("does not name the {what}: expected {}, {} or {}", known[0], known[1], known[2]));
            }
        }
    }
    Ok(places)
}

fn csv_row(fields: &[&[u8]], places: &[usize], expected: Option<usize>) -> Result<Row, String> {
    if let Some(expected) = expected.filter(|expected| *expected != fields.len()) {
        let columns = count(fields.len(), "column");
        return Err(format!("has {columns}, and the first row {expected}: put names with commas in quotes"));
    }
    let mut names = places.iter().zip(["reference", "candidate", "second"]).map(|(place, what)| {
        let name = fields.get(*place).filter(|name| !name.is_empty());
        path(name.ok_or_else(|| format!("lacks the {what}"))?)
    });
    let mut next = || names.next().transpose();
    let (reference, candidate, second) = (next()?, next()?, next()?);
    let (Some(reference), Some(candidate)) = (reference, candidate) else { return Err("lacks a picture".to_string()) };
    Ok(Row { reference, candidate, second })
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn path(name: &[u8]) -> Result<PathBuf, String> {
    Ok(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name).into())
}

#[cfg(not(unix))]
fn path(name: &[u8]) -> Result<PathBuf, String> {
    std::str::from_utf8(name).map(PathBuf::from).map_err(|_| "has a name that is not in UTF-8".to_string())
}

fn json_row(text: &str) -> Result<Row, String> {
    let value: Value = serde_json::from_str(text.trim()).map_err(|error| format!("is no JSON: {error}"))?;
    let Value::Object(mut object) = value else {
        return Err("is no JSON object: expected {\"reference\": ..., \"candidate\": ...}".to_string());
    };
    object.retain(|_, value| !value.is_null());
    let names: Vec<String> = object.keys().map(|key| key.to_lowercase()).collect();
    let mut values = columns(&names)?.into_iter().map(|place| match object.values().nth(place) {
        Some(Value::String(name)) if !name.is_empty() => Ok(PathBuf::from(name)),
        _ => Err(format!("has a {} that is no path: expected a text", names[place])),
    });
    let mut next = || values.next().transpose();
    let (reference, candidate, second) = (next()?, next()?, next()?);
    let (Some(reference), Some(candidate)) = (reference, candidate) else { return Err("lacks a picture".to_string()) };
    Ok(Row { reference, candidate, second })
}

#[cfg(test)]
mod tests;
