//! Winograd convolution (Winograd, 1980; Lavin and Gray, 2016), for kernels of 3x3 and 5x5.
//!
//! The result is cut into tiles of 4x4 pixels, each of which depends on 6x6 or 8x8 input pixels. These are transformed
//! to as many frequencies, which are multiplied by the transformed weights (a matrix product over the channels for each
//! frequency), and the products are transformed back: F(4x4, 3x3) takes 36 multiplications in place of 144, F(4x4, 5x5)
//! 64 in place of 400.
//!
//! Tiles of 6x6 interpolate at 0, ±√½, ±√2 and infinity: as the product of the two is one the numbers stay near one,
//! and the error is less than half of that at the usual 0, ±1, ±2. Tiles of 8x8 interpolate at 0, ±1, ±2, ±½ and
//! infinity. F(6x6, 3x3), which tiles of 8x8 would do too, is no faster (it has more weights to read) and four times
//! less exact.

mod gradient;
mod transform;

pub(super) use gradient::weight_gradient;
pub(super) use transform::{frequencies, has_transform};

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::buffers::{Scratch, Shared};
use super::gemm_microkernel::{LINE, accumulate, blocks, with_sizes};
use super::geometry::{FETCH, Geometry, Weight};
use super::output::{Output, panel_bias};
use super::simd::{Kernel, Level, Simd};
use transform::{OUTPUTS, points, side, transform_input, transform_output};

/// The cut of the output into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    frequencies: usize,
    down: usize,
    across: usize,
    all: usize,
}

impl Tiling {
    fn new(g: &Geometry) -> Self {
        let (down, across) = (g.oh.div_ceil(OUTPUTS), g.ow.div_ceil(OUTPUTS));
        Self { frequencies: frequencies(g.k), down, across, all: g.n * down * across }
    }

    /// Picture, first output row and first output column of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (n, tile) = (tile / (self.down * self.across), tile % (self.down * self.across));
        (n, tile / self.across * OUTPUTS, tile % self.across * OUTPUTS)
    }
}

/// Multiply-adds of the products, which are nearly all of them.
pub(super) fn products(g: &Geometry) -> usize {
    let Tiling { frequencies, all, .. } = Tiling::new(g);
    all * frequencies * g.c * g.oc
}

/// The estimated time, in multiply-adds: with the transforms of a tile's channels both ways, and three barriers of all
/// threads. Found by timing.
pub(super) fn cost(g: &Geometry) -> usize {
    let Tiling { frequencies, all, .. } = Tiling::new(g);
    let transforms = all * frequencies * (14 * g.c + 12 * g.oc);
    products(g) + transforms + FETCH * g.weights(frequencies) + 1_500_000
}

/// The estimated time of the weights' gradient, likewise.
pub(super) fn gradient_cost(g: &Geometry) -> usize {
    let Tiling { frequencies, all, .. } = Tiling::new(g);
    products(g) + all * frequencies * 14 * (g.c + g.oc) + 2 * FETCH * g.weights(frequencies) + 1_500_000
}

/// The weights, transformed: (panel, frequency, c, channel in panel), c filled up with zeros to whole vectors.
pub(super) fn pack(level: Level, weight: &Weight<'_>) -> Scratch {
    struct Panel<'a, 'w> {
        weight: &'a Weight<'w>,
        first: usize,
        channels: usize,
        packed: &'a mut [f32],
    }
    impl Kernel for Panel<'_, '_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let k = self.weight.k;
            let points = points(k);
            let (side, frequencies) = (side(k), frequencies(k));
            let depth = self.weight.inputs().next_multiple_of(S::LANES);
            let width = self.packed.len() / (frequencies * depth);
            let packed = Shared::new(self.packed);
            let mut kernel = [0f32; 25 * 64];
            for i in 0..depth {
                if i < self.weight.inputs() {
                    for lane in 0..self.channels {
                        for j in 0..k * k {
                            kernel[j * 64 + lane] = self.weight.at(self.first + lane, i, j);
                        }
                    }
                } else {
                    kernel.fill(0.0);
                }
                for n in (0..width).step_by(S::LANES) {
                    let mut half = [[s.splat(0.0); 5]; 8];
                    for (f, half) in half[..side].iter_mut().enumerate() {
                        for ky in 0..k {
                            for kx in 0..k {
                                // SAFETY: 25 rows of 64 lanes, and n + LANES is at most the panel's width, 64.
                                let value = unsafe { s.load(kernel.as_ptr().add((ky * k + kx) * 64 + n)) };
                                half[kx] = s.fma(s.splat(points[f][ky]), value, half[kx]);
                            }
                        }
                    }
                    for (fy, half) in half[..side].iter().enumerate() {
                        for (fx, points) in points.iter().enumerate() {
                            let mut sum = s.splat(0.0);
                            for kx in 0..k {
                                sum = s.fma(s.splat(points[kx]), half[kx], sum);
                            }
                            let at = ((fy * side + fx) * depth + i) * width + n;
                            // SAFETY: the panel is `frequencies` times `depth` times `width` long, and no other task
                            // has it.
                            unsafe { s.store(packed.at(at, S::LANES), sum) };
                        }
                    }
                }
            }
        }
    }
    let (lanes, panel) = (level.lanes(), level.panel());
    let depth = weight.inputs().next_multiple_of(lanes);
    assert!(has_transform(weight.k), "no transform for this kernel");
    let frequencies = frequencies(weight.k);
    let mut packed = Scratch::new(frequencies * depth * weight.outputs().next_multiple_of(lanes));
    packed.par_chunks_mut(frequencies * depth * panel).enumerate().for_each(|(at, packed)| {
        let first = at * panel;
        level.run(Panel { weight, first, channels: panel.min(weight.outputs() - first), packed });
    });
    packed
}

