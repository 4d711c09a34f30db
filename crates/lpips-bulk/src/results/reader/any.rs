//! Rows of any file of results: CSV, JSON lines or a JSON array, of this crate or of other programs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::results::fields::{Origin, UNNAMED_METRIC};
use crate::results::format::csv::CsvLayout;
use crate::results::format::json::AnyRecord;
use crate::results::run_file::RunFile;
use crate::results::schema::{Columns, Row};
use crate::{Error, Result};

/// Reads the rows of a file of results, one at a time.
///
/// CSV (by the file's extension) has a line of column names; any other file is JSON, an object per line or an array of
/// objects. A row names a reference and a candidate (or `ref` and `p0`), and for a triplet a second candidate
/// (`second`, or `p1`). Its distances are `distance`, or a column or a key of `distances` for each metric. Metrics are
/// those of the run file beside the results, or else those that the first row without an error names. Layers and tiles
/// are not read.
///
/// ```
/// use lpips_bulk::results::reader::ResultsReader;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("results.csv");
/// std::fs::write(&path, "reference,candidate,alex,psnr\na.png,b.png,0.25,31.5\n")?;
/// let reader = ResultsReader::open(&path)?;
/// assert_eq!(reader.columns().metrics, ["alex", "psnr"]);
/// for row in reader {
///     assert_eq!(row?.outcome.unwrap()[1].distance, 31.5);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ResultsReader {
    columns: Columns,
    rows: Box<dyn Iterator<Item = Result<Row>>>,
}

impl ResultsReader {
    /// Opens a file, and reads it up to the first row without an error for its metrics.
    ///
    /// # Errors
    /// A file that can't be read or holds something else than results.
    pub fn open(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            Self::open_csv(path)
        } else {
            Self::open_json(path)
        }
    }

    /// The metrics of the rows, and whether these are triplets.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    fn open_csv(path: &Path) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(open(path)?);
        let heads = reader.headers().map_err(|error| unreadable(path, &error))?.clone();
        let named = run_metrics(path);
        let layout = |metrics: &[String]| {
            CsvLayout::by_names(&heads, metrics).ok_or_else(|| {
                let reason =
                    "the first line does not name the columns reference and candidate: expected results in CSV";
                at_line(path, 1, reason)
            })
        };
        let any = layout(&named)?;
        let first = reader.into_byte_records().find(|record| record.as_ref().map_or(true, |row| !any.is_failed(row)));
        let first = first.transpose().map_err(|error| unreadable(path, &error))?;
        let own = first.as_ref().map_or_else(Vec::new, |first| CsvLayout::metrics(&heads, first));
        let columns = columns(named, own, first.is_some_and(|first| any.is_triplet(&first)));
        let (layout, path) = (layout(&columns.metrics)?, path.to_path_buf());
        let all = columns.clone();
        let records = csv::Reader::from_reader(open(&path)?).into_byte_records().zip(0..);
        let rows = records.map(move |(record, place)| {
            let record = record.map_err(|error| unreadable(&path, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = layout.row(&all, &record, Origin::Any(place));
            row.map_err(|reason| at_line(&path, line, &reason))
        });
        Ok(Self { columns, rows: Box::new(rows) })
    }

    fn open_json(path: &Path) -> Result<Self> {
        let is_good = |record: &Result<(Place, AnyRecord)>| record.as_ref().map_or(true, |(_, row)| !row.is_failed());
        let first = records(path)?.find(is_good).transpose()?.map(|(_, record)| record);
        let own = first.as_ref().map_or_else(Vec::new, AnyRecord::metrics);
        let columns = columns(run_metrics(path), own, first.is_some_and(|first| first.is_triplet()));
        let (all, owned) = (columns.clone(), path.to_path_buf());
        let rows = records(path)?.zip(0..).map(move |(record, place)| {
            let (stands, record) = record?;
            record.row(&all, place).map_err(|reason| stands.error(&owned, &reason))
        });
        Ok(Self { columns, rows: Box::new(rows) })
    }
}

impl Iterator for ResultsReader {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.rows.next()
    }
}

/// The columns of results whose run file names these metrics, or whose first row does.
fn columns(named: Vec<String>, own: Vec<String>, triplets: bool) -> Columns {
    let unnamed = || vec![UNNAMED_METRIC.to_string()];
    let metrics = [named, own].into_iter().find(|metrics| !metrics.is_empty()).unwrap_or_else(unnamed);
    Columns { triplets, ..Columns::new(metrics) }
}

/// The metrics that the run file beside results names; none without one.
fn run_metrics(path: &Path) -> Vec<String> {
    #[derive(Deserialize)]
    struct Run {
        metrics: Vec<String>,
    }
    let run = std::fs::read(RunFile::path(path)).ok();
    run.and_then(|bytes| serde_json::from_slice::<Run>(&bytes).ok()).map_or_else(Vec::new, |run| run.metrics)
}

/// The position of a JSON record, counted from 1.
enum Place {
    Line(u64),
    Element(u64),
}

impl Place {
    fn error(&self, path: &Path, reason: &str) -> Error {
        match self {
            Self::Line(line) => at_line(path, *line, reason),
            Self::Element(number) => Error::file(path, format!("element {number} {reason}")),
        }
    }
}

type Records = Box<dyn Iterator<Item = Result<(Place, AnyRecord)>>>;

