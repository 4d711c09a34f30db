//! Versions of LPIPS as the published package numbers them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Version of LPIPS: the scaling of the input and the set of published lin heads.
///
/// ```
/// use lpips_core::Version;
///
/// assert_eq!("0.1".parse::<Version>()?, Version::default());
/// assert_eq!(Version::V0_0.to_string(), "0.0");
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Version {
    /// The published default: the input is normalised by ImageNet's mean and standard deviation.
    #[default]
    V0_1,
    /// The first release: the input is not normalised.
    V0_0,
}

impl Version {
    /// Mean that the input, in [-1, 1], is reduced by, for red, green and blue.
    pub(crate) fn shift(self) -> [f64; 3] {
        match self {
            Self::V0_1 => [-0.030, -0.088, -0.188],
            Self::V0_0 => [0.0; 3],
        }
    }

    /// Standard deviation that the input is then divided by.
    pub(crate) fn scale(self) -> [f64; 3] {
        match self {
            Self::V0_1 => [0.458, 0.448, 0.450],
            Self::V0_0 => [1.0; 3],
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1 => "0.1",
            Self::V0_0 => "0.0",
        })
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        match given {
            "0.1" => Ok(Self::V0_1),
            "0.0" => Ok(Self::V0_0),
            _ => Err(Error::UnknownVersion { given: given.to_string() }),
        }
    }
}
