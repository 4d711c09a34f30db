//! Numbers in place of weights, for measurements.

use super::{Named, Origin, Weights};
use crate::Network;

impl Weights {
    /// Made-up weights that keep activations at a sensible size (He et al., 2015: uniform, with variance 2 / fan-in; biases
    /// 0), the same for the same `seed`.
    ///
    /// For measuring time and memory, which do not depend on the values: distances by them mean nothing.
    pub fn random(network: Network, seed: u64) -> Self {
        let arch = network.architecture();
        let mut noise = SplitMix64(seed);
        let tensor = |(name, shape): (String, Vec<usize>)| -> Named {
            let fan_in: usize = shape[1..].iter().product();
            let bound = if shape.len() > 1 { (6.0 / fan_in as f64).sqrt() } else { 0.0 };
            let data = (0..shape.iter().product()).map(|_: usize| (bound * noise.signed()) as f32).collect();
            (name, shape, data)
        };
        let tensors = arch.tensors(arch.features.len() - 1).into_iter().map(tensor).collect();
        Self { network, tensors, origin: Origin::Random(seed), sha256: None }
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number in [-1, 1).
    fn signed(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_weights_and_they_are_no_genuine_ones() {
        let [a, b, c] = [1, 1, 2].map(|seed| Weights::random(Network::SqueezeNet1_1, seed));
        assert_eq!(a.sha256(), b.sha256());
        assert_ne!(a.sha256(), c.sha256());
        assert_eq!(a.is_genuine(), Some(false));
        let (_, shape, data) = &a.tensors[0];
        let variance = data.iter().map(|v| v * v).sum::<f32>() / data.len() as f32;
        let expected = 2.0 / shape[1..].iter().product::<usize>() as f32;
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance}, not {expected}");
    }
}
