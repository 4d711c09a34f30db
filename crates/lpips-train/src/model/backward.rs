//! Gradients of the training loss: of the heads alone, or of the backbone as well.

use std::collections::HashMap;

use candle_core::{DType, Tensor, Var};
use lpips_core::accuracy;
use lpips_core::training::Dropout;
use lpips_data::loader::Batch;
use lpips_models::Activations;
use lpips_models::ops::{self, sum};

use super::batch::{BatchFeatures, BatchGradients};
use super::params::{ParamGroup, lin_name};
use super::{Built, Model};
use crate::error::Result;

/// The gradients of the taps, absent where the backbone is frozen.
type TapGradients = Vec<Option<Tensor>>;

impl Model {
    /// The loss of a batch, and the gradients of `scale` times the loss for all trained parameters.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn learn(&self, batch: &Batch, dropout: Option<Dropout>, scale: f64) -> Result<BatchGradients> {
        if self.trains_backbone() {
            self.learn_all(batch, dropout, scale)
        } else {
            self.learn_head(batch, self.features(batch)?, dropout, scale)
        }
    }

    /// The loss over features of a frozen backbone, and the gradients of `scale` times the loss for the heads and the
    /// loss's own network. The memory of `features` is used again: nothing else may hold them.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn learn_head(
        &self,
        batch: &Batch,
        features: BatchFeatures,
        dropout: Option<Dropout>,
        scale: f64,
    ) -> Result<BatchGradients> {
        let built = self.built()?;
        ops::in_pool(|| {
            let (gradients, _) = self.head_gradients(&built, &features, batch, dropout, scale)?;
            for tap in features.taps {
                ops::recycle(tap, None)?;
            }
            Ok(gradients)
        })
    }

    /// Forward and backward through the backbone too, one segment between taps after the other.
    fn learn_all(&self, batch: &Batch, dropout: Option<Dropout>, scale: f64) -> Result<BatchGradients> {
        let built = self.built()?;
        ops::in_pool(|| {
            let metric = lpips_core::Error::from;
            let backbone = built.lpips.backbone();
            let stack = built.lpips.stack_triplets(&batch.reference, &batch.p0, &batch.p1)?;
            let pictures = stack.pictures.to_dtype(backbone.dtype())?;
            drop(stack.pictures);
            let segments = backbone.segments();
            // The activations that the backward pass needs, or the taps alone where it recomputes them.
            let (mut activations, mut taps): (Vec<Activations>, Vec<Tensor>) = (Vec::new(), Vec::new());
            for segment in &segments {
                let run = segment.forward(taps.last().unwrap_or(&pictures)).map_err(metric)?;
                if self.recompute {
                    taps.push(run.into_output().map_err(metric)?);
                } else {
                    taps.push(run.output().map_err(metric)?);
                    activations.push(run);
                }
            }
            self.release_memory();
            let mut features = BatchFeatures { taps, pairs: stack.pairing };
            let (mut gradients, of_taps) = self.head_gradients(&built, &features, batch, dropout, scale)?;
            let taps = &mut features.taps;
            let mut of_output: Option<Tensor> = None;
            for (i, (segment, of_tap)) in segments.iter().zip(of_taps).enumerate().rev() {
                let gradient = match (of_tap, of_output.take()) {
                    (Some(a), Some(b)) => sum::add_in_place(a, b)?,
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => continue,
                };
                taps.pop();
                let input = taps.last().unwrap_or(&pictures);
                let run = activations.pop().map_or_else(|| segment.forward(input), Ok).map_err(metric)?;
                let of_segment = segment.backward(input, run, gradient, i > 0).map_err(metric)?;
                for (name, gradient) in of_segment.weights {
                    gradients.by_name.insert(name, gradient.to_dtype(DType::F32)?);
                }
                of_output = of_segment.input;
                self.release_memory();
            }
            ops::recycle(pictures, None)?;
            Ok(gradients)
        })
    }

    /// Returns pooled buffers to the system where the backward pass recomputes activations, as memory counts more than
    /// time there.
    fn release_memory(&self) {
        if self.recompute {
            ops::release_memory();
        }
    }

    /// The loss over taps, and the gradients of `scale` times the loss: for the heads and the loss's own network, and
    /// for the taps where the backbone is trained.
    fn head_gradients(
        &self,
        built: &Built,
        features: &BatchFeatures,
        batch: &Batch,
        dropout: Option<Dropout>,
        scale: f64,
    ) -> Result<(BatchGradients, TapGradients)> {
        let BatchFeatures { taps, pairs } = features;
        let distances = built.lpips.compare_taps(pairs, taps, dropout)?.distance()?.flatten_all()?;
        let distances = Var::from_tensor(&distances.detach())?;
        let n = distances.elem_count() / 2;
        let (d0, d1) = (distances.narrow(0, 0, n)?, distances.narrow(0, n, n)?);
        let loss = built.loss.forward(&d0, &d1, &batch.judge)?;
        let grads = (&loss * scale)?.backward()?;
        let rankers = self.variables().filter(|(_, group, _)| *group == ParamGroup::Ranker);
        let mut by_name: HashMap<String, Tensor> =
            rankers.filter_map(|(name, _, var)| Some((name.to_string(), grads.get(var)?.detach()))).collect();
        let of_distances = grads.get(&distances).map_or_else(|| distances.zeros_like(), |grad| Ok(grad.detach()))?;
        let layers = built.lpips.tap_gradients(pairs, taps, dropout, &of_distances, self.trains_backbone())?;
        let mut of_taps = Vec::new();
        for (i, (of_tap, of_lin)) in layers.into_iter().enumerate() {
            by_name.extend(of_lin.map(|gradient| (lin_name(i), gradient)));
            of_taps.push(of_tap);
        }
        let loss = f64::from(loss.to_scalar::<f32>()?);
        Ok((BatchGradients { loss, accuracy: accuracy(&d0, &d1, &batch.judge)?, by_name }, of_taps))
    }
}
