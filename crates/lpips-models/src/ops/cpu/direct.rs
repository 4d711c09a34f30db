//! Direct convolution: each output is one chain of multiply-adds over its patch, read from the picture in place.
//!
//! A row of the kernel is multiplied by k*c inputs that lie side by side in a channels-last picture, so a patch is k
//! such runs, and no patch is ever gathered. Weights are packed by panels of output channels, (panel, k, k, c, channel
//! in panel). As every output is one chain in a fixed order, its bits do not depend on how the work is split.

use rayon::prelude::*;

use super::buffers::Scratch;
use super::gemm_microkernel::{LINE, PIXELS, accumulate, blocks, with_sizes};
use super::geometry::{FETCH, Geometry, Weight, pad};
use super::output::{Output, panel_bias};
use super::simd::{Kernel, Level, Simd};

/// Most output pixels of one task.
const TASK: usize = 192;
/// The fewest multiply-adds of a task of its own.
const MIN_PRODUCTS_PER_TASK: usize = 1 << 20;

/// The estimated time, in multiply-adds.
pub(super) fn cost(g: &Geometry) -> usize {
    g.products() + FETCH * g.weights(g.k * g.k)
}

/// The convolution of `x` by packed weights into `out`.
pub(super) fn forward(level: Level, x: &[f32], packed: &[f32], bias: Option<&[f32]>, g: &Geometry, out: &Output<'_>) {
    // A 1x1 convolution treats the batch as one long row of pixels.
    let g = if g.k == 1 && g.stride == 1 && g.top == 0 && g.left == 0 && g.oh == g.h && g.ow == g.w {
        Geometry { n: 1, h: 1, w: g.n * g.h * g.w, oh: 1, ow: g.n * g.h * g.w, ..*g }
    } else {
        *g
    };
    let padded = pad(x, &g);
    let (x, g) = padded.as_ref().map_or((x, g), |(padded, inside)| (&**padded, *inside));
    let pixels = g.n * g.oh * g.ow;
    let panels = g.oc.div_ceil(level.panel());
    let threads = rayon::current_num_threads();
    let wanted = (4 * threads).min((pixels * g.patch() * g.oc).div_ceil(MIN_PRODUCTS_PER_TASK));
    // With many weights and few pixels each thread gets panels of its own, and so reads its share of the weights only.
    let chunks = match wanted {
        0 | 1 => 1,
        _ if pixels <= ROWS && panels >= 2 * threads => 1,
        _ => wanted.div_ceil(panels),
    };
    let pixels_per_task = pixels.div_ceil(chunks.max(pixels.div_ceil(TASK))).next_multiple_of(PIXELS);
    let chunks = pixels.div_ceil(pixels_per_task);
    let panels_per_task = panels.div_ceil(wanted.min(threads).div_ceil(chunks).max(1));
    let groups = panels.div_ceil(panels_per_task);
    let run = |task: usize| {
        let (chunk, group) = (task / groups, task % groups);
        let first = chunk * pixels_per_task;
        level.run(Direct {
            x,
            packed,
            bias,
            g: &g,
            out,
            pixels: (first, pixels_per_task.min(pixels - first)),
            panels: (group * panels_per_task, panels.min((group + 1) * panels_per_task)),
        });
    };
    if chunks * groups == 1 {
        run(0);
    } else {
        (0..chunks * groups).into_par_iter().with_max_len(1).for_each(run);
    }
}

/// A block of the output: `pixels` (first, count) by `panels` (from, to) of channels.
struct Direct<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    g: &'a Geometry,
    out: &'a Output<'a>,
    pixels: (usize, usize),
    panels: (usize, usize),
}

impl Kernel for Direct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.g;
        let (first, count) = self.pixels;
        assert!(count <= TASK + PIXELS);
        // The start of each pixel's patch.
        let mut starts = [0usize; TASK + PIXELS];
        let (mut n, mut oy, mut ox) = (first / (g.oh * g.ow), first / g.ow % g.oh, first % g.ow);
        for start in &mut starts[..count] {
            *start = ((n * g.h + oy * g.stride) * g.w + ox * g.stride) * g.c;
            ox += 1;
            if ox == g.ow {
                (ox, oy) = (0, oy + 1);
                if oy == g.oh {
                    (oy, n) = (0, n + 1);
                }
            }
        }
        let reach = ((g.k - 1) * g.w + g.k) * g.c;
        assert!(starts[..count].iter().all(|start| start + reach <= self.x.len()), "a patch reaches past the picture");
        let panel = S::LANES * S::VECTORS;
        // With many weights for few pixels the kernel's rows are processed one by one, each for all pixels, and while
        // one is in use the next is prefetched.
        let by_rows = count <= ROWS && g.patch() * panel > NEAR;
        let step = if by_rows { 1 } else { g.k };
        let mut sums = [0f32; ROWS * 64];
        for at in self.panels.0..self.panels.1 {
            let channels = (g.oc - at * panel).min(panel);
            let vectors = channels.div_ceil(S::LANES);
            let weights = &self.packed[at * panel * g.patch()..][..g.patch() * vectors * S::LANES];
            let bias = panel_bias(self.bias, at * panel, channels);
            for ky in (0..g.k).step_by(step) {
                let row = g.k * g.c * vectors * S::LANES;
                let weights = weights.as_ptr().wrapping_add(ky * row);
                // Not past this task's last weights: those after them are another thread's.
                let last = at + 1 == self.panels.1 && ky + step == g.k;
                let next = weights.wrapping_add(if last { 0 } else { row });
                for (i, (from, size)) in blocks(count).enumerate() {
                    let part = Part {
                        place: Place { pixel: first + from, channel: at * panel, channels },
                        rows: (ky, ky + step),
                        sums: sums.as_mut_ptr().wrapping_add(from % ROWS * panel),
                        ahead: next.wrapping_add(i * g.k * g.c * AHEAD * LINE),
                    };
                    let starts = &starts[from..from + size];
                    // SAFETY: the weights are this panel's, and the assert above keeps the patches inside x. The pixels
                    // and channels are the result's, and the other tasks have other ones. Where sums are used there are
                    // at most ROWS pixels of 64 channels.
                    unsafe {
                        if by_rows {
                            with_sizes!(size, vectors, block::<S, AHEAD>(s, &self, starts, weights, &bias, part));
                        } else {
                            with_sizes!(size, vectors, block::<S, 0>(s, &self, starts, weights, &bias, part));
                        }
                    }
                }
            }
        }
    }
}

