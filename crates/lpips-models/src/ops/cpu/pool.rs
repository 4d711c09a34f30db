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

impl Geometry {
    /// The input pixels of output pixel (oy, ox) of picture n, row by row: index of the pixel in the whole batch.
    fn window(&self, n: usize, oy: usize, ox: usize) -> impl Iterator<Item = usize> + use<> {
        let Self { h, w, kernel, stride, .. } = *self;
        let (top, left) = (oy * stride, ox * stride);
        (top..(top + kernel).min(h))
            .flat_map(move |iy| (left..(left + kernel).min(w)).map(move |ix| (n * h + iy) * w + ix))
    }
}

/// The largest value of each window; NaN where the window holds one.
pub(crate) fn forward(level: Level, x: &[f32], g: &Geometry) -> Vec<f32> {
    let mut out = buffers::take(g.n * g.oh * g.ow * g.c);
    forward_into(level, x, g, &mut out);
    out
}

/// [`forward`] into `out`, which has just the room.
pub(crate) fn forward_into(level: Level, x: &[f32], g: &Geometry, out: &mut [f32]) {
    assert!(x.len() >= g.n * g.h * g.w * g.c, "the picture is too short");
    assert!(out.len() == g.n * g.oh * g.ow * g.c, "the result has another size than its room");
    let row = |(line, row): (usize, &mut [f32])| level.run(Row { x, g, line, out: row });
    if out.len() < GRAIN {
        out.chunks_exact_mut(g.ow * g.c).enumerate().for_each(row);
    } else {
        let least = (GRAIN / (g.ow * g.c)).max(1);
        out.par_chunks_exact_mut(g.ow * g.c).with_min_len(least).enumerate().for_each(row);
    }
}

/// Outputs below which a task is not worth a thread's attention.
const GRAIN: usize = 1 << 13;

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
                        // SAFETY: `count` channels from `channel` on of a pixel of the picture, whose length was checked.
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
pub(crate) fn input_gradient(x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let mut winners = vec![0u32; grad.len()];
    winners.par_chunks_mut(g.ow * g.c).enumerate().for_each(|(line, row)| {
        let (n, oy) = (line / g.oh, line % g.oh);
        let mut best = vec![0.0; g.c];
        for (ox, winner) in row.chunks_exact_mut(g.c).enumerate() {
            best.fill(f32::NEG_INFINITY);
            winner.fill((oy * g.stride * g.w + ox * g.stride) as u32);
            for pixel in g.window(n, oy, ox) {
                let values = &x[pixel * g.c..];
                for ((best, winner), &value) in best.iter_mut().zip(&mut *winner).zip(values) {
                    if value > *best || value.is_nan() {
                        *best = value;
                        // The pixel within its picture, which has fewer than 2^32 of them.
                        *winner = (pixel - n * g.h * g.w) as u32;
                    }
                }
            }
        }
    });
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(g.w * g.c).enumerate().for_each(|(line, row)| {
        let (n, iy) = (line / g.h, line % g.h);
        let first = iy.saturating_sub(g.kernel - 1).div_ceil(g.stride);
        let last = (iy / g.stride).min(g.oh - 1);
        for oy in first..=last {
            let start = (n * g.oh + oy) * g.ow * g.c;
            let line = start..start + g.ow * g.c;
            for (at, (&winner, &grad)) in winners[line.clone()].iter().zip(&grad[line]).enumerate() {
                let (y, ix) = (winner as usize / g.w, winner as usize % g.w);
                if y == iy {
                    row[ix * g.c + at % g.c] += grad;
                }
            }
        }
    });
    dx
}
