//! Dropout from a seed and the value's position alone.
#![allow(clippy::inline_always)] // As the kernels that it is part of.

use crate::rng::{STEP, mix};

/// Dropout: zeroes each value with probability `p` and multiplies the others by 1 / (1 - p), so that the expected sum
/// is the same.
///
/// The choice depends on the seed and on the value's position, not on threads or devices.
///
/// ```
/// use lpips_models::ops::dropout::Dropout;
///
/// let dropout = Dropout::new(0.5, 1)?;
/// assert_eq!(dropout, Dropout::new(0.5, 1)?);
/// assert_eq!(Dropout::new(0.0, 1)?, None);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Values whose 16 random bits are below this number are dropped.
    threshold: u16,
    factor: f32,
    seed: u64,
}

impl Dropout {
    /// A dropout with probability `p`, from 0 to below 1, in steps of 2^-16. Each use takes a seed of its own. `None`
    /// where `p` is 0.
    ///
    /// # Errors
    /// Another `p`.
    pub fn new(p: f64, seed: u64) -> candle_core::Result<Option<Self>> {
        let threshold = (p * 65_536.0).round();
        if !(0.0..65_536.0).contains(&threshold) {
            candle_core::bail!("a dropout of {p} was asked for: expected a probability from 0 to below 1")
        }
        let factor = (65_536.0 / (65_536.0 - threshold)) as f32;
        Ok((threshold > 0.0).then_some(Self { threshold: threshold as u16, factor, seed }))
    }

    /// The same probability from another seed, for another use of the same kind.
    #[must_use]
    pub fn stream(self, number: u64) -> Self {
        Self { seed: mix(self.seed ^ mix(number.wrapping_add(1))), ..self }
    }

    /// Fills `out` with the factors of row `row`.
    #[inline(always)]
    pub(crate) fn fill(&self, row: usize, out: &mut [f32]) {
        let start = mix(self.seed ^ mix(row as u64));
        for (word, out) in (0u64..).zip(out.chunks_mut(4)) {
            let bits = mix(start.wrapping_add(word.wrapping_mul(STEP)));
            for (lane, out) in out.iter_mut().enumerate() {
                *out = if ((bits >> (16 * lane)) as u16) < self.threshold { 0.0 } else { self.factor };
            }
        }
    }

    /// The factors of all values of a matrix, row by row.
    pub(crate) fn factors(&self, rows: usize, columns: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * columns];
        out.chunks_mut(columns).enumerate().for_each(|(row, out)| self.fill(row, out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_rate_is_p_and_mean_is_one() {
        for p in [0.1, 0.5, 0.9] {
            let factors = Dropout::new(p, 3).unwrap().unwrap().factors(100, 101);
            let count = factors.len() as f64;
            let left_out = factors.iter().filter(|f| **f == 0.0).count() as f64 / count;
            let mean = factors.iter().copied().map(f64::from).sum::<f64>() / count;
            // Four standard deviations.
            let tolerance = 4.0 * (p * (1.0 - p) / count).sqrt();
            assert!((left_out - p).abs() < tolerance, "{left_out}");
            assert!((mean - 1.0).abs() < tolerance / (1.0 - p), "{mean}");
        }
    }

    #[test]
    fn dropout_differs_by_seed_stream_and_row() {
        let dropout = |seed| Dropout::new(0.5, seed).unwrap().unwrap();
        assert_eq!(dropout(1).factors(5, 64), dropout(1).factors(5, 64));
        assert_ne!(dropout(1).factors(5, 64), dropout(2).factors(5, 64));
        assert_ne!(dropout(1).stream(0).factors(5, 64), dropout(1).stream(1).factors(5, 64));
        let rows = dropout(1).factors(2, 64);
        assert_ne!(rows[..64], rows[64..]);
    }

    #[test]
    fn dropout_of_zero_is_none_and_of_one_is_refused() {
        assert_eq!(Dropout::new(0.0, 1).unwrap(), None);
        for p in [-0.1, 1.0, 2.0, f64::NAN] {
            assert!(Dropout::new(p, 1).is_err());
        }
    }
}