/// Most pixels of a task that is processed by the kernel's rows.
const ROWS: usize = 48;
/// Floats of a panel's weights above which the task is processed by the kernel's rows.
const NEAR: usize = 1 << 15;
/// Cache lines prefetched at each step.
const AHEAD: usize = 2;

/// The part of the output that a block computes.
#[derive(Clone, Copy)]
struct Part {
    place: Place,
    /// Rows of the kernel, (from, to).
    rows: (usize, usize),
    /// The sums between rows.
    sums: *mut f32,
    /// The weights to prefetch, which are used next.
    ahead: *const f32,
}

/// The position of a block in the output.
#[derive(Clone, Copy)]
struct Place {
    pixel: usize,
    channel: usize,
    channels: usize,
}

/// # Safety
/// The patches at `starts` lie inside `x`, `weights` holds the part's rows of a panel of `N` vectors, the result has
/// `M` pixels and the channels from `part.place` on, which no other task writes, and if the rows are not all of the
/// kernel's, `part.sums` has room for `M` times `N` vectors.
#[inline(always)]
unsafe fn block<S: Simd, const LINES: usize, const M: usize, const N: usize>(
    s: S,
    task: &Direct<'_>,
    starts: &[usize],
    weights: *const f32,
    bias: &[f32; 64],
    part: Part,
) {
    let g = task.g;
    let Part { place, rows, sums, ahead } = part;
    let mut x = [task.x.as_ptr(); M];
    for m in 0..M {
        x[m] = x[m].wrapping_add(starts[m] + rows.0 * g.w * g.c);
    }
    let mut acc = [[s.splat(0.0); N]; M];
    for m in 0..M {
        for n in 0..N {
            // SAFETY: a panel has at most 64 channels, as has the array of biases; the sums are the caller's promise.
            acc[m][n] = unsafe {
                if rows.0 == 0 {
                    s.load(bias.as_ptr().add(n * S::LANES))
                } else {
                    s.load(sums.wrapping_add((m * N + n) * S::LANES))
                }
            };
        }
    }
    let run = g.k * g.c;
    for row in 0..rows.1 - rows.0 {
        // SAFETY: a row of the patches and of the weights, both inside by the caller's promise.
        unsafe { accumulate::<S, M, N, LINES>(s, &mut acc, &x, run, weights.add(row * run * N * S::LANES), ahead) };
        for m in 0..M {
            x[m] = x[m].wrapping_add(g.w * g.c);
        }
    }
    for m in 0..M {
        // SAFETY: the caller's promise.
        unsafe {
            if rows.1 == g.k {
                task.out.store(s, place.pixel + m, place.channel, place.channels, &acc[m]);
            } else {
                for n in 0..N {
                    s.store(sums.wrapping_add((m * N + n) * S::LANES), acc[m][n]);
                }
            }
        }
    }
}

/// Weights in the order of the kernels: (panel, k, k, c, channel in panel).
pub(super) fn pack(level: Level, weight: &Weight<'_>) -> Scratch {
    let (lanes, panel) = (level.lanes(), level.panel());
    let (k, c, oc) = (weight.k, weight.inputs(), weight.outputs());
    let kk = k * k;
    let mut packed = Scratch::new(oc.next_multiple_of(lanes) * kk * c);
    packed.par_chunks_mut(panel * kk * c).enumerate().for_each(|(at, packed)| {
        let width = packed.len() / (kk * c);
        for from in (0..c).step_by(8) {
            for lane in 0..width {
                let o = at * panel + lane;
                for i in from..c.min(from + 8) {
                    for j in 0..kk {
                        packed[(j * c + i) * width + lane] = if o < oc { weight.at(o, i, j) } else { 0.0 };
                    }
                }
            }
        }
    });
    packed
}
