//! Features and gradients of one batch.

use std::collections::HashMap;

use candle_core::Tensor;
use lpips_core::training::PairIndex;

/// The backbone's taps of a batch of triplets, and which pictures are compared.
#[derive(Debug)]
pub struct BatchFeatures {
    /// One tensor for each tap, (3 N, H, W, C): N references, N p0, N p1.
    pub taps: Vec<Tensor>,
    /// The pairs (reference, p0) of the N triplets, then the pairs (reference, p1).
    pub pairs: PairIndex,
}

/// The loss of a batch and its gradients.
#[derive(Debug)]
pub struct BatchGradients {
    /// The mean loss over the batch's triplets.
    pub loss: f64,
    /// The published trainer's accuracy, in [0, 1]: see [`lpips_core::accuracy`].
    pub accuracy: f64,
    /// The gradients of the scaled loss, in f32, by the parameters' names.
    pub by_name: HashMap<String, Tensor>,
}
