//! The folder of a run: settings, logs, events, checkpoints and the trained model, behind a lock.

pub mod checkpoint;
pub(crate) mod curves;
mod tensorboard;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use lpips_data::files;
use serde::{Deserialize, Serialize};

use self::checkpoint::{Checkpoints, Position};
use self::tensorboard::Events;
use crate::config::Config;
use crate::error::{Error, Result};

/// One step, as a line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1.
    pub epoch: usize,
    /// From 1, over all epochs.
    pub step: u64,
    /// The mean over the step's triplets.
    pub loss: f64,
    /// See [`lpips_core::accuracy`].
    pub accuracy: f64,
    /// The learning rate.
    pub lr: f64,
    /// The gradient's Euclidean norm over all weights, before it was shortened.
    pub grad_norm: f64,
}

/// A step that was not taken, as a line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipRecord {
    /// From 1.
    pub epoch: usize,
    /// From 1, over all epochs.
    pub step: u64,
    /// Why.
    pub skipped: SkipReason,
}

/// Why a step was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SkipReason {
    /// A gradient did not fit into 16 bits.
    Overflow,
    /// No picture of the batch could be read.
    Broken,
}

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

/// A score after an epoch, as a line of the validation's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// From 1; 0 is before the first.
    pub epoch: usize,
    /// Steps taken.
    pub step: u64,
    /// The 2AFC score over all triplets, in [0, 1].
    #[serde(rename = "2afc")]
    pub score: f64,
    /// The highest score that any metric could have: people do not agree with one another.
    pub ceiling: f64,
    /// By folder.
    pub folders: Vec<(String, f64)>,
}

/// A run's folder, opened for writing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked as long as this is open, by the system, so that a killed run leaves no lock.
    _lock: File,
    log: File,
    validation: File,
    events: Events,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
}

/// The settings of a run, in its folder.
pub const CONFIG: &str = "config.toml";
/// The trained model, in a run's folder.
pub const MODEL: &str = "model.safetensors";
const LOG: &str = "log.jsonl";
const VALIDATION: &str = "validation.jsonl";
const CHECKPOINTS: &str = "checkpoints";

/// Whether a folder holds a run that has come to a step or a checkpoint.
pub fn holds_run(path: &Path) -> bool {
    let has_steps = std::fs::metadata(path.join(LOG)).is_ok_and(|log| log.len() > 0);
    has_steps || latest_checkpoint(path).exists()
}

/// Where a run's latest checkpoint is, or would be.
pub fn latest_checkpoint(path: &Path) -> PathBuf {
    path.join(CHECKPOINTS).join(checkpoint::LATEST)
}

impl RunFolder {
    /// Opens a folder, which is made where it is not there, and writes the settings of its run into it.
    ///
    /// # Errors
    /// Another run is writing to it, or it can't be written to.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|error| Error::io(path, "made", &error))?;
        let lock_path = path.join(".lock");
        let fail = |error: std::io::Error| Error::io(&lock_path, "written", &error);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: path.to_path_buf() });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        files::remove_unfinished(path)?;
        files::write(&path.join(CONFIG), config.to_toml()?.as_bytes())?;
        let append = |name: &str| {
            let path = path.join(name);
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .map_err(|error| Error::io(&path, "written", &error))
        };
        let events = path.join("events");
        let made = std::fs::create_dir_all(&events).and_then(|()| Events::create(&events));
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
            log: append(LOG)?,
            validation: append(VALIDATION)?,
            events: made.map_err(|error| Error::io(&events, "written", &error))?,
            checkpoints: Checkpoints::new(path.join(CHECKPOINTS))?,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a step down.
    ///
    /// # Errors
    /// A full disk.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        let path = self.path.join(LOG);
        append_line(&mut self.log, &path, record)?;
        let scalars =
            [("loss", record.loss), ("accuracy", record.accuracy), ("lr", record.lr), ("grad_norm", record.grad_norm)];
        self.events.scalars(record.step, &scalars).map_err(|error| Error::io(self.events.path(), "written", &error))
    }

    /// Writes down that a step was not taken.
    ///
    /// # Errors
    /// A full disk.
    pub fn skip(&mut self, record: &SkipRecord) -> Result<()> {
        append_line(&mut self.log, &self.path.join(LOG), record)
    }

    /// Writes a score down.
    ///
    /// # Errors
    /// A full disk.
    pub fn validation(&mut self, record: &Validation) -> Result<()> {
        let path = self.path.join(VALIDATION);
        append_line(&mut self.validation, &path, record)?;
        let events = self.events.scalars(record.step, &[("2afc", record.score)]).and_then(|()| self.events.flush());
        events.map_err(|error| Error::io(self.events.path(), "written", &error))
    }

    /// Brings the logs and the events to the disk.
    ///
    /// # Errors
    /// A full disk.
    pub fn sync(&mut self) -> Result<()> {
        for (file, name) in [(&self.log, LOG), (&self.validation, VALIDATION)] {
            file.sync_data().map_err(|error| Error::io(self.path.join(name), "written", &error))?;
        }
        self.events.flush().map_err(|error| Error::io(self.events.path(), "written", &error))
    }

    /// Takes out of the logs what came after this position, as it is to be done again.
    ///
    /// # Errors
    /// Logs that can't be read or written.
    pub fn rewind(&mut self, position: &Position) -> Result<()> {
        let (log, validation) = (self.path.join(LOG), self.path.join(VALIDATION));
        let stays = |at: u64| at <= position.step;
        rewrite(&log, &read_lines::<Line>(&log)?.into_iter().filter(|line| stays(line.step())).collect::<Vec<_>>())?;
        let before = read_lines::<Validation>(&validation)?
            .into_iter()
            .filter(|record| stays(record.step) && record.epoch < position.epoch + usize::from(position.scored));
        rewrite(&validation, &before.collect::<Vec<_>>())?;
        let append = |path: &PathBuf| {
            OpenOptions::new().append(true).open(path).map_err(|error| Error::io(path, "written", &error))
        };
        (self.log, self.validation) = (append(&log)?, append(&validation)?);
        Ok(())
    }

    /// All steps that were taken so far.
    ///
    /// # Errors
    /// A log that can't be read.
    pub fn steps(&self) -> Result<Vec<StepRecord>> {
        let lines = read_lines(&self.path.join(LOG))?.into_iter();
        Ok(lines.filter_map(|line| if let Line::Step(record) = line { Some(record) } else { None }).collect())
    }

    /// All scores so far.
    ///
    /// # Errors
    /// A log that can't be read.
    pub fn validations(&self) -> Result<Vec<Validation>> {
        read_lines(&self.path.join(VALIDATION))
    }
}

/// One write for a line, so that a killed run leaves no half of one.
fn append_line(file: &mut File, path: &Path, record: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(record).map_err(|error| Error::file(path, error.to_string()))?;
    line.push('\n');
    file.write_all(line.as_bytes()).map_err(|error| Error::io(path, "written", &error))
}

/// The records of a log; a last line that a power cut has left half done is left out.
fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

fn rewrite(path: &Path, records: &[impl Serialize]) -> Result<()> {
    let lines = records.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let mut text = lines.map_err(|error| Error::file(path, error.to_string()))?.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(files::write(path, text.as_bytes())?)
}
