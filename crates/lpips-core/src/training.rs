//! Internals of the forward pass that lpips-train and lpips-eval take apart: no stable API.
//!
//! [`Lpips::compare`] in three steps: [`Lpips::stack`] or [`Lpips::stack_triplets`],
//! [`Backbone::features_channels_last`](crate::Backbone::features_channels_last), [`Lpips::compare_taps`].

use candle_core::Tensor;
use lpips_models::ops;
pub use lpips_models::ops::dropout::Dropout;

use crate::comparison::Comparison;
use crate::error::{Error, Result};
use crate::input::{self, Images};
use crate::lpips::Lpips;
use crate::pairs::{self, Pairs};
use crate::size::Size;

/// Batches of pictures stacked and scaled for the network.
#[derive(Debug, Clone)]
pub struct StackedBatch {
    /// One batch after the other, (N, H, W, 3).
    pub pictures: Tensor,
    /// Pairs of them that are compared.
    pub pairing: PairIndex,
}

/// Pairs of the pictures of a [`StackedBatch`] that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairIndex {
    pictures: usize,
    pairs: Pairs,
    size: Size,
}

impl PairIndex {
    /// Pairs of `n` triplets stacked as all references, all p0, all p1, of this size: each reference with its p0, then
    /// each with its p1.
    pub fn triplets(n: usize, size: Size) -> Self {
        Self { pictures: 3 * n, pairs: (0..2 * n).map(|pair| (pair % n, n + pair)).collect(), size }
    }

    /// Checks that taps are as many as the network's and of all stacked pictures.
    fn check(&self, lpips: &Lpips, taps: &[Tensor]) -> Result<()> {
        let (expected, pictures) = (lpips.tap_names().len(), self.pictures);
        if taps.len() != expected || taps.iter().any(|tap| tap.dims().first() != Some(&pictures)) {
            let given = taps.iter().map(|tap| tap.dims().to_vec()).collect();
            return Err(Error::TapMismatch { given, taps: expected, pictures });
        }
        Ok(())
    }
}

/// Gradients of one layer of the head.
type LayerGradients = (Option<Tensor>, Option<Tensor>);

impl Lpips {
    /// Distances of triplets, (N, 1, 1, 1) each: of p0 and of p1 to their reference, in one pass.
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub fn triplets<'a>(
        &self,
        reference: impl Into<Images<'a>>,
        p0: impl Into<Images<'a>>,
        p1: impl Into<Images<'a>>,
    ) -> Result<(Tensor, Tensor)> {
        let (reference, p0, p1) = (reference.into(), p0.into(), p1.into());
        let n = reference.batch();
        ops::in_pool(|| {
            let stack = self.stack_triplets(reference, p0, p1)?;
            let taps = self.backbone().features_channels_last(&stack.pictures)?;
            ops::recycle(stack.pictures, Some(&taps[0]))?;
            let distances = self.compare_taps(&stack.pairing, &taps, None)?.distance()?;
            Ok((distances.narrow(0, 0, n)?, distances.narrow(0, n, n)?))
        })
    }

    /// Stacks two batches, checked and scaled, for the network.
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    #[doc(hidden)]
    pub fn stack<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<StackedBatch> {
        let batches = [a.into(), b.into()];
        let (size, pairs) = input::broadcast(batches[0], batches[1])?;
        let pictures = self.stacked(&batches, size)?;
        Ok(StackedBatch { pairing: PairIndex { pictures: pictures.dims()[0], pairs, size }, pictures })
    }

    /// Stacks triplets, N references, N p0 and N p1, for the network, paired as [`PairIndex::triplets`].
    ///
    /// # Errors
    /// Those of [`Self::forward`], and batches that are not equally large.
    #[doc(hidden)]
    pub fn stack_triplets<'a>(
        &self,
        reference: impl Into<Images<'a>>,
        p0: impl Into<Images<'a>>,
        p1: impl Into<Images<'a>>,
    ) -> Result<StackedBatch> {
        let batches = [reference.into(), p0.into(), p1.into()];
        let (size, n) = (batches[0].size()?, batches[0].batch());
        for other in &batches[1..] {
            pairs::same_size(size, other.size()?)?;
            if other.batch() != n {
                return Err(Error::BatchMismatch { a: n, b: other.batch() });
            }
        }
        Ok(StackedBatch { pictures: self.stacked(&batches, size)?, pairing: PairIndex::triplets(n, size) })
    }

    /// One large product is faster than several small ones, so all batches go through the network at once.
    fn stacked(&self, batches: &[Images<'_>], size: Size) -> Result<Tensor> {
        self.backbone().check_size(size.height, size.width)?;
        input::channels_last(batches, (0, size.height), self.version(), self.device())
    }

    /// Applies the head to the taps (N, H', W', C) of a stacked batch. With `dropout` the channels' squared differences
    /// are dropped at random, as in the published training.
    ///
    /// # Errors
    /// [`Error::TapMismatch`].
    #[doc(hidden)]
    pub fn compare_taps(&self, index: &PairIndex, taps: &[Tensor], dropout: Option<Dropout>) -> Result<Comparison> {
        index.check(self, taps)?;
        let maps = self.head().distances(taps, taps, &index.pairs, dropout)?;
        Ok(Comparison::new(self.tap_names().into_iter().zip(maps).collect(), index.size))
    }

    /// Backward pass of [`Self::compare_taps`], for each layer: from the gradient `grad` of the distances, (P), to that
    /// of the taps, if `wants_taps`, and that of the lin head, (1, C, 1, 1). Without candle's graph, which would hold a
    /// copy of the taps and zeros of their size.
    ///
    /// # Errors
    /// [`Error::TapMismatch`].
    #[doc(hidden)]
    pub fn tap_gradients(
        &self,
        index: &PairIndex,
        taps: &[Tensor],
        dropout: Option<Dropout>,
        grad: &Tensor,
        wants_taps: bool,
    ) -> Result<Vec<LayerGradients>> {
        index.check(self, taps)?;
        let layer = |(layer, taps): (usize, &Tensor)| {
            let (_, h, w, _) = taps.dims4()?;
            // The distance is a mean over the layer's pixels.
            let grad = (grad.detach() / (h * w) as f64)?.reshape(((), 1, 1))?;
            let grad = grad.broadcast_as((index.pairs.len(), h, w))?.contiguous()?;
            Ok(self.head().gradients(layer, taps, &index.pairs, dropout, &grad, wants_taps)?)
        };
        taps.iter().enumerate().map(layer).collect()
    }
}
