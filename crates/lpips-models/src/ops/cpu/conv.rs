//! Convolution with bias and ReLU, its input gradient and its weight gradient.
//!
//! All three gather blocks of patches (im2col) small enough for the cache and multiply matrices. A patch holds the k*k*c
//! inputs of one output pixel, row by row of the kernel, so that a row of it is one contiguous run of a channels-last
//! picture.

use rayon::prelude::*;

use super::gemm::{View, add_product};

/// The shapes of one convolution: (n, h, w, c) in, (n, oh, ow, oc) out, k x k kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) oc: usize,
    pub(crate) k: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Geometry {
    /// Output pixels of one picture.
    fn pixels(&self) -> usize {
        self.oh * self.ow
    }

    /// Inputs that one output pixel sees.
    fn patch(&self) -> usize {
        self.k * self.k * self.c
    }

    /// Output pixels per block: a block's patches stay in the second-level cache, and there are enough blocks to share.
    fn block(&self) -> usize {
        let fits = (128 * 1024) / self.patch();
        fits.min(self.pixels().div_ceil(16)).clamp(8, 512)
    }

    /// The output pixel of index `p`: picture, row, column.
    fn pixel(&self, p: usize) -> (usize, usize, usize) {
        (p / (self.oh * self.ow), p / self.ow % self.oh, p % self.ow)
    }

    /// Where the kernel's row or column `i` lies on the input, for output position `o`; `None` in the padding.
    fn input(&self, o: usize, i: usize, size: usize) -> Option<usize> {
        (o * self.stride + i).checked_sub(self.padding).filter(|&at| at < size)
    }
}

/// Weights (oc, c, k, k) in the order of patches: (k, k, c, oc).
pub(crate) fn pack(weight: &[f32], g: &Geometry) -> Vec<f32> {
    let kk = g.k * g.k;
    let mut packed = vec![0.0; weight.len()];
    packed.par_chunks_mut((g.c * g.oc).max(1)).enumerate().for_each(|(at, plane)| {
        for (ic, row) in plane.chunks_exact_mut(g.oc).enumerate() {
            for (oc, out) in row.iter_mut().enumerate() {
                *out = weight[(oc * g.c + ic) * kk + at];
            }
        }
    });
    packed
}

/// max(0, x * weight + bias).
pub(crate) fn forward(x: &[f32], packed: &[f32], bias: &[f32], g: &Geometry) -> Vec<f32> {
    let mut out = vec![0.0; g.n * g.pixels() * g.oc];
    let rows = g.block();
    // Blocks never reach from one picture into the next. A product's rounding depends on where in its block a pixel lies,
    // and so equal pictures give equal bits, whatever else is in the batch.
    out.par_chunks_mut(g.pixels() * g.oc).enumerate().for_each(|(n, picture)| {
        picture.par_chunks_mut(rows * g.oc).enumerate().for_each_init(Vec::new, |patches, (block, out)| {
            gather(x, g, n * g.pixels() + block * rows, out.len() / g.oc, patches);
            for row in out.chunks_exact_mut(g.oc) {
                row.copy_from_slice(bias);
            }
            let a = View { data: patches, rs: g.patch(), cs: 1 };
            let b = View { data: packed, rs: g.oc, cs: 1 };
            add_product(out, a, b, (out.len() / g.oc, g.patch(), g.oc));
            for value in out {
                // A comparison rather than max(), which would turn NaN into 0.
                if *value < 0.0 {
                    *value = 0.0;
                }
            }
        });
    });
    out
}

/// The patches of `count` output pixels from pixel `first` on.
fn gather(x: &[f32], g: &Geometry, first: usize, count: usize, patches: &mut Vec<f32>) {
    patches.clear();
    patches.reserve(count * g.patch());
    for p in first..first + count {
        let (n, oy, ox) = g.pixel(p);
        // Columns of the kernel that lie on the picture.
        let left = g.padding.saturating_sub(ox * g.stride).min(g.k);
        let right = (g.w + g.padding).saturating_sub(ox * g.stride).clamp(left, g.k);
        for ky in 0..g.k {
            let row_end = patches.len() + g.k * g.c;
            if let Some(iy) = g.input(oy, ky, g.h)
                && right > left
            {
                let start = ((n * g.h + iy) * g.w + ox * g.stride + left - g.padding) * g.c;
                patches.resize(patches.len() + left * g.c, 0.0);
                patches.extend_from_slice(&x[start..start + (right - left) * g.c]);
            }
            patches.resize(row_end, 0.0);
        }
    }
}

