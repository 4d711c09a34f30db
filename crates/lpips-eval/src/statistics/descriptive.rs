//! Means, variances, medians and quantiles.

use crate::{Error, Result};

/// A mean that is accumulated value by value, its sum compensated for rounding (Neumaier, 1974).
///
/// ```
/// use lpips_eval::statistics::Mean;
///
/// let mut mean = Mean::default();
/// [1e100, 1.0, -1e100].into_iter().for_each(|value| mean.add(value));
/// assert_eq!(mean.value(), Some(1.0 / 3.0));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    count: u64,
    sum: f64,
    lost: f64,
}

impl Mean {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() { (self.sum, value) } else { (value, self.sum) };
        self.lost += (large - sum) + small;
        self.sum = sum;
        self.count += 1;
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; `None` of no values.
    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.sum + self.lost) / self.count as f64)
    }
}

/// The mean of values, by [`Mean`]; 0 of none.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut mean = Mean::default();
    values.into_iter().for_each(|value| mean.add(value));
    mean.value().unwrap_or_default()
}

/// The mean and the variance with divisor n, both by [`Mean`]; 0 of none.
pub fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let center = mean(values.iter().copied());
    (center, mean(values.iter().map(|value| (value - center) * (value - center))))
}

/// The median of sorted values, of an even number the mean of the middle two.
///
/// # Panics
/// No values.
pub fn median(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// The quantile of sorted values at `part` in [0, 1], linearly interpolated as `numpy.quantile` does by default.
///
/// ```
/// assert_eq!(lpips_eval::statistics::quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
/// ```
///
/// # Panics
/// No values.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let (low, high, at) = neighbours(sorted, part);
    if at < 0.5 { low + (high - low) * at } else { high - (high - low) * (1.0 - at) }
}

/// [`quantile`], interpolated from the lower neighbour alone: it may differ in the last bit.
pub(super) fn quantile_from_below(sorted: &[f64], part: f64) -> f64 {
    let (low, high, at) = neighbours(sorted, part);
    low + (high - low) * at
}

/// The values on both sides of a quantile, and its place between them, in [0, 1).
fn neighbours(sorted: &[f64], part: f64) -> (f64, f64, f64) {
    let place = part.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    (sorted[place.floor() as usize], sorted[place.ceil() as usize], place.fract())
}

/// The mean and the standard deviation with divisor n - 1.
///
/// # Errors
/// Fewer than two values, or one that is not finite.
pub fn moments(values: &[f64]) -> Result<(f64, f64)> {
    check(values, 2)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok((mean, (squares / (n - 1.0)).sqrt()))
}

/// Checks that there are at least so many values, all of them finite.
pub(super) fn check(values: &[f64], least: usize) -> Result<()> {
    if values.len() < least {
        return Err(Error::TooFewValues { count: values.len(), least });
    }
    match values.iter().copied().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::NotFinite { value }),
        None => Ok(()),
    }
}
