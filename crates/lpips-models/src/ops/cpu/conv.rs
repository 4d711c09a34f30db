//! Convolution with bias and ReLU, its input gradient and its weight gradient: the choice of algorithm.

use std::fmt;

use rayon::prelude::*;

use super::buffers::{self, Scratch};
use super::geometry::{Geometry, Weight, pad};
use super::output::Output;
use super::simd::Level;
use super::{conv_weight_grad, direct, winograd};

/// An algorithm of convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Each output as one chain of multiply-adds.
    Direct,
    /// In tiles, with fewer multiplications.
    Winograd,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Winograd => "winograd",
        })
    }
}

impl Algorithm {
    /// The algorithm with the lower estimated time for these shapes. It does not depend on the number of threads, so
    /// neither do results; these may depend, in their last bits, on the size of the batch, unless
    /// [`Geometry::chosen_for`] fixes it.
    pub(crate) fn choose(g: &Geometry) -> Self {
        let counted = Geometry { n: g.chosen_for.unwrap_or(g.n), ..*g };
        Self::cheaper(&counted, winograd::cost, direct::cost)
    }

    /// The algorithm for the weights' gradient.
    fn for_weights(g: &Geometry) -> Self {
        Self::cheaper(g, winograd::gradient_cost, Geometry::products)
    }

    /// The algorithm with the lower cost, where both apply.
    fn cheaper(g: &Geometry, winograd: fn(&Geometry) -> usize, direct: fn(&Geometry) -> usize) -> Self {
        if g.stride != 1 || !winograd::has_transform(g.k) {
            return Self::Direct;
        }
        #[cfg(test)]
        if let Some(forced) = crate::ops::testing::forced_algorithm() {
            return forced;
        }
        if winograd(g) < direct(g) { Self::Winograd } else { Self::Direct }
    }

    /// Floats of the packed weights, or a few less.
    pub(crate) fn packed(self, g: &Geometry) -> usize {
        g.weights(match self {
            Self::Direct => g.k * g.k,
            Self::Winograd => winograd::frequencies(g.k),
        })
    }

    /// Multiply-adds that the algorithm executes.
    pub(crate) fn products(self, g: &Geometry) -> usize {
        match self {
            Self::Direct => g.products(),
            Self::Winograd => winograd::products(g),
        }
    }
}

/// The weights in the order that an algorithm takes them.
pub(crate) fn pack(weight: &Weight<'_>, level: Level, algorithm: Algorithm) -> Scratch {
    match algorithm {
        Algorithm::Direct => direct::pack(level, weight),
        Algorithm::Winograd => winograd::pack(level, weight),
    }
}

/// x * weight + bias, and a ReLU if the output has one.
///
/// # Panics
/// If the picture, the weights or the output are not of these shapes, or the algorithm does not apply to them.
pub(crate) fn forward(
    level: Level,
    algorithm: Algorithm,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    g: &Geometry,
    out: &mut Output<'_>,
) {
    assert!(out.fits(g), "the output was made for another shape");
    match algorithm {
        Algorithm::Direct => direct::forward(level, x, packed, bias, g, out),
        Algorithm::Winograd => winograd::forward(level, x, packed, bias, g, out),
    }
}

/// The gradient of the input from that of the output, by weights packed from [`Weight::flipped`].
pub(crate) fn input_gradient(
    level: Level,
    algorithm: Algorithm,
    grad: &[f32],
    packed: &[f32],
    g: &Geometry,
) -> Vec<f32> {
    let flipped = g.flipped();
    let mut blocks = buffers::take(flipped.n * flipped.oh * flipped.ow * flipped.oc);
    let mut out = Output::new(&mut blocks, &flipped, flipped.oc, 0, false);
    forward(level, algorithm, grad, packed, None, &flipped, &mut out);
    if g.stride == 1 {
        return blocks;
    }
    let mut dx = buffers::take(g.n * g.h * g.w * g.c);
    let (first_row, first_column) = g.first_block();
    dx.par_chunks_exact_mut(g.w * g.c).enumerate().for_each(|(line, row)| {
        let (n, y) = (line / g.h, line % g.h + g.top);
        let blocks = &blocks[(n * flipped.oh + y / g.stride - first_row) * flipped.ow * flipped.oc..];
        for (x, pixel) in row.chunks_exact_mut(g.c).enumerate() {
            let x = x + g.left;
            let place = y % g.stride * g.stride + x % g.stride;
            let from = (x / g.stride - first_column) * flipped.oc + place * g.c;
            pixel.copy_from_slice(&blocks[from..from + g.c]);
        }
    });
    buffers::give(blocks);
    dx
}

/// Output channels that are transposed together: one line of the cache.
const TOGETHER: usize = 16;

/// The gradient of the weight as (oc, c, k, k), from the input and the gradient of the output.
pub(crate) fn weight_gradient(level: Level, x: &[f32], grad: &[f32], g: &Geometry) -> Vec<f32> {
    let by_inputs = match Algorithm::for_weights(g) {
        Algorithm::Winograd => winograd::weight_gradient(level, x, grad, g),
        Algorithm::Direct => match pad(x, g) {
            None => conv_weight_grad::weight_gradient(level, x, grad, g),
            Some((x, g)) => conv_weight_grad::weight_gradient(level, &x, grad, &g),
        },
    };
    // From (k, k, c, oc).
    let (taps, size) = (g.k * g.k, g.c * g.k * g.k);
    let mut dw = vec![0.0; by_inputs.len()];
    dw.par_chunks_mut(TOGETHER * size).enumerate().for_each(|(i, dw)| {
        let first = i * TOGETHER;
        for (at, row) in by_inputs.chunks_exact(g.oc).enumerate() {
            let to = at % g.c * taps + at / g.c;
            for (channel, value) in row[first..].iter().take(dw.len() / size).enumerate() {
                dw[channel * size + to] = *value;
            }
        }
    });
    buffers::give(by_inputs);
    dw
}
