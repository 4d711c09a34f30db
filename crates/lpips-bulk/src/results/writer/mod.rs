//! Writers of results: files that grow row by row and can be resumed, files that appear when they are whole, and
//! streams.

mod appended;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use lpips_data::files;
use tempfile::NamedTempFile;

use crate::results::encoder::RowEncoder;
use crate::results::format::Format;
use crate::results::run_file::RunFile;
use crate::results::schema::{Columns, Row};
use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use appended::AppendedFile;

pub use appended::ExistingRows;

/// Bytes of a file that are written at once.
const BUFFER: usize = 1 << 16;

/// Writes rows, in the order of their indices.
///
/// ```
/// use lpips_bulk::results::run_file::RunFile;
/// use lpips_bulk::results::format::Format;
/// use lpips_bulk::results::schema::{Columns, Row};
/// use lpips_bulk::results::writer::ResultsWriter;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("results.jsonl");
/// let run = RunFile::new("dirs", Columns::new(["alex"]), Format::Jsonl);
/// let row = |index| Row {
///     index,
///     reference: "a.png".into(),
///     candidate: "b.png".into(),
///     second: None,
///     outcome: Err("b.png: is empty".to_string()),
/// };
/// // A run that is stopped after its first row ...
/// let mut writer = ResultsWriter::create(&path, run.clone(), false)?;
/// writer.add(&row(0))?;
/// writer.finish_incomplete()?;
/// // ... is resumed, and ends in the same bytes as one that was not.
/// let (mut writer, existing) = ResultsWriter::resume(&path, run)?;
/// assert_eq!(existing.count(), 1);
/// writer.add(&row(1))?;
/// writer.finish(2, 2)?;
/// assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ResultsWriter(Target);

enum Target {
    Appended(Box<AppendedFile>),
    Whole(Box<WholeFile>),
    Stream(Box<RowEncoder<Box<dyn Write + Send>>>),
}

/// A file that gets its name when it is complete.
struct WholeFile {
    encoder: RowEncoder<BufWriter<NamedTempFile>>,
    path: PathBuf,
    run: RunFile,
    rows: u64,
}

impl ResultsWriter {
    /// Begins a file in the format and with the columns of `run`.
    ///
    /// JSON lines and CSV grow row by row, with a run file beside them (see [`RunFile`]): a killed process loses no row
    /// that was added, and a power cut those of the last two seconds or so. JSON and Parquet files appear when they are
    /// complete.
    ///
    /// # Errors
    /// A file that exists unless it is to be overwritten, one that another run is writing, a folder that can't be
    /// written to, or a format that this build lacks.
    pub fn create(path: &Path, run: RunFile, overwrite: bool) -> Result<Self> {
        if !run.format.is_appendable() {
            return Self::whole(path, run, overwrite);
        }
        check_free(path, run.format, overwrite)?;
        let journal = AppendedFile::lock(path)?;
        // Another run may have written it before the lock.
        check_free(path, run.format, overwrite)?;
        Ok(Self(Target::Appended(Box::new(AppendedFile::begin(journal, run)?))))
    }

    /// Begins a file of any format that appears under its name when it is finished.
    ///
    /// # Errors
    /// Those of [`Self::create`].
    pub fn whole(path: &Path, run: RunFile, overwrite: bool) -> Result<Self> {
        run.format.check()?;
        check_free(path, run.format, overwrite)?;
        let encoder = RowEncoder::new(run.format, &run.columns, BufWriter::with_capacity(BUFFER, files::begin(path)?));
        let encoder = encoder.map_err(|error| write_error(path, &error))?;
        Ok(Self(Target::Whole(Box::new(WholeFile { encoder, path: path.to_path_buf(), run, rows: 0 }))))
    }

    /// Writes to a stream such as standard output; every row is written when it is added.
    ///
    /// # Errors
    /// A format that this build lacks, Parquet, which needs a file, or a stream that can't be written to.
    pub fn stream(to: Box<dyn Write + Send>, format: Format, columns: &Columns) -> Result<Self> {
        format.check()?;
        if format == Format::Parquet {
            return Err(Error::choice("Parquet can't be written to standard output: name a file with --out"));
        }
        let encoder = RowEncoder::new(format, columns, to).map_err(stream_error)?;
        Ok(Self(Target::Stream(Box::new(encoder))))
    }

