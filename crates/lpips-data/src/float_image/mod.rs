//! Pictures as training takes them: square, of one size.

use std::path::Path;

use lpips_core::image::Decoder;
use lpips_core::{Picture, Size};

use crate::error::{Error, Result};
use crate::{CheckDepth, Source, builtin_samples};

/// Values of a square RGB picture, from 0 to 1, red, green and blue of each pixel from the top left.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatImage {
    /// Pixels along a side.
    pub size: usize,
    /// size x size x 3 values.
    pub values: Vec<f32>,
}

impl FloatImage {
    /// From bytes, red, green and blue of each pixel.
    pub fn from_rgb8(size: usize, rgb: &[u8]) -> Self {
        Self { size, values: rgb.iter().map(|v| f32::from(*v) / 255.0).collect() }
    }

    /// Its bytes.
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Adds its planes, red, then green, then blue, to `out`, black at -1 and white at 1.
    pub fn planes(&self, out: &mut Vec<f32>) {
        for channel in 0..3 {
            out.extend(self.values.iter().skip(channel).step_by(3).map(|v| v * 2.0 - 1.0));
        }
    }

    /// Shows at each place what was at the place that `from` gives for it, bilinearly; past the border the picture is
    /// reflected. Places are in units of half a side from the middle, to the right and down.
    pub fn warp(&mut self, from: impl Fn(f64, f64) -> (f64, f64)) {
        let (size, half, source) = (self.size, self.size as f64 / 2.0, self.values.clone());
        for (at, pixel) in self.values.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (u, v) = (((at % size) as f64 + 0.5) / half - 1.0, ((at / size) as f64 + 0.5) / half - 1.0);
            let (x, y) = from(u, v);
            let (x, y) = (snap((x + 1.0) * half - 0.5), snap((y + 1.0) * half - 0.5));
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = ((x - left) as f32, (y - top) as f32);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let at = |dx: i64, dy: i64| {
                    source[3 * (reflect(top as i64 + dy, size) * size + reflect(left as i64 + dx, size)) + channel]
                };
                let above = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
                let below = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
                *value = above * (1.0 - fy) + below * fy;
            }
        }
    }

    /// Blurs by a Gaussian of this standard deviation in pixels, reflecting at the border; less than a twentieth is nothing.
    pub fn blur(&mut self, deviation: f64) {
        if deviation <= 0.05 {
            return;
        }
        let reach = (3.0 * deviation).ceil() as i64;
        let weights: Vec<f64> = (-reach..=reach).map(|at| (-0.5 * (at as f64 / deviation).powi(2)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let size = self.size;
        for (along, across) in [(1, size), (size, 1)] {
            let source = self.values.clone();
            for (line, at) in (0..size).flat_map(|line| (0..size).map(move |at| (line, at))) {
                for channel in 0..3 {
                    let value = |at: i64| source[3 * (line * across + reflect(at, size) * along) + channel];
                    let sum: f64 =
                        (-reach..=reach).zip(&weights).map(|(by, w)| w * f64::from(value(at as i64 + by))).sum();
                    self.values[3 * (line * across + at * along) + channel] = (sum / total) as f32;
                }
            }
        }
    }
}

/// The place within 0 to size - 1 that a place beyond is a reflection of.
pub(crate) fn reflect(at: i64, size: usize) -> usize {
    if (0..size as i64).contains(&at) {
        return at as usize;
    }
    let at = at.rem_euclid(2 * size as i64) as usize;
    if at < size { at } else { 2 * size - 1 - at }
}

/// Without the rounding that would mix two pixels where a shift is by whole ones.
fn snap(v: f64) -> f64 {
    if (v - v.round()).abs() < 1e-9 { v.round() } else { v }
}

/// Whether a picture can be used: then its size.
///
/// # Errors
/// It can't.
pub fn check(path: &Path, look: CheckDepth) -> lpips_core::Result<Size> {
    match look {
        CheckDepth::Headers => Decoder::default().size(path),
        CheckDepth::Pixels => Decoder::default().open(path).map(|picture| picture.size()),
    }
}

/// The pictures of a triplet, reference, p0 and p1, or of a pair, `size` pixels each way.
///
/// Others are resized as the published loader does it, by Pillow's bilinear filter to a shorter side of `size`; of what is
/// longer the middle is taken.
///
/// # Errors
/// A picture that can't be read.
pub fn load<const N: usize>(source: &Source<N>, size: usize) -> Result<[FloatImage; N]> {
    let pictures = match source {
        Source::Files(files) => files.iter().map(|path| open(path, size)).collect::<Result<Vec<_>>>()?,
        Source::Sample { seed, index } => builtin_samples::draw(*seed, *index, size).into(),
    };
    let expected = |pictures: Vec<_>| Error::Data(format!("{} pictures were given: expected {N}", pictures.len()));
    pictures.try_into().map_err(expected)
}

/// A picture, `size` pixels each way.
///
/// # Errors
/// One that can't be read.
pub fn open(path: &Path, size: usize) -> Result<FloatImage> {
    let mut picture = Picture::open(path)?;
    let (width, height) = (picture.width(), picture.height());
    let short = width.min(height);
    if short != size {
        let scaled = |side: usize| if side == short { size } else { side * size / short };
        picture = picture.resize(scaled(width), scaled(height))?;
    }
    let (width, height) = (picture.width(), picture.height());
    let (left, top) = ((width - size) / 2, (height - size) / 2);
    let rgb = picture.to_rgb8();
    let mut values = Vec::with_capacity(size * size * 3);
    for y in top..top + size {
        let row = &rgb[(y * width + left) * 3..][..size * 3];
        values.extend(row.iter().map(|v| f32::from(*v) / 255.0));
    }
    Ok(FloatImage { size, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    #[test]
    fn a_blur_keeps_the_mean_and_smooths() {
        let mut rng = Rng::new(1, Stream::Samples, (0, 0));
        let original = FloatImage { size: 16, values: (0..16 * 16 * 3).map(|_| rng.unit() as f32).collect() };
        let mut blurred = original.clone();
        blurred.blur(1.0);
        let mean = |p: &FloatImage| p.values.iter().sum::<f32>() / p.values.len() as f32;
        let spread = |p: &FloatImage| p.values.iter().map(|v| (v - mean(p)).powi(2)).sum::<f32>();
        assert!((mean(&blurred) - mean(&original)).abs() < 1e-4);
        assert!(spread(&blurred) < 0.5 * spread(&original));
    }
}
