//! The head as the paper writes it (Zhang et al., 2018, equation 1): unit-normalised taps, their squared difference,
//! weighted by channel.

use candle_core::{Result, Tensor};
use lpips_models::ops::norm::unit_channels;

/// The weights of each tapped layer's channels, (1, C, 1, 1), or none: then every channel counts 1.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    lins: Option<Vec<Tensor>>,
}

impl Head {
    pub(crate) fn new(lins: Option<Vec<Tensor>>) -> Self {
        Self { lins }
    }

    pub(crate) fn has_lins(&self) -> bool {
        self.lins.is_some()
    }

    /// A tap (N, H, W, C) as the head takes it: in f32, each pixel of length one.
    pub(crate) fn prepare(tap: &Tensor) -> Result<Tensor> {
        unit_channels(&tap.to_dtype(candle_core::DType::F32)?)
    }

    /// The distance at each pixel of layer `layer`, (N, H, W), from two prepared taps.
    pub(crate) fn distance(&self, layer: usize, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let squares = a.broadcast_sub(b)?.sqr()?;
        match self.lins.as_ref().and_then(|lins| lins.get(layer)) {
            Some(lin) => squares.broadcast_mul(&lin.reshape((1, 1, 1, ()))?)?.sum(3),
            None => squares.sum(3),
        }
    }
}