/// A picture in tiles.
struct Input<'a> {
    x: &'a [f32],
    g: &'a Geometry,
    tiling: Tiling,
    /// Input channels, filled up to whole vectors.
    depth: usize,
}

impl<'a> Input<'a> {
    fn new(level: Level, x: &'a [f32], g: &'a Geometry) -> Self {
        assert!(has_transform(g.k) && g.stride == 1, "no transform for this convolution");
        assert!(x.len() >= g.n * g.h * g.w * g.c, "the picture is too short");
        Self { x, g, tiling: Tiling::new(g), depth: g.c.next_multiple_of(level.lanes()) }
    }
}

/// The operands that all tasks share.
struct Job<'a> {
    input: Input<'a>,
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    out: &'a Output<'a>,
    /// Output channels of a panel.
    panel: usize,
}

/// Numbers by frequency, tile and channel.
#[derive(Clone, Copy)]
struct TileBuffer<'a> {
    data: Shared<'a>,
    tiles: usize,
    channels: usize,
}

impl<'a> TileBuffer<'a> {
    /// Floats from one frequency to the next. A little more than they take: at a distance of whole pages all 36 would
    /// fall into the same few lines of the cache.
    #[inline(always)]
    fn stride(tiles: usize, channels: usize) -> usize {
        tiles * channels + 16
    }

    /// Floats that it takes.
    fn len(frequencies: usize, tiles: usize, channels: usize) -> usize {
        frequencies * Self::stride(tiles, channels)
    }

    fn new(scratch: &'a mut [f32], frequencies: usize, tiles: usize, channels: usize) -> Self {
        assert!(scratch.len() >= Self::len(frequencies, tiles, channels));
        Self { data: Shared::new(scratch), tiles, channels }
    }

    /// The address of `count` channels of a tile's frequency. The caller ensures that they exist.
    #[inline(always)]
    fn at(self, frequency: usize, tile: usize, channel: usize, count: usize) -> *mut f32 {
        debug_assert!(tile < self.tiles && channel + count <= self.channels);
        self.data.at(frequency * Self::stride(self.tiles, self.channels) + tile * self.channels + channel, count)
    }
}

/// A range of tiles, counted from `origin`, the first tile in the whole batch that the buffers hold.
#[derive(Clone, Copy)]
struct Tiles {
    origin: usize,
    from: usize,
    to: usize,
}

/// The convolution of `x` by transformed weights into `out`.
pub(super) fn forward(level: Level, x: &[f32], packed: &[f32], bias: Option<&[f32]>, g: &Geometry, out: &Output<'_>) {
    let (input, panel) = (Input::new(level, x, g), level.panel());
    let (depth, Tiling { frequencies, all: tiles, .. }) = (input.depth, input.tiling);
    assert!(packed.len() >= frequencies * depth * g.oc.next_multiple_of(level.lanes()), "the weights are too short");
    let job = Job { input, packed, bias, out, panel };
    let threads = rayon::current_num_threads();
    let fit = (CACHE / (frequencies * (depth + panel))).clamp(12, 48) / 6 * 6;
    if g.c * g.oc <= SMALL && tiles >= threads * fit * ROUNDS {
        let blocks = tiles.div_ceil(fit).next_multiple_of(threads);
        by_tiles(level, &job, tiles.div_ceil(blocks));
    } else {
        let group = (GROUP / depth.max(g.oc)).max(24);
        for origin in (0..tiles).step_by(group) {
            by_frequencies(level, &job, origin, group.min(tiles - origin));
        }
    }
}

