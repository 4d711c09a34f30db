//! Convolution without a detour: each output is one chain of multiply-adds over its patch, straight from the picture.
//!
//! A row of the kernel meets k*c inputs that lie side by side in a channels-last picture, so a patch is k such runs, and no
//! patch is ever gathered. Weights are packed by panels of output channels, (panel, k, k, c, channel in panel). As every
//! output is one chain in a fixed order, its bits do not depend on how the work is split.

use rayon::prelude::*;

use super::buffers::Scratch;
use super::conv::{FETCH, Geometry, Output, Weight, pad};
use super::product::{PIXELS, accumulate, blocks, with_sizes};
use super::simd::{Kernel, Level, Simd};

/// Most output pixels of one task.
const TASK: usize = 192;
/// Multiply-adds below which a task is not worth a thread's attention.
const GRAIN: usize = 1 << 20;

/// The time that it takes, in multiply-adds.
pub(super) fn cost(g: &Geometry) -> usize {
    g.products() + FETCH * g.weights(g.k * g.k)
}

/// The convolution of `x` by packed weights into `out`.
pub(super) fn forward(level: Level, x: &[f32], packed: &[f32], bias: Option<&[f32]>, g: &Geometry, out: &Output) {
    // A 1x1 convolution sees one long row of pixels.
    let g = if g.k == 1 && g.stride == 1 && g.top == 0 && g.left == 0 && g.oh == g.h && g.ow == g.w {
        Geometry { n: 1, h: 1, w: g.n * g.h * g.w, oh: 1, ow: g.n * g.h * g.w, ..*g }
    } else {
        *g
    };
    let padded;
    let (x, g) = if g.is_inside() {
        (x, g)
    } else {
        let inside = g.inside();
        padded = pad(x, &g, &inside);
        (&*padded, inside)
    };
    let pixels = g.n * g.oh * g.ow;
    let panels = g.oc.div_ceil(level.panel());
    // Panels are shared out first: a task that has few of them reads few weights.
    let threads = rayon::current_num_threads();
    let wanted = (4 * threads).min((pixels * g.patch() * g.oc).div_ceil(GRAIN));
    let chunks = if threads == 1 { 1 } else { wanted.div_ceil(panels) };
    let pixels_per_task = pixels.div_ceil(chunks.max(pixels.div_ceil(TASK))).next_multiple_of(PIXELS);
    let chunks = pixels.div_ceil(pixels_per_task);
    let panels_per_task = if chunks >= wanted { panels } else { panels.div_ceil(wanted.div_ceil(chunks)) };
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

/// Some pixels of the result, (first, count), by some panels of its channels, from one to another.
struct Direct<'a> {
    x: &'a [f32],
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    g: &'a Geometry,
    out: &'a Output,
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
        // Where each pixel's patch begins.
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
        for at in self.panels.0..self.panels.1 {
            let channels = (g.oc - at * panel).min(panel);
            let vectors = channels.div_ceil(S::LANES);
            let weights = &self.packed[at * panel * g.patch()..][..g.patch() * vectors * S::LANES];
            let mut bias = [0f32; 64];
            if let Some(all) = self.bias {
                bias[..channels].copy_from_slice(&all[at * panel..][..channels]);
            }
            for (from, size) in blocks(count) {
                let place = Place { pixel: first + from, channel: at * panel, channels };
                let starts = &starts[from..from + size];
                // SAFETY: the slice of weights holds this panel's, and the assert above keeps the patches inside x. The
                // other tasks have other pixels or other panels.
                unsafe {
                    with_sizes!(size, vectors, block::<S>(s, &self, starts, weights.as_ptr(), &bias, place));
                }
            }
        }
    }
}

/// Where a block's results go.
#[derive(Clone, Copy)]
struct Place {
    pixel: usize,
    channel: usize,
    channels: usize,
}

/// # Safety
/// The patches at `starts` lie inside `x`, `weights` holds a panel of `N` vectors, and no other task writes the same pixels
/// and channels.
#[inline(always)]
unsafe fn block<S: Simd, const M: usize, const N: usize>(
    s: S,
    task: &Direct<'_>,
    starts: &[usize],
    weights: *const f32,
    bias: &[f32; 64],
    place: Place,
) {
    let g = task.g;
    let mut x = [task.x.as_ptr(); M];
    for m in 0..M {
        x[m] = x[m].wrapping_add(starts[m]);
    }
    let mut acc = [[s.splat(0.0); N]; M];
    for n in 0..N {
        // SAFETY: a panel has at most 64 channels, as has the array.
        let bias = unsafe { s.load(bias.as_ptr().add(n * S::LANES)) };
        for m in 0..M {
            acc[m][n] = bias;
        }
    }
    let run = g.k * g.c;
    for ky in 0..g.k {
        // SAFETY: row ky of the patches and of the weights, both inside by the caller's promise.
        unsafe { accumulate(s, &mut acc, &x, run, weights.add(ky * run * N * S::LANES), None) };
        for m in 0..M {
            x[m] = x[m].wrapping_add(g.w * g.c);
        }
    }
    for m in 0..M {
        // SAFETY: the caller's promise.
        unsafe { task.out.store(s, place.pixel + m, place.channel, place.channels, &acc[m]) };
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

/// The whole result as several tasks write it.
impl Output {
    /// Puts a pixel's channels `channel..channel + channels` down, after a ReLU if there is one.
    ///
    /// # Safety
    /// No other task writes these channels of this pixel.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const N: usize>(
        &self,
        s: S,
        pixel: usize,
        channel: usize,
        channels: usize,
        values: &[S::V; N],
    ) {
        let to = self.data.at(pixel * self.width + self.offset + channel, channels);
        for n in 0..N {
            let value = if self.relu { s.max(s.splat(0.0), values[n]) } else { values[n] };
            let left = channels - n * S::LANES;
            // SAFETY: `at` has the room, and the caller promises that nobody else writes there.
            unsafe {
                if left >= S::LANES {
                    s.store(to.add(n * S::LANES), value);
                } else {
                    s.store_first(to.add(n * S::LANES), value, left);
                }
            }
        }
    }
}
