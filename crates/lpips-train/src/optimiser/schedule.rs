//! Learning-rate schedules.

use std::f64::consts::PI;

/// Factor on the base learning rate, by epoch and step: constant at first, then falling, with an optional warm-up.
///
/// ```
/// use lpips_train::{Schedule, ScheduleKind};
///
/// let schedule = Schedule { kind: ScheduleKind::Linear, epochs: 5, decay_epochs: 5, warmup_steps: 0 };
/// assert_eq!(schedule.total_epochs(), 10);
/// assert_eq!(schedule.factor(0, 0, 0.0), 1.0);
/// assert_eq!(schedule.factor(9000, 6, 0.0), 0.8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape of the decay.
    pub kind: ScheduleKind,
    /// Epochs at the base rate.
    pub epochs: usize,
    /// Epochs after those, in which the rate falls.
    pub decay_epochs: usize,
    /// Steps at the start over which the rate rises linearly to its scheduled value.
    pub warmup_steps: u64,
}

/// The shape of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The published trainer's: after each epoch that follows the first E the rate falls by the base rate over D, so
    /// that it is above 0 in the last one.
    Linear,
    /// Half a cosine over the D epochs after the first E, step by step, down to 0.
    Cosine,
    /// The base rate throughout.
    Constant,
}

impl Schedule {
    /// The number of epochs.
    pub fn total_epochs(&self) -> usize {
        self.epochs + self.decay_epochs
    }

    /// The factor on the base rate, in [0, 1], in step `step` (from 0, over the whole run) of epoch `epoch` (from 0),
    /// of which the part `within`, in [0, 1), has passed.
    pub fn factor(&self, step: u64, epoch: usize, within: f64) -> f64 {
        let falling = epoch.saturating_sub(self.epochs) as f64;
        let shape = match self.kind {
            ScheduleKind::Constant => 1.0,
            _ if epoch < self.epochs || self.decay_epochs == 0 => 1.0,
            ScheduleKind::Linear => (1.0 - falling / self.decay_epochs as f64).max(0.0),
            ScheduleKind::Cosine => 0.5 + 0.5 * (PI * ((falling + within) / self.decay_epochs as f64).min(1.0)).cos(),
        };
        let warm = if step < self.warmup_steps { (step + 1) as f64 / self.warmup_steps as f64 } else { 1.0 };
        shape * warm
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Fractions that are exact.
mod tests {
    use super::*;

    fn linear(epochs: usize, decay_epochs: usize) -> Schedule {
        Schedule { kind: ScheduleKind::Linear, epochs, decay_epochs, warmup_steps: 0 }
    }

    fn factors(schedule: &Schedule) -> Vec<f64> {
        (0..schedule.total_epochs()).map(|epoch| (schedule.factor(0, epoch, 0.0) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn schedule_linear_matches_published_trainer() {
        assert_eq!(factors(&linear(0, 2)), [1.0, 0.5]);
        assert_eq!(factors(&linear(5, 5)), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]);
        assert_eq!(factors(&linear(2, 0)), [1.0, 1.0]);
    }

    #[test]
    fn schedule_cosine_starts_level_and_ends_at_zero() {
        let cosine = Schedule { kind: ScheduleKind::Cosine, ..linear(1, 2) };
        assert_eq!(factors(&cosine), [1.0, 1.0, 0.5]);
        assert!(cosine.factor(0, 2, 0.999) < 1e-3);
    }

    #[test]
    fn schedule_warmup_rises_linearly() {
        let warm = Schedule { warmup_steps: 4, ..linear(1, 0) };
        assert_eq!([0, 1, 3, 4, 100].map(|step| warm.factor(step, 0, 0.0)), [0.25, 0.5, 1.0, 1.0, 1.0]);
    }
}
