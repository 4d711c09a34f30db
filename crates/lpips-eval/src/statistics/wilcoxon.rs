//! Wilcoxon's signed-rank test.

use statrs::distribution::{ContinuousCDF, Normal};

use super::Test;
use super::descriptive::check;
use crate::Result;

/// Up to this many differences the distribution is enumerated; above it is taken for normal.
const EXACT: usize = 50;

/// Wilcoxon's signed-rank test of a distribution around zero: zeros are left out, equal differences share their ranks.
/// Up to 50 differences the distribution is exact, with ties as well; above it is normal, with corrections for ties and
/// continuity.
///
/// ```
/// let test = lpips_eval::statistics::wilcoxon(&[0.1, 0.2, 0.3, -0.05, 0.4])?;
/// assert_eq!((test.statistic, test.p), (1.0, 0.125));
/// # Ok::<(), lpips_eval::Error>(())
/// ```
///
/// This is `scipy.stats.wilcoxon` with `method="exact"`, of ties with a `PermutationMethod` over all signs, and above
/// 50 with `method="approx", correction=True`. The default there takes the distribution for normal, without continuity,
/// wherever there are ties or zeros.
///
/// # Errors
/// No differences, or one that is not finite.
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
        // The probability of each sum of ranks, one difference's sign after the other.
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
