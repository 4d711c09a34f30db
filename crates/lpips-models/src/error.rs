//! What can go wrong below the metric, in words a user can act on.

use std::path::PathBuf;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a network, an operator or a weights file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network that there is no table for.
    #[error("unknown network '{given}': choose one of {known}")]
    UnknownNetwork {
        /// What was asked for.
        given: String,
        /// The names there are.
        known: String,
    },
    /// A layer that the network does not have.
    #[error("{network} has no layer '{given}': choose from {known}")]
    UnknownLayer {
        /// The network.
        network: &'static str,
        /// What was asked for.
        given: String,
        /// The names there are.
        known: String,
    },
    /// A set of taps that can't be used.
    #[error("{0}")]
    Taps(String),
    /// A tensor whose shape does not fit.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Its shape.
        given: Vec<usize>,
        /// What would fit.
        expected: String,
    },
    /// A picture on which the last tapped layer would have no pixel left.
    #[error("a picture of {width}x{height} pixels is too small for {network}: it needs at least {minimum}x{minimum}")]
    TooSmall {
        /// The network.
        network: &'static str,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The smallest side, in pixels.
        minimum: usize,
    },
    /// Pictures whose values no network can take.
    #[error("the pictures hold NaN or infinite values: expected finite numbers, usually in [-1, 1]")]
    NotFinite,
    /// A weights file that can't be used.
    #[error("{}: {reason}", path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// No usable weights were found for a network.
    #[error("{message}")]
    NoWeights {
        /// What was tried, and which file to put where.
        message: String,
        /// Whether some were found that can't be used.
        unusable: bool,
    },
    /// A download that did not succeed.
    #[error("{0}")]
    Download(String),
    /// An error of candle's.
    #[error(transparent)]
    Candle(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    /// Leaves out the backtrace that candle would print as part of its message.
    fn from(mut error: candle_core::Error) -> Self {
        while let candle_core::Error::WithBacktrace { inner, .. } = error {
            error = *inner;
        }
        Self::Candle(error)
    }
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::WeightsFile { path: path.into(), reason: reason.into() }
    }
}