/// The gradient of the input, from that of the convolution's output.
pub(crate) fn input_gradient(grad: &[f32], packed: &[f32], g: &Geometry) -> Vec<f32> {
    let patch = g.patch();
    let mut dx = vec![0.0; g.n * g.h * g.w * g.c];
    // As many output rows at a time as keep their patches within 16 MB.
    let band = ((4 << 20) / (g.ow * patch).max(1)).clamp(1, g.oh);
    let mut patches = vec![0.0; band * g.ow * patch];
    for n in 0..g.n {
        for top in (0..g.oh).step_by(band) {
            let rows = band.min(g.oh - top);
            let pixels = rows * g.ow;
            let grad = &grad[(n * g.oh + top) * g.ow * g.oc..][..pixels * g.oc];
            let patches = &mut patches[..pixels * patch];
            let block = (pixels.div_ceil(16)).clamp(8, 128);
            patches.par_chunks_mut(block * patch).zip(grad.par_chunks(block * g.oc)).for_each(|(patches, grad)| {
                patches.fill(0.0);
                let a = View { data: grad, rs: g.oc, cs: 1 };
                let b = View { data: packed, rs: 1, cs: g.oc };
                add_product(patches, a, b, (grad.len() / g.oc, g.oc, patch));
            });
            let image = &mut dx[n * g.h * g.w * g.c..][..g.h * g.w * g.c];
            image.par_chunks_mut(g.w * g.c).enumerate().for_each(|(iy, row)| scatter(patches, g, (top, rows), iy, row));
        }
    }
    dx
}

/// Adds to input row `iy` what the patches of the output rows `top..top + rows` hold for it.
fn scatter(patches: &[f32], g: &Geometry, (top, rows): (usize, usize), iy: usize, row: &mut [f32]) {
    for oy in top..top + rows {
        let Some(ky) = (iy + g.padding).checked_sub(oy * g.stride).filter(|&ky| ky < g.k) else {
            continue;
        };
        for ox in 0..g.ow {
            let patch = &patches[((oy - top) * g.ow + ox) * g.patch() + ky * g.k * g.c..];
            for kx in 0..g.k {
                if let Some(ix) = g.input(ox, kx, g.w) {
                    let source = &patch[kx * g.c..(kx + 1) * g.c];
                    for (sum, value) in row[ix * g.c..].iter_mut().zip(source) {
                        *sum += value;
                    }
                }
            }
        }
    }
}

/// The gradient of the weight as (k, k, c, oc), from the input and the gradient of the convolution's output.
pub(crate) fn weight_gradient(x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let mut dw = vec![0.0; g.patch() * g.oc];
    // One task per kernel position and group of input channels: no sum is shared between tasks.
    let group = (1..=64).rev().find(|d| g.c.is_multiple_of(*d)).unwrap_or(1);
    let groups = g.c / group;
    let rows = 1024;
    dw.par_chunks_mut(group * g.oc).enumerate().for_each_init(Vec::new, |column, (task, dw)| {
        let (at, from) = (task / groups, task % groups * group);
        let (ky, kx) = (at / g.k, at % g.k);
        for first in (0..g.n * g.pixels()).step_by(rows) {
            let count = rows.min(g.n * g.pixels() - first);
            column.clear();
            for p in first..first + count {
                let (n, oy, ox) = g.pixel(p);
                if let (Some(iy), Some(ix)) = (g.input(oy, ky, g.h), g.input(ox, kx, g.w)) {
                    let start = ((n * g.h + iy) * g.w + ix) * g.c + from;
                    column.extend_from_slice(&x[start..start + group]);
                } else {
                    column.resize(column.len() + group, 0.0);
                }
            }
            let a = View { data: column, rs: 1, cs: group };
            let b = View { data: &grad[first * g.oc..], rs: g.oc, cs: 1 };
            add_product(dw, a, b, (group, count, g.oc));
        }
    });
    dw
}
