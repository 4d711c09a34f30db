//! Rows of a file that this crate writes, for resuming and merging.

use std::io;
use std::path::{Path, PathBuf};

use super::records::RecordReader;
use crate::results::format::{Format, RowParser};
use crate::results::schema::{Columns, Row};
use crate::{Error, Result};

/// The rows of a JSON lines or CSV file of known columns, up to a position; a row at the end that is not whole is left
/// out.
pub(crate) struct RowReader {
    path: PathBuf,
    parser: RowParser,
    columns: Columns,
    records: RecordReader,
    record: Vec<u8>,
}

impl RowReader {
    /// Reads the first `end` bytes of a file, `buffer` of them at a time.
    ///
    /// # Errors
    /// A file that can't be read, or CSV of other columns.
    pub(crate) fn open(path: &Path, format: Format, columns: &Columns, end: u64, buffer: usize) -> Result<Self> {
        let mut rows = Self {
            path: path.to_path_buf(),
            parser: format.parser(columns),
            columns: columns.clone(),
            records: RecordReader::new(path, format, end, buffer),
            record: Vec::new(),
        };
        let fail = |error: io::Error| Error::io(path, "read", &error);
        let head = format.head(columns).map_err(fail)?;
        if !head.is_empty() && rows.records.next(&mut rows.record).map_err(fail)? && rows.record != head {
            let head = String::from_utf8_lossy(&head);
            return Err(Error::file(path, format!("line 1 is not the expected one, {}", head.trim_end())));
        }
        Ok(rows)
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let line = self.line();
        if !self.records.next(&mut self.record).map_err(|error| Error::io(&self.path, "read", &error))? {
            return Ok(None);
        }
        let row = self.parser.parse(&self.columns, &self.record);
        let damaged = |reason| {
            let advice = "cut the file off before it, and resume its run by --resume";
            Error::file(&self.path, format!("line {line} is no readable row: {reason}; {advice}"))
        };
        row.map(Some).map_err(damaged)
    }

    /// The line at which the next row begins, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.records.line()
    }
}

impl Iterator for RowReader {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.read().transpose()
    }
}

/// Counts the whole rows of a file, and their bytes with those of a CSV's column names.
pub(crate) fn count_whole_rows(path: &Path, format: Format) -> Result<(u64, u64)> {
    let fail = |error: io::Error| Error::io(path, "read", &error);
    let length = std::fs::metadata(path).map_err(fail)?.len();
    let mut records = RecordReader::new(path, format, length, 1 << 16);
    let (mut count, mut bytes, mut record) = (0u64, 0, Vec::new());
    while records.next(&mut record).map_err(fail)? {
        (count, bytes) = (count + 1, bytes + record.len() as u64);
    }
    Ok((count.saturating_sub(u64::from(format == Format::Csv)), bytes))
}
