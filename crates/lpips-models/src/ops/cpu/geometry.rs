//! Shapes of a convolution, its weights element by element, and zero padding.

use rayon::prelude::*;

use super::buffers::Scratch;

/// The cost of reading a weight from memory, in multiply-adds: found by timing layers that have more weights than
/// pixels.
pub(super) const FETCH: usize = 10;

/// The shapes of one convolution: (n, h, w, c) in, (n, oh, ow, oc) out, k x k kernel.
///
/// The patch of output pixel (0, 0) begins at input row -top and column -left; outside of the picture the input is
/// zero.
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
    /// The batch size that the algorithm is chosen for, if it is not `n`.
    pub(crate) chosen_for: Option<usize>,
}

impl Geometry {
    /// The number of inputs of one output pixel.
    pub(super) fn patch(&self) -> usize {
        self.k * self.k * self.c
    }

    /// Whether no patch overlaps the picture's border.
    pub(super) fn is_inside(&self) -> bool {
        let reach = |outputs: usize| (outputs - 1) * self.stride + self.k;
        self.top == 0 && self.left == 0 && reach(self.oh) <= self.h && reach(self.ow) <= self.w
    }

    /// The convolution of a picture that is padded with zeros already.
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
    /// With a stride s its outputs are blocks of s x s input pixels, side by side in its channels: input row
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

    /// The number of weights, where each pair of an input and an output channel has `each`.
    pub(super) fn weights(&self, each: usize) -> usize {
        each * self.c * self.oc
    }

    pub(super) fn first_block(&self) -> (usize, usize) {
        (self.top / self.stride, self.left / self.stride)
    }
}

/// Weights (oc, c, k, k), or the same flipped for the gradient of the input.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a> {
    data: &'a [f32],
    /// Channels of the forward convolution's input.
    c: usize,
    size: usize,
    /// The stride of the forward convolution, if these are the weights of its input gradient.
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

    /// The weights flipped, for [`Geometry::flipped`].
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
        // Where the stride does not divide the kernel's size, some places have fewer weights.
        if ky < self.size && kx < self.size {
            self.data[((i * self.c + ic) * self.size + ky) * self.size + kx]
        } else {
            0.0
        }
    }
}

/// Pads the picture with zeros, and returns it with the shapes of the convolution of it; `None` where no patch overlaps
/// the border.
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
