//! The gradient of a rectifier, and of the bias before it.

use rayon::prelude::*;

use super::buffers;
use super::simd::{Kernel, Level, Simd};

/// Floats per task.
const BLOCK: usize = 1 << 14;

/// What is left of the gradient of an output max(0, .), pixels of `channels` channels: nothing where the output is 0. And its sum
/// over the pixels, which is the bias's gradient.
pub(crate) fn gradient(level: Level, y: &[f32], grad: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    assert!(y.len() == grad.len() && y.len().is_multiple_of(channels), "the gradient has another size than the output");
    let mut out = buffers::take(y.len());
    let block = (BLOCK / channels).max(1) * channels;
    let parts: Vec<Vec<f32>> = out
        .par_chunks_mut(block)
        .zip(y.par_chunks(block).zip(grad.par_chunks(block)))
        .map(|(out, (y, grad))| {
            let mut sum = vec![0.0; channels];
            level.run(Rectified { y, grad, out, sum: &mut sum });
            sum
        })
        .collect();
    // In the blocks' order, whoever was first.
    let mut sum = vec![0f64; channels];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
    }
    (out, sum.into_iter().map(|sum| sum as f32).collect())
}

struct Rectified<'a> {
    y: &'a [f32],
    grad: &'a [f32],
    out: &'a mut [f32],
    /// By channel.
    sum: &'a mut [f32],
}

impl Kernel for Rectified<'_> {
    type Output = ();

    /// Plain loops, which the compiler turns into the level's instructions by itself.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { y, grad, out, sum } = self;
        let c = sum.len();
        for ((out, y), grad) in out.chunks_exact_mut(c).zip(y.chunks_exact(c)).zip(grad.chunks_exact(c)) {
            for (((out, y), grad), sum) in out.iter_mut().zip(y).zip(grad).zip(&mut *sum) {
                *out = if *y > 0.0 { *grad } else { 0.0 };
                *sum += *out;
            }
        }
    }
}
