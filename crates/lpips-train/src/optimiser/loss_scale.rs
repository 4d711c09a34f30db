//! Dynamic loss scaling for training in f16.

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// Steps without an overflow after which the scale is doubled.
const PATIENCE: u32 = 2000;

/// Factor on the loss that keeps f16 gradients above 0: it is halved after an overflow, and doubled after 2000 steps
/// without one. `GradScaler` of `PyTorch`.
///
/// ```
/// use candle_core::DType;
/// use lpips_train::LossScaler;
///
/// let mut scaler = LossScaler::new(DType::F16);
/// assert_eq!(scaler.scale, 65536.0);
/// // A gradient was not finite: skip the step.
/// assert!(scaler.overflowed());
/// assert_eq!(scaler.scale, 32768.0);
///
/// // f32 needs no scale, so that an overflow is an error.
/// assert!(!LossScaler::new(DType::F32).overflowed());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    /// The factor on the loss.
    pub scale: f64,
    moves: bool,
    good: u32,
}

impl LossScaler {
    /// Starts at 65536 for f16. Types with the range of f32 keep the scale 1.
    pub fn new(dtype: DType) -> Self {
        let moves = dtype == DType::F16;
        Self { scale: if moves { 65_536.0 } else { 1.0 }, moves, good: 0 }
    }

    /// Halves the scale after a gradient that is not finite. Returns whether the step is to be skipped: `false` where a
    /// lower scale would not help.
    pub fn overflowed(&mut self) -> bool {
        if self.moves && self.scale > 2f64.powi(-14) {
            self.scale /= 2.0;
            self.good = 0;
            return true;
        }
        false
    }

    /// Counts a step whose gradients were finite, and doubles the scale after enough of them.
    pub fn succeeded(&mut self) {
        self.good += 1;
        if self.moves && self.good == PATIENCE {
            self.scale = (self.scale * 2.0).min(2f64.powi(24));
            self.good = 0;
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Powers of two.
mod tests {
    use super::*;

    #[test]
    fn loss_scale_halves_on_overflow_and_doubles_after_patience() {
        let mut scaler = LossScaler::new(DType::F16);
        assert!(scaler.overflowed());
        assert_eq!(scaler.scale, 32_768.0);
        (0..PATIENCE).for_each(|_| scaler.succeeded());
        assert_eq!(scaler.scale, 65_536.0);
        (0..40).for_each(|_| _ = scaler.overflowed());
        assert!(!scaler.overflowed(), "no scale helps");
    }

    #[test]
    fn loss_scale_stays_one_for_f32_and_bf16() {
        for dtype in [DType::F32, DType::BF16] {
            let mut scaler = LossScaler::new(dtype);
            assert!(!scaler.overflowed());
            assert_eq!(scaler.scale, 1.0);
        }
    }
}
