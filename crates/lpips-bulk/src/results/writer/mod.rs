//! Where rows go: a file that grows row by row and can be gone on with, a file that is there whole in the end, or a stream.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::results::format::{Format, RowEncoder};
use crate::results::reader::{self, RowReader};
use crate::results::run_file::{Complete, RunFile};
use crate::results::schema::{Columns, Row};
use crate::source::pair::Pair;
use crate::{Error, Result};
use lpips_data::files;

/// How long rows may be the system's alone before they are brought to the disk.
const SYNC: Duration = Duration::from_secs(2);
/// How much of a file is read at once.
const BUFFER: usize = 1 << 16;

/// Where rows go, in the order of their indices.
pub struct ResultsWriter(Target);

enum Target {
    Growing(Growing),
    Whole { writer: Box<RowEncoder<BufWriter<NamedTempFile>>>, path: PathBuf, run: RunFile, rows: u64 },
    Stream(RowEncoder<Box<dyn Write + Send>>),
}

impl ResultsWriter {
    /// Begins a file, in the format and with the columns of `run`.
    ///
    /// JSONL and CSV grow row by row, and what is being measured is written beside them (see [`RunFile`]): a process that is killed
    /// loses no row that was added, a machine that stops no more than those of the last two seconds or so. JSON and Parquet are there
    /// when they are complete.
    ///
    /// # Errors
    /// A file that is there already unless it is to be overwritten, one that another run is writing, a folder that can't be written
    /// to, or a format that this build lacks.
    pub fn create(path: &Path, run: RunFile, overwrite: bool) -> Result<Self> {
        if !run.format.is_appendable() {
            return Self::whole(path, run, overwrite);
        }
        check_free(path, run.format, overwrite)?;
        let file = open(path)?;
        // What another run has written in between is not overwritten unasked.
        check_free(path, run.format, overwrite)?;
        Ok(Self(Target::Growing(Growing::begin(path, file, run)?)))
    }

