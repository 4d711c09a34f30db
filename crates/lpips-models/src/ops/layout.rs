//! Between pictures as people pass them, (N, C, H, W), and activations as the operators take them, (N, H, W, C).

use candle_core::{Result, Tensor};

/// (N, C, H, W) to (N, H, W, C). On the CPU this moves the data, elsewhere it is a view.
///
/// # Errors
/// A tensor that does not have four dimensions.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let view = x.permute((0, 2, 3, 1))?;
    if super::has_kernels(x) { view.contiguous() } else { Ok(view) }
}

/// (N, H, W, C) to contiguous (N, C, H, W).
///
/// # Errors
/// A tensor that does not have four dimensions.
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}
