//! The distance between two pictures' taps at each pixel, and its gradients.
//!
//! A pixel is read from memory once, for its norm, and then again from the cache. The expanded square would save the
//! second pass, but it cancels where the pictures are alike.

use candle_core::Result;
use rayon::prelude::*;

use crate::ops::dropout::Dropout;

use super::buffers;
use super::simd::{Kernel, Level, Simd};

/// Added to the norm, as in the published package.
pub(crate) const EPSILON: f32 = 1e-10;

/// About the number of a picture's floats in one task. Work of one or two tasks stays on the calling thread, as waking
/// another takes longer.
const TASK: usize = 1 << 14;

/// Taps to compare: pictures of `pixels` times `lin.len()` floats each, the channels of a pixel side by side.
#[derive(Clone, Copy)]
pub(crate) struct Taps<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) lin: &'a [f32],
    /// The pairs, each of a picture of `a` and a picture of `b`.
    pub(crate) pairs: &'a [(usize, usize)],
    pub(crate) pixels: usize,
    pub(crate) dropout: Option<Dropout>,
}

/// The operand of a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
    /// `a` and `b` are one tensor.
    Both,
}

impl<'a> Taps<'a> {
    fn channels(&self) -> usize {
        self.lin.len()
    }

    /// Pixels per task.
    fn block(&self) -> usize {
        (TASK / self.channels()).max(1)
    }

    fn weights(&self) -> Weights<'a> {
        Weights { lin: self.lin, dropout: self.dropout }
    }

    fn is_small(&self) -> bool {
        self.pairs.len() * self.pixels <= 2 * self.block()
    }

    fn picture(&self, of: &'a [f32], index: usize) -> &'a [f32] {
        let floats = self.pixels * self.channels();
        &of[index * floats..][..floats]
    }

    /// Calls `f` with blocks of `out`, which holds `floats` for each pixel of some pictures: with the picture's index,
    /// the block's first pixel and the block.
    fn for_each_block(&self, out: &mut [f32], floats: usize, f: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let (picture, block) = (self.pixels * floats, self.block());
        if self.is_small() {
            out.chunks_exact_mut(picture).enumerate().for_each(|(index, out)| f(index, 0, out));
        } else {
            out.par_chunks_mut(picture).enumerate().for_each(|(index, out)| {
                out.par_chunks_mut(block * floats).enumerate().for_each(|(i, out)| f(index, i * block, out));
            });
        }
    }
}

/// The distance at each pixel of each pair.
pub(crate) fn forward(taps: &Taps<'_>) -> Result<Vec<f32>> {
    let (level, c) = (Level::current()?, taps.channels());
    let mut out = vec![0.0; taps.pairs.len() * taps.pixels];
    taps.for_each_block(&mut out, 1, |pair, first, out| {
        let (i, j) = taps.pairs[pair];
        let (a, b) = (&taps.picture(taps.a, i)[first * c..], &taps.picture(taps.b, j)[first * c..]);
        level.run(Distance { a, b, lin: taps.weights(), first: pair * taps.pixels + first, out });
    });
    Ok(out)
}

/// The gradient of one side's taps, given that of the distances. Where a norm is 0 the derivative does not exist, and
/// the gradient is 0.
pub(crate) fn taps_gradient(taps: &Taps<'_>, grad: &[f32], side: Side) -> Result<Vec<f32>> {
    let (level, c) = (Level::current()?, taps.channels());
    let own = if side == Side::B { taps.b } else { taps.a };
    // For each of the side's pictures the pairs it is in, with the other picture of each.
    let mut partners = vec![Vec::new(); own.len() / (taps.pixels * c)];
    for (pair, &(i, j)) in taps.pairs.iter().enumerate() {
        if side != Side::B {
            partners[i].push((pair * taps.pixels, taps.picture(taps.b, j)));
        }
        if side != Side::A {
            partners[j].push((pair * taps.pixels, taps.picture(taps.a, i)));
        }
    }
    let mut dx = buffers::take(own.len());
    taps.for_each_block(&mut dx, c, |index, first, dx| {
        dx.fill(0.0);
        let own = &taps.picture(own, index)[first * c..];
        level.run(TapsGradient { own, partners: &partners[index], first, grad, lin: taps.weights(), dx });
    });
    Ok(dx)
}