    /// Begins a file, of any format, that takes its name when it is finished.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub fn whole(path: &Path, run: RunFile, overwrite: bool) -> Result<Self> {
        run.format.check()?;
        check_free(path, run.format, overwrite)?;
        let writer = RowEncoder::new(run.format, &run.columns, BufWriter::with_capacity(BUFFER, files::begin(path)?));
        let writer = Box::new(writer.map_err(|error| io_error(path, &error, false))?);
        Ok(Self(Target::Whole { writer, path: path.to_path_buf(), run, rows: 0 }))
    }

    /// Writes to a stream, such as standard output; every row is written when it is added.
    ///
    /// # Errors
    /// A format that this build lacks, Parquet, which is a file's, or a stream that can't be written to.
    pub fn stream(to: Box<dyn Write + Send>, format: Format, columns: &Columns) -> Result<Self> {
        format.check()?;
        if format == Format::Parquet {
            return Err(Error::choice("Parquet is not for standard output: name a file with --out".to_string()));
        }
        Ok(Self(Target::Stream(
            RowEncoder::new(format, columns, to).map_err(|source| Error::StandardOutput { source })?,
        )))
    }

    /// Goes on with a file, whose rows so far are in [`ExistingRows`]; where there is none, begins it. What is not a whole row at its end is cut
    /// off.
    ///
    /// # Errors
    /// A format that can't be gone on with, a file of other work or of none, one that another run is writing, or one that can't be read
    /// or written.
    pub fn resume(path: &Path, mut run: RunFile) -> Result<(Self, ExistingRows)> {
        if !run.format.is_appendable() {
            let name = run.format;
            return Err(Error::choice(format!(
                "a file of {name} can't be gone on with: take --format jsonl with --resume, and in the end `lpips merge FILE.jsonl \
                 --out FILE.{name}`"
            )));
        }
        check_plain(path)?;
        let file = open(path)?;
        let fail = |error: io::Error| Error::io(path, "written", &error);
        if file.metadata().map_err(fail)?.len() == 0 {
            return Ok((Self(Target::Growing(Growing::begin(path, file, run)?)), ExistingRows::default()));
        }
        check_run(path, &run)?;
        let (rows, bytes) = reader::count_whole_rows(path, run.format)?;
        file.set_len(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
        if bytes == 0 {
            return Ok((Self(Target::Growing(Growing::begin(path, file, run)?)), ExistingRows::default()));
        }
        run.complete = None;
        run.write(path)?;
        let held = RowReader::open(path, run.format, &run.columns, bytes, BUFFER)?;
        let growing = Growing { rows, bytes, synced: bytes, ..Growing::new(path, file, run) };
        Ok((Self(Target::Growing(growing)), ExistingRows { rows: Some(held), left: rows }))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A disk that is full, or another reason that the row can't be written: a file that grows then ends with its last whole row.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        match &mut self.0 {
            Target::Growing(growing) => growing.add(row),
            Target::Whole { writer, path, rows, .. } => {
                *rows += 1;
                writer.add(row).map_err(|error| io_error(path, &error, false))
            }
            Target::Stream(writer) => writer.add(row).map_err(|source| Error::StandardOutput { source }),
        }
    }

    /// Ends what is complete: all rows of this part of the work, `failures` of which failed, those held before it went on with
    /// them. All parts together have `total` rows.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(self, failures: u64, total: u64) -> Result<()> {
        self.end(|run, rows| {
            run.total = Some(total);
            run.complete = Some(Complete { rows, failures });
        })
    }

    /// Ends what is not complete: the run file says so.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish_incomplete(self) -> Result<()> {
        self.end(|run, _| run.complete = None)
    }

    fn end(self, say: impl FnOnce(&mut RunFile, u64)) -> Result<()> {
        match self.0 {
            Target::Growing(mut growing) => {
                growing.sync()?;
                say(&mut growing.run, growing.rows);
                growing.run.write(&growing.path)
            }
            Target::Whole { writer, path, mut run, rows } => {
                let full = |error: io::Error| io_error(&path, &error, false);
                let file = writer.finish().and_then(|file| Ok(file.into_inner()?)).map_err(full)?;
                say(&mut run, rows);
                run.write(&path)?;
                Ok(files::end(file, &path)?)
            }
            Target::Stream(writer) => writer.finish().map(drop).map_err(|source| Error::StandardOutput { source }),
        }
    }
}

/// A file that grows.
struct Growing {
    path: PathBuf,
    file: File,
    run: RunFile,
    /// What is there: whole rows only.
    rows: u64,
    bytes: u64,
    /// How much of it is known to be on the disk, and since when.
    synced: u64,
    at: Instant,
    line: Vec<u8>,
}

impl Growing {
    fn new(path: &Path, file: File, run: RunFile) -> Self {
        let path = path.to_path_buf();
        Self { path, file, run, rows: 0, bytes: 0, synced: 0, at: Instant::now(), line: Vec::new() }
    }

    /// Takes a file that is empty or of no more use.
    fn begin(path: &Path, file: File, run: RunFile) -> Result<Self> {
        let fail = |error: io::Error| Error::io(path, "written", &error);
        let head = run.format.head(&run.columns).map_err(fail)?;
        // Rows never stand beside the run file of others, whenever this is killed.
        file.set_len(0).and_then(|()| file.sync_all()).map_err(fail)?;
        let run = RunFile { complete: None, ..run };
        run.write(path)?;
        let mut growing = Self::new(path, file, run);
        growing.append(&head)?;
        Ok(growing)
    }

    fn add(&mut self, row: &Row) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let encoded = self.run.format.line(&self.run.columns, row, &mut line);
        encoded.map_err(|error| Error::io(&self.path, "written", &error))?;
        self.append(&line)?;
        self.line = line;
        self.rows += 1;
        if self.at.elapsed() < SYNC { Ok(()) } else { self.sync() }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| {
            // Whoever goes on cuts it too; this is for those who only look.
            drop(self.file.set_len(self.bytes));
            io_error(&self.path, &error, true)
        })?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        if self.synced < self.bytes {
            self.file.sync_data().map_err(|error| {
                drop(self.file.set_len(self.synced));
                io_error(&self.path, &error, true)
            })?;
        }
        (self.synced, self.at) = (self.bytes, Instant::now());
        Ok(())
    }
}

