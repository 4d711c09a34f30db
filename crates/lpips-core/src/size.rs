//! Width and height of pictures.

use std::fmt;
use std::str::FromStr;

/// Width and height in pixels, written `WIDTHxHEIGHT`.
///
/// ```
/// use lpips_core::Size;
///
/// let size: Size = "640x480".parse()?;
/// assert_eq!(size, Size { width: 640, height: 480 });
/// assert_eq!(size.to_string(), "640x480");
/// assert_eq!("64".parse(), Ok(Size { width: 64, height: 64 }));
/// # Ok::<(), lpips_core::ParseSizeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Size {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

/// A text that is no [`Size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("expected width x height in pixels, such as 256x256, or one number for both, up to {LONGEST}")]
pub struct ParseSizeError(());

/// The longest side that is read from a text, in pixels.
const LONGEST: usize = 1 << 16;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = ParseSizeError;

    /// Reads `WIDTHxHEIGHT`, or one number for both, each from 1 to 65536.
    fn from_str(given: &str) -> Result<Self, ParseSizeError> {
        let side = |side: &str| side.parse().ok().filter(|side| (1..=LONGEST).contains(side));
        let sides = match given.split_once('x') {
            Some((width, height)) => side(width).zip(side(height)),
            None => side(given).map(|side| (side, side)),
        };
        sides.map(|(width, height)| Self { width, height }).ok_or(ParseSizeError(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_text_roundtrip() {
        let size = Size { width: 3, height: 4 };
        assert_eq!(size.to_string().parse(), Ok(size));
        assert_eq!("64".parse(), Ok(Size { width: 64, height: 64 }));
    }

    #[test]
    fn size_parse_names_the_format_on_bad_text() {
        for text in ["", "0x5", "5x", "x", "-3x4", "99999999x1", "a"] {
            assert!(text.parse::<Size>().unwrap_err().to_string().contains("256x256"), "{text}");
        }
    }
}