/// Floats of a task of whole tiles that fit the second-level cache.
const CACHE: usize = 330_000;
/// Blocks of tiles for each thread below which reading all weights for each of them costs too much.
const ROUNDS: usize = 2;
/// Input times output channels above which reading all weights for each block costs too much.
const SMALL: usize = 256 * 256;
/// Tiles times channels that are processed at a time where the frequencies are outermost.
const GROUP: usize = 1 << 18;

/// Computes some tiles from input to output in each task: for many tiles and few weights. Every thread has scratch
/// space of its own, and takes the next task when it is done with one.
fn by_tiles(level: Level, job: &Job<'_>, count: usize) {
    let Tiling { frequencies, all, .. } = job.input.tiling;
    let (tasks, threads) = (all.div_ceil(count), rayon::current_num_threads());
    let (v, m) = (TileBuffer::len(frequencies, count, job.input.depth), TileBuffer::len(frequencies, count, job.panel));
    let mut scratch = Scratch::new(threads.min(tasks) * (v + m));
    let next = AtomicUsize::new(0);
    scratch.par_chunks_exact_mut(v + m).with_max_len(1).for_each(|scratch| {
        let (v, m) = scratch.split_at_mut(v);
        let (v, m) = (
            TileBuffer::new(v, frequencies, count, job.input.depth),
            TileBuffer::new(m, frequencies, count, job.panel),
        );
        loop {
            let origin = next.fetch_add(1, Ordering::Relaxed) * count;
            if origin >= all {
                break;
            }
            level.run(TileTask { job, tiles: Tiles { origin, from: 0, to: count.min(all - origin) }, v, m });
        }
    });
}

struct TileTask<'a> {
    job: &'a Job<'a>,
    tiles: Tiles,
    v: TileBuffer<'a>,
    m: TileBuffer<'a>,
}

impl Kernel for TileTask<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { job, tiles, v, m } = self;
        // SAFETY: the buffers are this task's own, made for as many tiles; no other task has these.
        unsafe {
            transform_input_tiles(s, &job.input, tiles, v);
            for panel in 0..job.input.g.oc.div_ceil(job.panel) {
                for frequency in 0..job.input.tiling.frequencies {
                    multiply(s, job, tiles, frequency, panel, v, m, 0, job.input.depth * job.panel);
                }
                transform_output_tiles(s, job, tiles, panel, m, 0);
            }
        }
    }
}

/// Transforms all tiles, then computes the products, then transforms back, with all threads at each step: for few tiles
/// and many weights, of which each thread reads its share only.
fn by_frequencies(level: Level, job: &Job<'_>, origin: usize, count: usize) {
    let panels = job.input.g.oc.div_ceil(job.panel);
    let frequencies = job.input.tiling.frequencies;
    let width = panels * job.panel;
    let [mut v, mut m] =
        [job.input.depth, width].map(|channels| Scratch::new(TileBuffer::len(frequencies, count, channels)));
    let (v, m) = (
        TileBuffer::new(&mut v, frequencies, count, job.input.depth),
        TileBuffer::new(&mut m, frequencies, count, width),
    );
    let share = count.div_ceil(4 * rayon::current_num_threads());
    let parts = count.div_ceil(share);
    let part = |at: usize| Tiles { origin, from: at * share, to: count.min((at + 1) * share) };
    let all = Tiles { origin, from: 0, to: count };
    (0..parts).into_par_iter().for_each(|at| level.run(InputTransform { input: &job.input, tiles: part(at), v }));
    (0..frequencies * panels).into_par_iter().for_each(|at| {
        level.run(Products { job, tiles: all, frequency: at / panels, panel: at % panels, v, m });
    });
    (0..parts * panels).into_par_iter().for_each(|at| {
        level.run(OutputTransform { job, tiles: part(at / panels), panel: at % panels, m });
    });
}

struct InputTransform<'a> {
    input: &'a Input<'a>,
    tiles: Tiles,
    v: TileBuffer<'a>,
}

impl Kernel for InputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: no other task has these tiles.
        unsafe { transform_input_tiles(s, self.input, self.tiles, self.v) }
    }
}

