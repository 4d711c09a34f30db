//! Errors of a training, as sentences a user can act on.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of settings, weights, checkpoints and training steps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting whose value is out of range.
    #[error("{name} is {given}: expected {expected}")]
    Setting {
        /// The setting, as `group.key`.
        name: String,
        /// The value that was given.
        given: String,
        /// The values that it may have.
        expected: String,
    },
    /// A setting that does not exist.
    #[error("{layer}: there is no setting {name}: {hint}")]
    UnknownSetting {
        /// The source of the setting: a file, or the command line.
        layer: String,
        /// The setting, as `group.key`.
        name: String,
        /// The nearest setting, or all that there are.
        hint: String,
    },
    /// Settings that can't be read, or a value of another type than its setting's.
    #[error("{layer}: {reason}")]
    Settings {
        /// The source of the settings: a file, or the command line.
        layer: String,
        /// The problem, and the expected form.
        reason: String,
    },
    /// Settings that contradict each other, or name something that does not exist.
    #[error("{reason}")]
    Conflict {
        /// The settings, and what to do.
        reason: String,
    },
    /// Weights that do not fit the model, or are missing.
    #[error("{reason}")]
    Weights {
        /// The weights, and what was expected.
        reason: String,
    },
    /// A checkpoint that can't be read, or belongs to another training.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The problem, and what to do.
        reason: String,
    },
    /// A run folder that another training is writing to.
    #[error("{}: another training is writing to this folder: name another with --out", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A loss or a gradient that is not a finite number.
    #[error(
        "step {step} of epoch {epoch}: {reason}; {saved}. Lower the learning rate, or look at these triplets: {}",
        triplets.join(", ")
    )]
    Diverged {
        /// The step, from 1, over all epochs.
        step: u64,
        /// The epoch, from 1.
        epoch: usize,
        /// The number that is not finite.
        reason: String,
        /// The file of the state before the step, or the reason why it was not saved.
        saved: String,
        /// The names of the step's triplets.
        triplets: Vec<String>,
    },
    /// An error of judgments, or of a file that is read or written.
    #[error(transparent)]
    Data(#[from] lpips_data::Error),
    /// An error of scores or charts.
    #[error(transparent)]
    Eval(#[from] lpips_eval::Error),
    /// An error of the metric, its network or its weights.
    #[error(transparent)]
    Metric(#[from] lpips_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Metric(error.into())
    }
}

impl Error {
    /// Returns whether the caller's choice was wrong (exit code 2), rather than a file, a device or the training
    /// itself.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Setting { .. }
            | Self::UnknownSetting { .. }
            | Self::Settings { .. }
            | Self::Conflict { .. }
            | Self::Weights { .. } => true,
            Self::Checkpoint { .. } | Self::Locked { .. } | Self::Diverged { .. } => false,
            Self::Data(error) => error.is_usage(),
            Self::Eval(error) => error.is_usage(),
            Self::Metric(error) => error.is_usage(),
        }
    }

    /// An error of reading or writing a file, with what was tried: "read", "written".
    pub(crate) fn io(path: impl AsRef<Path>, what: &str, error: &std::io::Error) -> Self {
        lpips_data::Error::io(path, what, error).into()
    }

    /// An error of a file: which, and what is wrong with it.
    pub(crate) fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        lpips_data::Error::file(path, reason).into()
    }

    /// An error of settings that can't be read: where they were given, and what is wrong.
    pub(crate) fn settings(layer: &str, reason: impl Into<String>) -> Self {
        Self::Settings { layer: layer.to_string(), reason: reason.into() }
    }

    /// An error of settings that contradict each other.
    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }

    /// An error of a checkpoint: which, and what is wrong with it.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn train_error_is_usage_only_where_the_choice_was_wrong() {
        assert!(Error::conflict("a and b").is_usage());
        assert!(Error::settings("a.toml", "is empty").is_usage());
        assert!(!Error::file("a.png", "is empty").is_usage());
        assert!(!Error::checkpoint("a.safetensors", "is cut short").is_usage());
        assert!(!Error::Locked { path: "run".into() }.is_usage());
    }
}
