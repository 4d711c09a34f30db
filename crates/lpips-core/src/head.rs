//! Head of the metric (Zhang et al., 2018, equation 1): unit-normalised taps, their squared difference, weighted by
//! channel.

use candle_core::{Result, Tensor};
use lpips_models::ops::dropout::Dropout;
use lpips_models::ops::head;

/// Weights of each tapped layer's channels, (1, C, 1, 1), or none for the baseline, in which every channel counts 1.
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

    /// Distances at each pixel of each layer, (P, h, w), from the taps of two batches and the pairs to compare.
    pub(crate) fn distances(
        &self,
        a: &[Tensor],
        b: &[Tensor],
        pairs: &[(usize, usize)],
        dropout: Option<Dropout>,
    ) -> Result<Vec<Tensor>> {
        let layers = a.iter().zip(b).enumerate();
        layers.map(|(layer, (a, b))| self.distance(layer, a, b, pairs, dropout)).collect()
    }

    /// Distance at each pixel of layer `layer`, (P, H, W), from taps (Na, H, W, C) and (Nb, H, W, C) and the pairs of
    /// pictures to compare.
    pub(crate) fn distance(
        &self,
        layer: usize,
        a: &Tensor,
        b: &Tensor,
        pairs: &[(usize, usize)],
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        head::distance(a, b, self.lin(layer), pairs, stream(dropout, layer))
    }

    /// Gradients of layer `layer`'s taps, if `wants_taps`, and of its weights, from that of the distance at each pixel
    /// between pictures of one stack.
    pub(crate) fn gradients(
        &self,
        layer: usize,
        taps: &Tensor,
        pairs: &[(usize, usize)],
        dropout: Option<Dropout>,
        grad: &Tensor,
        wants_taps: bool,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        head::gradients(taps, self.lin(layer), pairs, stream(dropout, layer), grad, wants_taps)
    }

    fn lin(&self, layer: usize) -> Option<&Tensor> {
        self.lins.as_ref().and_then(|lins| lins.get(layer))
    }
}

/// Dropout of one layer.
fn stream(dropout: Option<Dropout>, layer: usize) -> Option<Dropout> {
    dropout.map(|dropout| dropout.stream(layer as u64))
}
