//! A file of results that is written while they are measured, and can be resumed.

use std::path::Path;

use lpips_data::journal::Journal;

use super::line::Line;
use super::{Record, Results};
use crate::{Error, Result};

/// A file of results, open for appending.
#[derive(Debug)]
pub struct ResultsLog {
    journal: Journal,
}

impl ResultsLog {
    /// Opens a file for results and copies the distances that it holds into `results`; returns the number of samples
    /// that have them. It is a multiple of `batch` or all, so that the rest is measured in the same batches as in an
    /// uninterrupted run.
    ///
    /// # Errors
    /// A file of other settings or of something else, one that another run is writing, or one that can't be read or
    /// written.
    pub fn open(path: &Path, results: &mut Results, batch: usize) -> Result<(Self, usize)> {
        let in_use = "is being written by another run: wait for it, or name another file";
        let mut journal = Journal::open_exclusive(path, in_use)?;
        let held = journal.resume(&results.header)?;
        let lines: Vec<&[u8]> = held.split_inclusive(|byte| *byte == b'\n').collect();
        let count = results.header.metrics.len();
        let items = lines.len() / count;
        let measured = if items == results.records.len() { items } else { items - items % batch };
        let (kept, dropped) = lines.split_at(measured * count);
        for (record, lines) in results.records.iter_mut().zip(kept.chunks(count)) {
            for line in lines {
                let reason = |what: &str| Error::results_file(path, format!("holds a line that can't be read: {what}"));
                let line: Line = serde_json::from_slice(line).map_err(|error| reason(&error.to_string()))?;
                let distances = line.distances(results.header.kind);
                record.distances.push(distances.ok_or_else(|| reason("it lacks distances"))?);
            }
        }
        let dropped: usize = dropped.iter().map(|line| line.len()).sum();
        if dropped > 0 || journal.is_torn() {
            journal.truncate(journal.len() - dropped as u64)?;
        }
        Ok((Self { journal }, measured))
    }

    /// Appends measured records of `results`.
    ///
    /// # Errors
    /// A full disk.
    pub fn append(&mut self, results: &Results, records: &[Record]) -> Result<()> {
        let lines = records.iter().map(|record| results.lines(record)).collect::<Result<Vec<_>>>()?;
        Ok(self.journal.append(&lines.concat())?)
    }
}
