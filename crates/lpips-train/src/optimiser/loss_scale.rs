//! Loss scaling for training in f16.

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// Steps without trouble after which the scale is doubled.
const PATIENCE: u32 = 2000;

/// A scale that halves when a gradient does not fit into 16 bits, and doubles when all have fitted for long: PyTorch's
/// `GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    /// What the loss is multiplied by.
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

    /// Whether a gradient that is not finite is the scale's fault, and the step to be skipped with a lower one.
    pub fn overflowed(&mut self) -> bool {
        if self.moves && self.scale > 2f64.powi(-14) {
            self.scale /= 2.0;
            self.good = 0;
            return true;
        }
        false
    }

    /// A step went well.
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
    fn falls_at_once_and_rises_slowly() {
        let mut scaler = LossScaler::new(DType::F16);
        assert!(scaler.overflowed());
        assert_eq!(scaler.scale, 32_768.0);
        (0..PATIENCE).for_each(|_| scaler.succeeded());
        assert_eq!(scaler.scale, 65_536.0);
        (0..40).for_each(|_| _ = scaler.overflowed());
        assert!(!scaler.overflowed(), "no scale helps");
    }

    #[test]
    fn the_range_of_f32_needs_none() {
        for dtype in [DType::F32, DType::BF16] {
            let mut scaler = LossScaler::new(dtype);
            assert!(!scaler.overflowed());
            assert_eq!(scaler.scale, 1.0);
        }
    }
}
