//! Results read back, row by row: those of this program, and of others that name references, candidates and distances.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use lpips_bulk::results::format::{name, name_of};
use lpips_bulk::results::schema::{Columns, MetricResult, Row};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::output::{Failure, Result};

/// What the metric is called where results do not say it.
pub(super) const UNNAMED: &str = "distance";

/// A line of results.
#[derive(Debug, Default, Deserialize)]
struct Line {
    index: Option<u64>,
    reference: PathBuf,
    reference_base64: Option<String>,
    candidate: PathBuf,
    candidate_base64: Option<String>,
    second: Option<PathBuf>,
    second_base64: Option<String>,
    distance: Option<f64>,
    second_distance: Option<f64>,
    #[serde(default)]
    distances: Map<String, Value>,
    #[serde(default)]
    second_distances: Map<String, Value>,
    error: Option<String>,
}

/// The rows of a file, and what they have in common.
pub(super) struct Results {
    pub(super) columns: Columns,
    pub(super) rows: Box<dyn Iterator<Item = Result<Row>>>,
}

impl Results {
    /// Opens results by their name's end: CSV with names in the first line, otherwise a JSON object a line, or an array of them.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let first =
            lines(path)?.find(|line| line.as_ref().map_or(true, |(_, line)| line.error.is_none())).transpose()?;
        let own = first.iter().flat_map(|(_, line)| line.distances.keys().cloned()).collect();
        let unnamed = || vec![UNNAMED.to_string()];
        let columns = Columns {
            metrics: [run_metrics(path), own].into_iter().find(|names| !names.is_empty()).unwrap_or_else(unnamed),
            layers: Vec::new(),
            triplets: first.is_some_and(|(_, line)| line.second.is_some()),
        };
        let metrics = columns.metrics.clone();
        let path = path.to_path_buf();
        let rows = lines(&path)?.zip(0..).map(move |(line, place)| {
            let (stands, line) = line?;
            line.row(place, &metrics).map_err(|reason| at(&path, &stands, &reason))
        });
        Ok(Self { columns, rows: Box::new(rows) })
    }
}

/// The metrics that the run file beside the results names, if there is one.
fn run_metrics(path: &Path) -> Vec<String> {
    #[derive(Deserialize)]
    struct Run {
        metrics: Vec<String>,
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".run");
    let run = std::fs::read(name).ok().and_then(|bytes| serde_json::from_slice::<Run>(&bytes).ok());
    run.map_or_else(Vec::new, |run| run.metrics)
}

fn at_line(path: &Path, number: u64, reason: &str) -> Failure {
    at(path, &Place::Line(number), reason)
}

fn at(path: &Path, place: &Place, reason: &str) -> Failure {
    Failure::Work(Some(match place {
        Place::Line(number) => format!("{}:{number}: {reason}", path.display()),
        Place::Element(number) => format!("{}: element {number} {reason}", path.display()),
    }))
}

/// Where a row stands, from 1 on.
enum Place {
    Line(u64),
    Element(u64),
}

type Lines = Box<dyn Iterator<Item = Result<(Place, Line)>>>;

/// The lines of a file with their numbers.
fn lines(path: &Path) -> Result<Lines> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Work(Some(format!("{}: can't be read: {error}", path.display())))
    };
    let mut file = BufReader::new(File::open(path).map_err(|error| failed(path, &error))?);
    let owned = path.to_path_buf();
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let mut reader = csv::Reader::from_reader(file);
        let heads = reader.headers().map_err(|error| failed(path, &error))?.clone();
        if !["reference", "candidate"].iter().all(|needed| heads.iter().any(|head| head == *needed)) {
            let message = "the first line does not name the columns reference and candidate: expected results in CSV";
            return Err(at_line(path, 1, message));
        }
        return Ok(Box::new(reader.into_byte_records().map(move |record| {
            let record = record.map_err(|error| failed(&owned, &error))?;
            let number = record.position().map_or(0, csv::Position::line);
            let line = of_record(&heads, &record).map_err(|reason| at_line(&owned, number, &reason))?;
            Ok((Place::Line(number), line))
        })));
    }
    let start = file.fill_buf().map_err(|error| failed(path, &error))?;
    if start.trim_ascii_start().first() == Some(&b'[') {
        let lines: Vec<Line> = serde_json::from_reader(file)
            .map_err(|error| at_line(path, error.line() as u64, &format!("is no array of results: {error}")))?;
        return Ok(Box::new((1..).map(Place::Element).zip(lines).map(Ok)));
    }
    let lines = file.lines().zip(1..).filter(|(line, _)| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
    Ok(Box::new(lines.map(move |(line, number)| {
        let line = line.map_err(|error| failed(&owned, &error))?;
        let line = serde_json::from_str(&line)
            .map_err(|error| at_line(&owned, number, &format!("is no row of results: {error}")))?;
        Ok((Place::Line(number), line))
    })))
}

fn of_record(heads: &csv::StringRecord, record: &csv::ByteRecord) -> std::result::Result<Line, String> {
    let mut line = Line::default();
    for (head, cell) in heads.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let text = || String::from_utf8_lossy(cell).into_owned();
        let number = || text().parse::<f64>().map_err(|_| format!("'{}' in the column {head} is no number", text()));
        // The parts by layer come after the distances, as metric.layer.
        let is_layer =
            || line.distances.keys().any(|metric| head.strip_prefix(&**metric).is_some_and(|l| l.starts_with('.')));
        match head {
            "index" => line.index = Some(number()? as u64),
            "reference" => line.reference = name(cell),
            "candidate" => line.candidate = name(cell),
            "second" => line.second = Some(name(cell)),
            "error" => line.error = Some(text()),
            "second_distance" => line.second_distance = Some(number()?),
            UNNAMED => line.distance = Some(number()?),
            _ if line.distance.is_some() || is_layer() => {}
            _ => {
                let (distances, metric) = match head.strip_prefix("second_") {
                    Some(metric) => (&mut line.second_distances, metric),
                    None => (&mut line.distances, head),
                };
                distances.insert(metric.to_string(), number()?.into());
            }
        }
    }
    Ok(line)
}

impl Line {
    fn row(self, place: u64, metrics: &[String]) -> std::result::Result<Row, String> {
        let of = |named: &Map<String, Value>, first: Option<f64>, at: usize| {
            named.get(&metrics[at]).and_then(Value::as_f64).or(first.filter(|_| at == 0))
        };
        let measured = |at: usize| {
            let distance = of(&self.distances, self.distance, at);
            let distance = distance.ok_or_else(|| match &*metrics[at] {
                UNNAMED => "lacks its distance".to_string(),
                name => format!("lacks the distance of {name}"),
            })?;
            let second = of(&self.second_distances, self.second_distance, at);
            Ok(MetricResult { distance, second, ..MetricResult::default() })
        };
        let outcome = match self.error {
            Some(error) => Err(error),
            None => Ok((0..metrics.len()).map(measured).collect::<std::result::Result<_, String>>()?),
        };
        let index = self.index.unwrap_or(place);
        let reference = name_of(self.reference, self.reference_base64)?;
        let candidate = name_of(self.candidate, self.candidate_base64)?;
        let second = self.second.map(|second| name_of(second, self.second_base64)).transpose()?;
        Ok(Row { index, reference, candidate, second, outcome })
    }
}
