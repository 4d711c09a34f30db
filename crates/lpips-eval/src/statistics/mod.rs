//! Tests on paired differences, and intervals of means.
//!
//! Differences are those of two models' scores on the same triplets.

use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use lpips_data::rng::{Rng, Stream};
use lpips_data::{Error, Result};

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Student's t, or Wilcoxon's smaller sum of ranks.
    pub statistic: f64,
    /// How probable a statistic at least as far from what is expected would be, were there no difference; two-sided.
    pub p: f64,
}

/// Up to this many differences Wilcoxon's distribution is counted out; above it is taken for normal.
const EXACT: usize = 50;

/// Student's paired t test of a mean of zero, as `scipy.stats.ttest_rel`. Of several samples the mean of their means is tested, with the
/// degrees of freedom of Welch and Satterthwaite.
///
/// Where nothing varies there is no test: the statistic is NaN and p is 1.
///
/// # Errors
/// Fewer than two differences in a sample, or one that is no finite number.
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
    let student =
        StudentsT::new(0.0, 1.0, variance * variance / freedom).map_err(|error| Error::Data(error.to_string()))?;
    Ok(Test { statistic, p: (2.0 * student.cdf(-statistic.abs())).min(1.0) })
}

/// Wilcoxon's signed-rank test of a distribution around zero: zeros are left out, equal differences share their ranks. Up to 50
/// differences the distribution is exact, with ties as well; above it is normal, with corrections for ties and continuity.
///
/// That is `scipy.stats.wilcoxon` with `method="exact"`, of ties with a `PermutationMethod` over all signs, and above 50 with
/// `method="approx", correction=True`. Its default takes the distribution for normal, without continuity, wherever there are ties or zeros.
///
/// # Errors
/// No differences, or one that is no finite number.
pub fn wilcoxon(differences: &[f64]) -> Result<Test> {
    check(differences, 1)?;
    let mut left: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    left.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = left.len();
    if n == 0 {
        return Ok(Test { statistic: 0.0, p: 1.0 });
    }
    // Twice the ranks, which are whole numbers where equal differences share the mean of theirs.
    let mut ranks = Vec::with_capacity(n);
    let mut ties = 0.0;
    for group in left.chunk_by(|a, b| a.abs().total_cmp(&b.abs()).is_eq()) {
        let (first, count) = (ranks.len(), group.len());
        ranks.resize(first + count, 2 * first + count + 1);
        ties += (count * count * count - count) as f64;
    }
    let above: usize = left.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    let all: usize = ranks.iter().sum();
    let smaller = above.min(all - above);
    let statistic = smaller as f64 / 2.0;
    let p = if n <= EXACT {
        // How probable each sum is, one difference's sign after the other.
        let mut chances = vec![0.0; all + 1];
        chances[0] = 1.0;
        for rank in ranks {
            for sum in (0..=all).rev() {
                let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
                chances[sum] = f64::midpoint(chances[sum], with);
            }
        }
        2.0 * chances[..=smaller].iter().sum::<f64>()
    } else {
        let count = n as f64;
        let mean = count * (count + 1.0) / 4.0;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
        let far = (mean - statistic - 0.5).max(0.0) / variance.sqrt();
        2.0 * Normal::standard().cdf(-far)
    };
    Ok(Test { statistic, p: p.min(1.0) })
}

/// Cohen's d of paired differences: their mean in units of their standard deviation; of several samples the mean of their means, in units
/// of the root of their mean variance. NaN where nothing varies.
///
/// # Errors
/// Fewer than two differences in a sample, or one that is no finite number.
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

/// Holm's correction for several tests: p-values that may be compared with the level that one test would be (Holm, 1979).
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut corrected = vec![0.0; ps.len()];
    let mut highest = 0f64;
    for (place, at) in order.into_iter().enumerate() {
        highest = highest.max(((ps.len() - place) as f64 * ps[at]).min(1.0));
        corrected[at] = highest;
    }
    corrected
}

/// How an interval is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// In which fraction of cases the interval is to hold the true value.
    pub level: f64,
    /// How often is drawn.
    pub resamples: usize,
    /// The same seed gives the same interval, on any number of threads.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { level: 0.95, resamples: 1000, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of a statistic over samples of these sizes (Efron, 1979): each draw takes from every sample as many as there are,
    /// with replacement, and the statistic is computed from their places; the interval is what the middle part of all draws spans.
    ///
    /// # Errors
    /// An empty sample.
    pub fn interval(&self, sizes: &[usize], statistic: impl Fn(&[Vec<usize>]) -> f64 + Sync) -> Result<(f64, f64)> {
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(Error::Data("no scores were given: expected at least one".to_string()));
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
        // Of a draw in which nothing can be scored there is no statistic.
        drawn.retain(|value| !value.is_nan());
        if drawn.is_empty() {
            return Err(Error::Data("the scores have no interval: expected a score of at least one draw".to_string()));
        }
        drawn.sort_by(f64::total_cmp);
        let outside = (1.0 - self.level) / 2.0;
        Ok((quantile(&drawn, outside), quantile(&drawn, 1.0 - outside)))
    }

    /// The interval of a mean of samples' means.
    ///
    /// # Errors
    /// An empty sample, or a value that is no finite number.
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

