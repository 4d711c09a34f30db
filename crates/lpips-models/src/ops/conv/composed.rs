//! The convolution composed of candle's operators, for devices that our kernels do not reach.

use candle_core::{Result, Tensor};

use crate::arch::conv_size;
use crate::ops::cpu::geometry::Geometry;

/// max(0, x * weight + bias) for the shapes `g`: rows of the output of a convolution that pads by `padding`.
pub(super) fn forward(x: &Tensor, [weight, bias]: [&Tensor; 2], padding: usize, g: &Geometry) -> Result<Tensor> {
    // candle's convolution has a backward that fails for strides above 1 on some sizes, and on Metal is wrong for the
    // weights: there a product of matrices takes its place.
    let unfold = weight.track_op() || (x.track_op() && g.stride > 1);
    let y = if unfold {
        unfolded(x, weight, g)?
    } else {
        let (x, padding) = if g.top == padding && conv_size(g.h, g.k, g.stride, padding) == Some(g.oh) {
            (x.clone(), padding)
        } else {
            (padded(x, g)?, 0)
        };
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        x.conv2d(weight, padding, g.stride, 1, 1)?.permute((0, 2, 3, 1))?
    };
    let y = y.broadcast_add(bias)?;
    // candle's relu passes a gradient at exactly 0; a choice by a constant mask does not.
    if y.track_op() { y.detach().gt(0f64)?.where_cond(&y, &y.zeros_like()?) } else { y.relu() }
}

/// The rows and columns that the patches see, zeros where they reach past the picture.
fn padded(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    let pad = |x: Tensor, dim: usize, before: usize, outputs: usize| {
        let reach = (outputs - 1) * g.stride + g.k;
        let size = x.dim(dim)?.min(reach - before);
        x.narrow(dim, 0, size)?.pad_with_zeros(dim, before, reach - before - size)
    };
    pad(pad(x.contiguous()?, 1, g.top, g.oh)?, 2, g.left, g.ow)
}

/// The convolution as one product: all patches (N H' W', k k in) times the weight (k k in, out).
fn unfolded(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    let x = padded(x, g)?.contiguous()?;
    let at = |offset: usize, outputs: usize| {
        Tensor::from_iter((0..outputs).map(|o| (o * g.stride + offset) as u32), x.device())
    };
    let mut patches = Vec::with_capacity(g.k * g.k);
    for ky in 0..g.k {
        let rows = x.index_select(&at(ky, g.oh)?, 1)?;
        for kx in 0..g.k {
            patches.push(rows.index_select(&at(kx, g.ow)?, 2)?);
        }
    }
    let patches = Tensor::cat(&patches, 3)?.reshape((g.n * g.oh * g.ow, g.k * g.k * g.c))?;
    let weight = weight.permute((2, 3, 1, 0))?.reshape((g.k * g.k * g.c, g.oc))?;
    patches.matmul(&weight)?.reshape((g.n, g.oh, g.ow, g.oc))
}
