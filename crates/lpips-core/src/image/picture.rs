//! Pictures in memory: pixels, tensors, resizing, cropping, PNG.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use fast_image_resize as fir;

use crate::error::{Error, Result, Source};
use crate::files;
use crate::range::Range;
use crate::size::Size;

/// RGB picture in memory, 8 or 16 bits a channel.
///
/// ```
/// use lpips_core::{Picture, Size};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.png");
/// let picture = Picture::from_rgb8(4, 2, (0..24).collect())?;
/// picture.save_png(&path)?;
///
/// let picture = Picture::open(&path)?;
/// assert_eq!(picture.size(), Size { width: 4, height: 2 });
/// let part = picture.crop(1, 1, 2, 1)?;
/// assert_eq!(*part.to_rgb8(), [15, 16, 17, 18, 19, 20]);
/// assert_eq!(picture.resize(2, 1)?.size(), Size { width: 2, height: 1 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Pixels,
}

/// Red, green, blue of each pixel, row by row from the top left.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Pixels {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match self.pixels {
            Pixels::Eight(_) => 8,
            Pixels::Sixteen(_) => 16,
        };
        f.debug_struct("Picture").field("size", &self.size()).field("bits", &bits).finish_non_exhaustive()
    }
}

impl Picture {
    pub(super) fn new(width: usize, height: usize, pixels: Pixels) -> Self {
        Self { width, height, pixels }
    }

    /// Picture of red, green, blue bytes, row by row from the top left.
    ///
    /// # Errors
    /// A number of bytes that is not 3 * width * height, or no pixels at all.
    pub fn from_rgb8(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        three_a_pixel(width, height, rgb.len(), "bytes")?;
        Ok(Self { width, height, pixels: Pixels::Eight(rgb) })
    }

    /// Picture of red, green, blue in 16 bits each, from 0 to 65535, row by row from the top left.
    ///
    /// # Errors
    /// A number of values that is not 3 * width * height, or no pixels at all.
    pub fn from_rgb16(width: usize, height: usize, rgb: Vec<u16>) -> Result<Self> {
        three_a_pixel(width, height, rgb.len(), "values")?;
        Ok(Self { width, height, pixels: Pixels::Sixteen(rgb) })
    }

