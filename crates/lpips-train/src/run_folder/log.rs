//! The logs of a run: one line of JSON for each step and for each validation.

use std::path::Path;

use lpips_data::journal::{Journal, read_records, replace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checkpoint::Position;
use crate::error::Result;

/// One step, as a line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step, from 1, over all epochs.
    pub step: u64,
    /// The mean loss over the step's triplets.
    pub loss: f64,
    /// The mean accuracy over the step's triplets, in [0, 1]: see [`lpips_core::accuracy`].
    pub accuracy: f64,
    /// The learning rate.
    pub lr: f64,
    /// The gradient's Euclidean norm over all parameters, before clipping.
    pub grad_norm: f64,
}

/// A step that was skipped, as a line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step, from 1, over all epochs.
    pub step: u64,
    /// The reason.
    pub skipped: SkipReason,
}

/// The reason why a step was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SkipReason {
    /// A gradient did not fit into 16 bits.
    Overflow,
    /// No picture of the step's batches could be read.
    Broken,
}

/// The 2AFC score after an epoch, as a line of the validation's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The number of epochs that are complete: 0 before the first.
    pub epoch: usize,
    /// The number of steps taken.
    pub step: u64,
    /// The 2AFC score over all triplets, in [0, 1].
    #[serde(rename = "2afc")]
    pub score: f64,
    /// The highest score that any metric can reach, as people do not agree with one another.
    pub ceiling: f64,
    /// The score by folder.
    pub folders: Vec<(String, f64)>,
}

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Step(StepRecord),
    Skip(SkipRecord),
}

impl Line {
    fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Skip(record) => record.step,
        }
    }
}

const STEPS: &str = "log.jsonl";
const VALIDATIONS: &str = "validation.jsonl";

/// Whether a run's folder holds the log of at least one step.
pub(super) fn has_steps(folder: &Path) -> bool {
    std::fs::metadata(folder.join(STEPS)).is_ok_and(|log| log.len() > 0)
}

/// The logs of a run's folder, opened for appending.
#[derive(Debug)]
pub(super) struct RunLog {
    steps: Journal,
    validations: Journal,
}

impl RunLog {
    /// Opens the logs, which are created where they are missing.
    ///
    /// # Errors
    /// Files that can't be written.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self { steps: Journal::open(&folder.join(STEPS))?, validations: Journal::open(&folder.join(VALIDATIONS))? })
    }

    pub(super) fn step(&mut self, record: &StepRecord) -> Result<()> {
        Ok(self.steps.append_record(record)?)
    }

    pub(super) fn skip(&mut self, record: &SkipRecord) -> Result<()> {
        Ok(self.steps.append_record(record)?)
    }

    pub(super) fn validation(&mut self, record: &Validation) -> Result<()> {
        Ok(self.validations.append_record(record)?)
    }

    /// Syncs both files.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.steps.sync()?;
        Ok(self.validations.sync()?)
    }

    /// Removes the lines after this position, whose steps are going to be repeated.
    pub(super) fn rewind(&mut self, position: &Position) -> Result<()> {
        retain(&mut self.steps, |line: &Line| line.step() <= position.step)?;
        retain(&mut self.validations, |record: &Validation| {
            record.step <= position.step && record.epoch < position.epoch + usize::from(position.scored)
        })
    }

    /// The steps that were taken, without those that were skipped.
    pub(super) fn steps(&self) -> Result<Vec<StepRecord>> {
        let taken = |line| if let Line::Step(record) = line { Some(record) } else { None };
        Ok(read_records(self.steps.path())?.into_iter().filter_map(taken).collect())
    }

    pub(super) fn validations(&self) -> Result<Vec<Validation>> {
        Ok(read_records(self.validations.path())?)
    }
}

/// Rewrites a journal with those of its records for which `is_kept` holds.
fn retain<T: Serialize + DeserializeOwned>(journal: &mut Journal, is_kept: impl Fn(&T) -> bool) -> Result<()> {
    let path = journal.path().to_path_buf();
    let records: Vec<T> = read_records(&path)?;
    replace(&path, records.iter().filter(|record| is_kept(record)))?;
    *journal = Journal::open(&path)?;
    Ok(())
}
