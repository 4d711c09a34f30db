//! Random streams that depend on a seed and a place alone: no state to save, and the same draws on any number of
//! threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Purpose of a random stream; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stream {
    /// Order of an epoch's triplets.
    Order,
    /// Augmentation of one triplet in one epoch.
    Augment,
    /// Dropout of one batch.
    Dropout,
    /// Initial weights.
    Weights,
    /// Built-in sample set.
    Samples,
    /// Bootstrap resamples of scores.
    Bootstrap,
    /// Assignment of triplets to folds.
    Folds,
    /// Order and sides of the pictures in labelling.
    Votes,
    /// Synthetic sets.
    Synth,
}

/// Random stream (`ChaCha` with 8 rounds).
///
/// # Examples
/// ```
/// use lpips_data::rng::{Rng, Stream};
///
/// // Epoch 3, triplet 17: the same numbers in any order of calls.
/// let mut rng = Rng::new(42, Stream::Augment, (3, 17));
/// let angle = rng.between(-5.0, 5.0);
/// assert!((-5.0..5.0).contains(&angle));
/// assert_eq!(Rng::new(42, Stream::Augment, (3, 17)).between(-5.0, 5.0), angle);
/// ```
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Stream of a purpose at a place, such as (epoch, index).
    pub fn new(seed: u64, stream: Stream, place: (u64, u64)) -> Self {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([seed, stream as u64, place.0, place.1]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a uniform number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws a uniform number in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Draws `true` with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Draws a uniform integer below `count`, which is at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        // Its bias is below 2^-32 for any count that fits in memory.
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// Draws a normal number of mean 0 and variance 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Shuffles the items (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rng_streams_repeat_and_differ_by_seed_purpose_and_place() {
        let draw = |seed, of, place| Rng::new(seed, of, place).bits();
        let first = draw(1, Stream::Order, (2, 3));
        assert_eq!(first, draw(1, Stream::Order, (2, 3)));
        let others = [draw(2, Stream::Order, (2, 3)), draw(1, Stream::Augment, (2, 3)), draw(1, Stream::Order, (3, 2))];
        assert!(others.iter().all(|other| *other != first));
    }

    #[test]
    fn rng_distributions_have_expected_moments() {
        let mut rng = Rng::new(5, Stream::Samples, (0, 0));
        let units: Vec<f64> = (0..10_000).map(|_| rng.unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((units.iter().sum::<f64>() / 10_000.0 - 0.5).abs() < 0.015);
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        let normals: Vec<f64> = (0..10_000).map(|_| rng.normal()).collect();
        assert!((normals.iter().map(|x| x * x).sum::<f64>() / 10_000.0 - 1.0).abs() < 0.06);
    }

    #[test]
    fn rng_shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(1, Stream::Order, (0, 0)).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
