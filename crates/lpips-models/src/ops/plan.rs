//! The plan of a convolution for an input shape: its algorithm and cost.

pub use super::cpu::conv::Algorithm;

/// The algorithm chosen for a convolution, and its cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The algorithm; `None` on a device without our kernels, where candle computes it.
    pub algorithm: Option<Algorithm>,
    /// Floating-point operations of the convolution as it is defined: 2 k k in for each output value, of all pictures.
    pub flops: f64,
    /// Floating-point operations of the multiply-adds that this algorithm executes; as [`Self::flops`] where candle
    /// computes.
    pub executed_flops: f64,
}
