//! Decoding of picture files: formats, transparency, orientation, limits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::picture::{Picture, Pixels};
use crate::error::{Error, Result, Source};
use crate::size::Size;

/// Reason why a file can't be decoded, with the error behind it.
type Reason = (String, Option<Source>);

/// Decoder of picture files with its settings.
///
/// ```
/// use lpips_core::image::Decoder;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.png");
/// # lpips_core::Picture::from_rgb8(64, 48, vec![9; 64 * 48 * 3])?.save_png(&path)?;
/// let decoder = Decoder::default().background([0, 0, 0]).max_pixels(1 << 24);
/// assert_eq!(decoder.size(&path)?.to_string(), "64x48");
/// let picture = decoder.open(&path)?;
/// assert!(Decoder::default().max_pixels(100).open(&path).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Decoder {
    /// Background of transparent pixels, as red, green, blue. Default: white.
    pub background: [u8; 3],
    /// Largest number of pixels: files that claim more are refused before they are decoded. Default: 2^28, 16384x16384;
    /// such a picture takes 0.8 GB when decoded (three times that at worst, with 16 bits and transparency) and 3.2 GB
    /// as a tensor.
    pub max_pixels: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { background: [255; 3], max_pixels: 1 << 28 }
    }
}

impl Decoder {
    /// Sets the background of transparent pixels, as red, green, blue.
    #[must_use]
    pub fn background(mut self, rgb: [u8; 3]) -> Self {
        self.background = rgb;
        self
    }

    /// Sets the largest number of pixels.
    #[must_use]
    pub fn max_pixels(mut self, max_pixels: u64) -> Self {
        self.max_pixels = max_pixels;
        self
    }

    /// Reads a PNG, JPEG, WebP, BMP, TIFF or GIF file (of an animation the first frame), recognised by its first bytes.
    ///
    /// Gray becomes RGB with equal channels; transparent pixels are composited on the background, without regard to
    /// gamma; the EXIF orientation is applied; colour profiles are not, as in the published package.
    ///
    /// # Errors
    /// A file that can't be opened, is damaged or none of these, holds floating-point pixels, or has more than
    /// `max_pixels`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Picture> {
        let path = path.as_ref();
        self.decode(path).map_err(|reason| Error::picture(path, reason))
    }

    /// Size of a picture in pixels, as its file states it before decoding and orientation.
    ///
    /// # Errors
    /// Those of [`Self::open`] that show in the file's first bytes.
    pub fn size(&self, path: impl AsRef<Path>) -> Result<Size> {
        let path = path.as_ref();
        let size = || -> Result<(u32, u32), Reason> {
            let reader = ImageReader::open(path).map_err(unreadable)?;
            let reader = reader.with_guessed_format().map_err(unreadable)?;
            reader.into_dimensions().map_err(undecodable)
        };
        size()
            .map(|(w, h)| Size { width: w as usize, height: h as usize })
            .map_err(|reason| Error::picture(path, reason))
    }

    fn decode(&self, path: &Path) -> Result<Picture, Reason> {
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(("is a folder: expected a picture file".to_string(), None));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(("is empty: expected a picture".to_string(), None));
        }
        let mut reader = ImageReader::open(path).map_err(unreadable)?.with_guessed_format().map_err(unreadable)?;
        // The decoder fills the missing rest of a JPEG with gray, which would go into the distance.
        if reader.format() == Some(ImageFormat::Jpeg) {
            let file = File::open(path).map_err(unreadable)?;
            if !jpeg_is_complete(BufReader::new(file)) {
                return Err(("is a JPEG that is cut short: copy or save it again".to_string(), None));
            }
        }
        let mut limits = Limits::default();
        // Eight bytes is the most that a pixel takes, RGBA in 16 bits; as much again for the decoder's buffers.
        limits.max_alloc = Some(self.max_pixels.saturating_mul(16).saturating_add(64 << 20));
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(undecodable)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > self.max_pixels {
            let reason = format!(
                "claims {width}x{height} pixels, more than the limit of {}: raise the limit if that is what it holds",
                self.max_pixels
            );
            return Err((reason, None));
        }
        let orientation = decoder.orientation().map_err(undecodable)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
        image.apply_orientation(orientation);
        self.flatten(image)
    }

    /// Converts to RGB without transparency.
    fn flatten(&self, image: DynamicImage) -> Result<Picture, Reason> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let wide = self.background.map(|v| u16::from(v) * 257);
        let pixels = match image {
            DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => Pixels::Eight(image.into_rgb8().into_raw()),
            DynamicImage::ImageLumaA8(_) | DynamicImage::ImageRgba8(_) => {
                let rgba = image.into_rgba8().into_raw();
                Pixels::Eight(composite(&rgba, self.background, |fg: u8, bg: u8, alpha: u8| {
                    let (fg, bg, alpha) = (u32::from(fg), u32::from(bg), u32::from(alpha));
                    ((fg * alpha + bg * (255 - alpha) + 127) / 255) as u8
                }))
            }
            DynamicImage::ImageLuma16(_) | DynamicImage::ImageRgb16(_) => {
                Pixels::Sixteen(image.into_rgb16().into_raw())
            }
            DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgba16(_) => {
                let rgba = image.into_rgba16().into_raw();
                Pixels::Sixteen(composite(&rgba, wide, |fg: u16, bg: u16, alpha: u16| {
                    let (fg, bg, alpha) = (u64::from(fg), u64::from(bg), u64::from(alpha));
                    ((fg * alpha + bg * (65_535 - alpha) + 32_767) / 65_535) as u16
                }))
            }
            other => {
                let reason = format!("holds {:?} pixels: convert it to 8 or 16 bits a channel", other.color());
                return Err((reason, None));
            }
        };
        Ok(Picture::new(width, height, pixels))
    }
}

