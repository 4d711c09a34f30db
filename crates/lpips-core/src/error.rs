//! Errors of comparing pictures, as sentences that a user can act on.

use std::path::PathBuf;

use candle_core::DType;
use lpips_models::Network;

use crate::range::Range;
use crate::size::Size;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Cause of an error, from a crate whose types are not part of this one's API.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Error of building a metric, reading a picture or comparing pictures.
///
/// ```
/// use lpips_core::{Error, Version};
///
/// let error = "0.7".parse::<Version>().unwrap_err();
/// assert!(matches!(&error, Error::UnknownVersion { given, .. } if given == "0.7"));
/// assert!(error.is_usage());
/// assert_eq!(error.to_string(), "unknown version '0.7': choose 0.1 or 0.0");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two pictures, or two batches, of different sizes.
    #[error("the pictures differ in size: {a} and {b} pixels; resize one of them to the other's size first")]
    #[non_exhaustive]
    SizeMismatch {
        /// Size of one.
        a: Size,
        /// Size of the other.
        b: Size,
    },
    /// Two batches with different numbers of pictures, neither of which is one.
    #[error("the batches hold {a} and {b} pictures: expected equally many, or one against many")]
    #[non_exhaustive]
    BatchMismatch {
        /// Pictures in one batch.
        a: usize,
        /// Pictures in the other.
        b: usize,
    },
    /// Pictures without the three channels of RGB.
    #[error("the pictures have {given} channels: expected 3 (RGB), in a tensor of shape (N, 3, H, W)")]
    #[non_exhaustive]
    Channels {
        /// Channels given.
        given: usize,
    },
    /// A tensor of a shape that does not fit.
    #[error("a tensor of shape {given:?} is {what}: expected {expected}")]
    #[non_exhaustive]
    Shape {
        /// Shape given.
        given: Vec<usize>,
        /// Description of the misfit, such as `not one picture`.
        what: &'static str,
        /// Shape that fits.
        expected: &'static str,
    },
    /// A tensor of integers for values in [-1, 1] or [0, 1].
    #[error("a tensor of type {dtype:?} can't hold values in {range}: for 0..255 say Images::bytes, or convert to f32")]
    #[non_exhaustive]
    IntegerValues {
        /// Type of the tensor.
        dtype: DType,
        /// Range claimed.
        range: Range,
    },
    /// Pictures that hold NaN or infinity.
    #[error("the pictures hold NaN or infinite values: expected finite numbers, usually in [-1, 1]")]
    NotFinite,
    /// A value outside the range that was claimed for the pictures.
    #[error(
        "the pictures hold {value}, outside of {range}: say Images::unit for [0, 1], Images::bytes for [0, 255], or clamp them"
    )]
    #[non_exhaustive]
    OutOfRange {
        /// A value outside.
        value: f32,
        /// Range claimed.
        range: Range,
    },
    /// A distance that came out as NaN or infinity.
    #[error("the distance came out as {value}: the weights are too large, or damaged")]
    #[non_exhaustive]
    NotFiniteDistance {
        /// The distance.
        value: f32,
    },
    /// An empty list of pictures.
    #[error("no pictures were given: expected some")]
    NoPictures,
    /// An empty list of pairs.
    #[error("no pairs were given: expected at least one")]
    NoPairs,
    /// A pair of pictures that are not in their batches.
    #[error(
        "a pair is of pictures {} and {}, counted from 0, of batches of {} and {}: expected places in them",
        pair.0, pair.1, batches.0, batches.1
    )]
    #[non_exhaustive]
    PairOutOfRange {
        /// Indices of the pair's pictures, from 0.
        pair: (usize, usize),
        /// Pictures in each batch.
        batches: (usize, usize),
    },
    /// A mean over no distances.
    #[error("there is no mean of no distances: call update first")]
    NoDistances,
    /// Taps of another number, or of other pictures, than a stacked batch needs.
    #[error("taps of shapes {given:?} were given: expected {taps}, each of the stack's {pictures} pictures")]
    #[non_exhaustive]
    TapMismatch {
        /// Shapes given.
        given: Vec<Vec<usize>>,
        /// Number of taps expected.
        taps: usize,
        /// Number of pictures expected in each.
        pictures: usize,
    },
    /// Features of another network, version or choice of taps than the metric's.
    #[error("the features were made by {features}, and this is {metric}: make both with the same one")]
    #[non_exhaustive]
    FeatureMismatch {
        /// Description of what made the features.
        features: String,
        /// Description of the metric.
        metric: String,
    },
    /// Features given to a cache that are not one picture of the key's size.
    #[error("features of {pictures} pictures of {size} pixels were given to a cache: expected one of {expected}")]
    #[non_exhaustive]
    CacheEntry {
        /// Pictures given.
        pictures: usize,
        /// Their size.
        size: Size,
        /// Size of the key's picture.
        expected: Size,
    },
    /// A version that is not published.
    #[error("unknown version '{given}': choose 0.1 or 0.0")]
    #[non_exhaustive]
    UnknownVersion {
        /// Text given.
        given: String,
    },
    /// A loss that there is not.
    #[error("unknown loss '{given}': choose ranking, mlp or logistic")]
    #[non_exhaustive]
    UnknownLoss {
        /// Text given.
        given: String,
    },
    /// A layer that the network does not have.
    #[error("{network} has no layer '{name}': choose from {known}")]
    #[non_exhaustive]
    UnknownTap {
        /// Name of the network.
        network: &'static str,
        /// Name given.
        name: String,
        /// Names of the network's layers.
        known: String,
    },
    /// A type of weights and activations that is not supported.
    #[error("the type {dtype:?} is not supported: choose F32, F16 or BF16")]
    #[non_exhaustive]
    UnsupportedType {
        /// Type given.
        dtype: DType,
    },
    /// Published lin heads for other taps than those chosen.
    #[error(
        "the published lin heads belong to the taps {}: for other taps give lin heads of your own, or choose the baseline \
         without any", published.join(", ")
    )]
    #[non_exhaustive]
    LinsOfOtherTaps {
        /// Taps of the published lin heads.
        published: Vec<String>,
    },
    /// A network without published lin heads.
    #[error("no lin heads are published for {network}: give lin heads of your own, or choose the baseline without any")]
    #[non_exhaustive]
    NoPublishedLins {
        /// The network.
        network: Network,
    },
    /// Convolution weights given both loaded and as a file.
    #[error("convolution weights were given twice, loaded and as a file: give them once")]
    WeightsGivenTwice,
    /// Weights of another network than the metric's.
    #[error("weights of {given} were given for {expected}: give those of the same network")]
    #[non_exhaustive]
    WeightsOfOtherNetwork {
        /// Network of the weights.
        given: Network,
        /// Network of the metric.
        expected: Network,
    },
    /// A device name that can't be read.
    #[error("choose auto, cpu, cuda, cuda:N or metal")]
    #[non_exhaustive]
    UnknownDevice {
        /// Text given.
        given: String,
    },
    /// A kind of device that this build or this machine does not support.
    #[error("this build has no {name}: build it with --features {feature}, or choose the CPU")]
    #[non_exhaustive]
    DeviceNotSupported {
        /// Name of the kind, such as `CUDA`.
        name: &'static str,
        /// Cargo feature that adds it.
        feature: &'static str,
    },
    /// A device that can't be opened.
    #[error("{device} can't be used: {source}")]
    #[non_exhaustive]
    DeviceUnavailable {
        /// Description of the device.
        device: String,
        /// Error of opening it.
        source: Box<lpips_models::Error>,
    },
    /// Vector instructions named in `LPIPS_SIMD` that the machine does not have.
    #[error(transparent)]
    Simd(Box<lpips_models::Error>),
    /// A pool of CPU threads that can't be started.
    #[error("can't start {threads} threads: {source}")]
    #[non_exhaustive]
    Threads {
        /// Number of threads.
        threads: usize,
        /// Error of the thread pool.
        source: Source,
    },
    /// A device that ran out of memory.
    #[error("the device is out of memory: {source}")]
    #[non_exhaustive]
    OutOfMemory {
        /// Error of the device.
        source: Box<lpips_models::Error>,
    },
    /// A number of values that is not three for each pixel.
    #[error("{given} {unit} make no RGB picture of {size} pixels: expected 3 for each pixel")]
    #[non_exhaustive]
    PixelCount {
        /// Number of values given.
        given: usize,
        /// `bytes` or `values`.
        unit: &'static str,
        /// Size claimed.
        size: Size,
    },
    /// A size that a picture can't be resized to.
    #[error("a picture of {from} can't be resized to {to}: {source}")]
    #[non_exhaustive]
    Resize {
        /// Size of the picture.
        from: Size,
        /// Size wanted.
        to: Size,
        /// Reason.
        source: Source,
    },
    /// A part that reaches past the picture, or is empty.
    #[error("a part of {part} pixels at ({left}, {top}) is not within the picture's {size}")]
    #[non_exhaustive]
    Crop {
        /// Size of the part.
        part: Size,
        /// Its first column.
        left: usize,
        /// Its first row.
        top: usize,
        /// Size of the picture.
        size: Size,
    },
    /// A picture that can't be encoded.
    #[error("the picture can't be encoded: {source}")]
    Encode {
        /// Error of the encoder.
        source: Source,
    },
    /// A picture file that can't be read or written.
    #[error("{}: {reason}", path.display())]
    #[non_exhaustive]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
        /// Error of the system or of the decoder, if one is behind it.
        source: Option<Source>,
    },
    /// A folder that can't be used as a feature cache.
    #[error("{}: {reason}", path.display())]
    #[non_exhaustive]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
        /// Error of the system, if one is behind it.
        source: Option<std::io::Error>,
    },
    /// An error of the network, its weights or their source.
    #[error(transparent)]
    Model(Box<lpips_models::Error>),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        lpips_models::Error::from(error).into()
    }
}

