//! Statistics of scores: means and quantiles, bootstrap intervals, paired tests, correction for several tests.
//!
//! Tests are on paired differences: those of two metrics' scores on the same triplets.

mod bootstrap;
mod descriptive;
mod holm;
mod t_test;
mod wilcoxon;

pub use bootstrap::Bootstrap;
pub use descriptive::{Mean, mean, mean_and_variance, median, moments, quantile};
pub use holm::holm;
pub use t_test::{effect_size, paired_t};
pub use wilcoxon::wilcoxon;

/// The result of a significance test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Student's t, or the smaller of Wilcoxon's sums of ranks.
    pub statistic: f64,
    /// The two-sided p-value, in [0, 1]: the probability of a statistic at least as extreme if there is no difference.
    pub p: f64,
}

#[cfg(test)]
mod tests;
