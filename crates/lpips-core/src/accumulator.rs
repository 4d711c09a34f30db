//! Accumulation of the metric over a set of pairs, batch by batch.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::input::Images;
use crate::lpips::Lpips;

/// Reduction of the distances by [`Accumulator::compute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Reduction {
    /// Mean.
    #[default]
    Mean,
    /// Sum.
    Sum,
    /// All distances, in the order of the updates.
    None,
}

/// Accumulates distances batch by batch, as `LearnedPerceptualImagePatchSimilarity` of torchmetrics does.
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
    /// Accumulator without distances.
    pub fn new(lpips: Lpips, reduction: Reduction) -> Self {
        Self { lpips, reduction, sum: 0.0, count: 0, distances: Vec::new() }
    }

    /// Adds the distances of a batch of pairs and returns them, (N, 1, 1, 1). They are detached from the graph.
    ///
    /// # Errors
    /// Those of [`Lpips::forward`]; then nothing is added.
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

    /// Mean or sum of all distances so far as a scalar, or all of them as a vector; f32, on the CPU.
    ///
    /// # Errors
    /// A mean of no distances: call [`Self::update`] first.
    pub fn compute(&self) -> Result<Tensor> {
        let cpu = &candle_core::Device::Cpu;
        Ok(match self.reduction {
            Reduction::Mean if self.count == 0 => {
                return Err(Error::NoDistances);
            }
            Reduction::Mean => Tensor::new((self.sum / self.count as f64) as f32, cpu)?,
            Reduction::Sum => Tensor::new(self.sum as f32, cpu)?,
            Reduction::None => Tensor::from_slice(&self.distances, self.distances.len(), cpu)?,
        })
    }

    /// Number of distances accumulated.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Drops all distances.
    pub fn reset(&mut self) {
        self.sum = 0.0;
        self.count = 0;
        self.distances.clear();
    }
}