impl Picture {
    /// Reads a picture file with the default [`Decoder`].
    ///
    /// # Errors
    /// Those of [`Decoder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Decoder::default().open(path)
    }
}

/// Composites RGBA values on a background.
fn composite<T: Copy>(rgba: &[T], background: [T; 3], mix: impl Fn(T, T, T) -> T) -> Vec<T> {
    let pixels = rgba.as_chunks::<4>().0.iter();
    pixels.flat_map(|&[r, g, b, a]| [(r, 0), (g, 1), (b, 2)].map(|(fg, i)| mix(fg, background[i], a))).collect()
}

/// Whether a JPEG has all its segments, up to the marker that ends it.
fn jpeg_is_complete(mut file: impl Read) -> bool {
    let mut walk = || -> io::Result<bool> {
        let mut byte = || -> io::Result<u8> {
            let mut one = [0];
            file.read_exact(&mut one)?;
            Ok(one[0])
        };
        // The start marker.
        if (byte()?, byte()?) != (0xff, 0xd8) {
            return Ok(false);
        }
        loop {
            // Between two segments lies the data of a scan, in which ff is followed by 00 or a restart marker.
            while byte()? != 0xff {}
            let mut marker = byte()?;
            while marker == 0xff {
                marker = byte()?;
            }
            match marker {
                0xd9 => return Ok(true),
                0x00 | 0x01 | 0xd0..=0xd7 => {}
                _ => {
                    let length = u64::from(u16::from_be_bytes([byte()?, byte()?]));
                    for _ in 2..length {
                        byte()?;
                    }
                }
            }
        }
    };
    walk().unwrap_or(false)
}

fn unreadable(error: io::Error) -> Reason {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        _ => format!("can't be read: {error}"),
    };
    (reason, Some(error.into()))
}

fn undecodable(error: ImageError) -> Reason {
    // On one line and without a full stop.
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_end_matches('.');
    (format!("is not a picture that can be read (PNG, JPEG, WebP, BMP, TIFF or GIF): {text}"), Some(error.into()))
}
