//! What an operator is going to do for an input of some shape, without doing it.

pub use super::cpu::conv::Algorithm;

/// The algorithm that was chosen for a convolution, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// How it is computed; `None` on a device that our kernels do not reach, where candle computes it.
    pub algorithm: Option<Algorithm>,
    /// Floating-point operations of the convolution as it is defined: 2 k k in for each output value, of all pictures.
    pub flops: f64,
    /// Floating-point operations of the multiply-adds that this algorithm executes; as [`Self::flops`] where candle
    /// computes.
    pub executed_flops: f64,
}
