//! Frames of luma and chroma planes, converted to pictures.

use lpips_core::Picture;
use rayon::prelude::*;

use super::standard::{ColourMatrix, ColourRange};

/// Chroma subsampling: one sample for `across` by `down` pixels, placed at the first of these pixels or at their
/// centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::video) struct Chroma {
    pub(in crate::video) across: usize,
    pub(in crate::video) down: usize,
    /// Whether a sample is placed at the first pixel of those across, not at their centre.
    pub(in crate::video) left: bool,
    /// Whether a sample is placed at the first pixel of those down, not at their centre.
    pub(in crate::video) top: bool,
}

/// Layout of a frame in planes: luma, then blue and red chroma unless it is gray. A sample of 8 bits takes a byte, one
/// of more bits two, the lower first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::video) struct Planes {
    pub(in crate::video) width: usize,
    pub(in crate::video) height: usize,
    /// Bits of a sample, 8 to 16.
    pub(in crate::video) bits: u32,
    pub(in crate::video) chroma: Option<Chroma>,
    pub(in crate::video) matrix: ColourMatrix,
    pub(in crate::video) range: ColourRange,
}

/// Scaling of a sample to a fraction of its range: `(v - zero) * unit`.
#[derive(Clone, Copy)]
struct Scale {
    zero: f32,
    unit: f32,
}

impl Scale {
    fn of(self, v: f32) -> f32 {
        (v - self.zero) * self.unit
    }
}

impl Planes {
    fn chroma_size(&self) -> (usize, usize) {
        self.chroma.map_or((0, 0), |c| (self.width.div_ceil(c.across), self.height.div_ceil(c.down)))
    }

    fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// Size of a frame in bytes.
    pub(in crate::video) fn bytes(&self) -> usize {
        let (width, height) = self.chroma_size();
        (self.width * self.height + 2 * width * height) * self.sample_bytes()
    }

    /// Converts a frame to a picture, of 8 bits where the samples have 8, otherwise of 16. Chroma between samples is
    /// interpolated bilinearly.
    pub(in crate::video) fn picture(&self, frame: &[u8]) -> Result<Picture, String> {
        let picture = if self.bits > 8 {
            Picture::from_rgb16(self.width, self.height, self.convert(frame, |v| (v * 65535.0 + 0.5) as u16))
        } else {
            Picture::from_rgb8(self.width, self.height, self.convert(frame, |v| (v * 255.0 + 0.5) as u8))
        };
        picture.map_err(|error| error.to_string())
    }

    fn convert<T: Copy + Default + Send>(&self, frame: &[u8], to: impl Fn(f32) -> T + Sync) -> Vec<T> {
        let mut rgb = vec![T::default(); 3 * self.width * self.height];
        let peak = (1u32 << self.bits) as f32;
        let (luma, chroma) = match self.range {
            ColourRange::Full => ((0.0, peak - 1.0), peak - 1.0),
            ColourRange::Limited => ((peak / 16.0, peak * 219.0 / 256.0), peak * 224.0 / 256.0),
        };
        let luma = Scale { zero: luma.0, unit: 1.0 / luma.1 };
        let chroma = Scale { zero: peak / 2.0, unit: 1.0 / chroma };
        let (red, blue) = self.matrix.weights();
        let green = 1.0 - red - blue;
        let (across, _) = self.chroma_size();
        let places: Vec<_> = match self.chroma {
            Some(c) => (0..self.width).map(|x| between(x, c.across, c.left, across)).collect(),
            None => Vec::new(),
        };
        rgb.par_chunks_exact_mut(3 * self.width).enumerate().for_each(|(y, row)| {
            let lumas = self.samples(frame, y * self.width, self.width).map(|v| luma.of(v));
            let pixels = row.as_chunks_mut::<3>().0.iter_mut().zip(lumas);
            let Some([cb, cr]) = self.chroma_rows(frame, y) else {
                pixels.for_each(|(pixel, luma)| *pixel = [to(luma); 3]);
                return;
            };
            for ((pixel, luma), (one, other, share)) in pixels.zip(&places) {
                let at = |row: &[f32]| chroma.of(row[*one] + (row[*other] - row[*one]) * share);
                let (r, b) = (luma + 2.0 * (1.0 - red) * at(&cr), luma + 2.0 * (1.0 - blue) * at(&cb));
                *pixel = [to(r), to((luma - red * r - blue * b) / green), to(b)];
            }
        });
        rgb
    }

    /// The samples of blue and red chroma of a row of pixels; `None` for a gray frame.
    fn chroma_rows(&self, frame: &[u8], y: usize) -> Option<[Vec<f32>; 2]> {
        let c = self.chroma?;
        let (width, height) = self.chroma_size();
        let (one, other, share) = between(y, c.down, c.top, height);
        Some([0, 1].map(|plane| {
            let start = self.width * self.height + plane * width * height;
            let row = |at: usize| self.samples(frame, start + at * width, width);
            row(one).zip(row(other)).map(|(a, b)| a + (b - a) * share).collect()
        }))
    }