/// Between sorted values, linearly, as `numpy.quantile`.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// Mean and standard deviation (over n - 1).
///
/// # Errors
/// Fewer than two values, or one that is no finite number.
pub fn moments(values: &[f64]) -> Result<(f64, f64)> {
    check(values, 2)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok((mean, (squares / (n - 1.0)).sqrt()))
}

fn check(values: &[f64], least: usize) -> Result<()> {
    if values.len() < least {
        return Err(Error::Data(format!("{} scores were given: expected at least {least}", values.len())));
    }
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::Data(format!("a score is {value}: expected finite numbers"))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Where nothing is rounded.
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Row {
        name: String,
        differences: Vec<f64>,
        t: f64,
        t_p: f64,
        w: f64,
        w_p: f64,
    }

    /// t and p.
    const WELCH: (f64, f64) = (2.3816525581123345, 0.0645610305680502);

    #[test]
    fn tests_agree_with_scipy() {
        let rows: Vec<Row> = serde_json::from_str(include_str!("../../tests/fixtures/statistics.json")).unwrap();
        assert_eq!(rows.len(), 8);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1e-3);
        for Row { name, differences, t, t_p, w, w_p } in rows {
            let student = paired_t(std::slice::from_ref(&differences)).unwrap();
            assert!(close(student.statistic, t) && close(student.p, t_p), "{name}: {student:?} for {t} and {t_p}");
            let ranks = wilcoxon(&differences).unwrap();
            assert!(close(ranks.statistic, w) && close(ranks.p, w_p), "{name}: {ranks:?} for {w} and {w_p}");
        }
    }

    #[test]
    fn differences_of_nothing_are_no_evidence() {
        assert_eq!(paired_t(&[vec![0.0; 5]]).unwrap().p, 1.0);
        assert_eq!(wilcoxon(&[0.0; 5]).unwrap().p, 1.0);
        // Nor are those that are all the same: how far they vary is not known.
        let same = paired_t(&[vec![0.5; 5]]).unwrap();
        assert!(same.statistic.is_nan() && same.p == 1.0 && effect_size(&[vec![0.5; 5]]).unwrap().is_nan());
        assert!(paired_t(&[vec![1.0]]).is_err() && wilcoxon(&[]).is_err());
        assert!(paired_t(&[vec![1.0, f64::NAN]]).is_err());
    }

    #[test]
    fn several_samples_are_tested_for_the_mean_of_their_means() {
        // Welch's test of two samples is that of the mean of one and the other turned round: scipy.stats.ttest_ind(a, b, equal_var=False).
        let (a, b) = (vec![1.0, 2.0, 4.0, 3.5], vec![0.5, 1.0, -0.5, 2.0, 1.5, 0.0]);
        let test = paired_t(&[a.clone(), b.iter().map(|v| -v).collect()]).unwrap();
        assert!((test.statistic - WELCH.0).abs() < 1e-9 && (test.p - WELCH.1).abs() < 1e-9, "{test:?}");
        // A large sample against a small one: the test goes where the mean of means goes.
        let (large, small) = ((0..90).map(|i| -0.1 - 0.01 * f64::from(i % 3)).collect(), vec![0.9, 1.0, 1.1]);
        assert!(paired_t(&[large, small]).unwrap().statistic > 0.0);
    }

    #[test]
    fn holm_steps_down() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.9]);
        for (corrected, expected) in corrected.iter().zip([0.04, 0.09, 0.09, 0.9]) {
            assert!((corrected - expected).abs() < 1e-12, "{corrected} for {expected}");
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        // Five votes a triplet, as scores have: of 400 sets of 100 about 380 intervals must hold the true mean.
        let mut held = 0;
        for set in 0..400 {
            let mut rng = Rng::new(set, Stream::Samples, (0, 0));
            let values: Vec<f64> = (0..100).map(|_| (0..5).filter(|_| rng.chance(0.7)).count() as f64 / 5.0).collect();
            let bootstrap = Bootstrap { resamples: 400, seed: set, ..Bootstrap::default() };
            let (low, high) = bootstrap.mean(std::slice::from_ref(&values)).unwrap();
            held += usize::from((low..=high).contains(&0.7));
        }
        // Six standard deviations of the count.
        assert!((354..=397).contains(&held), "{held} of 400");
    }

    #[test]
    fn a_seed_gives_the_same_interval_on_any_number_of_threads() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let bootstrap = Bootstrap { level: 0.9, resamples: 100, seed };
            pool.install(|| bootstrap.mean(&[values.clone(), values[..9].to_vec()]).unwrap())
        };
        assert_eq!(run(1, 3), run(4, 3));
        assert_ne!(run(1, 3), run(1, 4));
    }
}
