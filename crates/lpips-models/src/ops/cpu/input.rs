//! Interleaves planes (3, H, W) into pixels (H, W, 3) with an affine, and its gradient.

use candle_core::Result;
use rayon::prelude::*;

use super::buffers;
use super::simd::{Kernel, Level, Simd};

/// Pixels per task.
const BLOCK: usize = 1 << 14;

/// One batch of pictures (N, 3, `pixels`) with its affine: value * scale + shift, for each channel.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) planes: &'a [f32],
    pub(crate) scale: [f32; 3],
    pub(crate) shift: [f32; 3],
    /// Value from which [`forward`] measures deviations.
    pub(crate) middle: f32,
}

/// Concatenates one to three batches as (N, `pixels`, 3), and returns each batch's largest |value - `middle`|: NaN where a
/// value is NaN.
pub(crate) fn forward(batches: &[Batch<'_>], pixels: usize) -> Result<(Vec<f32>, [f32; 3])> {
    let pictures: Vec<_> = batches
        .iter()
        .enumerate()
        .flat_map(|(at, batch)| {
            batch.planes.chunks_exact(3 * pixels).map(move |planes| (at, Batch { planes, ..*batch }))
        })
        .collect();
    let mut out = buffers::take(pictures.len() * pixels * 3);
    let level = Level::current()?;
    // Bits of the deviations: without a sign, floats are ordered as their bits are, NaN above all others.
    let block = |(at, picture): &(usize, Batch<'_>), first: usize, out: &mut [f32]| {
        let planes = [0, 1, 2].map(|channel| &picture.planes[channel * pixels + first..][..out.len() / 3]);
        let Batch { scale, shift, middle, .. } = *picture;
        let mut largest = [0; 3];
        largest[*at] = level.run(Interleave { planes, scale, shift, middle, out });
        largest
    };
    let larger = |a: [u32; 3], b: [u32; 3]| std::array::from_fn(|at| a[at].max(b[at]));
    let largest = if out.len() <= 3 * BLOCK {
        let pictures = out.chunks_exact_mut(3 * pixels).zip(&pictures);
        pictures.fold([0; 3], |largest, (out, picture)| larger(largest, block(picture, 0, out)))
    } else {
        let pictures = out.par_chunks_mut(3 * pixels).zip(&pictures);
        pictures
            .flat_map(|(out, picture)| {
                let blocks = out.par_chunks_mut(3 * BLOCK).enumerate();
                blocks.map(move |(i, out)| block(picture, i * BLOCK, out))
            })
            .reduce(|| [0; 3], larger)
    };
    Ok((out, largest.map(f32::from_bits)))
}

/// Converts pictures of bytes, red, green and blue side by side, to (N, `pixels`, 3), with the affine of [`Batch`].
pub(crate) fn from_bytes(pictures: &[&[u8]], scale: [f32; 3], shift: [f32; 3]) -> Result<Vec<f32>> {
    let picture = pictures.first().map_or(0, |picture| picture.len());
    let mut out = buffers::take(pictures.len() * picture);
    let level = Level::current()?;
    let change = |(out, bytes): (&mut [f32], &&[u8])| {
        let blocks = out.par_chunks_mut(3 * BLOCK).zip(bytes.par_chunks(3 * BLOCK));
        blocks.for_each(|(out, bytes)| level.run(Change { bytes, scale, shift, out }));
    };
    out.par_chunks_mut(picture.max(1)).zip(pictures).for_each(change);
    Ok(out)
}

/// Applies the affine to bytes of three channels side by side.
struct Change<'a> {
    bytes: &'a [u8],
    scale: [f32; 3],
    shift: [f32; 3],
    out: &'a mut [f32],
}

impl Kernel for Change<'_> {
    type Output = ();
    /// Plain loops, which the compiler turns into the level's instructions by itself.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        // 48 values are whole pixels and whole vectors of any length.
        const AT_ONCE: usize = 48;
        let scale: [f32; AT_ONCE] = std::array::from_fn(|i| self.scale[i % 3]);
        let shift: [f32; AT_ONCE] = std::array::from_fn(|i| self.shift[i % 3]);
        for (out, bytes) in self.out.chunks_mut(AT_ONCE).zip(self.bytes.chunks(AT_ONCE)) {
            for (((out, byte), scale), shift) in out.iter_mut().zip(bytes).zip(&scale).zip(&shift) {
                *out = f32::from(*byte) * scale + shift;
            }
        }
    }
}

/// Interleaves three planes' changed values, and returns the bits of the largest |value - `middle`|.
struct Interleave<'a> {
    planes: [&'a [f32]; 3],
    scale: [f32; 3],
    shift: [f32; 3],
    middle: f32,
    out: &'a mut [f32],
}

impl Kernel for Interleave<'_> {
    type Output = u32;
    /// Plain loops, which the compiler turns into the level's instructions by itself.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u32 {
        let Self { planes: [red, green, blue], scale: [r, g, b], shift: [to_r, to_g, to_b], middle, out } = self;
        // The largest magnitudes' bits: whole numbers compare faster, and NaN is above infinity.
        let mut largest = [0u32; 3];
        for (((out, red), green), blue) in out.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
            largest[0] = largest[0].max((red - middle).abs().to_bits());
            largest[1] = largest[1].max((green - middle).abs().to_bits());
            largest[2] = largest[2].max((blue - middle).abs().to_bits());
            out[0] = red * r + to_r;
            out[1] = green * g + to_g;
            out[2] = blue * b + to_b;
        }
        largest[0].max(largest[1]).max(largest[2])
    }
}

/// The gradient of one batch, (N, 3, `pixels`), given that of its results, (N, `pixels`, 3).
pub(crate) fn gradient(grad: &[f32], scale: [f32; 3], pixels: usize) -> Vec<f32> {
    let mut dx = vec![0.0; grad.len()];
    dx.par_chunks_mut(pixels).enumerate().for_each(|(plane, dx)| {
        let (picture, channel) = (plane / 3, plane % 3);
        let grad = &grad[picture * 3 * pixels..][..3 * pixels];
        for (dx, grad) in dx.iter_mut().zip(grad.chunks_exact(3)) {
            *dx = grad[channel] * scale[channel];
        }
    });
    dx
}