    /// `count` samples from the sample `from` on.
    fn samples<'a>(&self, frame: &'a [u8], from: usize, count: usize) -> impl Iterator<Item = f32> + 'a {
        let size = self.sample_bytes();
        let bytes = &frame[from * size..(from + count) * size];
        bytes
            .chunks_exact(size)
            .map(|v| f32::from(if let [low, high] = *v { u16::from_le_bytes([low, high]) } else { v[0].into() }))
    }
}

/// The two samples next to a pixel, and the weight of the second in a linear interpolation.
fn between(pixel: usize, every: usize, first: bool, samples: usize) -> (usize, usize, f32) {
    let at = if first { pixel as f32 } else { pixel as f32 + 0.5 - every as f32 / 2.0 } / every as f32;
    let at = at.clamp(0.0, samples as f32 - 1.0);
    let one = at as usize;
    (one, (one + 1).min(samples - 1), at - one as f32)
}

#[cfg(test)]
pub(in crate::video) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::video) const CENTRE: Chroma = Chroma { across: 2, down: 2, left: false, top: false };

    /// The frame whose picture has these colours, in [0, 1], at its pixels: the inverse conversion, by the standards'
    /// formulas.
    pub(in crate::video) fn frame(planes: &Planes, colour: impl Fn(f64, f64) -> [f64; 3]) -> Vec<u8> {
        let (red, blue) = match planes.matrix {
            ColourMatrix::Bt601 => (0.299, 0.114),
            ColourMatrix::Bt709 => (0.2126, 0.0722),
        };
        let step = f64::from(1u32 << (planes.bits - 8));
        let most = 256.0 * step - 1.0;
        let yuv = |x: f64, y: f64| {
            let [r, g, b] = colour(x, y);
            let luma = red * r + (1.0 - red - blue) * g + blue * b;
            let (cb, cr) = ((b - luma) / (2.0 - 2.0 * blue), (r - luma) / (2.0 - 2.0 * red));
            match planes.range {
                ColourRange::Full => [luma * most, cb * most + 128.0 * step, cr * most + 128.0 * step],
                ColourRange::Limited => [16.0 + 219.0 * luma, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr].map(|v| v * step),
            }
        };
        let mut bytes = Vec::new();
        let mut put = |v: f64| {
            let v = v.round().clamp(0.0, most) as u16;
            bytes.extend(&v.to_le_bytes()[..if planes.bits > 8 { 2 } else { 1 }]);
        };
        for y in 0..planes.height {
            (0..planes.width).for_each(|x| put(yuv(x as f64, y as f64)[0]));
        }
        if let Some(c) = planes.chroma {
            let place = |at: usize, every: usize, first: bool| {
                (at * every) as f64 + if first { 0.0 } else { every as f64 / 2.0 - 0.5 }
            };
            for plane in 1..3 {
                for y in 0..planes.height.div_ceil(c.down) {
                    for x in 0..planes.width.div_ceil(c.across) {
                        put(yuv(place(x, c.across, c.left), place(y, c.down, c.top))[plane]);
                    }
                }
            }
        }
        bytes
    }

    fn planes(bits: u32, chroma: Option<Chroma>, matrix: ColourMatrix, range: ColourRange) -> Planes {
        Planes { width: 13, height: 9, bits, chroma, matrix, range }
    }

    #[test]
    fn colour_bars_convert_to_the_rgb_of_both_standards() {
        let one = |matrix, range, yuv: [u8; 3]| {
            let chroma = Some(Chroma { across: 1, down: 1, left: true, top: true });
            let planes = Planes { width: 1, height: 1, bits: 8, chroma, matrix, range };
            planes.picture(&yuv).unwrap().to_rgb8().to_vec()
        };
        // The 8-bit codes of the 100% colour bars, as the two standards tabulate them.
        for (matrix, yuv, rgb) in [
            (ColourMatrix::Bt601, [16, 128, 128], [0, 0, 0]),
            (ColourMatrix::Bt601, [235, 128, 128], [255, 255, 255]),
            (ColourMatrix::Bt601, [81, 90, 240], [255, 0, 0]),
            (ColourMatrix::Bt601, [145, 54, 34], [0, 255, 0]),
            (ColourMatrix::Bt601, [41, 240, 110], [0, 0, 255]),
            (ColourMatrix::Bt709, [16, 128, 128], [0, 0, 0]),
            (ColourMatrix::Bt709, [235, 128, 128], [255, 255, 255]),
            (ColourMatrix::Bt709, [63, 102, 240], [255, 0, 0]),
            (ColourMatrix::Bt709, [173, 42, 26], [0, 255, 0]),
            (ColourMatrix::Bt709, [32, 240, 118], [0, 0, 255]),
        ] {
            let found = one(matrix, ColourRange::Limited, yuv);
            // The codes are rounded, too.
            assert!(
                found.iter().zip(&rgb).all(|(a, b)| a.abs_diff(*b) <= 2),
                "{matrix:?} {yuv:?}: {found:?}, not {rgb:?}"
            );
        }
        assert_eq!(one(ColourMatrix::Bt601, ColourRange::Full, [0, 128, 128]), [0, 0, 0]);
        assert_eq!(one(ColourMatrix::Bt601, ColourRange::Full, [255, 128, 128]), [255, 255, 255]);
        assert_eq!(one(ColourMatrix::Bt601, ColourRange::Full, [76, 85, 255]), [254, 0, 0]);
        // Values beyond white and black are clamped.
        assert_eq!(one(ColourMatrix::Bt601, ColourRange::Limited, [255, 128, 128]), [255, 255, 255]);
        assert_eq!(one(ColourMatrix::Bt601, ColourRange::Limited, [0, 128, 128]), [0, 0, 0]);
    }

    fn chromas() -> impl Strategy<Value = Option<Chroma>> {
        let subsampled =
            (prop_oneof![Just((1, 1)), Just((2, 1)), Just((2, 2)), Just((4, 1))], any::<bool>(), any::<bool>());
        proptest::option::of(subsampled.prop_map(|((across, down), left, top)| Chroma { across, down, left, top }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Bilinear interpolation is exact for a linear gradient of chroma if each sample is placed right; the last
        /// columns and rows may have no further sample.
        #[test]
        fn linear_gradient_converts_back_within_rounding(
            chroma in chromas(), bits in prop_oneof![Just(8u32), Just(10), Just(12), Just(16)],
            bt709 in any::<bool>(), full in any::<bool>(), base in [0.3..0.5f64, 0.3..0.5, 0.3..0.5],
            slope in [-0.01..0.01f64, -0.01..0.01, -0.01..0.01],
        ) {
            let matrix = if bt709 { ColourMatrix::Bt709 } else { ColourMatrix::Bt601 };
            let planes = planes(bits, chroma, matrix, if full { ColourRange::Full } else { ColourRange::Limited });
            let colour = |x: f64, y: f64| {
                let rgb = [0, 1, 2].map(|i| base[i] + slope[i] * (x + 0.7 * y));
                if chroma.is_some() { rgb } else { [rgb[0]; 3] }
            };
            let bytes = frame(&planes, colour);
            prop_assert_eq!(bytes.len(), planes.bytes());
            let picture = planes.picture(&bytes).unwrap();
            let tensor = picture.to_tensor(&candle_core::Device::Cpu).unwrap().squeeze(0).unwrap().to_vec3::<f32>().unwrap();
            // Half a code of luma and of chroma, the latter up to 1.9 times, of 219 and 224 codes; and half a level of
            // RGB.
            let step = f64::from(1u32 << (bits - 8));
            let tolerance = (0.5 / 219.0 + 1.9 * 0.5 / 224.0) / step + 0.5 / if bits > 8 { 65535.0 } else { 255.0 } + 1e-5;
            let edge = chroma.map_or(0, |c| c.across.max(c.down));
            for y in edge..9 - edge {
                for x in edge..13 - edge {
                    let expected = colour(x as f64, y as f64);
                    for channel in 0..3 {
                        let found = f64::midpoint(f64::from(tensor[channel][y][x]), 1.0);
                        prop_assert!((found - expected[channel]).abs() < tolerance, "{} and {} at {}, {}", found, expected[channel], x, y);
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_interpolation_weights_follow_the_siting() {
        assert_eq!(between(0, 2, false, 4), (0, 1, 0.0), "before the first sample");
        assert_eq!(between(1, 2, false, 4), (0, 1, 0.25));
        assert_eq!(between(2, 2, false, 4), (0, 1, 0.75));
        assert_eq!(between(2, 2, true, 4), (1, 2, 0.0));
        assert_eq!(between(3, 2, true, 4), (1, 2, 0.5));
        assert_eq!(between(7, 2, true, 4), (3, 3, 0.0), "after the last");
        assert_eq!(between(5, 1, true, 6), (5, 5, 0.0));
    }

    #[test]
    fn samples_of_more_than_8_bits_convert_to_16_bit_pictures() {
        let deep = Planes { width: 2, height: 1, ..planes(10, None, ColourMatrix::Bt601, ColourRange::Full) };
        let picture = deep.picture(&[0xff, 0x03, 0x00, 0x02]).unwrap();
        assert_eq!(picture, Picture::from_rgb16(2, 1, vec![65535, 65535, 65535, 32800, 32800, 32800]).unwrap());
        let centred =
            Planes { width: 2, height: 2, ..planes(8, Some(CENTRE), ColourMatrix::Bt601, ColourRange::Limited) };
        assert_eq!(centred.bytes(), 6);
    }
}