/// The rows that a file holds already, in their order.
#[derive(Default)]
pub struct ExistingRows {
    rows: Option<RowReader>,
    left: u64,
}

impl ExistingRows {
    /// How many are left to be read.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Iterator for ExistingRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let row = self.rows.as_mut()?.next();
        self.left -= u64::from(row.is_some());
        row
    }
}

/// Refuses a row, of those that a file holds, that is not of the pair that would be measured in its place.
///
/// # Errors
/// Another index or other names.
pub fn check_matches(row: &Row, pair: &Pair) -> Result<()> {
    let held = (row.index, &*row.reference, &*row.candidate, row.second.as_deref());
    let now = (
        pair.index,
        pair.reference.name(),
        pair.candidate.name(),
        pair.second.as_ref().map(crate::source::pair::Input::name),
    );
    if held == now {
        return Ok(());
    }
    let told = |(index, reference, candidate, second): (u64, &Path, &Path, Option<&Path>)| {
        let second = second.map(|second| format!(" and {}", second.display())).unwrap_or_default();
        format!("row {index} of {} and {}{second}", reference.display(), candidate.display())
    };
    Err(Error::invalid(format!(
        "the results hold {}, where {} would be measured now: the pictures or the list have changed; start anew, in another file",
        told(held),
        told(now)
    )))
}

/// Refuses a place that is there, but for something else than results.
fn check_plain(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Error::file(path, "is a folder: name a file for the results")),
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::file(path, "is no plain file: results without a file go to standard output"))
        }
        _ => Ok(()),
    }
}

/// Refuses a place that holds something.
fn check_free(path: &Path, format: Format, overwrite: bool) -> Result<()> {
    check_plain(path)?;
    if !overwrite && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) {
        let go_on = if format.is_appendable() { "go on with it by --resume, " } else { "" };
        return Err(Error::file(
            path,
            format!("is there already: {go_on}replace it by --overwrite, or name another file"),
        ));
    }
    Ok(())
}

/// Opens a file to be added to, by this run alone.
fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| Error::io(path, "written", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::file(path, "is being written by another run: wait for it, or name another file"))
        }
        // Some file systems of clusters have no locks.
        Err(TryLockError::Error(error)) => {
            tracing::warn!("{}: can't be locked ({error}): see that one run only writes it", path.display());
            Ok(file)
        }
    }
}

/// Refuses to go on with rows of other work.
fn check_run(path: &Path, run: &RunFile) -> Result<()> {
    let held = RunFile::read(path)?;
    let differ = |a: String, b: String| (a != b).then_some((a, b));
    let difference = held
        .difference(run)
        .or_else(|| differ(format!("as shard {}", held.shard), format!("as shard {}", run.shard)))
        .or_else(|| differ(format!("in {}", held.format), format!("in {}", run.format)));
    difference.map_or(Ok(()), |(own, other)| {
        Err(Error::file(
            path,
            format!("was made {own}, not {other}: run the same command to go on, or name another file"),
        ))
    })
}

/// Why rows can't be written, to a file that can be gone on with or to another.
fn io_error(path: &Path, error: &io::Error, grows: bool) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let what = match error.kind() {
        StorageFull => "the disk is full",
        QuotaExceeded => "the quota is used up",
        FileTooLarge => "it is as large as the system lets it be",
        _ => return Error::io(path, "written", error),
    };
    let then = if grows {
        "what it holds is whole rows: make room and go on with --resume"
    } else {
        "make room and start again"
    };
    Error::file(path, format!("can't be written: {what}; {then}"))
}

#[cfg(test)]
mod tests;
