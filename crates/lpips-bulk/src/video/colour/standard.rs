//! Colour matrices and ranges of video, by name.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The standard that defines luma and chroma in terms of red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMatrix {
    /// BT.601, of standard definition.
    Bt601,
    /// BT.709, of high definition.
    Bt709,
}

impl ColourMatrix {
    /// The default of common players: BT.709 from a width of 1280 or a height of 720 pixels on, otherwise BT.601.
    pub fn of_size(width: usize, height: usize) -> Self {
        if width >= 1280 || height >= 720 { Self::Bt709 } else { Self::Bt601 }
    }

    /// The weights of red and blue in luma; green has the rest.
    pub(super) fn weights(self) -> (f32, f32) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
        }
    }
}

impl FromStr for ColourMatrix {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_lowercase().trim_start_matches("bt") {
            "601" => Ok(Self::Bt601),
            "709" => Ok(Self::Bt709),
            _ => Err(Error::choice(format!("there is no colour matrix '{name}': expected 601 or 709"))),
        }
    }
}

/// Limited (16 to 235) or full (0 to 255) range of luma and chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourRange {
    /// Luma from 16 to 235 and chroma from 16 to 240 of 8 bits, as in television.
    Limited,
    /// All values from 0 on.
    Full,
}

impl fmt::Display for ColourMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bt601 => "601",
            Self::Bt709 => "709",
        })
    }
}

impl fmt::Display for ColourRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limited => "limited",
            Self::Full => "full",
        })
    }
}

impl FromStr for ColourRange {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_lowercase().as_str() {
            "limited" => Ok(Self::Limited),
            "full" => Ok(Self::Full),
            _ => Err(Error::choice(format!("there is no colour range '{name}': expected limited or full"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_matrix_and_range_are_parsed_by_name_and_the_matrix_chosen_by_size() {
        assert_eq!(ColourMatrix::of_size(1279, 719), ColourMatrix::Bt601);
        assert_eq!(
            (ColourMatrix::of_size(1280, 2), ColourMatrix::of_size(2, 720)),
            (ColourMatrix::Bt709, ColourMatrix::Bt709)
        );
        assert_eq!(
            ("709".parse::<ColourMatrix>().unwrap(), "BT601".parse::<ColourMatrix>().unwrap()),
            (ColourMatrix::Bt709, ColourMatrix::Bt601)
        );
        assert!("2020".parse::<ColourMatrix>().unwrap_err().to_string().contains("expected 601 or 709"));
        assert!("tv".parse::<ColourRange>().unwrap_err().to_string().contains("expected limited or full"));
    }
}
