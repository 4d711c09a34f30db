//! The metric over a whole set of pairs, batch by batch.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::input::Images;
use crate::lpips::Lpips;

/// What [`Accumulator::compute`] makes of the distances so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// All of them, in the order they came.
    None,
}

/// Collects distances batch by batch, as `LearnedPerceptualImagePatchSimilarity` of torchmetrics does.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::{Accumulator, Lpips, Network, Reduction};
///
/// let mut metric = Accumulator::new(Lpips::new(Network::AlexNet)?, Reduction::Mean);
/// for _ in 0..3 {
///     let a = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
///     metric.update(&a, &a)?;
/// }
/// assert_eq!(metric.compute()?.to_scalar::<f32>()?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Accumulator {
    lpips: Lpips,
    reduction: Reduction,
    sum: f64,
    count: usize,
    distances: Vec<f32>,
}

impl Accumulator {
    /// Nothing collected yet.
    pub fn new(lpips: Lpips, reduction: Reduction) -> Self {
        Self { lpips, reduction, sum: 0.0, count: 0, distances: Vec::new() }
    }

    /// Adds the distances of a batch of pairs and returns them, (N, 1, 1, 1). No graph is kept.
    ///
    /// # Errors
    /// Those of [`Lpips::forward`]; nothing is added then.
    pub fn update<'a>(&mut self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<Tensor> {
        let distances = self.lpips.forward(a, b)?.detach();
        let values = distances.flatten_all()?.to_vec1::<f32>()?;
        self.sum += values.iter().copied().map(f64::from).sum::<f64>();
        self.count += values.len();
        if self.reduction == Reduction::None {
            self.distances.extend(values);
        }
        Ok(distances)
    }

    /// The mean or the sum of all distances so far as a scalar, or all of them as a vector; f32, on the CPU.
    ///
    /// # Errors
    /// A mean of nothing: call [`Self::update`] first.
    pub fn compute(&self) -> Result<Tensor> {
        let cpu = &candle_core::Device::Cpu;
        Ok(match self.reduction {
            Reduction::Mean if self.count == 0 => {
                return Err(Error::Input("there is no mean of no distances: call update first".to_string()));
            }
            Reduction::Mean => Tensor::new((self.sum / self.count as f64) as f32, cpu)?,
            Reduction::Sum => Tensor::new(self.sum as f32, cpu)?,
            Reduction::None => Tensor::from_slice(&self.distances, self.distances.len(), cpu)?,
        })
    }

    /// How many distances were collected.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Forgets what was collected.
    pub fn reset(&mut self) {
        self.sum = 0.0;
        self.count = 0;
        self.distances.clear();
    }
}
