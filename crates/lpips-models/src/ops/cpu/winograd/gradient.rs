//! The weights' gradient by Winograd tiles.
//!
//! Forward, an output is Aᵀ (U ∘ V) A of transformed weights U and inputs V, so U's gradient is the sum over the tiles
//! of V ∘ (A dY Aᵀ), a matrix product over the tiles for each frequency, and the weights' is Gᵀ dU G.

use rayon::prelude::*;

use super::super::buffers::{self, Scratch, Shared};
use super::super::gemm_microkernel::{PIXEL_BLOCK, accumulate_outer, blocks, put, with_sizes};
use super::super::geometry::Geometry;
use super::super::simd::{Kernel, Level, Simd};
use super::transform::{OUTPUTS, points, side, transform_grad};
use super::{Input, InputTransform, TileBuffer, Tiles};

/// Tiles times channels that are processed at a time.
const GROUP: usize = 1 << 16;

/// The gradient as (k, k, c, oc).
pub(in super::super) fn weight_gradient(level: Level, x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let input = Input::new(level, x, g);
    assert!(grad.len() == g.n * g.oh * g.ow * g.oc, "the gradient is no convolution's output");
    let (frequencies, depth, width) = (input.tiling.frequencies, input.depth, g.oc.next_multiple_of(level.lanes()));
    let mut sums = Scratch::new(frequencies * depth * width);
    let group = (GROUP / depth.max(width)).max(PIXEL_BLOCK).min(input.tiling.all);
    let mut v = Scratch::new(TileBuffer::len(frequencies, group, depth));
    let mut spread = Scratch::new(frequencies * group * width);
    for origin in (0..input.tiling.all).step_by(group) {
        let count = group.min(input.tiling.all - origin);
        let v = TileBuffer::new(&mut v, frequencies, count, depth);
        let share = count.div_ceil(4 * rayon::current_num_threads());
        let out = Shared::new(&mut spread);
        (0..count.div_ceil(share)).into_par_iter().for_each(|part| {
            let tiles = Tiles { origin, from: part * share, to: count.min((part + 1) * share) };
            level.run(InputTransform { input: &input, tiles, v });
            level.run(GradTransform { input: &input, grad, tiles, count, width, out });
        });
        let spread = &spread;
        sums.par_chunks_exact_mut(depth * width).enumerate().for_each(|(frequency, sums)| {
            level.run(Products { v, spread, frequency, width, adds: origin > 0, out: Shared::new(sums) });
        });
    }
    let mut dw = buffers::take(g.k * g.k * g.c * g.oc);
    let out = Shared::new(&mut dw);
    (0..g.c).into_par_iter().with_min_len(8).for_each(|channel| {
        level.run(WeightGradTransform { sums: &sums, g, depth, width, channel, out });
    });
    dw
}

/// A dY Aᵀ of some tiles, as (frequency, panel, tile, channel in panel).
struct GradTransform<'a> {
    input: &'a Input<'a>,
    grad: &'a [f32],
    tiles: Tiles,
    /// The number of tiles of the group.
    count: usize,
    width: usize,
    out: Shared<'a>,
}

impl Kernel for GradTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.input.g.k {
            3 => self.sides::<S, 6>(s),
            _ => self.sides::<S, 8>(s),
        }
    }
}

impl GradTransform<'_> {
    #[inline(always)]
    fn sides<S: Simd, const T: usize>(&self, s: S) {
        let (g, panel) = (self.input.g, S::LANES * S::VECTORS);
        for tile in self.tiles.from..self.tiles.to {
            let (n, oy, ox) = self.input.tiling.place(self.tiles.origin + tile);
            let (rows, columns) = (OUTPUTS.min(g.oh - oy), OUTPUTS.min(g.ow - ox));
            let start = self.grad.as_ptr().wrapping_add(((n * g.oh + oy) * g.ow + ox) * g.oc);
            for channel in (0..self.width).step_by(S::LANES) {
                let mut half = [[s.splat(0.0); OUTPUTS]; T];
                for x in 0..columns {
                    let mut column = [s.splat(0.0); OUTPUTS];
                    for (y, value) in column[..rows].iter_mut().enumerate() {
                        let from = start.wrapping_add((y * g.ow + x) * g.oc + channel);
                        // SAFETY: pixels of the picture, and of their channels those that are left.
                        *value = unsafe {
                            if g.oc - channel >= S::LANES { s.load(from) } else { s.load_first(from, g.oc - channel) }
                        };
                    }
                    let column = transform_grad::<S, T>(s, column);
                    for y in 0..T {
                        half[y][x] = column[y];
                    }
                }
                let (first, within) = (channel / panel * panel, channel % panel);
                let wide = panel.min(self.width - first);
                for y in 0..T {
                    let row = transform_grad::<S, T>(s, half[y]);
                    for x in 0..T {
                        let frequency = (y * T + x) * self.count * self.width;
                        let at = frequency + first * self.count + tile * wide + within;
                        // SAFETY: there is room for all frequencies of the group's tiles, and no other task has these
                        // tiles.
                        unsafe { s.store(self.out.at(at, S::LANES), row[x]) };
                    }
                }
            }
        }
    }
}

