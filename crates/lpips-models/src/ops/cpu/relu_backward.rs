//! The gradient of a ReLU, and of the bias before it.

use rayon::prelude::*;

use super::buffers;
use super::simd::{Kernel, Level, Simd};

/// Floats per task.
const BLOCK: usize = 1 << 14;

/// A range of `count` channels from `offset` on, of pixels with `width` channels.
#[derive(Clone, Copy)]
pub(crate) struct ChannelRange {
    pub(crate) width: usize,
    pub(crate) offset: usize,
    pub(crate) count: usize,
}

/// The gradient of the input of max(0, .), which is 0 where the output `y` is 0, for some channels; and its sum over
/// the pixels, which is the bias's gradient.
pub(crate) fn relu_backward(level: Level, y: &[f32], grad: &[f32], channels: ChannelRange) -> (Vec<f32>, Vec<f32>) {
    let ChannelRange { width, offset, count: channels } = channels;
    assert!(y.len() == grad.len() && y.len().is_multiple_of(width), "the gradient has another size than the output");
    assert!(offset + channels <= width, "there are no such channels");
    let mut out = buffers::take(y.len() / width * channels);
    let pixels = (BLOCK / channels).max(1);
    let parts: Vec<Vec<f32>> = out
        .par_chunks_mut(pixels * channels)
        .zip(y.par_chunks(pixels * width).zip(grad.par_chunks(pixels * width)))
        .map(|(out, (y, grad))| {
            let mut sum = vec![0.0; channels];
            level.run(ReluBackward { y, grad, width, offset, out, sum: &mut sum });
            sum
        })
        .collect();
    // In the blocks' order, whichever thread was first.
    let mut sum = vec![0f64; channels];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
    }
    (out, sum.into_iter().map(|sum| sum as f32).collect())
}

struct ReluBackward<'a> {
    y: &'a [f32],
    grad: &'a [f32],
    width: usize,
    offset: usize,
    out: &'a mut [f32],
    /// One sum for each channel.
    sum: &'a mut [f32],
}

impl Kernel for ReluBackward<'_> {
    type Output = ();

    /// Plain loops, which the compiler turns into the level's instructions by itself.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { y, grad, width, offset, out, sum } = self;
        let c = sum.len();
        for ((out, y), grad) in out.chunks_exact_mut(c).zip(y.chunks_exact(width)).zip(grad.chunks_exact(width)) {
            let (y, grad) = (&y[offset..offset + c], &grad[offset..offset + c]);
            for (((out, y), grad), sum) in out.iter_mut().zip(y).zip(grad).zip(&mut *sum) {
                *out = if *y > 0.0 { *grad } else { 0.0 };
                *sum += *out;
            }
        }
    }
}
