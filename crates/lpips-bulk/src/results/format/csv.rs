//! Rows as records of comma-separated values.

use std::borrow::Cow;
use std::io;

use csv::{ByteRecord, StringRecord};

use super::flat_table;
use crate::results::fields::{ALIASES, Fields, Origin, UNNAMED_METRIC};
use crate::results::names;
use crate::results::schema::{Columns, Row};

/// The line of column names.
pub(super) fn head(columns: &Columns) -> io::Result<Vec<u8>> {
    let mut to = Vec::new();
    write_record(heads(columns).into_iter().map(|name| Cow::Owned(name.into_bytes())), &mut to)?;
    Ok(to)
}

fn heads(columns: &Columns) -> Vec<String> {
    let names = ["index", "reference", "candidate"].into_iter().chain(columns.triplets.then_some("second"));
    names.map(String::from).chain(flat_table::names(columns)).chain(["error".to_string()]).collect()
}

/// Appends a row as a record.
pub(super) fn write_row(columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
    let text = |text: String| Cow::Owned(text.into_bytes());
    let mut fields = vec![text(row.index.to_string()), names::bytes(&row.reference), names::bytes(&row.candidate)];
    if columns.triplets {
        fields.push(row.second.as_deref().map_or(Cow::Borrowed(&[]), names::bytes));
    }
    for number in flat_table::numbers(columns, row) {
        // The form of JSON, from which every bit can be read back.
        fields.push(text(number.map_or(Ok(String::new()), |number| serde_json::to_string(&number))?));
    }
    fields.push(Cow::Borrowed(row.outcome.as_ref().err().map_or(&[], |error| error.as_bytes())));
    write_record(fields.into_iter(), to)
}

fn write_record<'a>(fields: impl Iterator<Item = Cow<'a, [u8]>>, to: &mut Vec<u8>) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(512).from_writer(to);
    writer.write_record(fields)?;
    writer.flush()
}

/// The meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Index,
    Reference,
    Candidate,
    Second,
    /// A metric's distance.
    Distance(usize),
    SecondDistance(usize),
    /// The part of a metric's layer.
    Layer(usize, usize),
    Error,
    Ignored,
}

/// The meanings and names of the columns of a CSV file.
#[derive(Debug)]
pub(in crate::results) struct CsvLayout {
    columns: Vec<Column>,
    heads: Vec<String>,
}

impl CsvLayout {
    /// The layout of files written by this crate.
    pub(super) fn own(columns: &Columns) -> Self {
        let metrics = columns.metrics.len();
        let mut meanings = vec![Column::Index, Column::Reference, Column::Candidate];
        if columns.triplets {
            meanings.push(Column::Second);
        }
        meanings.extend((0..metrics).map(Column::Distance));
        meanings.extend((0..metrics).filter(|_| columns.triplets).map(Column::SecondDistance));
        let layers = columns.layers.iter().take(metrics).enumerate();
        meanings.extend(layers.flat_map(|(at, layers)| (0..layers.len()).map(move |layer| Column::Layer(at, layer))));
        meanings.push(Column::Error);
        Self { columns: meanings, heads: heads(columns) }
    }

    /// The layout of a file by the names of its columns; `None` if references or candidates are not among them. Columns
    /// without a meaning are ignored.
    pub(in crate::results) fn by_names(heads: &StringRecord, metrics: &[String]) -> Option<Self> {
        let is_named = |name: &str| heads.iter().any(|head| head == name);
        let at = |metric: &str| metrics.iter().position(|own| own == metric);
        let is_first_unnamed = metrics.first().is_some_and(|first| !is_named(first));
        let is_first_second_unnamed = metrics.first().is_some_and(|first| !is_named(&format!("second_{first}")));
        let meaning = |head: &str| {
            let field = ALIASES.into_iter().find(|(alias, field)| *alias == head && !is_named(field));
            match field.map_or(head, |(_, field)| field) {
                "index" => Column::Index,
                "reference" => Column::Reference,
                "candidate" => Column::Candidate,
                "second" => Column::Second,
                "error" => Column::Error,
                UNNAMED_METRIC if is_first_unnamed => Column::Distance(0),
                "second_distance" if is_first_second_unnamed => Column::SecondDistance(0),
                head => {
                    let second = || head.strip_prefix("second_").and_then(at).map(Column::SecondDistance);
                    at(head).map(Column::Distance).or_else(second).unwrap_or(Column::Ignored)
                }
            }
        };
        let columns: Vec<Column> = heads.iter().map(meaning).collect();
        let is_complete = columns.contains(&Column::Reference) && columns.contains(&Column::Candidate);
        is_complete.then(|| Self { columns, heads: heads.iter().map(String::from).collect() })
    }

