//! Files of rows that grow row by row and can be resumed.

use std::io;
use std::path::Path;
use std::time::Duration;

use lpips_data::journal::Journal;

use crate::results::reader::{RowReader, count_whole_rows};
use crate::results::run_file::RunFile;
use crate::results::schema::Row;
use crate::{Error, Result};

/// Longest time that rows stay in the system's buffers before they are synced to the disk.
const SYNC: Duration = Duration::from_secs(2);
/// Bytes of a file that are read at once.
const BUFFER: usize = 1 << 16;

/// An append-only file of whole rows, JSON lines or CSV, with its run file.
pub(super) struct AppendedFile {
    journal: Journal,
    run: RunFile,
    rows: u64,
    line: Vec<u8>,
}

impl AppendedFile {
    /// Opens a file for this process alone, and creates it where it is missing.
    ///
    /// # Errors
    /// A file that another run is writing, or that can't be written.
    pub(super) fn lock(path: &Path) -> Result<Journal> {
        let in_use = "is being written by another run: wait for it, or name another file";
        Ok(Journal::open_exclusive(path, in_use)?)
    }

    /// Empties a file and writes its run file and column names.
    pub(super) fn begin(mut journal: Journal, run: RunFile) -> Result<Self> {
        let head = run.format.head(&run.columns);
        let head = head.map_err(|error| Error::io(journal.path(), "written", &error))?;
        // The rows go before the run file changes: a killed process leaves no rows beside the run file of other work.
        journal.truncate(0)?;
        let run = RunFile { complete: None, ..run };
        run.write(journal.path())?;
        journal.append(&head)?;
        Ok(Self { journal, run, rows: 0, line: Vec::new() })
    }

    /// Continues a file after its last whole row; begins it where it holds nothing.
    ///
    /// # Errors
    /// A file of other work or without a run file, or one that can't be read or written.
    pub(super) fn resume(mut journal: Journal, mut run: RunFile) -> Result<(Self, ExistingRows)> {
        if journal.is_empty() && !journal.is_torn() {
            return Ok((Self::begin(journal, run)?, ExistingRows::default()));
        }
        check_run(journal.path(), &run)?;
        let (rows, bytes) = count_whole_rows(journal.path(), run.format)?;
        if bytes == 0 {
            return Ok((Self::begin(journal, run)?, ExistingRows::default()));
        }
        journal.truncate(bytes)?;
        run.complete = None;
        run.write(journal.path())?;
        let reader = RowReader::open(journal.path(), run.format, &run.columns, bytes, BUFFER)?;
        Ok((Self { journal, run, rows, line: Vec::new() }, ExistingRows { reader: Some(reader), left: rows }))
    }

    /// Appends a row by one write.
    pub(super) fn add(&mut self, row: &Row) -> Result<()> {
        self.line.clear();
        let encoded = self.run.format.write_row(&self.run.columns, row, &mut self.line);
        encoded.map_err(|error: io::Error| Error::io(self.journal.path(), "written", &error))?;
        self.journal.append(&self.line)?;
        self.rows += 1;
        Ok(self.journal.sync_every(SYNC)?)
    }

    /// Syncs the rows, and writes the run file with the failures and the total of a complete run.
    pub(super) fn finish(mut self, complete: Option<(u64, u64)>) -> Result<()> {
        self.journal.sync()?;
        self.run.finish(self.rows, complete);
        self.run.write(self.journal.path())
    }
}

/// The rows that a resumed file holds already, in order.
#[derive(Default)]
pub struct ExistingRows {
    reader: Option<RowReader>,
    left: u64,
}

impl ExistingRows {
    /// Number of rows that are not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Iterator for ExistingRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let row = self.reader.as_mut()?.next();
        self.left -= u64::from(row.is_some());
        row
    }
}

/// Rejects a file with the rows of other work.
fn check_run(path: &Path, run: &RunFile) -> Result<()> {
    let before = RunFile::read(path)?;
    let Some(difference) = before.difference(run).or_else(|| before.difference_of_part(run)) else { return Ok(()) };
    let reason = format!(
        "holds results of other settings ({difference}): run the same command to resume it, or name another file"
    );
    Err(Error::file(path, reason))
}
