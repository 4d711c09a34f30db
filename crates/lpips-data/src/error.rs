//! Errors of reading, checking, making and writing judgment sets and files, as sentences a user can act on.

use std::io;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, first_few};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of judgment sets, and of the files that every crate above writes.
///
/// ```
/// use lpips_data::{Error, Task};
///
/// let error = "3afc".parse::<Task>().unwrap_err();
/// assert!(matches!(&error, Error::UnknownTask { name } if name == "3afc"));
/// assert!(error.is_usage());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no task's.
    #[error("there is no kind '{name}': expected 2afc or jnd")]
    UnknownTask {
        /// The name that was given.
        name: String,
    },
    /// A name that is no distortion's and no family's.
    #[error("there is no distortion '{name}': did you mean {nearest}? There are {known}")]
    UnknownDistortion {
        /// The name that was given.
        name: String,
        /// The most similar name.
        nearest: String,
        /// All names, separated by commas.
        known: String,
    },
    /// An argument that is out of range, missing, or does not fit the others.
    #[error("{reason}")]
    InvalidArgument {
        /// Given value, and expected ones.
        reason: String,
    },
    /// A file or folder that can't be used, or holds what it should not.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Fault, and remedy.
        reason: String,
    },
    /// A file or folder that can't be read or written.
    #[error("{}: {}", path.display(), io_reason(action, source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Attempted action, as a participle: "read", "written".
        action: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// Pictures or judgments that can't be used.
    #[error("{}: {advice}", first_few(problems))]
    BrokenFiles {
        /// The files, and why each can't be used.
        problems: Vec<Problem>,
        /// Advice on the files.
        advice: &'static str,
    },
    /// Roots in which every item is broken.
    #[error("{roots}: nothing is left to {purpose}")]
    NothingLeft {
        /// The roots, separated by commas.
        roots: String,
        /// Purpose of the items: "score", "train on".
        purpose: &'static str,
    },
    /// A picture of which no patch shows the chosen distortions.
    #[error(
        "{picture}: no patch of it shows what the chosen distortions do: leave the picture out, or choose more distortions"
    )]
    NoVisibleDistortion {
        /// The picture's path in its folder.
        picture: String,
    },
    /// A patch that JPEG can't compress.
    #[error("a patch can't be compressed by JPEG: {source}")]
    Jpeg {
        /// The codec's error.
        source: image::ImageError,
    },
    /// A download that failed.
    #[error("{url}: {reason}{}", if *resumable { "; the same command resumes the download" } else { "" })]
    Download {
        /// The address.
        url: String,
        /// Why it failed.
        reason: String,
        /// Whether a part of the file is on the disk, which the next download resumes.
        resumable: bool,
    },
    /// A port of this machine that can't be listened on.
    #[error("{}", listen_reason(*port, source))]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// The operating system's error.
        source: io::Error,
    },
    /// An operating system that gives no random numbers.
    #[error("no random numbers: {reason}")]
    NoRandomness {
        /// Why not.
        reason: String,
    },
    /// A worker thread that ended without a result.
    #[error("a thread that decodes pictures has stopped unexpectedly")]
    WorkerStopped,
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
    /// Error of an argument: what was given, and what was expected.
    pub fn argument(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }

    /// Error of a file or folder: what is wrong with it.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// Error of reading or writing a file; `action` is a participle: "read", "written".
    pub fn io(path: impl AsRef<Path>, action: &str, error: &io::Error) -> Self {
        // The error of the operating system itself where there is one: io::Error can't be cloned.
        let source = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        Self::Io { path: path.as_ref().to_path_buf(), action: action.to_string(), source }
    }

    /// Whether the caller's choice was wrong, rather than a file, a device or the data.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::UnknownTask { .. } | Self::UnknownDistortion { .. } | Self::InvalidArgument { .. } => true,
            Self::Metric(error) => error.is_usage(),
            _ => false,
        }
    }
}

impl Problem {
    /// Converts an error into a problem of the file that it names, or of `path` where it names none.
    pub fn of(path: &Path, error: &Error) -> Self {
        match error {
            Error::File { path, reason } => Self { path: path.clone(), reason: reason.clone() },
            Error::Io { path, action, source } => Self { path: path.clone(), reason: io_reason(action, source) },
            other => {
                let reason = other.to_string();
                let reason = reason.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&reason);
                Self { path: path.to_path_buf(), reason: reason.to_string() }
            }
        }
    }
}

/// Reason of a failed read or write, and what to do.
fn io_reason(action: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_string(),
        io::ErrorKind::PermissionDenied => format!("can't be {action}: permission denied"),
        io::ErrorKind::StorageFull => {
            format!(
                "can't be {action}: the disk is full; make room and run it again (with --resume where there is one)"
            )
        }
        io::ErrorKind::ReadOnlyFilesystem => format!("can't be {action}: the file system is read-only"),
        _ => format!("can't be {action}: {error}"),
    }
}

/// Reason that a port can't be listened on, and what to do.
fn listen_reason(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use: give another with --port, or none for any that is free")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} is not permitted: give one from 1024 on with --port, or none for any that is free")
        }
        _ => format!("can't listen at 127.0.0.1:{port}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn data_error_is_usage_only_where_the_choice_was_wrong() {
        assert!(Error::argument("no triplets").is_usage());
        assert!(Error::UnknownTask { name: "3afc".to_string() }.is_usage());
        assert!(!Error::file("a.png", "is empty").is_usage());
        assert!(!Error::io("a.png", "read", &io::ErrorKind::NotFound.into()).is_usage());
    }

    #[test]
    fn data_error_io_keeps_the_operating_system_error_as_source() {
        let error = Error::io("a.png", "written", &io::Error::from_raw_os_error(28));
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(source.raw_os_error(), Some(28));
        assert!(error.to_string().starts_with("a.png: can't be written: the disk is full; "));
    }

    #[test]
    fn problem_of_an_error_names_the_errors_own_file() {
        let problem = Problem::of(Path::new("set"), &Error::io("a.png", "read", &io::ErrorKind::NotFound.into()));
        assert_eq!(problem.to_string(), "a.png: there is no such file or folder");
        let problem = Problem::of(Path::new("set"), &Error::argument("set: is empty"));
        assert_eq!(problem.to_string(), "set: is empty");
    }

    #[test]
    fn broken_files_error_shows_five_and_counts_the_rest() {
        let problem = |at: usize| Problem { path: format!("{at}.png").into(), reason: "is empty".to_string() };
        let error = Error::BrokenFiles { problems: (0..7).map(problem).collect(), advice: "fix them" };
        let text = error.to_string();
        assert!(
            text.starts_with("0.png: is empty; 1.png: ") && text.ends_with("4.png: is empty; and 2 more: fix them")
        );
    }
}
