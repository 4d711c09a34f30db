//! Errors of measuring many pairs, as sentences a user can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of pair sources, the pipeline, results, videos and reports.
///
/// A picture that can't be read or measured is no error of a run: its row holds the reason
/// ([`Row::outcome`](crate::results::schema::Row::outcome)).
///
/// ```
/// use lpips_bulk::source::shard::Shard;
///
/// let error = "5/4".parse::<Shard>().unwrap_err();
/// assert!(error.is_usage() && error.to_string().contains("5/4"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A choice that can't be, or choices that do not go together.
    #[error("{reason}")]
    Choice {
        /// Message: what was given, what was expected, and what to do.
        reason: String,
    },
    /// A file or folder that can't be used, or holds what it should not.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Message: what is wrong, and what to do.
        reason: String,
    },
    /// Standard output, or another stream without a name, that can't be written.
    #[error("can't write to standard output: {source}")]
    StandardOutput {
        /// The system's error.
        source: io::Error,
    },
    /// Pairs or results that can't be used.
    #[error("{reason}")]
    Invalid {
        /// Message: what is wrong, and what to do.
        reason: String,
    },
    /// A source without pairs.
    #[error("nothing was compared: the source has no pairs")]
    NoPairs,
    /// An error of judgments or of the shared work on files.
    #[error(transparent)]
    Data(#[from] lpips_data::Error),
    /// An error of a metric's choice, or of a pixel metric.
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
    /// An error of a choice: what was given, what was expected.
    pub fn choice(reason: impl Into<String>) -> Self {
        Self::Choice { reason: reason.into() }
    }

    /// An error of a file or folder: which, and what is wrong with it.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// An error of pairs or results that can't be used.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    /// An error of reading or writing a file; `what` is the participle, "read" or "written".
    pub fn io(path: impl AsRef<Path>, what: &str, error: &io::Error) -> Self {
        lpips_data::Error::io(path, what, error).into()
    }

    /// Whether the caller's choice was wrong, rather than a file, a device or the data.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Choice { .. } => true,
            Self::Data(error) => error.is_usage(),
            Self::Eval(error) => error.is_usage(),
            Self::Metric(error) => error.is_usage(),
            Self::File { .. } | Self::StandardOutput { .. } | Self::Invalid { .. } | Self::NoPairs => false,
        }
    }

    /// Whether a device has run out of memory: fewer pairs at once may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Data(lpips_data::Error::Metric(error)) | Self::Metric(error) => error.is_out_of_memory(),
            Self::Eval(error) => error.is_out_of_memory(),
            _ => false,
        }
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Error>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_usage_follows_the_wrapped_error() {
        let core = || "2".parse::<lpips_core::Version>().unwrap_err();
        assert!(!Error::NoPairs.is_usage());
        assert!(Error::choice("two of a kind").is_usage());
        assert!(Error::from(core()).is_usage());
        assert!(Error::from(lpips_data::Error::from(core())).is_usage());
        assert!(!Error::file("a.png", "is empty").is_usage());
        assert!(!Error::io("a.png", "read", &io::ErrorKind::NotFound.into()).is_usage());
    }
}
