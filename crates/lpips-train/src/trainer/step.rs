//! One optimiser step: accumulates gradients over batches, takes their norm, clips them and applies them.

use std::collections::HashMap;

use candle_core::Tensor;
use candle_nn::Optimizer;
use lpips_core::training::Dropout;
use lpips_data::loader::Batch;
use lpips_data::rng::{Rng, Stream};
use lpips_models::ops::sum;

use super::feature_source::FeatureSource;
use crate::config::{Amp, Config};
use crate::error::Result;
use crate::model::{BatchGradients, Model};
use crate::optimiser::{Adam, LossScaler, square_sum};
use crate::run_folder::{SkipReason, StepRecord};

/// The result of a step.
pub(super) enum StepOutcome {
    /// The parameters have moved, by the gradients of so many triplets.
    Taken(StepRecord, usize),
    /// The parameters are as before.
    Skipped(SkipReason),
    /// The loss or the gradient is not a finite number. The parameters are as before.
    Diverged {
        /// The number that is not finite, and what may help.
        reason: String,
        /// The numbers of the step's triplets.
        triplets: Vec<u32>,
    },
}

/// Sums over the batches of a step, as if they were one.
#[derive(Default)]
struct Accumulated {
    loss: f64,
    accuracy: f64,
    /// The numbers of the triplets.
    triplets: Vec<u32>,
    gradients: HashMap<String, Tensor>,
}

impl Accumulated {
    /// Adds the gradients of a batch, which are those of the sum of its triplets' losses.
    fn add(&mut self, numbers: &[u32], batch: BatchGradients) -> Result<()> {
        let n = numbers.len() as f64;
        self.loss += n * batch.loss;
        self.accuracy += n * batch.accuracy;
        self.triplets.extend(numbers);
        for (name, gradient) in batch.by_name {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => sum::add_in_place(sum, gradient)?,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        Ok(())
    }

    /// The Euclidean norm of the gradients, in the order of the parameters' names, so that it is the same in each run.
    fn norm(&self, model: &Model) -> Result<f64> {
        let mut square = 0.0;
        for (name, _, _) in model.variables() {
            if let Some(gradient) = self.gradients.get(name) {
                square += square_sum(gradient)?;
            }
        }
        Ok(square.sqrt())
    }
}

/// One step of a training, and the parts of the training that it reads and changes.
pub(super) struct Step<'a> {
    pub(super) config: &'a Config,
    pub(super) model: &'a mut Model,
    pub(super) adam: &'a mut Adam,
    pub(super) scaler: &'a mut LossScaler,
    pub(super) features: &'a mut FeatureSource,
    /// The number of steps before this one.
    pub(super) number: u64,
    /// The epoch, from 0.
    pub(super) epoch: usize,
    /// The part of the epoch that has passed, in [0, 1).
    pub(super) within: f64,
}

impl Step<'_> {
    /// Takes the step over `batches`, as over one batch of all their triplets.
    ///
    /// # Errors
    /// A picture or a cache that can't be read, and errors of candle's operators.
    pub(super) fn take(
        mut self,
        batches: &mut dyn Iterator<Item = lpips_data::Result<Option<Batch>>>,
    ) -> Result<StepOutcome> {
        let (step, epoch) = (self.number, self.epoch);
        let mut sums = Accumulated::default();
        for (i, batch) in batches.filter_map(Result::transpose).enumerate() {
            let batch = batch?;
            let gradients = self.gradients(&batch, (step, i as u64))?;
            sums.add(&batch.numbers, gradients)?;
        }
        let count = sums.triplets.len() as f64;
        if count == 0.0 {
            return Ok(StepOutcome::Skipped(SkipReason::Broken));
        }
        let (loss, accuracy) = (sums.loss / count, sums.accuracy / count);
        let unscale = 1.0 / (count * self.scaler.scale);
        let grad_norm = sums.norm(self.model)? * unscale;
        if !loss.is_finite() {
            // A lower scale would not help: the loss itself is not scaled.
            let hint = match self.config.run.amp {
                Amp::F16 => " (numbers above 65504 do not fit into f16: bf16 or f32 may do)",
                _ => "",
            };
            let reason = format!("the loss is not a finite number{hint}");
            return Ok(StepOutcome::Diverged { reason, triplets: sums.triplets });
        }
        if !grad_norm.is_finite() {
            if self.scaler.overflowed() {
                return Ok(StepOutcome::Skipped(SkipReason::Overflow));
            }
            let reason = "the gradient is not a finite number".to_string();
            return Ok(StepOutcome::Diverged { reason, triplets: sums.triplets });
        }
        let limit = self.config.optimizer.clip_norm;
        let clip = if limit > 0.0 && grad_norm > limit { limit / grad_norm } else { 1.0 };
        let lr = self.config.optimizer.lr * self.config.schedule().factor(step, epoch, self.within);
        self.adam.set_learning_rate(lr);
        self.adam.step_with(|name, _| sums.gradients.get(name).cloned(), unscale * clip)?;
        self.model.clamp()?;
        self.scaler.succeeded();
        let record = StepRecord { epoch: epoch + 1, step: step + 1, loss, accuracy, lr, grad_norm };
        Ok(StepOutcome::Taken(record, sums.triplets.len()))
    }

    /// The loss of a batch, and the gradients of the sum of its triplets' losses times the loss scale. `place` is the
    /// step and the batch's number in it, which decide the dropout.
    fn gradients(&mut self, batch: &Batch, place: (u64, u64)) -> Result<BatchGradients> {
        let seed = Rng::new(self.config.run.seed, Stream::Dropout, place).bits();
        let dropout = Dropout::new(self.config.model.dropout, seed)?;
        let scale = batch.numbers.len() as f64 * self.scaler.scale;
        if self.model.trains_backbone() {
            return self.model.learn(batch, dropout, scale);
        }
        let features = self.features.features(self.model, batch)?;
        self.model.learn_head(batch, features, dropout, scale)
    }
}