    /// The metrics of a file that names them by its columns alone: those that hold something in this record, up to a
    /// column `distance`, without the layers' and the second candidates'.
    pub(in crate::results) fn metrics(heads: &StringRecord, record: &ByteRecord) -> Vec<String> {
        let fields = ["index", "reference", "candidate", "second", "error"];
        let mut metrics: Vec<String> = Vec::new();
        for (head, _) in heads.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
            let is_alias =
                ALIASES.iter().any(|(alias, field)| *alias == head && heads.iter().all(|head| head != *field));
            let is_layer =
                || metrics.iter().any(|metric| head.strip_prefix(&**metric).is_some_and(|l| l.starts_with('.')));
            if head == UNNAMED_METRIC {
                break;
            }
            if !fields.contains(&head) && !is_alias && !head.starts_with("second_") && !is_layer() {
                metrics.push(head.to_string());
            }
        }
        metrics
    }

    /// Whether a record holds something in the column of errors.
    pub(in crate::results) fn is_failed(&self, record: &ByteRecord) -> bool {
        self.has(record, Column::Error)
    }

    /// Whether a record is a triplet.
    pub(in crate::results) fn is_triplet(&self, record: &ByteRecord) -> bool {
        self.has(record, Column::Second)
    }

    fn has(&self, record: &ByteRecord, column: Column) -> bool {
        self.columns.iter().zip(record).any(|(own, cell)| *own == column && !cell.is_empty())
    }

    /// Parses a line that [`write_row`] has written.
    pub(super) fn parse_line(&self, columns: &Columns, line: &[u8]) -> Result<Row, String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(512).from_reader(line);
        let mut record = ByteRecord::new();
        reader.read_byte_record(&mut record).map_err(|error| error.to_string())?;
        if record.len() != self.columns.len() {
            return Err(format!("has {} columns, not {}", record.len(), self.columns.len()));
        }
        self.row(columns, &record, Origin::Own)
    }

    /// Parses a record.
    pub(in crate::results) fn row(
        &self,
        columns: &Columns,
        record: &ByteRecord,
        origin: Origin,
    ) -> Result<Row, String> {
        let mut fields = Fields::new(columns);
        let cells = self.columns.iter().zip(&self.heads).zip(record);
        for ((column, head), cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
            let text = || String::from_utf8_lossy(cell).into_owned();
            let number = || {
                let number = std::str::from_utf8(cell).ok().and_then(|text| text.parse::<f64>().ok());
                let number = number.filter(|number| number.is_finite());
                number.ok_or_else(|| format!("has '{}' in the column {head}, which is no number", text()))
            };
            match *column {
                Column::Index => {
                    let whole = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
                    let whole = match whole {
                        Some(whole) => whole,
                        // As programs write it that know floating-point numbers only.
                        None => number().and_then(|number| match number {
                            0.0.. => Ok(number as u64),
                            _ => Err(format!("has '{}' in the column {head}, which is no index", text())),
                        })?,
                    };
                    fields.index = Some(whole);
                }
                Column::Reference => fields.reference = names::from_bytes(cell),
                Column::Candidate => fields.candidate = names::from_bytes(cell),
                Column::Second => fields.second = Some(names::from_bytes(cell)),
                Column::Distance(at) => fields.distances[at] = Some(number()?),
                Column::SecondDistance(at) => fields.seconds[at] = Some(number()?),
                Column::Layer(at, layer) => fields.layers[at][layer] = Some(number()?),
                Column::Error => fields.error = Some(text()),
                Column::Ignored => {}
            }
        }
        fields.row(columns, origin)
    }
}
