//! Rows that have been written, read back one after the other.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::results::format::Format;
use crate::results::schema::{Columns, Row};
use crate::{Error, Result};

/// The rows of a JSONL or CSV file, up to a place in it; one at its end that is not whole is left out.
pub(crate) struct RowReader {
    path: PathBuf,
    format: Format,
    columns: Columns,
    records: RecordReader,
    record: Vec<u8>,
}

impl RowReader {
    /// Reads the first `end` bytes of a file, `buffer` of them at a time.
    pub(crate) fn open(path: &Path, format: Format, columns: &Columns, end: u64, buffer: usize) -> Result<Self> {
        let mut rows = Self {
            path: path.to_path_buf(),
            format,
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

    /// The next row; the number of the line that it begins at is in errors.
    fn read(&mut self) -> Result<Option<Row>> {
        let line = self.records.lines + 1;
        if !self.records.next(&mut self.record).map_err(|error| Error::io(&self.path, "read", &error))? {
            return Ok(None);
        }
        let row = self.format.parse(&self.columns, &self.record);
        let damaged = |reason| {
            let advice = "cut the file off before it, and go on with its run by --resume";
            Error::file(&self.path, format!("line {line} is no row that can be read: {reason}; {advice}"))
        };
        row.map(Some).map_err(damaged)
    }

    /// Where the next row begins, in lines from 1 on.
    pub(crate) fn line(&self) -> u64 {
        self.records.lines + 1
    }
}

impl Iterator for RowReader {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.read().transpose()
    }
}

/// How many whole rows a file holds, and how many bytes those take, a CSV's line of names with them.
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

/// Lines, or of CSV records, in which quotes may hold lines' ends.
struct RecordReader {
    reader: BufReader<ReopeningFile>,
    is_quoting: bool,
    lines: u64,
}

impl RecordReader {
    fn new(path: &Path, format: Format, end: u64, buffer: usize) -> Self {
        let chunks = ReopeningFile { path: path.to_path_buf(), at: 0, end };
        Self { reader: BufReader::with_capacity(buffer, chunks), is_quoting: format == Format::Csv, lines: 0 }
    }

    /// Whether there is one more that is whole.
    fn next(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        record.clear();
        let mut is_quoted = false;
        loop {
            let start = record.len();
            self.reader.read_until(b'\n', record)?;
            if record.len() == start || !record.ends_with(b"\n") {
                return Ok(false);
            }
            self.lines += 1;
            is_quoted = record[start..].iter().fold(is_quoted, |is_quoted, byte| is_quoted ^ (*byte == b'"'));
            if !self.is_quoting || !is_quoted {
                return Ok(true);
            }
        }
    }
}

/// A file that is open only while it is read, so that thousands can be read in turns.
struct ReopeningFile {
    path: PathBuf,
    at: u64,
    end: u64,
}

impl Read for ReopeningFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 {
            return Ok(0);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(&mut buffer[..left])?;
        self.at += read as u64;
        Ok(read)
    }
}
