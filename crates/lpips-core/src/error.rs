//! What can go wrong, in words a user can act on.

use std::path::PathBuf;

use crate::size::Size;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between two pictures and their distance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two pictures, or two batches, of different sizes in pixels.
    #[error("the pictures differ in size: {a} and {b} pixels; resize one of them to the other's size first")]
    SizeMismatch {
        /// The size of one.
        a: Size,
        /// The size of the other.
        b: Size,
    },
    /// Two batches of which neither has one picture and which do not have equally many.
    #[error("the batches hold {0} and {1} pictures: expected equally many, or one against many")]
    Batches(usize, usize),
    /// A tensor that is no batch of pictures, or holds what no picture has.
    #[error("{0}")]
    Input(String),
    /// A choice of network, heads, taps, type and device that do not go together.
    #[error("{0}")]
    Choice(String),
    /// A device, or the threads of the CPU, that can't be used.
    #[error("{0}")]
    Device(String),
    /// A picture file that can't be read or written.
    #[error("{}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A folder that features can't be kept in.
    #[error("{}: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// An error of the network, its weights or their source.
    #[error(transparent)]
    Model(#[from] lpips_models::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

impl Error {
    /// Whether a device has run out of memory: with less at once it may go on.
    pub fn is_out_of_memory(&self) -> bool {
        // The devices' own words: candle has no kind of error for it.
        let text = self.to_string().to_lowercase().replace('_', " ");
        matches!(self, Self::Model(_)) && (text.contains("out of memory") || text.contains("failed to allocate"))
    }

    pub(crate) fn picture(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Picture { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn weights(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        lpips_models::Error::WeightsFile { path: path.into(), reason: reason.into() }.into()
    }
}
