//! Failures of a command and their exit codes.

use std::io;
use std::process::ExitCode;

/// The result of a command, or of a step of it.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a command failed, in one sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// A file, a weight or a computation failed: exit code 1. `None` if each failure was printed when it occurred.
    Work(Option<String>),
    /// Wrong usage: exit code 2.
    Usage(String),
    /// A distance is above the given limit, and was printed: exit code 3.
    Above,
    /// Stopped by a signal: exit code 130.
    Stopped,
    /// The reader of standard output closed it, as `head` does: exit code 0.
    ReaderGone,
}

impl Failure {
    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A failure of the work itself.
    pub fn work(message: impl Into<String>) -> Self {
        Self::Work(Some(message.into()))
    }

    /// A library's error, by its `is_usage()`.
    pub fn of(error: &impl std::error::Error, is_usage: bool) -> Self {
        if is_usage { Self::usage(error.to_string()) } else { Self::work(error.to_string()) }
    }

    /// The sentence to print, unless it was printed before or there is none.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Work(message) => message.as_deref(),
            Self::Usage(message) => Some(message),
            Self::Above | Self::Stopped | Self::ReaderGone => None,
        }
    }

    /// The exit code of a command that failed so.
    pub fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Work(_) => 1,
            Self::Usage(_) => 2,
            Self::Above => 3,
            Self::Stopped => 130,
        }
    }
}

/// Prints the failure, if any, on standard error and returns the exit code.
pub fn exit_code(result: &Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                crate::error(message);
            }
            ExitCode::from(failure.code())
        }
    }
}

impl From<lpips_models::Error> for Failure {
    fn from(error: lpips_models::Error) -> Self {
        Self::of(&error, error.is_usage())
    }
}

impl From<lpips_core::Error> for Failure {
    fn from(error: lpips_core::Error) -> Self {
        Self::of(&error, error.is_usage())
    }
}

impl From<lpips_data::Error> for Failure {
    fn from(error: lpips_data::Error) -> Self {
        Self::of(&error, error.is_usage())
    }
}

impl From<lpips_eval::Error> for Failure {
    fn from(error: lpips_eval::Error) -> Self {
        use lpips_eval::Error as Eval;
        match error {
            Eval::Core(error) => error.into(),
            Eval::Data(error) => error.into(),
            other => Self::of(&other, other.is_usage()),
        }
    }
}

#[cfg(feature = "bulk")]
impl From<lpips_bulk::Error> for Failure {
    fn from(error: lpips_bulk::Error) -> Self {
        match error {
            lpips_bulk::Error::StandardOutput { source } => source.into(),
            other => Self::of(&other, other.is_usage()),
        }
    }
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        lpips_models::Error::from(error).into()
    }
}

/// Errors of writing standard output, the only file that a command writes without a library.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::work(format!("can't write to standard output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn failure_broken_pipe_on_stdout_exits_zero() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.code(), failure.message()), (0, None));
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn failure_unknown_network_is_usage() {
        let error = "no-such-net".parse::<lpips_core::Network>().unwrap_err();
        let failure = Failure::from(lpips_core::Error::from(error));
        assert_eq!(failure.code(), 2);
        assert!(failure.message().unwrap().contains("no-such-net"));
    }
}