    /// Resumes a file after its last whole row, and gives its rows so far; begins it where it is missing or empty. A
    /// row that is not whole is cut off.
    ///
    /// # Errors
    /// A format that can't be resumed, a file of other work or of something else, one that another run is writing, or
    /// one that can't be read or written.
    pub fn resume(path: &Path, run: RunFile) -> Result<(Self, ExistingRows)> {
        if !run.format.is_appendable() {
            let name = run.format;
            return Err(Error::choice(format!(
                "a file of {name} can't be resumed: use --format jsonl with --resume, and in the end `lpips merge FILE.jsonl --out \
                 FILE.{name}`"
            )));
        }
        check_plain(path)?;
        let (appended, existing) = AppendedFile::resume(AppendedFile::lock(path)?, run)?;
        Ok((Self(Target::Appended(Box::new(appended))), existing))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A full disk, or another reason that the row can't be written: a file that grows then ends with its last whole
    /// row.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        match &mut self.0 {
            Target::Appended(appended) => appended.add(row),
            Target::Whole(whole) => {
                whole.rows += 1;
                whole.encoder.add(row).map_err(|error| write_error(&whole.path, &error))
            }
            Target::Stream(encoder) => encoder.add(row).map_err(stream_error),
        }
    }

    /// Finishes complete results: all rows of this shard, `failures` of them failed, those of a resumed file included.
    /// All shards together have `total` rows.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(self, failures: u64, total: u64) -> Result<()> {
        self.end(Some((failures, total)))
    }

    /// Finishes results that are not complete, as their run file then states.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish_incomplete(self) -> Result<()> {
        self.end(None)
    }

    fn end(self, complete: Option<(u64, u64)>) -> Result<()> {
        match self.0 {
            Target::Appended(appended) => appended.finish(complete),
            Target::Whole(whole) => {
                let WholeFile { encoder, path, mut run, rows } = *whole;
                let file = encoder.finish().and_then(|file| Ok(file.into_inner()?));
                let file = file.map_err(|error| write_error(&path, &error))?;
                run.finish(rows, complete);
                run.write(&path)?;
                Ok(files::end(file, &path)?)
            }
            Target::Stream(encoder) => encoder.finish().map(drop).map_err(stream_error),
        }
    }
}

/// Rejects an existing row that is not of the pair that would be measured in its place.
///
/// # Errors
/// Another index or other names.
pub fn check_matches(row: &Row, pair: &Pair) -> Result<()> {
    let held = (row.index, &*row.reference, &*row.candidate, row.second.as_deref());
    let now = (pair.index, pair.reference.name(), pair.candidate.name(), pair.second.as_ref().map(Input::name));
    if held == now {
        return Ok(());
    }
    let text = |(index, reference, candidate, second): (u64, &Path, &Path, Option<&Path>)| {
        let second = second.map(|second| format!(" and {}", second.display())).unwrap_or_default();
        format!("row {index} of {} and {}{second}", reference.display(), candidate.display())
    };
    Err(Error::invalid(format!(
        "the results hold {}, where {} would be measured now: the pictures or the list have changed; start anew, in another file",
        text(held),
        text(now)
    )))
}

/// Rejects a path that exists and is no plain file.
fn check_plain(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Error::file(path, "is a folder: name a file for the results")),
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::file(path, "is no plain file: results without a file go to standard output"))
        }
        _ => Ok(()),
    }
}

/// Rejects a file that holds something, unless it is to be overwritten.
fn check_free(path: &Path, format: Format, overwrite: bool) -> Result<()> {
    check_plain(path)?;
    if !overwrite && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) {
        let resume = if format.is_appendable() { "resume it by --resume, " } else { "" };
        return Err(Error::file(
            path,
            format!("is there already: {resume}replace it by --overwrite, or name another file"),
        ));
    }
    Ok(())
}

fn stream_error(source: io::Error) -> Error {
    Error::StandardOutput { source }
}

/// The reason that a file which appears when it is whole can't be written.
fn write_error(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let what = match error.kind() {
        StorageFull => "the disk is full",
        QuotaExceeded => "the quota is used up",
        FileTooLarge => "it has reached the largest size that the system allows",
        _ => return Error::io(path, "written", error),
    };
    Error::file(path, format!("can't be written: {what}; make room and start again"))
}

#[cfg(test)]
mod tests;
