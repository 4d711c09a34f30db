//! Shared code of the tests across crates: paths of the reference data, and inputs that any language can rebuild.

pub mod fuzz;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use lpips_core::Network;

/// Reason why the tests that need reference data, or weights that are not bundled, are ignored by default.
pub const NEEDS: &str = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)";

/// Path of a file of the reference data.
///
/// # Panics
/// If `LPIPS_SHARED_DIR` is not set.
#[allow(clippy::expect_used)]
pub fn shared(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("LPIPS_SHARED_DIR").expect(NEEDS)).join(path)
}

/// Path of a file of this repository.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A sequence of random numbers from a seed (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }
}

/// Numbers that any language can rebuild from a name: element i is (h / 2^24 - 0.5) * scale in f64, rounded to f32, h being
/// the upper 24 bits of SplitMix64's i-th output from the seed crc32(name).
pub fn pattern(name: &str, count: usize, scale: f64) -> Vec<f32> {
    let mut random = SplitMix64::new(u64::from(crc32fast::hash(name.as_bytes())));
    let mut next = || ((random.next_u64() >> 40) as f64 / 16_777_216.0 - 0.5) * scale;
    (0..count).map(|_| next() as f32).collect()
}

/// [`pattern`] as a tensor on the CPU.
///
/// # Errors
/// Those of candle.
pub fn pattern_tensor(name: &str, shape: &[usize], scale: f64) -> candle_core::Result<Tensor> {
    Tensor::from_vec(pattern(name, shape.iter().product(), scale), shape, &Device::Cpu)
}

/// Weights of a network's whole feature part made of the pattern, under torchvision's names.
///
/// # Errors
/// Those of candle.
pub fn patterned_weights(network: Network) -> candle_core::Result<HashMap<String, Tensor>> {
    let arch = network.architecture();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let fan_in: usize = shape[1..].iter().product();
        let scale = if shape.len() > 1 { 2.0 * (6.0 / fan_in as f64).sqrt() } else { 0.1 };
        Ok((name.clone(), pattern_tensor(&name, &shape, scale)?))
    };
    arch.tensors(arch.features.len() - 1).into_iter().map(tensor).collect()
}

/// All elements of a tensor, in the order of its shape.
///
/// # Errors
/// Those of candle.
pub fn values(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// Largest difference between two lists.
///
/// # Panics
/// If they are not equally long.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// |a - b| / |b|, Euclidean.
pub fn relative_l2(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut b.iter().map(|b| f64::from(*b)))
}
