//! The weights' gradient: the correlation of the input with the output's gradient.
//!
//! For a row ky of the kernel the k*c weights (kx, ic) of an output channel are multiplied by k*c inputs that lie side
//! by side, so the gradient is k matrix products (k*c, pixels) times (pixels, oc) whose operands are read where they
//! are.

use rayon::prelude::*;

use super::buffers::{self, Scratch, Shared};
use super::gemm_microkernel::{PIXEL_BLOCK, PIXELS, accumulate_outer, blocks, put, with_sizes};
use super::geometry::Geometry;
use super::simd::{Kernel, Level, Simd};

/// The fewest rows (kx, ic) of a task, where there are many.
const ROWS: usize = 4 * PIXELS;
/// The gradient as (k, k, c, oc), for an input that is padded already.
pub(super) fn weight_gradient(level: Level, x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    assert!(g.is_inside() && x.len() >= g.n * g.h * g.w * g.c && grad.len() == g.n * g.oh * g.ow * g.oc);
    let lanes = level.lanes();
    let width = g.oc.next_multiple_of(lanes);
    let packed;
    let grad = if width == g.oc && width <= level.panel() {
        grad
    } else {
        packed = panels(level, grad, g.oc, width);
        &packed
    };
    let run = g.k * g.c;
    // A few tasks for each thread; the split of the rows changes no sum.
    let rows = run.div_ceil((4 * rayon::current_num_threads()).div_ceil(g.k)).next_multiple_of(PIXELS).max(ROWS);
    let tasks = run.div_ceil(rows);
    let mut dw = buffers::take(g.k * run * width);
    let out = Shared::new(&mut dw);
    (0..g.k * tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let (ky, from) = (task / tasks, task % tasks * rows);
        level.run(ConvWeightGrad { x, grad, g, width, ky, rows: (from, run.min(from + rows)), out });
    });
    if width == g.oc {
        return dw;
    }
    let cut = dw.chunks_exact(width).flat_map(|row| &row[..g.oc]).copied().collect();
    buffers::give(dw);
    cut
}

/// The gradient as (panel, pixel, channel in panel), with zeros for the channels past the last, up to `width`.
fn panels(level: Level, grad: &[f32], channels: usize, width: usize) -> Scratch {
    const TOGETHER: usize = 256;
    let (panel, pixels) = (level.panel(), grad.len() / channels);
    let mut packed = Scratch::new(pixels * width);
    packed.par_chunks_mut(pixels * panel).enumerate().for_each(|(at, packed)| {
        let (first, wide) = (at * panel, packed.len() / pixels);
        let given = wide.min(channels - first);
        packed.par_chunks_mut(TOGETHER * wide).zip(grad.par_chunks(TOGETHER * channels)).for_each(|(to, from)| {
            for (to, from) in to.chunks_exact_mut(wide).zip(from.chunks_exact(channels)) {
                to[..given].copy_from_slice(&from[first..first + given]);
                to[given..].fill(0.0);
            }
        });
    });
    packed
}

struct ConvWeightGrad<'a> {
    x: &'a [f32],
    /// The output of [`panels`].
    grad: &'a [f32],
    g: &'a Geometry,
    /// Channels of all panels, whole vectors.
    width: usize,
    ky: usize,
    /// Weights of the kernel's row, of k*c, (from, to).
    rows: (usize, usize),
    out: Shared<'a>,
}

impl Kernel for ConvWeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.g;
        let panel = S::LANES * S::VECTORS;
        let (from, to) = self.rows;
        let lines = g.n * g.oh;
        let chunk = (PIXEL_BLOCK / g.ow).max(1);
        for channel in (0..self.width).step_by(panel) {
            let vectors = (self.width - channel).min(panel) / S::LANES;
            for first in (0..lines).step_by(chunk) {
                let lines = (first, lines.min(first + chunk));
                for (start, size) in blocks(to - from) {
                    // SAFETY: no other task has these rows of this ky; the sizes were checked on the way in.
                    unsafe { with_sizes!(size, vectors, block::<S>(s, &self, from + start, channel, lines)) };
                }
            }
        }
    }
}

/// # Safety
/// Weights `row..row + M` of the kernel's row and channels `channel..` of `N` vectors exist, no other task has them,
/// and no patch reaches past the picture.
#[inline(always)]
unsafe fn block<S: Simd, const M: usize, const N: usize>(
    s: S,
    task: &ConvWeightGrad<'_>,
    row: usize,
    channel: usize,
    (first, last): (usize, usize),
) {
    let (g, panel) = (task.g, N * S::LANES);
    let mut sums = [[s.splat(0.0); N]; M];
    for line in first..last {
        let (n, oy) = (line / g.oh, line % g.oh);
        let x = task.x.as_ptr().wrapping_add((n * g.h + oy * g.stride + task.ky) * g.w * g.c + row);
        let grad = task.grad.as_ptr().wrapping_add(channel * g.n * g.oh * g.ow + line * g.ow * panel);
        // SAFETY: output pixels of this line, and the inputs that weight `row` and the next see of a patch inside x.
        unsafe { accumulate_outer(s, &mut sums, (x, g.stride * g.c), grad, g.ow) };
    }
    let at = |m| task.out.at((task.ky * g.k * g.c + row + m) * task.width + channel, panel);
    // SAFETY: `out` holds k * k * c rows of `width` channels; the rest is the caller's promise. The first lines find a
    // buffer of any values.
    unsafe { put(s, &sums, at, first > 0) };
}
