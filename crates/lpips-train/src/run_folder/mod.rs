//! The folder of a run: settings, logs, events, checkpoints and the trained model, behind a lock.

pub mod checkpoint;
pub(crate) mod curves;
mod log;
mod tensorboard;

use std::path::{Path, PathBuf};

use lpips_data::files;
use lpips_data::lock::Lock;

use self::checkpoint::{Checkpoints, Position};
use self::log::RunLog;
use self::tensorboard::Events;
use crate::config::Config;
use crate::error::{Error, Result};

pub use log::{SkipReason, SkipRecord, StepRecord, Validation};

/// A run's folder, opened for writing by one run alone.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The system holds the lock as long as this is open, so that a killed run leaves none.
    _lock: Lock,
    log: RunLog,
    events: Events,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
}

/// The file of a run's settings, in its folder.
pub const CONFIG: &str = "config.toml";
/// The file of the trained model, in a run's folder.
pub const MODEL: &str = "model.safetensors";
const CHECKPOINTS: &str = "checkpoints";

/// Whether a folder holds a run that has taken a step or has saved a checkpoint.
pub fn holds_run(path: &Path) -> bool {
    log::has_steps(path) || latest_checkpoint(path).exists()
}

/// The path of a run's latest checkpoint, whether the file exists or not.
pub fn latest_checkpoint(path: &Path) -> PathBuf {
    path.join(CHECKPOINTS).join(checkpoint::LATEST)
}

impl RunFolder {
    /// Opens a folder, which is created where it is missing, and writes the run's settings to it.
    ///
    /// # Errors
    /// Another run is writing to it ([`Error::Locked`]), or it can't be written to.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|error| Error::io(path, "made", &error))?;
        let lock = Lock::try_acquire(&path.join(".lock"))?;
        let lock = lock.ok_or_else(|| Error::Locked { path: path.to_path_buf() })?;
        files::remove_unfinished(path)?;
        files::write(&path.join(CONFIG), config.to_toml()?.as_bytes())?;
        let events = path.join("events");
        let created = std::fs::create_dir_all(&events).and_then(|()| Events::create(&events));
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
            log: RunLog::open(path)?,
            events: created.map_err(|error| Error::io(&events, "written", &error))?,
            checkpoints: Checkpoints::new(path.join(CHECKPOINTS))?,
        })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Logs a step.
    ///
    /// # Errors
    /// A full disk.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.log.step(record)?;
        let scalars =
            [("loss", record.loss), ("accuracy", record.accuracy), ("lr", record.lr), ("grad_norm", record.grad_norm)];
        self.events.scalars(record.step, &scalars).map_err(|error| self.events_error(&error))
    }

    /// Logs a step that was skipped.
    ///
    /// # Errors
    /// A full disk.
    pub fn skip(&mut self, record: &SkipRecord) -> Result<()> {
        self.log.skip(record)
    }

    /// Logs the score after an epoch.
    ///
    /// # Errors
    /// A full disk.
    pub fn validation(&mut self, record: &Validation) -> Result<()> {
        self.log.validation(record)?;
        let events = self.events.scalars(record.step, &[("2afc", record.score)]).and_then(|()| self.events.flush());
        events.map_err(|error| self.events_error(&error))
    }

    /// Syncs the logs and the events.
    ///
    /// # Errors
    /// A full disk.
    pub fn sync(&mut self) -> Result<()> {
        self.log.sync()?;
        self.events.flush().map_err(|error| self.events_error(&error))
    }

    /// Removes from the logs what came after this position, which is going to be repeated.
    ///
    /// # Errors
    /// Logs that can't be read or written.
    pub fn rewind(&mut self, position: &Position) -> Result<()> {
        self.log.rewind(position)
    }

    /// The log of all steps that were taken, without those that were skipped.
    ///
    /// # Errors
    /// A log that can't be read.
    pub fn steps(&self) -> Result<Vec<StepRecord>> {
        self.log.steps()
    }

    /// The log of all scores.
    ///
    /// # Errors
    /// A log that can't be read.
    pub fn validations(&self) -> Result<Vec<Validation>> {
        self.log.validations()
    }

    fn events_error(&self, error: &std::io::Error) -> Error {
        Error::io(self.events.path(), "written", error)
    }
}
