//! Max pooling and its gradient.

use rayon::prelude::*;

use super::buffers;
use super::simd::{Kernel, Level, Simd};

/// The shapes of one pooling: (n, h, w, c) in, (n, oh, ow, c) out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

/// The largest value of each window; NaN where the window holds one.
pub(crate) fn forward(level: Level, x: &[f32], g: &Geometry) -> Vec<f32> {
    let mut out = buffers::take(g.n * g.oh * g.ow * g.c);
    forward_into(level, x, g, &mut out);
    out
}

/// [`forward`] into `out`, which has the output's size.
pub(crate) fn forward_into(level: Level, x: &[f32], g: &Geometry, out: &mut [f32]) {
    assert!(x.len() >= g.n * g.h * g.w * g.c, "the picture is too short");
    assert!(out.len() == g.n * g.oh * g.ow * g.c, "the output has another size than its buffer");
    let row = |(line, row): (usize, &mut [f32])| level.run(Row { x, g, line, out: row });
    if out.len() < MIN_OUTPUTS_PER_TASK {
        out.chunks_exact_mut(g.ow * g.c).enumerate().for_each(row);
    } else {
        let least = (MIN_OUTPUTS_PER_TASK / (g.ow * g.c)).max(1);
        out.par_chunks_exact_mut(g.ow * g.c).with_min_len(least).enumerate().for_each(row);
    }
}

/// The fewest outputs of a task of its own: fewer stay on the calling thread.
const MIN_OUTPUTS_PER_TASK: usize = 1 << 13;

/// One row of outputs.
struct Row<'a> {
    x: &'a [f32],
    g: &'a Geometry,
    line: usize,
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, g, line, out } = self;
        let (n, oy) = (line / g.oh, line % g.oh);
        let (top, bottom) = (oy * g.stride, (oy * g.stride + g.kernel).min(g.h));
        for (ox, out) in out.chunks_exact_mut(g.c).enumerate() {
            let (left, right) = (ox * g.stride, (ox * g.stride + g.kernel).min(g.w));
            for channel in (0..g.c).step_by(S::LANES) {
                let count = (g.c - channel).min(S::LANES);
                let mut best = s.splat(f32::NEG_INFINITY);
                for iy in top..bottom {
                    for ix in left..right {
                        let from = x.as_ptr().wrapping_add(((n * g.h + iy) * g.w + ix) * g.c + channel);
                        // SAFETY: `count` channels from `channel` on of a pixel of the picture, whose length was
                        // checked.
                        let value = unsafe { if count == S::LANES { s.load(from) } else { s.load_first(from, count) } };
                        best = s.max_or_nan(best, value);
                    }
                }
                let to = out[channel..channel + count].as_mut_ptr();
                // SAFETY: the slice has `count` elements.
                unsafe { if count == S::LANES { s.store(to, best) } else { s.store_first(to, best, count) } };
            }
        }
    }
}

/// The gradient of the input: each output's gradient goes to the first of the window's largest values, as in PyTorch.
pub(crate) fn input_gradient(level: Level, x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    assert!(x.len() == g.n * g.h * g.w * g.c, "the picture has another size than its shape");
    assert!(grad.len() == g.n * g.oh * g.ow * g.c, "the gradient has another size than the result");
    let mut dx = buffers::take(x.len());
    // A window that overlaps two tasks is searched in both.
    let (picture, rows) = (g.h * g.w * g.c, (MIN_OUTPUTS_PER_TASK / (g.w * g.c)).max(2 * g.kernel));
    dx.par_chunks_exact_mut(picture).enumerate().for_each(|(n, dx)| {
        let x = &x[n * picture..][..picture];
        let grad = &grad[n * g.oh * g.ow * g.c..][..g.oh * g.ow * g.c];
        dx.par_chunks_mut(rows * g.w * g.c).enumerate().for_each(|(i, dx)| {
            dx.fill(0.0);
            level.run(Gradient { x, grad, g, first: i * rows, dx });
        });
    });
    dx
}

/// dx = the gradient of some rows of a picture.
struct Gradient<'a> {
    /// The whole picture, and its result's gradient.
    x: &'a [f32],
    grad: &'a [f32],
    g: &'a Geometry,
    first: usize,
    /// Zero on entry.
    dx: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { x, grad, g, first, dx } = self;
        let end = first + dx.len() / (g.w * g.c);
        let (mut best, mut winner) = (vec![0.0; g.c], vec![0u32; g.c]);
        let windows = first.saturating_sub(g.kernel - 1).div_ceil(g.stride)..((end - 1) / g.stride + 1).min(g.oh);
        for (oy, ox) in windows.flat_map(|oy| (0..g.ow).map(move |ox| (oy, ox))) {
            let (top, left) = (oy * g.stride, ox * g.stride);
            let (bottom, right) = ((top + g.kernel).min(g.h), (left + g.kernel).min(g.w));
            let pixels = || (top..bottom).flat_map(|iy| (left..right).map(move |ix| iy * g.w + ix)).zip(0u32..);
            best.fill(f32::NEG_INFINITY);
            winner.fill(0);
            for (pixel, number) in pixels() {
                for ((best, winner), &value) in best.iter_mut().zip(&mut winner).zip(&x[pixel * g.c..][..g.c]) {
                    let is_larger = value > *best || value.is_nan();
                    *best = if is_larger { value } else { *best };
                    *winner = if is_larger { number } else { *winner };
                }
            }
            let grad = &grad[(oy * g.ow + ox) * g.c..][..g.c];
            for (pixel, number) in pixels().filter(|(pixel, _)| (first * g.w..end * g.w).contains(pixel)) {
                let dx = &mut dx[(pixel - first * g.w) * g.c..][..g.c];
                for ((dx, &winner), &grad) in dx.iter_mut().zip(&winner).zip(grad) {
                    *dx += if winner == number { grad } else { 0.0 };
                }
            }
        }
    }
}
