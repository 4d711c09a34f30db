//! Max pooling and its gradient.

use rayon::prelude::*;

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
pub(crate) fn forward(x: &[f32], g: &Geometry) -> Vec<f32> {
    let mut out = vec![0.0; g.n * g.oh * g.ow * g.c];
    out.par_chunks_mut(g.ow * g.c).enumerate().for_each(|(line, row)| {
        let (n, oy) = (line / g.oh, line % g.oh);
        for (ox, best) in row.chunks_exact_mut(g.c).enumerate() {
            best.fill(f32::NEG_INFINITY);
            for pixel in g.window(n, oy, ox) {
                for (best, &value) in best.iter_mut().zip(&x[pixel * g.c..]) {
                    if value > *best || value.is_nan() {
                        *best = value;
                    }
                }
            }
        }
    });
    out
}

/// The gradient of the input: each output's gradient goes to the first of the window's largest values, as in PyTorch.
pub(crate) fn input_gradient(x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let mut winners = vec![0u32; grad.len()];
    winners.par_chunks_mut(g.ow * g.c).enumerate().for_each(|(line, row)| {
        let (n, oy) = (line / g.oh, line % g.oh);
        let mut best = vec![0.0; g.c];
        for (ox, winner) in row.chunks_exact_mut(g.c).enumerate() {
            best.fill(f32::NEG_INFINITY);
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
