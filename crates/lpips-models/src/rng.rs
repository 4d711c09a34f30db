//! SplitMix64, the generator of random numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", 2014).
#![allow(clippy::inline_always)] // Part of the kernels, which must be inlined into each level's code.

/// Added to the state at each step: 2^64 over the golden ratio.
pub(crate) const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The number that follows state `z`: 64 bits, each of which depends on all of `z`'s.
#[inline(always)]
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A sequence of random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let bits = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        bits
    }

    /// A number uniform in [-1, 1).
    pub(crate) fn signed(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A normally distributed number of mean 0 and variance 1 (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        // In (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (0.5 - 0.5 * self.signed()).ln()).sqrt();
        radius * (std::f64::consts::PI * self.signed()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_matches_reference_sequence() {
        // The first numbers of the reference implementation (Vigna, splitmix64.c) from seed 1234567.
        let mut numbers = SplitMix64::new(1_234_567);
        assert_eq!(numbers.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(numbers.next_u64(), 9_817_491_932_198_370_423);
    }
}
