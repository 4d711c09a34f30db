//! The head as the paper writes it (Zhang et al., 2018, equation 1): unit-normalised taps, their squared difference,
//! weighted by channel.

use candle_core::{Result, Tensor};
use lpips_models::ops::dropout::Dropout;
use lpips_models::ops::head;

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

    /// Whether any weight is a variable.
    pub(crate) fn has_variables(&self) -> bool {
        self.lins.iter().flatten().any(Tensor::track_op)
    }

    /// The distance at each pixel of layer `layer`, (P, H, W), from taps (Na, H, W, C) and (Nb, H, W, C) and the pairs of
    /// pictures to compare.
    pub(crate) fn distance(
        &self,
        layer: usize,
        a: &Tensor,
        b: &Tensor,
        pairs: &[(usize, usize)],
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let dropout = dropout.map(|dropout| dropout.stream(layer as u64));
        head::distance(a, b, self.lins.as_ref().and_then(|lins| lins.get(layer)), pairs, dropout)
    }
}
