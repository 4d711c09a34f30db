//! The weights' gradient: each weight's input and gradient, multiplied at every output pixel and added up.
//!
//! For a row ky of the kernel the k*c weights (kx, ic) of an output channel meet k*c inputs that lie side by side, so the
//! gradient is k matrix products (k*c, pixels) times (pixels, oc) whose operands are read where they are.

use rayon::prelude::*;

use super::buffers::{self, Scratch, Shared};
use super::conv::Geometry;
use super::product::{PIXELS, blocks, with_sizes};
use super::simd::{Kernel, Level, Simd};

/// Rows (kx, ic) of a task.
const ROWS: usize = 4 * PIXELS;
/// Floats of input and gradient that are gone through at a time: about what the second-level cache holds.
const CACHE: usize = 1 << 18;

/// The gradient as (k, k, c, oc), for an input that no patch reaches past.
pub(super) fn weight_gradient(level: Level, x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    assert!(g.is_inside() && x.len() >= g.n * g.h * g.w * g.c && grad.len() >= g.n * g.oh * g.ow * g.oc);
    let lanes = level.lanes();
    let width = g.oc.next_multiple_of(lanes);
    let filled;
    let grad = if width == g.oc {
        grad
    } else {
        filled = fill(grad, g.oc, width);
        &filled
    };
    let run = g.k * g.c;
    let tasks = run.div_ceil(ROWS);
    let mut dw = buffers::take(g.k * run * width);
    let out = Shared::new(&mut dw);
    (0..g.k * tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let (ky, from) = (task / tasks, task % tasks * ROWS);
        level.run(Correlate { x, grad, g, width, ky, rows: (from, run.min(from + ROWS)), out });
    });
    if width == g.oc {
        return dw;
    }
    let cut = dw.chunks_exact(width).flat_map(|row| &row[..g.oc]).copied().collect();
    buffers::give(dw);
    cut
}

/// Pixels of `width` channels in place of `channels`, the others zero.
fn fill(grad: &[f32], channels: usize, width: usize) -> Scratch {
    let mut filled = Scratch::new(grad.len() / channels * width);
    for (to, from) in filled.chunks_exact_mut(width).zip(grad.chunks_exact(channels)) {
        to[..channels].copy_from_slice(from);
        to[channels..].fill(0.0);
    }
    filled
}

struct Correlate<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    g: &'a Geometry,
    /// Channels of `grad`, whole vectors.
    width: usize,
    ky: usize,
    /// Of the k*c weights of the kernel's row, from one to another.
    rows: (usize, usize),
    out: Shared<'a>,
}

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.g;
        let panel = S::LANES * S::VECTORS;
        let (from, to) = self.rows;
        let lines = g.n * g.oh;
        let chunk = (CACHE / (g.ow * (self.width + g.stride * ROWS))).max(1);
        for first in (0..lines).step_by(chunk) {
            for (start, size) in blocks(to - from) {
                for channel in (0..self.width).step_by(panel) {
                    let vectors = (self.width - channel).min(panel) / S::LANES;
                    let lines = (first, lines.min(first + chunk));
                    // SAFETY: no other task has these rows of this ky; the sizes were checked on the way in.
                    unsafe { with_sizes!(size, vectors, block::<S>(s, &self, from + start, channel, lines)) };
                }
            }
        }
    }
}

/// # Safety
/// Weights `row..row + M` of the kernel's row and channels `channel..` of `N` vectors exist, no other task has them, and no
/// patch reaches past the picture.
#[inline(always)]
unsafe fn block<S: Simd, const M: usize, const N: usize>(
    s: S,
    task: &Correlate<'_>,
    row: usize,
    channel: usize,
    (first, last): (usize, usize),
) {
    let g = task.g;
    let mut sums = [[s.splat(0.0); N]; M];
    for line in first..last {
        let (n, oy) = (line / g.oh, line % g.oh);
        let mut x = task.x.as_ptr().wrapping_add((n * g.h + oy * g.stride + task.ky) * g.w * g.c + row);
        let mut grad = task.grad.as_ptr().wrapping_add(line * g.ow * task.width + channel);
        for _ in 0..g.ow {
            // SAFETY: output pixels of this line, and the inputs that weight `row` and the next see of a patch inside x.
            unsafe {
                let mut grads = [s.splat(0.0); N];
                for (n, value) in grads.iter_mut().enumerate() {
                    *value = s.load(grad.add(n * S::LANES));
                }
                for m in 0..M {
                    let value = s.splat(*x.add(m));
                    for n in 0..N {
                        sums[m][n] = s.fma(value, grads[n], sums[m][n]);
                    }
                }
            }
            x = x.wrapping_add(g.stride * g.c);
            grad = grad.wrapping_add(task.width);
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            let at = ((task.ky * g.k * g.c) + row + m) * task.width + channel + n * S::LANES;
            let to = task.out.at(at, S::LANES);
            // SAFETY: `out` holds k * k * c rows of `width` channels; the rest is the caller's promise. The first lines find a
            // buffer of any values.
            unsafe { s.store(to, if first == 0 { *sum } else { s.add(s.load(to), *sum) }) };
        }
    }
}
