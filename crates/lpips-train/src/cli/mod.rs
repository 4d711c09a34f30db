//! The commands of `lpips-train`, one file each.

pub(crate) mod augment;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod train;

use std::io::{self, Write};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Error(String),
    /// It was asked to stop.
    Stopped,
    /// Whoever reads the output has gone.
    ReaderGone,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<lpips_train::Error> for Failure {
    fn from(error: lpips_train::Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<lpips_data::Error> for Failure {
    fn from(error: lpips_data::Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<lpips_core::Error> for Failure {
    fn from(error: lpips_core::Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        lpips_core::Error::from(error).into()
    }
}

/// Prints a line of results.
pub(crate) fn print(line: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(error) => Err(Failure::Error(format!("the output can't be written: {error}"))),
    }
}

/// Prints a line beside the results.
pub(crate) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

pub(crate) fn error(message: &str) {
    note(&format!("error: {message}"));
}
