//! Whole records of a file that is being written: lines of JSON, or records of CSV.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::results::format::Format;

/// Reads records as bytes; a record at the end of the file that is not whole is left out.
pub(super) struct RecordReader {
    reader: BufReader<ReopeningFile>,
    has_quotes: bool,
    lines: u64,
}

impl RecordReader {
    /// Reads the first `end` bytes of a file, `buffer` of them at a time.
    pub(super) fn new(path: &Path, format: Format, end: u64, buffer: usize) -> Self {
        let file = ReopeningFile { path: path.to_path_buf(), at: 0, end };
        Self { reader: BufReader::with_capacity(buffer, file), has_quotes: format == Format::Csv, lines: 0 }
    }

    /// Reads the next record; false if no whole one is left.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
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
            if !self.has_quotes || !is_quoted {
                return Ok(true);
            }
        }
    }

    /// The line at which the next record begins, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.lines + 1
    }
}

/// A file that is open only during a read, so that thousands can be read in turns.
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
