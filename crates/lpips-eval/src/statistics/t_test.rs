//! Student's paired t test, and Cohen's d.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Test;
use super::descriptive::moments;
use crate::{Error, Result};

/// Student's paired t test of a mean of zero, as `scipy.stats.ttest_rel`. Of several samples the mean of their means is
/// tested, with the degrees of freedom of Welch and Satterthwaite.
///
/// Differences without variance can't be tested: the statistic is NaN and p is 1.
///
/// # Errors
/// Fewer than two differences in a sample, or one that is not finite.
pub fn paired_t(samples: &[Vec<f64>]) -> Result<Test> {
    let (mean, deviations) = stratified(samples)?;
    let k = samples.len() as f64;
    let (mut variance, mut freedom) = (0.0, 0.0);
    for (deviation, sample) in deviations.iter().zip(samples) {
        let n = sample.len() as f64;
        let part = deviation * deviation / (n * k * k);
        variance += part;
        freedom += part * part / (n - 1.0);
    }
    if variance == 0.0 {
        return Ok(Test { statistic: f64::NAN, p: 1.0 });
    }
    let statistic = mean / variance.sqrt();
    let student = StudentsT::new(0.0, 1.0, variance * variance / freedom)
        .map_err(|_| Error::NotFinite { value: variance * variance / freedom })?;
    Ok(Test { statistic, p: (2.0 * student.cdf(-statistic.abs())).min(1.0) })
}

/// Cohen's d of paired differences: their mean in units of their standard deviation; of several samples the mean of
/// their means, in units of the root of their mean variance. NaN without variance.
///
/// # Errors
/// Fewer than two differences in a sample, or one that is not finite.
pub fn effect_size(samples: &[Vec<f64>]) -> Result<f64> {
    let (mean, deviations) = stratified(samples)?;
    let variance = deviations.iter().map(|deviation| deviation * deviation).sum::<f64>() / samples.len() as f64;
    Ok(if variance > 0.0 { mean / variance.sqrt() } else { f64::NAN })
}

/// The mean of samples' means, and each sample's standard deviation.
fn stratified(samples: &[Vec<f64>]) -> Result<(f64, Vec<f64>)> {
    let all = samples.iter().map(|values| moments(values)).collect::<Result<Vec<_>>>()?;
    let mean = all.iter().map(|(mean, _)| mean).sum::<f64>() / all.len().max(1) as f64;
    Ok((mean, all.into_iter().map(|(_, deviation)| deviation).collect()))
}
