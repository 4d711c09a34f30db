//! Pixel metrics as baselines for LPIPS: L2, PSNR and SSIM, in RGB and CIE Lab, as in the published evaluation and
//! scikit-image.

use lpips_core::{Picture, Size};
use lpips_data::float_image::FloatImage;
use rayon::prelude::*;

use crate::{Error, Result};

/// A distance of two pictures that needs no network.
///
/// ```
/// use lpips_eval::metric::{Baseline, Pixels};
///
/// let [black, white] = [0, 255].map(|value| Pixels::from_rgb8(8, 8, &[value; 192]).unwrap());
/// assert_eq!(Baseline::L2.value(&black, &white)?, 4.0);
/// assert_eq!(Baseline::Psnr.value(&black, &white)?, 0.0);
/// # Ok::<(), lpips_eval::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// The mean squared difference of RGB in [-1, 1].
    L2,
    /// Half the mean squared difference of Lab over 100.
    L2Lab,
    /// The peak signal-to-noise ratio in dB. Larger is nearer; its distance is its negative.
    Psnr,
    /// (1 - SSIM) / 2 of RGB.
    Dssim,
    /// (1 - SSIM) / 2 of Lab.
    DssimLab,
}

impl Baseline {
    /// All baselines, in the order of the paper's tables.
    pub const ALL: [Self; 5] = [Self::L2, Self::Psnr, Self::Dssim, Self::L2Lab, Self::DssimLab];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L2Lab => "l2-lab",
            Self::Psnr => "psnr",
            Self::Dssim => "dssim",
            Self::DssimLab => "dssim-lab",
        }
    }

    /// The value for two pictures; see the variants for units.
    ///
    /// # Errors
    /// Pictures of different sizes, or for SSIM below 7 pixels a side.
    pub fn value(self, a: &Pixels, b: &Pixels) -> Result<f64> {
        if a.size != b.size {
            return Err(Error::SizeMismatch { first: a.size, second: b.size });
        }
        Ok(match self {
            Self::L2 => mean_square(&a.rgb, &b.rgb) / (127.5 * 127.5),
            Self::Psnr => 10.0 * (255.0 * 255.0 / mean_square(&a.rgb, &b.rgb)).log10(),
            Self::L2Lab => 0.5 * mean_square(&a.lab(), &b.lab()) / 1e4,
            Self::Dssim => (1.0 - ssim(&a.rgb, &b.rgb, a.size, 255.0)?) / 2.0,
            Self::DssimLab => (1.0 - ssim(&a.lab(), &b.lab(), a.size, 100.0)?) / 2.0,
        })
    }

    /// [`Self::value`] as a distance: smaller is nearer. It is finite: equal pictures have a signal-to-noise ratio of
    /// 200 dB.
    ///
    /// # Errors
    /// Those of [`Self::value`].
    pub fn distance(self, a: &Pixels, b: &Pixels) -> Result<f64> {
        let value = self.value(a, b)?;
        Ok(if self == Self::Psnr { -value.min(200.0) } else { value })
    }
}

/// The values of a picture in [0, 255]: red, green and blue of each pixel, from the top left.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    size: Size,
    rgb: Vec<f64>,
}

impl Pixels {
    /// Converts bytes, red, green and blue of each pixel.
    ///
    /// # Errors
    /// Another number of bytes than the size has.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Result<Self> {
        let size = Size { width, height };
        if rgb.len() != 3 * width * height || rgb.is_empty() {
            return Err(Error::PixelBytes { bytes: rgb.len(), size });
        }
        Ok(Self { size, rgb: rgb.iter().map(|v| f64::from(*v)).collect() })
    }

    /// The picture in CIE Lab for illuminant D65 and the 2 degree observer: L in [0, 100], a and b about [-128, 127].
    fn lab(&self) -> Vec<f64> {
        let linear: Vec<f64> = (0..=255u8).map(|v| to_linear(f64::from(v) / 255.0)).collect();
        self.rgb
            .as_chunks::<3>()
            .0
            .iter()
            .flat_map(|pixel| {
                // Values are whole numbers.
                let [r, g, b] = pixel.map(|v| linear[v as usize]);
                let x = (0.412_453 * r + 0.357_580 * g + 0.180_423 * b) / 0.950_47;
                let y = 0.212_671 * r + 0.715_160 * g + 0.072_169 * b;
                let z = (0.019_334 * r + 0.119_193 * g + 0.950_227 * b) / 1.088_83;
                let [x, y, z] = [x, y, z].map(|t| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
                [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
            })
            .collect()
    }
}

impl From<&Picture> for Pixels {
    fn from(picture: &Picture) -> Self {
        Self { size: picture.size(), rgb: picture.to_rgb8().iter().copied().map(f64::from).collect() }
    }
}

impl From<&FloatImage> for Pixels {
    /// Rounds values to 8 bits.
    fn from(image: &FloatImage) -> Self {
        let size = Size { width: image.size, height: image.size };
        Self { size, rgb: image.to_rgb8().into_iter().map(f64::from).collect() }
    }
}

/// Converts an sRGB value to linear light, both in [0, 1].
fn to_linear(v: f64) -> f64 {
    if v > 0.040_45 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 }
}

fn mean_square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

/// Pixels along a side of the SSIM window.
const WINDOW: usize = 7;