struct Products<'a> {
    job: &'a Job<'a>,
    tiles: Tiles,
    frequency: usize,
    panel: usize,
    v: TileBuffer<'a>,
    m: TileBuffer<'a>,
}

impl Kernel for Products<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { job, tiles, frequency, panel, v, m } = self;
        let next = job.input.tiling.frequencies * job.input.depth * job.panel;
        // SAFETY: the frequencies of all tiles are there, and no other task has this frequency and panel.
        unsafe { multiply(s, job, tiles, frequency, panel, v, m, panel * job.panel, next) }
    }
}

struct OutputTransform<'a> {
    job: &'a Job<'a>,
    tiles: Tiles,
    panel: usize,
    m: TileBuffer<'a>,
}

impl Kernel for OutputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { job, tiles, panel, m } = self;
        // SAFETY: the products of all tiles are there, and no other task has these tiles and this panel.
        unsafe { transform_output_tiles(s, job, tiles, panel, m, panel * job.panel) }
    }
}

/// The frequencies of some tiles.
///
/// # Safety
/// `v` has these tiles, of the input's frequencies and depth, and no other task uses them.
#[inline(always)]
unsafe fn transform_input_tiles<S: Simd>(s: S, input: &Input<'_>, tiles: Tiles, v: TileBuffer<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        match input.g.k {
            3 => transform_input_sides::<S, 6>(s, input, tiles, v),
            _ => transform_input_sides::<S, 8>(s, input, tiles, v),
        }
    }
}

/// # Safety
/// As for [`transform_input_tiles`].
#[inline(always)]
unsafe fn transform_input_sides<S: Simd, const T: usize>(s: S, input: &Input<'_>, tiles: Tiles, v: TileBuffer<'_>) {
    let g = input.g;
    for tile in tiles.from..tiles.to {
        let (n, oy, ox) = input.tiling.place(tiles.origin + tile);
        // The tile's rows and columns that lie on the picture: those before `above` or from `below` on do not.
        let (above, left) = (g.top.saturating_sub(oy).min(T), g.left.saturating_sub(ox).min(T));
        let below = (g.h + g.top).saturating_sub(oy).clamp(above, T);
        let right = (g.w + g.left).saturating_sub(ox).clamp(left, T);
        let start = ((n * g.h + oy + above).wrapping_sub(g.top) * g.w).wrapping_add(ox + left).wrapping_sub(g.left);
        let start = input.x.as_ptr().wrapping_add(start.wrapping_mul(g.c));
        let whole = above == 0 && left == 0 && below == T && right == T;
        for channel in (0..input.depth).step_by(S::LANES) {
            let start = start.wrapping_add(channel);
            let mut d = [[s.splat(0.0); T]; T];
            let channels = g.c - channel;
            // SAFETY: pixels that lie on the picture, and of their channels those that are left.
            unsafe {
                if whole && channels >= S::LANES {
                    for y in 0..T {
                        for x in 0..T {
                            d[y][x] = s.load(start.wrapping_add((y * g.w + x) * g.c));
                        }
                    }
                } else {
                    for y in above..below {
                        for x in left..right {
                            let from = start.wrapping_add(((y - above) * g.w + x - left) * g.c);
                            d[y][x] = if channels >= S::LANES { s.load(from) } else { s.load_first(from, channels) };
                        }
                    }
                }
            }
            for x in 0..T {
                let mut column = [s.splat(0.0); T];
                for y in 0..T {
                    column[y] = d[y][x];
                }
                let column = transform_input::<S, T>(s, column);
                for y in 0..T {
                    d[y][x] = column[y];
                }
            }
            for y in 0..T {
                let row = transform_input::<S, T>(s, d[y]);
                for x in 0..T {
                    // SAFETY: the caller's promise.
                    unsafe { s.store(v.at(y * T + x, tile, channel, S::LANES), row[x]) };
                }
            }
        }
    }
}

