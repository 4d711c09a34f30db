//! Convolution with bias and ReLU, its input gradient and its weight gradient: the shapes, and the choice of algorithm.

use std::fmt;

use rayon::prelude::*;

use super::buffers::{self, Scratch, Shared};
use super::simd::Level;
use super::{conv_weight_grad, direct, winograd};

/// The shapes of one convolution: (n, h, w, c) in, (n, oh, ow, oc) out, k x k kernel.
///
/// Output pixel (0, 0) sees the input from row -top and column -left on; what lies outside of the picture is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) top: usize,
    pub(crate) left: usize,
    /// The algorithm is chosen as if there were so many pictures, where this is said.
    pub(crate) chosen_for: Option<usize>,
}

impl Geometry {
    /// Inputs that one output pixel sees.
    pub(super) fn patch(&self) -> usize {
        self.k * self.k * self.c
    }

    /// Whether no patch reaches past the picture.
    pub(super) fn is_inside(&self) -> bool {
        let reach = |outputs: usize| (outputs - 1) * self.stride + self.k;
        self.top == 0 && self.left == 0 && reach(self.oh) <= self.h && reach(self.ow) <= self.w
    }

    /// The same convolution of a picture that has its border of zeros already.
    pub(super) fn inside(&self) -> Self {
        let reach = |outputs: usize| (outputs - 1) * self.stride + self.k;
        Self { h: reach(self.oh), w: reach(self.ow), top: 0, left: 0, ..*self }
    }

    /// Multiply-adds by the definition.
    pub(crate) fn products(&self) -> usize {
        self.n * self.oh * self.ow * self.patch() * self.oc
    }

    /// The convolution that takes the gradient of this one's output to that of its input.
    ///
    /// With a stride s it puts out blocks of s x s input pixels, side by side in its channels: input row
    /// s*q + r - top belongs to block q and place r. The blocks from [`Self::first_block`] on are computed.
    pub(crate) fn flipped(&self) -> Self {
        let k = self.k.div_ceil(self.stride);
        let (first_row, first_column) = self.first_block();
        Self {
            n: self.n,
            h: self.oh,
            w: self.ow,
            c: self.oc,
            oh: (self.h - 1 + self.top) / self.stride + 1 - first_row,
            ow: (self.w - 1 + self.left) / self.stride + 1 - first_column,
            oc: self.stride * self.stride * self.c,
            k,
            stride: 1,
            top: k - 1 - first_row,
            left: k - 1 - first_column,
            chosen_for: self.chosen_for,
        }
    }

    /// Weights, where each output channel has `each` for an input channel.
    pub(super) fn weights(&self, each: usize) -> usize {
        each * self.c * self.oc
    }

    fn first_block(&self) -> (usize, usize) {
        (self.top / self.stride, self.left / self.stride)
    }
}

/// What it costs to bring a weight from memory, in multiply-adds: found by timing layers that have more weights than pixels.
pub(super) const FETCH: usize = 10;

/// How a convolution is computed.
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
    /// The one that should be faster for these shapes, by a count of what each does. It does not ask how many threads there
    /// are, so that results do not depend on them; they may depend, in their last bits, on how many pictures are in a batch,
    /// unless [`Geometry::chosen_for`] says what to count with.
    pub(crate) fn choose(g: &Geometry) -> Self {
        let counted = Geometry { n: g.chosen_for.unwrap_or(g.n), ..*g };
        Self::cheaper(&counted, winograd::cost, direct::cost)
    }

    /// The one for the weights' gradient.
    fn for_weights(g: &Geometry) -> Self {
        Self::cheaper(g, winograd::gradient_cost, Geometry::products)
    }

    /// The one that costs less, where there is a choice.
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

    /// Multiply-adds that it takes.
    pub(crate) fn products(self, g: &Geometry) -> usize {
        match self {
            Self::Direct => g.products(),
            Self::Winograd => winograd::products(g),
        }
    }
}

/// Weights (oc, c, k, k), or the same flipped round for the gradient of the input.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a> {
    data: &'a [f32],
    /// Of the convolution forward.
    c: usize,
    size: usize,
    /// Of the convolution forward, where this is the one that takes its gradients back.
    flipped: Option<usize>,
    outputs: usize,
    inputs: usize,
    pub(super) k: usize,
}

impl<'a> Weight<'a> {
    /// The weights (oc, c, k, k) of a convolution of these shapes.
    pub(crate) fn forward(data: &'a [f32], g: &Geometry) -> Self {
        assert!(data.len() == g.oc * g.patch(), "the weights do not fit the shapes");
        Self { data, c: g.c, size: g.k, flipped: None, outputs: g.oc, inputs: g.c, k: g.k }
    }

