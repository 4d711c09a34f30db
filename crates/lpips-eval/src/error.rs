//! Errors of scoring metrics, as sentences a user can act on.

use std::path::{Path, PathBuf};

use lpips_core::Size;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of metrics, scores, statistics and files of results.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An empty name among metrics.
    #[error("a metric's name is empty: expected names with commas between them")]
    EmptyMetricName,
    /// A name that is neither a metric's nor a file's.
    #[error(
        "there is no metric and no file '{name}': choose among {known}, with -0.0 or -baseline after a network, or name a model that \
         lpips-train has written{}", suggestion.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
    )]
    UnknownMetric {
        /// The name.
        name: String,
        /// The names that metrics have.
        known: String,
        /// The known name that is most like it, if one is.
        suggestion: Option<String>,
    },
    /// Two pictures of different sizes for a pixel metric.
    #[error("pictures of {first} and {second} pixels were given: expected one size")]
    SizeMismatch {
        /// The size of the first.
        first: Size,
        /// The size of the second.
        second: Size,
    },
    /// Pictures that are smaller than the window of SSIM.
    #[error("SSIM of pictures of {size} pixels: expected at least {least} pixels a side")]
    TooSmall {
        /// Their size.
        size: Size,
        /// Pixels along the window's side.
        least: usize,
    },
    /// Another number of bytes than the size of a picture has.
    #[error("{bytes} bytes were given for a picture of {size} pixels: expected 3 bytes a pixel")]
    PixelBytes {
        /// The number of bytes.
        bytes: usize,
        /// The picture's size.
        size: Size,
    },
    /// Samples of another number of pictures than pairs and triplets have.
    #[error("{count} pictures were given: expected 2 or 3")]
    PicturesPerSample {
        /// The number.
        count: usize,
    },
    /// Fewer than two folds.
    #[error("{folds} folds were asked for: expected at least 2")]
    TooFewFolds {
        /// The number.
        folds: usize,
    },
    /// More folds than references.
    #[error(
        "{folds} folds were asked for, and there are {references} references: expected at most one fold a reference"
    )]
    TooManyFolds {
        /// The number of folds.
        folds: usize,
        /// The number of references.
        references: usize,
    },
    /// Results that can't be joined.
    #[error(
        "the results are of different sets: {first} and {second}; expected both of the same pictures and judgments, at one size"
    )]
    DifferentSets {
        /// The first set.
        first: String,
        /// The second set.
        second: String,
    },
    /// A file of results that can't be used.
    #[error("{}: {reason}", path.display())]
    ResultsFile {
        /// The file.
        path: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },
    /// Pairs none of which was judged the same.
    #[error("no pair of {dataset} was judged the same: expected at least one, as mAP is a fraction of those")]
    NoSamePair {
        /// The dataset.
        dataset: String,
    },
    /// A judgment that no number of votes comes to.
    #[error("the judgment {judgment} is no fraction of {votes} votes: give their real number")]
    VoteCount {
        /// The judgment.
        judgment: f64,
        /// The number of votes.
        votes: u32,
    },
    /// A comparison of metrics on pairs.
    #[error("pairs have no scores of their own to be compared: expected triplets, judged by 2AFC")]
    ComparisonOfPairs,
    /// A comparison of one metric.
    #[error("{metric} was given alone: expected another metric")]
    ComparisonOfOne {
        /// The metric.
        metric: String,
    },
    /// A comparison on fewer than two triplets.
    #[error("{dataset}: {part} has {count} triplets: expected at least 2 to compare on")]
    TooFewTriplets {
        /// The dataset.
        dataset: String,
        /// The part of it that has so few.
        part: &'static str,
        /// The number.
        count: usize,
    },
    /// Fewer values than a statistic needs.
    #[error("{count} scores were given: expected at least {least}")]
    TooFewValues {
        /// The number.
        count: usize,
        /// The number that is needed.
        least: usize,
    },
    /// A value that is NaN or infinite.
    #[error("a score is {value}: expected finite numbers")]
    NotFinite {
        /// The value.
        value: f64,
    },
    /// A statistic that is NaN in every resample.
    #[error("the scores have no interval: expected a score of at least one draw")]
    NoInterval,
    /// A chart that can't be drawn.
    #[error("the chart {title} can't be drawn: {reason}")]
    Chart {
        /// Its title.
        title: String,
        /// The plotting library's reason.
        reason: String,
    },
    /// A table or line of results that can't be put into its format.
    #[error("the {what} can't be written: {reason}")]
    Encode {
        /// The kind of output.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// An error of judgments or files.
    #[error(transparent)]
    Data(#[from] lpips_data::Error),
    /// An error of LPIPS, its network or its weights.
    #[error(transparent)]
    Core(#[from] lpips_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Core(error.into())
    }
}

impl Error {
    /// Whether the caller's choice was wrong, rather than a file or the work itself.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::EmptyMetricName
            | Self::UnknownMetric { .. }
            | Self::TooFewFolds { .. }
            | Self::TooManyFolds { .. }
            | Self::VoteCount { .. }
            | Self::ComparisonOfPairs
            | Self::ComparisonOfOne { .. } => true,
            Self::Data(error) => error.is_usage(),
            Self::Core(error) => error.is_usage(),
            _ => false,
        }
    }

    /// Whether a device has run out of memory: a smaller batch may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Data(lpips_data::Error::Metric(error)) | Self::Core(error) => error.is_out_of_memory(),
            _ => false,
        }
    }

    pub(crate) fn results_file(path: &Path, reason: impl Into<String>) -> Self {
        Self::ResultsFile { path: path.to_path_buf(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_usage_for_wrong_choices_only() {
        let unknown = Error::UnknownMetric {
            name: "alexx".to_string(),
            known: "alex, vgg".to_string(),
            suggestion: Some("alex".to_string()),
        };
        assert!(unknown.is_usage() && unknown.to_string().ends_with("has written; did you mean alex?"), "{unknown}");
        assert!(!Error::TooFewValues { count: 0, least: 1 }.is_usage());
    }
}
