//! What an operator is going to do for an input of some shape, without doing it.

use std::fmt;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Patches as the rows of a matrix, times the weights: every multiply-add of the definition is done.
    Im2col,
    /// Left to candle, on a device that our kernels do not reach.
    Candle,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Im2col => "im2col",
            Self::Candle => "candle",
        })
    }
}

/// The algorithm that was chosen for a convolution, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// Floating-point operations of the convolution as it is defined: 2 k k in for each output value, of all pictures.
    pub flops: f64,
    /// Floating-point operations of the multiply-adds that this algorithm executes; as [`Self::flops`] where that is not
    /// known ([`Algorithm::Candle`]).
    pub executed_flops: f64,
}