/// The records of a JSON file.
fn records(path: &Path) -> Result<Records> {
    let owned: PathBuf = path.to_path_buf();
    let mut file = open(path)?;
    let start = file.fill_buf().map_err(|error| Error::io(path, "read", &error))?;
    if start.trim_ascii_start().first() == Some(&b'[') {
        let records: Vec<AnyRecord> = serde_json::from_reader(file)
            .map_err(|error| at_line(path, error.line() as u64, &format!("is no array of results: {error}")))?;
        return Ok(Box::new((1..).map(Place::Element).zip(records).map(Ok)));
    }
    let lines = file.lines().zip(1..).filter(|(line, _)| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
    Ok(Box::new(lines.map(move |(line, number)| {
        let line = line.map_err(|error| Error::io(&owned, "read", &error))?;
        let record = serde_json::from_str(&line);
        let record = record.map_err(|error| at_line(&owned, number, &format!("is no row of results: {error}")))?;
        Ok((Place::Line(number), record))
    })))
}

fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).map_err(|error| Error::io(path, "read", &error))?))
}

fn at_line(path: &Path, line: u64, reason: &str) -> Error {
    Error::invalid(format!("{}:{line}: {reason}", path.display()))
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    Error::file(path, format!("can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distances of a row, or its error.
    type Distances = Result<Vec<f64>, String>;

    /// The metrics and the rows of a file of this name and text, with this run file.
    fn read(name: &str, text: &str, run: Option<&str>) -> Result<(Vec<String>, Vec<Distances>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        if let Some(run) = run {
            std::fs::write(RunFile::path(&path), run).unwrap();
        }
        let reader = ResultsReader::open(&path)?;
        let metrics = reader.columns().metrics.clone();
        let distances = |row: Row| row.outcome.map(|own| own.iter().map(|own| own.distance).collect());
        Ok((metrics, reader.map(|row| row.map(distances)).collect::<Result<_>>()?))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn results_reader_takes_files_with_the_aliases_of_lists() {
        for (name, text) in [
            (
                "r.jsonl",
                "{\"ref\":\"a\",\"p0\":\"b\",\"distance\":0.5,\"layers\":[{\"name\":\"conv1\"}],\"tiles\":3}\n\n",
            ),
            (
                "r.json",
                " [{\"p0\":\"b\",\"reference\":\"a\",\"ref\":7,\"distances\":{\"distance\":0.5,\"note\":null}}]",
            ),
            ("r.csv", "p0,ref,distance,note\nb,a,0.5,x\n"),
        ] {
            let (metrics, rows) = read(name, text, Some("{\"metrics\":[\"distance\"]}")).unwrap();
            assert_eq!((metrics, rows), (names(&["distance"]), vec![Ok(vec![0.5])]), "{name}");
        }
    }

    #[test]
    fn results_reader_names_metrics_by_the_first_row_without_error() {
        let csv = "reference,candidate,vgg,alex,vgg.conv1_2,second_vgg,notes,error\n\
                   a,b,,,,,,gone\na,b,0.5,0.25,1,2,,\na,b,1,2,,,later,\n";
        let (metrics, rows) = read("r.csv", csv, None).unwrap();
        assert_eq!(metrics, ["vgg", "alex"]);
        assert_eq!(rows, [Err("gone".to_string()), Ok(vec![0.5, 0.25]), Ok(vec![1.0, 2.0])]);
        let json = "{\"reference\":\"a\",\"candidate\":\"b\",\"error\":\"gone\"}\n\
                    {\"reference\":\"a\",\"candidate\":\"b\",\"distance\":0.5,\"distances\":{\"vgg\":0.5,\"alex\":0.25}}\n";
        assert_eq!(read("r.jsonl", json, None).unwrap().0, ["vgg", "alex"]);
        let unnamed = "{\"reference\":\"a\",\"candidate\":\"b\",\"distance\":0.5}";
        assert_eq!(read("r.jsonl", unnamed, Some("{\"metrics\":[\"squeeze\"]}")).unwrap().0, ["squeeze"]);
        assert_eq!(read("r.jsonl", unnamed, None).unwrap(), (names(&["distance"]), vec![Ok(vec![0.5])]));
    }

    #[test]
    fn results_reader_error_names_file_and_position() {
        for (name, text, expected) in [
            ("r.csv", "a,b\n1,2\n", "r.csv:1: the first line does not name the columns reference and candidate"),
            ("r.csv", "reference,candidate,alex\na,b,1\na,b,x\n", "r.csv:3: has 'x' in the column alex"),
            ("r.csv", "reference,candidate,alex\na,b,nan\nc,d,1\n", "r.csv:2: has 'nan' in the column alex"),
            ("r.csv", "reference,candidate,alex\na,b,1\nc,d,inf\n", "r.csv:3: has 'inf' in the column alex"),
            ("r.csv", "index,reference,candidate,alex\n-1,a,b,1\n", "r.csv:2: has '-1' in the column index"),
            ("r.jsonl", "{\"reference\":\"a\",\"candidate\":\"b\"}\n", "r.jsonl:1: lacks its distance"),
            ("r.jsonl", "\n{\"reference\":\"a\"}\n", "r.jsonl:2: is no row of results: missing field `candidate`"),
            ("r.json", "[\n{\"reference\":1}]", "r.json:2: is no array of results"),
            ("r.json", "[{\"reference\":\"a\",\"candidate\":\"b\"}]", "r.json: element 1 lacks its distance"),
        ] {
            let error = read(name, text, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