/// The structural similarity (Wang et al., 2004) as scikit-image's `structural_similarity`: uniform windows of 7x7
/// inside the picture, sample covariance, K1 = 0.01, K2 = 0.03, the mean over three channels. `range` is the range of
/// values.
fn ssim(a: &[f64], b: &[f64], size: Size, range: f64) -> Result<f64> {
    let Size { width, height } = size;
    if width < WINDOW || height < WINDOW {
        return Err(Error::TooSmall { size, least: WINDOW });
    }
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let count = (WINDOW * WINDOW) as f64;
    let (across, down) = (width + 1 - WINDOW, height + 1 - WINDOW);
    let row = |top: usize| -> f64 {
        // For each column and channel the sums over the window's rows: a, b, a a, b b, a b.
        let mut columns = vec![[0.0; 5]; 3 * width];
        for y in top..top + WINDOW {
            let line = 3 * y * width..3 * (y + 1) * width;
            for ((sums, a), b) in columns.iter_mut().zip(&a[line.clone()]).zip(&b[line]) {
                for (sum, value) in sums.iter_mut().zip([*a, *b, a * a, b * b, a * b]) {
                    *sum += value;
                }
            }
        }
        let mut total = 0.0;
        for left in 0..across {
            for channel in 0..3 {
                let mut sums = [0.0; 5];
                for x in left..left + WINDOW {
                    for (sum, value) in sums.iter_mut().zip(columns[3 * x + channel]) {
                        *sum += value;
                    }
                }
                let [ua, ub, aa, bb, ab] = sums.map(|sum| sum / count);
                let sample = count / (count - 1.0);
                let (va, vb, vab) = (sample * (aa - ua * ua), sample * (bb - ub * ub), sample * (ab - ua * ub));
                total += (2.0 * ua * ub + c1) * (2.0 * vab + c2) / ((ua * ua + ub * ub + c1) * (va + vb + c2));
            }
        }
        total
    };
    let rows: Vec<f64> = (0..down).into_par_iter().map(row).collect();
    Ok(rows.into_iter().sum::<f64>() / (3 * across * down) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, width: usize, height: usize) -> Pixels {
        let mut rng = lpips_data::rng::Rng::new(seed, lpips_data::rng::Stream::Samples, (9, 9));
        let bytes: Vec<u8> = (0..3 * width * height).map(|_| rng.below(256) as u8).collect();
        Pixels::from_rgb8(width, height, &bytes).unwrap()
    }

    #[test]
    fn pixel_metrics_of_equal_pictures_are_zero_or_infinite_psnr() {
        let a = noise(1, 12, 9);
        for baseline in Baseline::ALL {
            let value = baseline.value(&a, &a).unwrap();
            assert!(if baseline == Baseline::Psnr { value == f64::INFINITY } else { value.abs() < 1e-12 }, "{value}");
        }
    }

    #[test]
    fn lab_of_known_colours_is_lindblooms() {
        // Lindbloom's values for sRGB under D65.
        for (rgb, lab) in [
            ([255, 255, 255], [100.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
        ] {
            let ours = Pixels::from_rgb8(1, 1, &rgb).unwrap().lab();
            assert!(ours.iter().zip(lab).all(|(a, b)| (a - b).abs() < 0.02), "{rgb:?}: {ours:?}");
        }
    }

    #[test]
    fn pixel_metrics_are_their_formulas() {
        let (a, b) = (noise(1, 10, 8), noise(2, 10, 8));
        let squares: f64 = a.rgb.iter().zip(&b.rgb).map(|(a, b)| ((a - b) / 127.5).powi(2)).sum();
        let l2 = squares / 240.0;
        assert!((Baseline::L2.value(&a, &b).unwrap() - l2).abs() < 1e-12);
        assert!((Baseline::Psnr.value(&a, &b).unwrap() - 10.0 * (4.0 / l2).log10()).abs() < 1e-9);
        assert!(Baseline::Psnr.distance(&a, &b).unwrap() < 0.0);
        let dssim = Baseline::Dssim.value(&a, &b).unwrap();
        assert!((0.3..0.7).contains(&dssim), "noise has nothing in common: {dssim}");
        // One window, by the definition.
        let (a, b) = (noise(3, 7, 7), noise(4, 7, 7));
        let mut expected = 0.0;
        for c in 0..3 {
            let of = |p: &Pixels| -> Vec<f64> { p.rgb.iter().skip(c).step_by(3).copied().collect() };
            let (a, b) = (of(&a), of(&b));
            let mean = |v: &[f64]| v.iter().sum::<f64>() / 49.0;
            let (ua, ub) = (mean(&a), mean(&b));
            let cov = |x: &[f64], ux: f64, y: &[f64], uy: f64| {
                x.iter().zip(y).map(|(x, y)| (x - ux) * (y - uy)).sum::<f64>() / 48.0
            };
            let (va, vb, vab) = (cov(&a, ua, &a, ua), cov(&b, ub, &b, ub), cov(&a, ua, &b, ub));
            expected +=
                (2.0 * ua * ub + 6.5025) * (2.0 * vab + 58.5225) / ((ua * ua + ub * ub + 6.5025) * (va + vb + 58.5225));
        }
        assert!((Baseline::Dssim.value(&a, &b).unwrap() - (1.0 - expected / 3.0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn pixel_metrics_refuse_other_sizes_and_too_small_pictures() {
        assert!(Baseline::L2.value(&noise(1, 8, 8), &noise(1, 8, 9)).is_err());
        assert!(Baseline::Dssim.value(&noise(1, 6, 8), &noise(2, 6, 8)).is_err());
        assert!(Pixels::from_rgb8(2, 2, &[0; 11]).is_err());
    }
}
