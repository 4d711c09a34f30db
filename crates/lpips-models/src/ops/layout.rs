//! Conversion between (N, C, H, W), the layout of pictures and taps, and (N, H, W, C), the layout of the operators.

use candle_core::{Result, Tensor};

use super::dispatch::has_kernels;

/// Permutes (N, C, H, W) to (N, H, W, C). On the CPU this moves the data, elsewhere it is a view.
///
/// # Errors
/// A tensor that does not have four dimensions.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let view = x.permute((0, 2, 3, 1))?;
    if has_kernels(x) { view.contiguous() } else { Ok(view) }
}

/// Permutes (N, H, W, C) to contiguous (N, C, H, W).
///
/// # Errors
/// A tensor that does not have four dimensions.
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}