    /// The same, for [`Geometry::flipped`].
    pub(crate) fn flipped(data: &'a [f32], g: &Geometry) -> Self {
        let (outputs, k) = (g.stride * g.stride * g.c, g.k.div_ceil(g.stride));
        Self { flipped: Some(g.stride), outputs, inputs: g.oc, k, ..Self::forward(data, g) }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The weight from input channel `i` to output channel `o` at place `j` of the kernel.
    #[inline(always)]
    pub(super) fn at(&self, o: usize, i: usize, j: usize) -> f32 {
        let Some(stride) = self.flipped else {
            return self.data[(o * self.c + i) * self.size * self.size + j];
        };
        let (place, ic) = (o / self.c, o % self.c);
        let back = |place: usize, j: usize| place + stride * (self.k - 1 - j);
        let (ky, kx) = (back(place / stride, j / self.k), back(place % stride, j % self.k));
        // Where the stride does not divide the kernel's size, some places see less of it.
        if ky < self.size && kx < self.size {
            self.data[((i * self.c + ic) * self.size + ky) * self.size + kx]
        } else {
            0.0
        }
    }

    /// In the order that an algorithm takes them.
    pub(crate) fn pack(&self, level: Level, algorithm: Algorithm) -> Scratch {
        match algorithm {
            Algorithm::Direct => direct::pack(level, self),
            Algorithm::Winograd => winograd::pack(level, self),
        }
    }
}

/// Where a convolution writes: pixels of `width` channels, its own from `offset` on.
pub(crate) struct Output<'a> {
    pub(super) data: Shared<'a>,
    pixels: usize,
    channels: usize,
    pub(super) width: usize,
    pub(super) offset: usize,
    pub(super) relu: bool,
}

impl<'a> Output<'a> {
    /// Pixels of `width` channels, of which a convolution writes its own from `offset` on.
    ///
    /// # Panics
    /// Where `data` has no room for the result.
    pub(crate) fn new(data: &'a mut [f32], g: &Geometry, width: usize, offset: usize, relu: bool) -> Self {
        let (pixels, channels) = (g.n * g.oh * g.ow, g.oc);
        assert!(offset + channels <= width && pixels * width <= data.len(), "the result has no room");
        Self { data: Shared::new(data), pixels, channels, width, offset, relu }
    }
}

/// x * weight + bias, and a ReLU if the output has one.
///
/// # Panics
/// Where the picture, the weights or the output are not of these shapes, or the algorithm is not for them.
pub(crate) fn forward(
    level: Level,
    algorithm: Algorithm,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    g: &Geometry,
    out: &mut Output<'_>,
) {
    assert!((out.pixels, out.channels) == (g.n * g.oh * g.ow, g.oc), "the output was made for another result");
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

/// Output channels that are re-laid together: what lies side by side on one side of it is a line of the cache.
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

/// The picture with its border of zeros, and the shapes of the same convolution of that; `None` where no patch reaches past
/// the picture.
pub(super) fn pad(x: &[f32], g: &Geometry) -> Option<(Scratch, Geometry)> {
    if g.is_inside() {
        return None;
    }
    let inside = g.inside();
    let mut padded = Scratch::new(g.n * inside.h * inside.w * g.c);
    let width = inside.w * g.c;
    let left = g.left * g.c;
    let copied = (g.w * g.c).min(width - left);
    let fill = |(line, row): (usize, &mut [f32])| {
        let (n, y) = (line / inside.h, line % inside.h);
        match y.checked_sub(g.top).filter(|&y| y < g.h) {
            None => row.fill(0.0),
            Some(y) => {
                row[..left].fill(0.0);
                row[left..left + copied].copy_from_slice(&x[(n * g.h + y) * g.w * g.c..][..copied]);
                row[left + copied..].fill(0.0);
            }
        }
    };
    if padded.len() < 1 << 15 {
        padded.chunks_exact_mut(width).enumerate().for_each(fill);
    } else {
        padded.par_chunks_exact_mut(width).with_min_len(8).enumerate().for_each(fill);
    }
    Some((padded, inside))
}

/// The biases of a panel's channels, from channel `first` on: zeros where there are none, and past the last.
#[inline(always)]
pub(super) fn panel_bias(bias: Option<&[f32]>, first: usize, channels: usize) -> [f32; 64] {
    let mut panel = [0f32; 64];
    if let Some(bias) = bias {
        panel[..channels].copy_from_slice(&bias[first..][..channels]);
    }
    panel
}