/// The sums over a group's tiles at one frequency.
struct Products<'a> {
    v: TileBuffer<'a>,
    /// The output of [`GradTransform`].
    spread: &'a [f32],
    frequency: usize,
    width: usize,
    adds: bool,
    /// (depth, width).
    out: Shared<'a>,
}

impl Kernel for Products<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panel = S::LANES * S::VECTORS;
        let (tiles, depth) = (self.v.tiles, self.v.channels);
        for channel in (0..self.width).step_by(panel) {
            let vectors = (self.width - channel).min(panel) / S::LANES;
            for first in (0..tiles).step_by(PIXEL_BLOCK) {
                let last = tiles.min(first + PIXEL_BLOCK);
                for (row, size) in blocks(depth) {
                    // SAFETY: the group's tiles are there at every frequency, and this one's sums are this task's.
                    unsafe { with_sizes!(size, vectors, product::<S>(s, &self, row, channel, (first, last))) };
                }
            }
        }
    }
}

/// # Safety
/// Rows `row..row + M` and channels `channel..` of `N` vectors exist, and so do the tiles.
#[inline(always)]
unsafe fn product<S: Simd, const M: usize, const N: usize>(
    s: S,
    task: &Products<'_>,
    row: usize,
    channel: usize,
    (first, last): (usize, usize),
) {
    let Products { v, width, .. } = task;
    let panel = N * S::LANES;
    let x = v.at(task.frequency, first, row, M).cast_const();
    let from = (task.frequency * width + channel) * v.tiles + first * panel;
    let grad = task.spread[from..][..(last - first) * panel].as_ptr();
    let mut sums = [[s.splat(0.0); N]; M];
    // SAFETY: the caller's promise: a tile's channels follow those of the one before.
    unsafe { accumulate_outer(s, &mut sums, (x, v.channels), grad, last - first) };
    let at = |m| task.out.at((row + m) * width + channel, panel);
    // SAFETY: as above. The first tiles find sums of any values.
    unsafe { put(s, &sums, at, task.adds || first > 0) };
}

/// Gᵀ dU G of an input channel.
struct WeightGradTransform<'a> {
    sums: &'a [f32],
    g: &'a Geometry,
    depth: usize,
    width: usize,
    channel: usize,
    /// (k, k, c, oc).
    out: Shared<'a>,
}

impl Kernel for WeightGradTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, g, depth, width, channel, out } = self;
        let (k, points, side) = (g.k, points(g.k), side(g.k));
        for first in (0..width).step_by(S::LANES) {
            let mut half = [[s.splat(0.0); 8]; 5];
            for (fy, points) in points.iter().enumerate() {
                for fx in 0..side {
                    let at = ((fy * side + fx) * depth + channel) * width + first;
                    // SAFETY: a vector of the sums, the slice of which says how many there are.
                    let value = unsafe { s.load(sums[at..][..S::LANES].as_ptr()) };
                    for (half, point) in half[..k].iter_mut().zip(points) {
                        half[fx] = s.fma(s.splat(*point), value, half[fx]);
                    }
                }
            }
            let channels = (g.oc - first).min(S::LANES);
            for (ky, half) in half[..k].iter().enumerate() {
                for kx in 0..k {
                    let mut sum = s.splat(0.0);
                    for (fx, points) in points.iter().enumerate() {
                        sum = s.fma(s.splat(points[kx]), half[fx], sum);
                    }
                    let to = out.at(((ky * k + kx) * g.c + channel) * g.oc + first, channels);
                    // SAFETY: `out` has a row of oc for each weight of this channel, and no other task has this
                    // channel.
                    unsafe { s.store_first(to, sum, channels) };
                }
            }
        }
    }
}
