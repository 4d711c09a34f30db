//! Ranges of pixel values.

use std::fmt;

/// Range of pixel values: the numbers that stand for black and white.
///
/// ```
/// use lpips_core::Range;
///
/// assert_eq!(Range::default(), Range::Signed);
/// assert_eq!(Range::Bytes.to_string(), "[0, 255]");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Range {
    /// Black is -1, white is 1: the published package's default.
    #[default]
    Signed,
    /// Black is 0, white is 1: the published package's `normalize=True`.
    Unit,
    /// Black is 0, white is 255, as a u8 tensor or as floats.
    Bytes,
}

impl Range {
    /// Factor and summand of the conversion to [-1, 1]: value * factor + summand.
    pub(crate) fn to_signed(self) -> (f64, f64) {
        match self {
            Self::Signed => (1.0, 0.0),
            Self::Unit => (2.0, -1.0),
            Self::Bytes => (1.0 / 127.5, -1.0),
        }
    }

    /// Values of black and white.
    pub(crate) fn limits(self) -> (f32, f32) {
        match self {
            Self::Signed => (-1.0, 1.0),
            Self::Unit => (0.0, 1.0),
            Self::Bytes => (0.0, 255.0),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (black, white) = self.limits();
        write!(f, "[{black}, {white}]")
    }
}