/// The gradient of the weights of the channels, given that of the distances.
pub(crate) fn lin_gradient(taps: &Taps<'_>, grad: &[f32]) -> Result<Vec<f32>> {
    let (level, c, block) = (Level::current()?, taps.channels(), taps.block());
    let blocks = taps.pixels.div_ceil(block);
    let part = |task: usize| {
        let (pair, first) = (task / blocks, task % blocks * block);
        let (i, j) = taps.pairs[pair];
        let (a, b) = (&taps.picture(taps.a, i)[first * c..], &taps.picture(taps.b, j)[first * c..]);
        let first = pair * taps.pixels + first;
        let grad = &grad[first..][..block.min((pair + 1) * taps.pixels - first)];
        let mut sum = vec![0.0; c];
        level.run(LinGradient { a, b, grad, first, dropout: taps.dropout, sum: &mut sum });
        sum
    };
    let tasks = 0..taps.pairs.len() * blocks;
    let parts: Vec<Vec<f32>> =
        if taps.is_small() { tasks.map(part).collect() } else { tasks.into_par_iter().map(part).collect() };
    // Summed in the order of the parts, whichever thread was first.
    let mut sum = vec![0f64; c];
    for part in parts {
        for (sum, part) in sum.iter_mut().zip(part) {
            *sum += f64::from(part);
        }
    }
    Ok(sum.into_iter().map(|sum| sum as f32).collect())
}

/// The channels' weights, some of them 0 at each pixel where there is dropout.
#[derive(Clone, Copy)]
struct Weights<'a> {
    lin: &'a [f32],
    dropout: Option<Dropout>,
}

impl<'a> Weights<'a> {
    /// A buffer for one pixel's weights.
    fn room(&self) -> Vec<f32> {
        self.dropout.map_or_else(Vec::new, |_| vec![0.0; self.lin.len()])
    }

    /// The weights at the pixel with this number, counted over all pairs.
    #[inline(always)]
    fn at<'b>(&self, pixel: usize, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let Some(dropout) = self.dropout else { return self.lin };
        dropout.fill(pixel, room);
        for (weight, lin) in room.iter_mut().zip(self.lin) {
            *weight *= lin;
        }
        room
    }
}

/// out = the distance at each pixel.
struct Distance<'a> {
    a: &'a [f32],
    b: &'a [f32],
    lin: Weights<'a>,
    /// The number of the first pixel, counted over all pairs.
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Distance<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c, mut room) = (self.lin.lin.len(), self.lin.room());
        let pixels = self.a.chunks_exact(c).zip(self.b.chunks_exact(c));
        for (pixel, (out, (a, b))) in self.out.iter_mut().zip(pixels).enumerate() {
            let lin = self.lin.at(self.first + pixel, &mut room);
            let (scale_a, scale_b) = (s.splat(scale(norm(s, a))), s.splat(scale(norm(s, b))));
            let mut sum = s.splat(0.0);
            for at in (0..c).step_by(S::LANES) {
                let difference = difference(s, load(s, a, at), scale_a, load(s, b, at), scale_b);
                sum = s.fma(s.mul(load(s, lin, at), difference), difference, sum);
            }
            *out = s.sum(sum);
        }
    }
}

/// dx = the gradient of a block of one picture's pixels.
struct TapsGradient<'a> {
    own: &'a [f32],
    /// For each pair the start of its part of `grad`, and the whole other picture.
    partners: &'a [(usize, &'a [f32])],
    /// The block's first pixel in its picture.
    first: usize,
    grad: &'a [f32],
    lin: Weights<'a>,
    /// Zero on entry.
    dx: &'a mut [f32],
}

