//! Errors of networks, operators and weights files, as sentences that a user can act on.

use std::io;
use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a network, an operator or a weights file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network without a table.
    #[error("unknown network '{given}': choose one of {known}")]
    UnknownNetwork {
        /// The name given.
        given: String,
        /// The names of all networks.
        known: String,
    },
    /// A layer that the network does not have.
    #[error("{network} has no layer '{given}': choose from {known}")]
    UnknownLayer {
        /// The network.
        network: &'static str,
        /// The name given.
        given: String,
        /// The names of the network's layers.
        known: String,
    },
    /// A choice of taps that names no layer.
    #[error("no layer to tap was named: name at least one of {known}")]
    NoTaps {
        /// The names of the network's layers.
        known: String,
    },
    /// A choice of taps that names a layer twice.
    #[error("layer {layer} is named twice: name each layer once")]
    RepeatedTap {
        /// The layer.
        layer: &'static str,
    },
    /// A tensor that the network's table does not have.
    #[error("{network} has no tensor {name}")]
    UnknownTensor {
        /// The network.
        network: &'static str,
        /// The tensor's name.
        name: String,
    },
    /// A tensor whose shape does not fit.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// The tensor.
        what: String,
        /// Its shape.
        given: Vec<usize>,
        /// The shape that fits.
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
    /// A weights file with contents that can't be used.
    #[error("{}: {reason}", path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// The defect, and the remedy.
        reason: String,
    },
    /// A weights file that can't be read.
    #[error("{}: {}", path.display(), unreadable(source))]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A network whose official weights no hash is known of, so that they are not searched for.
    #[error("no hash of {network}'s official weights is known, so they are not looked for: give a file by path")]
    Unpublished {
        /// The network.
        network: &'static str,
    },
    /// A search for a network's weights that found none that can be used.
    #[error(
        "the weights of {network} are not on this machine{}: put {file} into a folder and name it in LPIPS_WEIGHTS_DIR, \
         or put torchvision's file at {torch_file}",
        in_brackets(tried)
    )]
    NoWeights {
        /// The network.
        network: &'static str,
        /// The file name that is looked for in the folder of `LPIPS_WEIGHTS_DIR`.
        file: String,
        /// The place of torchvision's file in PyTorch's cache.
        torch_file: String,
        /// Why the places tried gave nothing.
        tried: Vec<String>,
        /// Whether some were found that can't be used.
        unusable: bool,
    },
    /// A download that did not succeed.
    #[error("{url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why not, and the remedy.
        reason: String,
        /// The error of the transfer or of the file's contents.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A cache folder for downloads that can't be written.
    #[error(
        "can't write to the Hugging Face cache {} ({source}): make room or make it writable, or name another folder in \
         HF_HUB_CACHE", path.display()
    )]
    UnwritableCache {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An error of candle's.
    #[error(transparent)]
    Candle(candle_core::Error),
}

/// The reason why a weights file can't be read.
fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        io::ErrorKind::IsADirectory => "is a folder: expected a weights file (safetensors or PyTorch .pth)".to_string(),
        io::ErrorKind::FileTooLarge => "is over 2 GB, more than any of these networks' weights".to_string(),
        _ => format!("can't be read: {error}"),
    }
}

fn in_brackets(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
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
    /// Whether the caller's choice was wrong, such as an unknown name: exit code 2 of the programs.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownNetwork { .. }
                | Self::UnknownLayer { .. }
                | Self::NoTaps { .. }
                | Self::RepeatedTap { .. }
                | Self::UnknownTensor { .. }
        )
    }

    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::WeightsFile { path: path.into(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn error_is_usage_for_names_only() {
        let unknown = "resnet".parse::<crate::Network>().unwrap_err();
        assert!(unknown.is_usage());
        assert!(!Error::NotFinite.is_usage());
    }

    #[test]
    fn unreadable_file_error_keeps_its_source() {
        let error = Error::UnreadableFile { path: "a.pth".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(error.to_string(), "a.pth: there is no such file");
        assert!(error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>));
    }
}
