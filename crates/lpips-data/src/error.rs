//! Errors of reading, checking and writing judgments and files, as sentences a user can act on.

use std::io;
use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of data sets and of the files that every crate above writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A choice that can't be, or choices that do not go together.
    #[error("{0}")]
    Choice(String),
    /// A file or folder that can't be read, can't be written, or holds what it should not.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Standard output, or what else results were to go to without a name, can't be written.
    #[error("can't write to standard output: {0}")]
    Stream(io::Error),
    /// Judgments or pictures that can't be used.
    #[error("{0}")]
    Data(String),
    /// A training that diverged.
    #[error("{0}")]
    Astray(String),
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
    /// An error of a file or folder: which, and what is wrong with it.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// Of reading or writing a file.
    pub fn io(path: impl AsRef<Path>, what: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file or folder".to_string(),
            io::ErrorKind::PermissionDenied => format!("can't be {what}: permission denied"),
            io::ErrorKind::StorageFull => {
                format!(
                    "can't be {what}: the disk is full; make room and run it again (with --resume what can be gone on with)"
                )
            }
            io::ErrorKind::ReadOnlyFilesystem => format!("can't be {what}: the file system is read-only"),
            _ => format!("can't be {what}: {error}"),
        };
        Self::file(path, reason)
    }
}
