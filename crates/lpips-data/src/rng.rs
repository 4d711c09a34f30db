//! Random numbers that depend on a seed and a place alone: nothing to save, and any number of threads draws the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of numbers is for; each use has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The order of an epoch's triplets.
    Order,
    /// The augmentation of one triplet in one epoch.
    Augment,
    /// The dropout of one batch.
    Dropout,
    /// Weights before any training.
    Weights,
    /// The built-in sample set.
    Samples,
    /// Draws of scores.
    Bootstrap,
    /// Which triplets are held out together.
    Folds,
    /// In what order, and on which side, people see pictures.
    Votes,
    /// Sets made from pictures.
    Synth,
}

/// A stream of random numbers (`ChaCha` with 8 rounds).
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream for a use and a place (an epoch and an index, say); others never meet it.
    pub fn new(seed: u64, of: Stream, place: (u64, u64)) -> Self {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([seed, of as u64, place.0, place.1]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number below `count`, which is at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        // Off by less than 2^-32 from even for any count that fits in memory.
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// A normally distributed number of mean 0 and variance 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Puts the items into a random order (Fisher and Yates).
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
    fn streams_repeat_and_differ() {
        let draw = |seed, of, place| Rng::new(seed, of, place).bits();
        let first = draw(1, Stream::Order, (2, 3));
        assert_eq!(first, draw(1, Stream::Order, (2, 3)));
        let others = [draw(2, Stream::Order, (2, 3)), draw(1, Stream::Augment, (2, 3)), draw(1, Stream::Order, (3, 2))];
        assert!(others.iter().all(|other| *other != first));
    }

    #[test]
    fn numbers_are_where_they_should_be() {
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
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(1, Stream::Order, (0, 0)).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