impl From<lpips_models::Error> for Error {
    fn from(error: lpips_models::Error) -> Self {
        use lpips_models::Error as Model;
        match error {
            Model::Candle(ref candle) if says_out_of_memory(candle) => Self::OutOfMemory { source: Box::new(error) },
            Model::NotFinite => Self::NotFinite,
            Model::UnknownLayer { network, given, known } => Self::UnknownTap { network, name: given, known },
            other => Self::Model(Box::new(other)),
        }
    }
}

/// Whether an error of candle's is a device's lack of memory, for which candle has no kind: the words of CUDA and
/// Metal.
fn says_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_lowercase().replace('_', " ");
    text.contains("out of memory") || text.contains("failed to allocate")
}

impl Error {
    /// Whether a device has run out of memory: the same work in smaller parts may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. })
    }

    /// Whether the caller's choice of network, version, taps, weights, type or device was wrong: exit code 2 of a
    /// program.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::UnknownVersion { .. }
            | Self::UnknownLoss { .. }
            | Self::UnknownTap { .. }
            | Self::UnknownDevice { .. }
            | Self::UnsupportedType { .. }
            | Self::LinsOfOtherTaps { .. }
            | Self::NoPublishedLins { .. }
            | Self::WeightsGivenTwice
            | Self::WeightsOfOtherNetwork { .. }
            | Self::FeatureMismatch { .. }
            | Self::DeviceNotSupported { .. }
            | Self::Simd(_) => true,
            Self::Model(error) => error.is_usage(),
            _ => false,
        }
    }

    #[cfg(feature = "image")]
    pub(crate) fn picture(path: impl Into<PathBuf>, (reason, source): (impl Into<String>, Option<Source>)) -> Self {
        Self::Picture { path: path.into(), reason: reason.into(), source }
    }

    pub(crate) fn weights(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Model(Box::new(lpips_models::Error::WeightsFile { path: path.into(), reason: reason.into() }))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn candle_out_of_memory_is_classified_and_keeps_its_source() {
        for text in ["DriverError(CUDA_ERROR_OUT_OF_MEMORY)", "out of memory", "Failed to allocate buffer"] {
            let error = Error::from(candle_core::Error::Msg(text.to_string()));
            assert!(error.is_out_of_memory(), "{text}");
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(!Error::from(candle_core::Error::Msg("shape".to_string())).is_out_of_memory());
        // The words alone, in a file's name, are no lack of memory.
        assert!(!Error::weights("out of memory.pth", "is damaged").is_out_of_memory());
    }

    #[test]
    fn error_is_usage_for_choices_only() {
        assert!("x".parse::<crate::Version>().unwrap_err().is_usage());
        assert!(Error::from(lpips_models::Network::AlexNet.architecture().positions(&["x"]).unwrap_err()).is_usage());
        assert!(!Error::NoPictures.is_usage() && !Error::NotFinite.is_usage());
    }

    #[test]
    fn wrapped_error_is_the_source() {
        let source = Box::new(std::io::Error::other("cause"));
        let error = Error::Threads { threads: 2, source };
        assert_eq!(error.source().map(ToString::to_string), Some("cause".to_string()));
    }
}
