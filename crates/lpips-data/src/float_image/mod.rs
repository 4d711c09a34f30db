//! Square RGB pictures of f32 values: the input of augmentation, distortion and training.

mod jitter;
mod warp;

use std::fmt;
use std::path::Path;

use lpips_core::Picture;

use crate::error::Result;

pub(crate) use jitter::Jitter;
pub(crate) use warp::{product, projective, to_corners};

/// Square RGB picture of f32 values in [0, 1], sRGB-encoded as files hold them.
///
/// # Examples
/// ```
/// use lpips_data::float_image::FloatImage;
///
/// // Two rows of two pixels: red, green, blue and white.
/// let mut image = FloatImage::from_rgb8(2, &[255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
/// assert_eq!(image.values[..3], [1.0, 0.0, 0.0]);
/// // A mirror image: each pixel takes the value at the opposite x.
/// image.warp(|x, y| (-x, y));
/// assert_eq!(image.to_rgb8()[..6], [0, 255, 0, 255, 0, 0]);
/// ```
#[derive(Clone, PartialEq)]
pub struct FloatImage {
    /// Pixels along a side.
    pub size: usize,
    /// Values, `size` x `size` x 3: rows from the top, pixels from the left, red, green and blue of each.
    pub values: Vec<f32>,
}

impl fmt::Debug for FloatImage {
    /// Formats the size, not the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloatImage").field("size", &self.size).finish_non_exhaustive()
    }
}

impl FloatImage {
    /// Converts bytes, `size` x `size` x 3, dividing by 255.
    pub fn from_rgb8(size: usize, rgb: &[u8]) -> Self {
        Self { size, values: rgb.iter().map(|v| f32::from(*v) / 255.0).collect() }
    }

    /// Decodes a picture, `size` pixels each way.
    ///
    /// A picture of another size is resized as the published loader does it: by Pillow's bilinear filter to a shorter
    /// side of `size`, then the middle of the longer side.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub fn open(path: &Path, size: usize) -> Result<Self> {
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
        Ok(Self { size, values })
    }

    /// Converts to bytes, rounding to the nearest and clamping to [0, 255].
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Appends the red, green and blue planes to `out`, mapped from [0, 1] to [-1, 1] (NCHW order).
    pub fn planes(&self, out: &mut Vec<f32>) {
        for channel in 0..3 {
            out.extend(self.values.iter().skip(channel).step_by(3).map(|v| v * 2.0 - 1.0));
        }
    }

    /// Blurs by a Gaussian, reflecting at the border.
    ///
    /// `deviation` is the standard deviation in pixels; up to 0.05 nothing changes.
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

/// Reflects a coordinate at the borders into 0..size, repeating the border pixel.
pub(crate) fn reflect(at: i64, size: usize) -> usize {
    if (0..size as i64).contains(&at) {
        return at as usize;
    }
    let at = at.rem_euclid(2 * size as i64) as usize;
    if at < size { at } else { 2 * size - 1 - at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    #[test]
    fn blur_keeps_mean_and_reduces_variance() {
        let mut rng = Rng::new(1, Stream::Samples, (0, 0));
        let original = FloatImage { size: 16, values: (0..16 * 16 * 3).map(|_| rng.unit() as f32).collect() };
        let mut blurred = original.clone();
        blurred.blur(1.0);
        let mean = |p: &FloatImage| p.values.iter().sum::<f32>() / p.values.len() as f32;
        let spread = |p: &FloatImage| p.values.iter().map(|v| (v - mean(p)).powi(2)).sum::<f32>();
        assert!((mean(&blurred) - mean(&original)).abs() < 1e-4);
        assert!(spread(&blurred) < 0.5 * spread(&original));
    }

    #[test]
    fn float_image_debug_omits_values() {
        let image = FloatImage { size: 2, values: vec![0.25; 12] };
        assert_eq!(format!("{image:?}"), "FloatImage { size: 2, .. }");
    }
}
