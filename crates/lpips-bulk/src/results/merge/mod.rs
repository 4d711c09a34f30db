//! Merging of shards: the rows of one run, in order.

use std::path::{Path, PathBuf};

use crate::results::reader::RowReader;
use crate::results::run_file::{Complete, RunFile};
use crate::results::schema::Row;
use crate::source::shard::Shard;
use crate::{Error, Result};

/// Bytes of all parts' buffers together, and the smallest and largest buffer of a part.
const BUFFERS: usize = 1 << 24;
const BUFFER: (usize, usize) = (1 << 12, 1 << 16);
/// Maximum number of shards that a message names.
const NAMED: usize = 10;

/// An iterator over the rows of all shards, in order; exactly those that one run would have written.
///
/// ```
/// use lpips_bulk::results::format::Format;
/// use lpips_bulk::results::merge::Merge;
/// use lpips_bulk::results::run_file::RunFile;
/// use lpips_bulk::results::schema::{Columns, Row};
/// use lpips_bulk::results::writer::ResultsWriter;
///
/// let folder = tempfile::tempdir()?;
/// let mut parts = Vec::new();
/// for number in 1..=2 {
///     let shard: lpips_bulk::source::shard::Shard = format!("{number}/2").parse()?;
///     let path = folder.path().join(format!("part-{number}.jsonl"));
///     let run = RunFile { shard, ..RunFile::new("dirs", Columns::new(["alex"]), Format::Jsonl) };
///     let mut writer = ResultsWriter::create(&path, run, false)?;
///     for index in (0..5).filter(|index| shard.contains(*index)) {
///         let outcome = Err("b.png: is empty".to_string());
///         writer.add(&Row { index, reference: "a.png".into(), candidate: "b.png".into(), second: None, outcome })?;
///     }
///     writer.finish(shard.rows_of(5), 5)?;
///     parts.push(path);
/// }
/// let rows = Merge::open(&parts, false)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Merge {
    run: RunFile,
    /// By shard; `None` where a part is missing or read to its end.
    parts: Vec<Option<Part>>,
    /// Number of parts that may have rows left.
    left: usize,
    /// Index of the next row.
    index: u64,
}

struct Part {
    path: PathBuf,
    shard: Shard,
    complete: Option<Complete>,
    rows: RowReader,
    read: u64,
}

impl Merge {
    /// Opens the files of all shards, or one file of all rows. With `partial` shards may be missing or incomplete.
    ///
    /// # Errors
    /// Shards of different runs, a shard given twice, missing or incomplete ones without `partial`, or a file that
    /// can't be read.
    pub fn open(paths: &[PathBuf], partial: bool) -> Result<Self> {
        let mut runs: Vec<(&Path, RunFile)> = Vec::new();
        for path in paths {
            let run = RunFile::read(path)?;
            if !run.format.is_appendable() {
                let reason =
                    format!("is {}: expected parts in jsonl or csv, which can be merged to any format", run.format);
                return Err(Error::file(path, reason));
            }
            let difference = runs.first().and_then(|(first, of)| Some((first, run.difference(of)?)));
            if let Some((first, difference)) = difference {
                let [own, first] = [path.as_path(), *first].map(|path| path.display().to_string());
                let reason =
                    format!("is of another run: {}; expected shards of one run", difference.between(&own, &first));
                return Err(Error::file(path, reason));
            }
            if let Some((twin, _)) = runs.iter().find(|(_, other)| other.shard == run.shard) {
                let reason = format!("is shard {}, as {} is: name each part once", run.shard, twin.display());
                return Err(Error::file(path, reason));
            }
            if run.complete.is_none() && !partial {
                let reason = "is not complete: resume its run by --resume, or merge the rows so far by --partial";
                return Err(Error::file(path, reason));
            }
            runs.push((path, run));
        }
        let Some((_, first)) = runs.first() else {
            return Err(Error::choice("there is nothing to merge: name the parts".to_string()));
        };
        if !partial {
            check_all_there(&runs)?;
        }
        let is_complete =
            runs.len() as u64 == first.shard.shards() && runs.iter().all(|(_, run)| run.complete.is_some());
        let sum = |of: fn(Complete) -> u64| runs.iter().filter_map(|(_, run)| run.complete).map(of).sum();
        let merged = RunFile {
            shard: Shard::default(),
            total: runs.iter().find_map(|(_, run)| run.total),
            complete: is_complete
                .then(|| Complete { rows: sum(|part| part.rows), failures: sum(|part| part.failures) }),
            ..first.clone()
        };
        let buffer = (BUFFERS / runs.len()).clamp(BUFFER.0, BUFFER.1);
        let mut parts: Vec<Option<Part>> = (0..first.shard.shards()).map(|_| None).collect();
        let left = runs.len();
        for (path, run) in runs {
            let end = std::fs::metadata(path).map_err(|error| Error::io(path, "read", &error))?.len();
            let rows = RowReader::open(path, run.format, &run.columns, end, buffer)?;
            let part = Part { path: path.to_path_buf(), shard: run.shard, complete: run.complete, rows, read: 0 };
            parts[run.shard.number() as usize - 1] = Some(part);
        }
        Ok(Self { run: merged, parts, left, index: 0 })
    }

    /// The run file of the merged rows, in the format of the first part.
    pub fn run(&self) -> &RunFile {
        &self.run
    }
}

impl Iterator for Merge {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        while self.left > 0 {
            let (index, at) = (self.index, (self.index % self.parts.len() as u64) as usize);
            self.index += 1;
            let Some(part) = &mut self.parts[at] else { continue };
            if let Some(row) = part.next(index).transpose() {
                return Some(row);
            }
            self.parts[at] = None;
            self.left -= 1;
        }
        None
    }
}

impl Part {
    /// Reads the row of this index; `None` at the end of the part.
    fn next(&mut self, index: u64) -> Result<Option<Row>> {
        let line = self.rows.line();
        let Some(row) = self.rows.next().transpose()? else {
            let said = self.complete.map_or(self.read, |complete| complete.rows);
            if self.read == said {
                return Ok(None);
            }
            let reason =
                format!("has {} whole rows, and its run file says {said}: it was changed or cut short", self.read);
            return Err(Error::file(&self.path, reason));
        };
        if row.index != index {
            let reason = format!("line {line} is row {}, and row {index} of shard {} is due", row.index, self.shard);
            return Err(Error::file(&self.path, reason));
        }
        self.read += 1;
        Ok(Some(row))
    }
}

/// Rejects missing shards.
fn check_all_there(runs: &[(&Path, RunFile)]) -> Result<()> {
    let of = runs[0].1.shard.shards();
    let mut is_there = vec![false; of as usize];
    for (_, run) in runs {
        is_there[run.shard.number() as usize - 1] = true;
    }
    let missing: Vec<String> = is_there
        .iter()
        .zip(1..)
        .filter(|(there, _)| !**there)
        .map(|(_, number): (_, u64)| number.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let more = if missing.len() > NAMED { format!(" and {} more", missing.len() - NAMED) } else { String::new() };
    let (word, is) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
    let shown = missing[..missing.len().min(NAMED)].join(", ");
    Err(Error::choice(format!(
        "{word} {shown}{more} of {of} {is} missing: name all parts, or merge the rows so far by --partial"
    )))
}

#[cfg(test)]
mod tests;
