//! Pictures as training takes them: square, of one size.

use std::path::Path;

use lpips_core::Picture;
use lpips_core::image::Decoder;

use super::{Look, Source, sample};
use crate::error::{Error, Result};

/// Values of a square RGB picture, from 0 to 1, red, green and blue of each pixel from the top left.
#[derive(Debug, Clone, PartialEq)]
pub struct Square {
    /// Pixels along a side.
    pub size: usize,
    /// size x size x 3 values.
    pub values: Vec<f32>,
}

impl Square {
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
}

/// Whether a picture can be used: then its width and height.
///
/// # Errors
/// It can't.
pub fn check(path: &Path, look: Look) -> lpips_core::Result<(usize, usize)> {
    match look {
        Look::Headers => Decoder::default().size(path),
        Look::Pixels => Decoder::default().open(path).map(|picture| (picture.width(), picture.height())),
    }
}

/// The pictures of a triplet, reference, p0 and p1, or of a pair, `size` pixels each way.
///
/// Others are resized as the published loader does it, by Pillow's bilinear filter to a shorter side of `size`; of what is
/// longer the middle is taken.
///
/// # Errors
/// A picture that can't be read.
pub fn load<const N: usize>(source: &Source<N>, size: usize) -> Result<[Square; N]> {
    let pictures = match source {
        Source::Files(files) => files.iter().map(|path| open(path, size)).collect::<Result<Vec<_>>>()?,
        Source::Sample { seed, index } => sample::draw(*seed, *index, size).into(),
    };
    let expected = |pictures: Vec<_>| Error::Data(format!("{} pictures were given: expected {N}", pictures.len()));
    pictures.try_into().map_err(expected)
}

/// A picture, `size` pixels each way.
///
/// # Errors
/// One that can't be read.
pub fn open(path: &Path, size: usize) -> Result<Square> {
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
    Ok(Square { size, values })
}