    /// Picture of a tensor of shape (1, 3, H, W) or (3, H, W) with values in [-1, 1], in 8 bits; values outside are
    /// clamped to black and white.
    ///
    /// # Errors
    /// Another shape.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let tensor = if tensor.rank() == 3 { tensor.unsqueeze(0)? } else { tensor.clone() };
        let &[1, 3, height, width] = tensor.dims() else {
            return Err(Error::Shape {
                given: tensor.dims().to_vec(),
                what: "not one picture",
                expected: "(1, 3, H, W)",
            });
        };
        let values = tensor.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<f32>()?;
        let rgb = values.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect();
        Self::from_rgb8(width, height, rgb)
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        Size { width: self.width, height: self.height }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green, blue of each pixel in 8 bits, row by row from the top left.
    pub fn to_rgb8(&self) -> Cow<'_, [u8]> {
        match &self.pixels {
            Pixels::Eight(rgb) => Cow::Borrowed(rgb),
            Pixels::Sixteen(rgb) => rgb.iter().map(|v| ((u32::from(*v) + 128) / 257) as u8).collect(),
        }
    }

    /// Tensor of the picture, (1, 3, H, W) in f32, black at -1 and white at 1; 16 bits keep their precision.
    ///
    /// # Errors
    /// A device that runs out of memory.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let (width, height) = (self.width, self.height);
        let mut planes = Vec::with_capacity(3 * width * height);
        for channel in 0..3 {
            match &self.pixels {
                Pixels::Eight(rgb) => {
                    planes.extend(rgb.iter().skip(channel).step_by(3).map(|v| f32::from(*v) / 127.5 - 1.0));
                }
                Pixels::Sixteen(rgb) => {
                    planes.extend(rgb.iter().skip(channel).step_by(3).map(|v| f32::from(*v) / 32767.5 - 1.0));
                }
            }
        }
        Ok(Tensor::from_vec(planes, (1, 3, height, width), device)?)
    }

    /// Tensor of the picture's own values, (1, 3, H, W), with their range: 8 bits stay bytes, a quarter of what
    /// [`Self::to_tensor`] takes; 16 bits become f32.
    ///
    /// # Errors
    /// Those of [`Self::to_tensor`].
    pub fn to_values(&self, device: &Device) -> Result<(Tensor, Range)> {
        let Pixels::Eight(rgb) = &self.pixels else { return Ok((self.to_tensor(device)?, Range::Signed)) };
        let planes = (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).copied()).collect::<Vec<u8>>();
        Ok((Tensor::from_vec(planes, (1, 3, self.height, self.width), device)?, Range::Bytes))
    }

    /// Resizes the picture by Pillow's bilinear filter (a triangle as wide as the reduction, so that nothing aliases),
    /// within one level of Pillow's own.
    ///
    /// # Errors
    /// [`Error::Resize`]: a size of zero, or over 1048576 pixels a side.
    pub fn resize(&self, width: usize, height: usize) -> Result<Self> {
        let fail = |source: Source| Error::Resize { from: self.size(), to: Size { width, height }, source };
        let floats: Vec<f32> = match &self.pixels {
            Pixels::Eight(rgb) => rgb.iter().map(|v| f32::from(*v)).collect(),
            Pixels::Sixteen(rgb) => rgb.iter().map(|v| f32::from(*v)).collect(),
        };
        let bytes = floats.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let (w, h) = (self.width as u32, self.height as u32);
        let source =
            fir::images::Image::from_vec_u8(w, h, bytes, fir::PixelType::F32x3).map_err(|error| fail(error.into()))?;
        if [width, height].iter().any(|side| !(1..=1 << 20).contains(side)) {
            return Err(fail("expected 1 to 1048576 pixels each way".into()));
        }
        let mut target = fir::images::Image::new(width as u32, height as u32, fir::PixelType::F32x3);
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
            .use_alpha(false);
        fir::Resizer::new().resize(&source, &mut target, &options).map_err(|error| fail(error.into()))?;
        let floats = target.buffer().as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes).round());
        let pixels = match &self.pixels {
            Pixels::Eight(_) => Pixels::Eight(floats.map(|v| v as u8).collect()),
            Pixels::Sixteen(_) => Pixels::Sixteen(floats.map(|v| v as u16).collect()),
        };
        Ok(Self { width, height, pixels })
    }

    /// Crops the picture to `width` by `height` pixels from column `left` and row `top`.
    ///
    /// # Errors
    /// [`Error::Crop`]: a part that is empty or reaches past the picture.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self> {
        let fits =
            |from: usize, count: usize, all: usize| count > 0 && from.checked_add(count).is_some_and(|to| to <= all);
        if !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(Error::Crop { part: Size { width, height }, left, top, size: self.size() });
        }
        let row = 3 * self.width;
        let pixels = match &self.pixels {
            Pixels::Eight(rgb) => Pixels::Eight(part(rgb, row, (3 * left, top), (3 * width, height))),
            Pixels::Sixteen(rgb) => Pixels::Sixteen(part(rgb, row, (3 * left, top), (3 * width, height))),
        };
        Ok(Self { width, height, pixels })
    }

    #[cfg(feature = "cache")]
    pub(crate) fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Red, green and blue of each pixel side by side, of a picture of 8 bits.
    pub(crate) fn bytes_of_eight(&self) -> Option<&[u8]> {
        match &self.pixels {
            Pixels::Eight(rgb) => Some(rgb),
            Pixels::Sixteen(_) => None,
        }
    }

    /// Bytes of memory that the pixels take.
    pub fn size_in_bytes(&self) -> usize {
        match &self.pixels {
            Pixels::Eight(rgb) => rgb.len(),
            Pixels::Sixteen(rgb) => 2 * rgb.len(),
        }
    }

    /// Encodes the picture as a PNG of 8 bits.
    ///
    /// # Errors
    /// [`Error::Encode`], which no picture is known to cause.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let (width, height) = (self.width as u32, self.height as u32);
        image::ImageEncoder::write_image(encoder, &self.to_rgb8(), width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| Error::Encode { source: error.into() })?;
        Ok(png)
    }

    /// Writes the picture as a PNG of 8 bits, whole or not at all.
    ///
    /// # Errors
    /// A folder that does not exist or can't be written to, or a full disk; nothing is left behind then.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail = |reason: String, source| Error::picture(path, (format!("can't be written: {reason}"), source));
        let folder = files::folder_of(path);
        if !folder.is_dir() {
            return Err(fail(format!("there is no folder {}", folder.display()), None));
        }
        if path.is_dir() {
            return Err(fail("it is a folder".to_string(), None));
        }
        let png = self.to_png().map_err(|error| fail(error.to_string(), Some(error.into())))?;
        files::write(path, &png).map_err(|error| fail(files::reason(&error), Some(error.into())))
    }
}

/// Copies a part of a matrix with rows of `row` values: `count` (columns, rows) from (column, row) `from`.
fn part<T: Copy>(all: &[T], row: usize, from: (usize, usize), count: (usize, usize)) -> Vec<T> {
    all.chunks(row).skip(from.1).take(count.1).flat_map(|row| &row[from.0..from.0 + count.0]).copied().collect()
}

/// Checks that there are three values for each pixel, and at least one pixel.
fn three_a_pixel(width: usize, height: usize, values: usize, unit: &'static str) -> Result<()> {
    let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3)).filter(|count| *count > 0);
    if expected != Some(values) {
        return Err(Error::PixelCount { given: values, unit, size: Size { width, height } });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_debug_shows_size_and_bits_only() {
        let picture = Picture::from_rgb8(2, 1, vec![7; 6]).unwrap();
        assert_eq!(format!("{picture:?}"), "Picture { size: Size { width: 2, height: 1 }, bits: 8, .. }");
    }
}