impl Kernel for TapsGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c, mut room) = (self.lin.lin.len(), self.lin.room());
        for (pixel, (dx, own)) in self.dx.chunks_exact_mut(c).zip(self.own.chunks_exact(c)).enumerate() {
            let own_norm = norm(s, own);
            if own_norm == 0.0 {
                continue;
            }
            let (own_scale, pixel) = (scale(own_norm), self.first + pixel);
            // First the gradient of the unit vector, from all pairs,
            for &(start, other) in self.partners {
                let other = &other[pixel * c..][..c];
                let other_scale = s.splat(scale(norm(s, other)));
                let factor = s.splat(2.0 * self.grad[start + pixel]);
                let lin = self.lin.at(start + pixel, &mut room);
                for at in (0..c).step_by(S::LANES) {
                    let difference =
                        difference(s, load(s, own, at), s.splat(own_scale), load(s, other, at), other_scale);
                    let weight = s.mul(load(s, lin, at), factor);
                    store(s, dx, at, s.fma(weight, difference, load(s, dx, at)));
                }
            }
            // then without its part along the vector. In this order no factor overflows, however small the norm.
            let mut along = s.splat(0.0);
            for at in (0..c).step_by(S::LANES) {
                let direction = s.mul(load(s, own, at), s.splat(1.0 / own_norm));
                along = s.fma(direction, load(s, dx, at), along);
            }
            let along = s.splat(own_scale * s.sum(along));
            for at in (0..c).step_by(S::LANES) {
                let across = s.sub(load(s, dx, at), s.mul(load(s, own, at), along));
                store(s, dx, at, s.mul(across, s.splat(own_scale)));
            }
        }
    }
}

/// sum += each pixel's squared differences times its gradient.
struct LinGradient<'a> {
    a: &'a [f32],
    b: &'a [f32],
    grad: &'a [f32],
    /// The number of the first pixel, counted over all pairs.
    first: usize,
    dropout: Option<Dropout>,
    sum: &'a mut [f32],
}

impl Kernel for LinGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let c = self.sum.len();
        let mut factors = vec![1.0; if self.dropout.is_some() { c } else { 0 }];
        let pixels = self.a.chunks_exact(c).zip(self.b.chunks_exact(c));
        for (pixel, (&grad, (a, b))) in self.grad.iter().zip(pixels).enumerate() {
            if let Some(dropout) = self.dropout {
                dropout.fill(self.first + pixel, &mut factors);
            }
            let (scale_a, scale_b) = (s.splat(scale(norm(s, a))), s.splat(scale(norm(s, b))));
            for at in (0..c).step_by(S::LANES) {
                let difference = difference(s, load(s, a, at), scale_a, load(s, b, at), scale_b);
                let mut weighted = s.mul(s.splat(grad), difference);
                if self.dropout.is_some() {
                    weighted = s.mul(weighted, load(s, &factors, at));
                }
                store(s, self.sum, at, s.fma(weighted, difference, load(s, self.sum, at)));
            }
        }
    }
}

#[inline(always)]
fn norm<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for at in (0..x.len()).step_by(S::LANES) {
        let x = load(s, x, at);
        sum = s.fma(x, x, sum);
    }
    s.sum(sum).sqrt()
}

#[inline(always)]
fn scale(norm: f32) -> f32 {
    1.0 / (norm + EPSILON)
}

/// a * `scale_a` - b * `scale_b`, and exactly 0 where both are equal: a fused multiplication would leave a rounding
/// there.
#[inline(always)]
fn difference<S: Simd>(s: S, a: S::V, scale_a: S::V, b: S::V, scale_b: S::V) -> S::V {
    s.sub(s.mul(a, scale_a), s.mul(b, scale_b))
}

/// The vector at `at`, with zeros past the slice's end.
#[inline(always)]
fn load<S: Simd>(s: S, x: &[f32], at: usize) -> S::V {
    let rest = &x[at..];
    if rest.len() >= S::LANES {
        // SAFETY: so many floats are left.
        unsafe { s.load(rest.as_ptr()) }
    } else {
        // SAFETY: so many floats are left, fewer than LANES.
        unsafe { s.load_first(rest.as_ptr(), rest.len()) }
    }
}

/// Stores the vector at `at`, as much of it as the slice holds.
#[inline(always)]
fn store<S: Simd>(s: S, x: &mut [f32], at: usize, v: S::V) {
    let rest = &mut x[at..];
    if rest.len() >= S::LANES {
        // SAFETY: so many floats are left.
        unsafe { s.store(rest.as_mut_ptr(), v) }
    } else {
        // SAFETY: so many floats are left, fewer than LANES.
        unsafe { s.store_first(rest.as_mut_ptr(), v, rest.len()) }
    }
}
