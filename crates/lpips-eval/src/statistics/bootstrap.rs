//! Bootstrap confidence intervals.

use lpips_data::rng::{Rng, Stream};
use rayon::prelude::*;

use super::descriptive::{check, quantile_from_below};
use crate::{Error, Result};

/// Percentile bootstrap (Efron, 1979): resamples with replacement, on all threads.
///
/// ```
/// use lpips_eval::statistics::Bootstrap;
///
/// let scores = vec![0.6, 0.8, 1.0, 0.4, 0.8];
/// let (low, high) = Bootstrap::default().mean(&[scores])?;
/// assert!(low < 0.72 && 0.72 < high);
/// # Ok::<(), lpips_eval::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// The confidence level, in (0, 1).
    pub level: f64,
    /// The number of resamples.
    pub resamples: usize,
    /// The seed; equal seeds give equal intervals, on any number of threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { level: 0.95, resamples: 1000, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of a statistic over samples of these sizes. A resample draws from every sample as many places as it
    /// has, and `statistic` is computed from these places; the interval spans the middle part, of size `level`, of all
    /// resamples. NaN is left out.
    ///
    /// # Errors
    /// An empty sample, or a statistic that is NaN in every resample.
    pub fn interval(&self, sizes: &[usize], statistic: impl Fn(&[Vec<usize>]) -> f64 + Sync) -> Result<(f64, f64)> {
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(Error::TooFewValues { count: 0, least: 1 });
        }
        let draw = |resample: usize| {
            let one = |(sample, size): (usize, &usize)| {
                let mut rng = Rng::new(self.seed, Stream::Bootstrap, (resample as u64, sample as u64));
                (0..*size).map(|_| rng.below(*size)).collect()
            };
            let places: Vec<Vec<usize>> = sizes.iter().enumerate().map(one).collect();
            statistic(&places)
        };
        let mut drawn: Vec<f64> = (0..self.resamples.max(1)).into_par_iter().map(draw).collect();
        drawn.retain(|value| !value.is_nan());
        if drawn.is_empty() {
            return Err(Error::NoInterval);
        }
        drawn.sort_by(f64::total_cmp);
        let outside = (1.0 - self.level) / 2.0;
        Ok((quantile_from_below(&drawn, outside), quantile_from_below(&drawn, 1.0 - outside)))
    }

    /// The interval of the mean of the samples' means.
    ///
    /// # Errors
    /// An empty sample, or a value that is not finite.
    pub fn mean(&self, samples: &[Vec<f64>]) -> Result<(f64, f64)> {
        samples.iter().try_for_each(|values| check(values, 1))?;
        let sizes: Vec<usize> = samples.iter().map(Vec::len).collect();
        self.interval(&sizes, |places| {
            let of = |(values, places): (&Vec<f64>, &Vec<usize>)| {
                places.iter().map(|at| values[*at]).sum::<f64>() / places.len() as f64
            };
            samples.iter().zip(places).map(of).sum::<f64>() / samples.len() as f64
        })
    }
}