/// The products of one frequency of some tiles with a panel of weights; `channel` is the panel's place in `m`, and
/// `next` the distance to the weights that are used next.
///
/// # Safety
/// `v` has these tiles' frequencies, of the job's depth, and `m` has room for them from `channel` on for a panel, which
/// no other task uses at this frequency.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // They are one product's operands; a struct would name them a second time.
unsafe fn multiply<S: Simd>(
    s: S,
    job: &Job<'_>,
    tiles: Tiles,
    frequency: usize,
    panel: usize,
    v: TileBuffer<'_>,
    m: TileBuffer<'_>,
    channel: usize,
    next: usize,
) {
    let lanes = S::LANES;
    let vectors = (job.input.g.oc - panel * job.panel).min(job.panel).div_ceil(lanes);
    let start = panel * job.panel * job.input.tiling.frequencies * job.input.depth
        + frequency * job.input.depth * vectors * lanes;
    let weights = &job.packed[start..][..job.input.depth * vectors * lanes];
    let next = weights.as_ptr().wrapping_add(next);
    for (i, (from, size)) in blocks(tiles.to - tiles.from).enumerate() {
        let tile = tiles.from + from;
        // Each block prefetches a part of the weights that are used next.
        let ahead = next.wrapping_add(i * job.input.depth * LINE);
        // SAFETY: the slice of weights holds this panel's, the rest is the caller's promise.
        unsafe {
            with_sizes!(
                size,
                vectors,
                product::<S>(s, weights.as_ptr(), ahead, job.input.depth, frequency, tile, v, m, channel)
            );
        };
    }
}

/// # Safety
/// `weights` holds `depth` rows of `N` vectors; the rest as for [`multiply`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn product<S: Simd, const M: usize, const N: usize>(
    s: S,
    weights: *const f32,
    ahead: *const f32,
    depth: usize,
    frequency: usize,
    tile: usize,
    v: TileBuffer<'_>,
    m: TileBuffer<'_>,
    channel: usize,
) {
    let mut x = [weights; M];
    for (i, x) in x.iter_mut().enumerate() {
        *x = v.at(frequency, tile + i, 0, depth);
    }
    let mut acc = [[s.splat(0.0); N]; M];
    // SAFETY: the caller's promise.
    unsafe { accumulate::<S, M, N, 1>(s, &mut acc, &x, depth, weights, ahead) };
    for (i, acc) in acc.iter().enumerate() {
        for (n, value) in acc.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { s.store(m.at(frequency, tile + i, channel + n * S::LANES, S::LANES), *value) };
        }
    }
}

/// The outputs of some tiles for a panel of channels; `channel` is the panel's place in `m`.
///
/// # Safety
/// `m` has these tiles' products with this panel from `channel` on, and no other task writes their outputs for it.
#[inline(always)]
unsafe fn transform_output_tiles<S: Simd>(
    s: S,
    job: &Job<'_>,
    tiles: Tiles,
    panel: usize,
    m: TileBuffer<'_>,
    channel: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match job.input.g.k {
            3 => transform_output_sides::<S, 6>(s, job, tiles, panel, m, channel),
            _ => transform_output_sides::<S, 8>(s, job, tiles, panel, m, channel),
        }
    }
}

/// # Safety
/// As for [`transform_output_tiles`].
#[inline(always)]
unsafe fn transform_output_sides<S: Simd, const T: usize>(
    s: S,
    job: &Job<'_>,
    tiles: Tiles,
    panel: usize,
    m: TileBuffer<'_>,
    channel: usize,
) {
    let g = job.input.g;
    let first = panel * job.panel;
    let channels = (g.oc - first).min(job.panel);
    let bias = panel_bias(job.bias, first, channels);
    for tile in tiles.from..tiles.to {
        let (n, oy, ox) = job.input.tiling.place(tiles.origin + tile);
        let (rows, columns) = (OUTPUTS.min(g.oh - oy), OUTPUTS.min(g.ow - ox));
        for lane in (0..channels).step_by(S::LANES) {
            let mut half = [[s.splat(0.0); T]; OUTPUTS];
            for x in 0..T {
                let mut column = [s.splat(0.0); T];
                for (y, value) in column.iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    *value = unsafe { s.load(m.at(y * T + x, tile, channel + lane, S::LANES)) };
                }
                let column = transform_output::<S, T>(s, column);
                for y in 0..OUTPUTS {
                    half[y][x] = column[y];
                }
            }
            // SAFETY: a panel has at most 64 channels, as has the array.
            let bias = unsafe { s.load(bias.as_ptr().add(lane)) };
            for y in 0..rows {
                let row = transform_output::<S, T>(s, half[y]);
                for x in 0..columns {
                    let pixel = (n * g.oh + oy + y) * g.ow + ox + x;
                    // SAFETY: the caller's promise.
                    unsafe { job.out.store(s, pixel, first + lane, channels - lane, &[s.add(row[x], bias)]) };
                }
            }
        }
    }
}
