//! Picture files to tensors and back.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use fast_image_resize as fir;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, Result};
use crate::input::Range;
use crate::size::Size;

/// An RGB picture in memory, 8 or 16 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pub(crate) pixels: Pixels,
}

/// Red, green, blue of each pixel, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pixels {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// How picture files are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    /// What shows through where a picture is transparent, as red, green, blue. Default: white.
    pub background: [u8; 3],
    /// Files that claim more pixels are refused before they are decoded. Default: 2^28, 16384x16384; so large a picture takes
    /// 0.8 GB as it is decoded (three times that at worst, with 16 bits and transparency) and 3.2 GB as a tensor.
    pub max_pixels: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { background: [255; 3], max_pixels: 1 << 28 }
    }
}

impl Decoder {
    /// Reads a PNG, JPEG, WebP, BMP, TIFF or GIF file (of an animation the first frame), told by its first bytes.
    ///
    /// Gray becomes RGB with equal channels; transparent pixels are composited on the background, without regard to gamma;
    /// the EXIF orientation is applied; colour profiles are not, as in the published package.
    ///
    /// # Errors
    /// A file that can't be opened, is damaged or none of these, holds floating-point pixels, or has more than
    /// `max_pixels`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Picture> {
        let path = path.as_ref();
        self.decode(path).map_err(|reason| Error::picture(path, reason))
    }

    /// A picture's size in pixels, as its file states it before it is decoded and turned.
    ///
    /// # Errors
    /// Those of [`Self::open`] that show in the file's first bytes.
    pub fn size(&self, path: impl AsRef<Path>) -> Result<Size> {
        let path = path.as_ref();
        let size = || -> Result<(u32, u32), String> {
            let reader = ImageReader::open(path).map_err(|error| unread(&error))?;
            let reader = reader.with_guessed_format().map_err(|error| unread(&error))?;
            reader.into_dimensions().map_err(|error| no_picture(&error))
        };
        size()
            .map(|(w, h)| Size { width: w as usize, height: h as usize })
            .map_err(|reason| Error::picture(path, reason))
    }

    fn decode(&self, path: &Path) -> Result<Picture, String> {
        let io = |error: io::Error| unread(&error);
        let metadata = std::fs::metadata(path).map_err(io)?;
        if metadata.is_dir() {
            return Err("is a folder: expected a picture file".to_string());
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err("is empty: expected a picture".to_string());
        }
        let mut reader = ImageReader::open(path).map_err(io)?.with_guessed_format().map_err(io)?;
        // The decoder fills up with gray where a JPEG stops short, and that would go into the distance.
        if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_is_whole(BufReader::new(File::open(path).map_err(io)?)) {
            return Err("is a JPEG that is cut short: copy or save it again".to_string());
        }
        let mut limits = Limits::default();
        // Eight bytes is the most that a pixel takes, RGBA in 16 bits; as much again for the decoder's own needs.
        limits.max_alloc = Some(self.max_pixels.saturating_mul(16).saturating_add(64 << 20));
        reader.limits(limits);
        let damaged = |error| no_picture(&error);
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(format!(
                "claims {width}x{height} pixels, more than the limit of {}: raise the limit if that is what it holds",
                self.max_pixels
            ));
        }
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        image.apply_orientation(orientation);
        self.flatten(image)
    }

    /// To RGB without transparency.
    fn flatten(&self, image: DynamicImage) -> Result<Picture, String> {
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
            other => return Err(format!("holds {:?} pixels: convert it to 8 or 16 bits a channel", other.color())),
        };
        Ok(Picture { width, height, pixels })
    }
}

fn composite<T: Copy>(rgba: &[T], background: [T; 3], mix: impl Fn(T, T, T) -> T) -> Vec<T> {
    let pixels = rgba.as_chunks::<4>().0.iter();
    pixels.flat_map(|&[r, g, b, a]| [(r, 0), (g, 1), (b, 2)].map(|(fg, i)| mix(fg, background[i], a))).collect()
}

/// Whether a JPEG has all its segments, up to the marker that ends it.
fn jpeg_is_whole(mut file: impl Read) -> bool {
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
            // Whatever lies between two segments is a scan's data, in which ff is followed by 00 or a restart marker.
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

fn unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        _ => format!("can't be read: {error}"),
    }
}

fn no_picture(error: &image::ImageError) -> String {
    format!("is not a picture that can be read (PNG, JPEG, WebP, BMP, TIFF or GIF): {}", sentence(error))
}

/// An error of the decoder's, on one line and without a full stop.
fn sentence(error: &image::ImageError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
}

impl Picture {
    /// Reads a picture file with the default [`Decoder`].
    ///
    /// # Errors
    /// Those of [`Decoder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Decoder::default().open(path)
    }

    /// A picture of red, green, blue bytes, row by row from the top left.
    ///
    /// # Errors
    /// A number of bytes that is not 3 * width * height, or no pixels at all.
    pub fn from_rgb8(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        three_a_pixel(width, height, rgb.len(), "bytes")?;
        Ok(Self { width, height, pixels: Pixels::Eight(rgb) })
    }

    /// A picture of red, green, blue in 16 bits each, from 0 to 65535, row by row from the top left.
    ///
    /// # Errors
    /// A number of values that is not 3 * width * height, or no pixels at all.
    pub fn from_rgb16(width: usize, height: usize, rgb: Vec<u16>) -> Result<Self> {
        three_a_pixel(width, height, rgb.len(), "values")?;
        Ok(Self { width, height, pixels: Pixels::Sixteen(rgb) })
    }

    /// The picture that a tensor of shape (1, 3, H, W) or (3, H, W) with values in [-1, 1] shows, in 8 bits; values outside
    /// are held at black and white.
    ///
    /// # Errors
    /// Another shape.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let tensor = if tensor.rank() == 3 { tensor.unsqueeze(0)? } else { tensor.clone() };
        let &[1, 3, height, width] = tensor.dims() else {
            return Err(Error::Input(format!(
                "a tensor of shape {:?} is not one picture: expected (1, 3, H, W)",
                tensor.dims()
            )));
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

    /// The picture as (1, 3, H, W) in f32, black at -1 and white at 1; 16 bits keep their precision.
    ///
    /// # Errors
    /// Those of candle: a device without memory for it.
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

    /// The picture's own values, (1, 3, H, W), with their range: 8 bits stay bytes, a quarter of what [`Self::to_tensor`]
    /// takes; 16 bits become f32.
    ///
    /// # Errors
    /// Those of [`Self::to_tensor`].
    pub fn to_values(&self, device: &Device) -> Result<(Tensor, Range)> {
        let Pixels::Eight(rgb) = &self.pixels else { return Ok((self.to_tensor(device)?, Range::Signed)) };
        let planes = (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).copied()).collect::<Vec<u8>>();
        Ok((Tensor::from_vec(planes, (1, 3, self.height, self.width), device)?, Range::Bytes))
    }

    /// The picture in another size, by Pillow's bilinear filter (a triangle as wide as the reduction, so that nothing
    /// aliases), within one level of Pillow's own.
    ///
    /// # Errors
    /// A size of zero.
    pub fn resize(&self, width: usize, height: usize) -> Result<Self> {
        let fail = |error: &dyn std::fmt::Display| {
            Error::Input(format!(
                "a picture of {}x{} can't be resized to {width}x{height}: {error}",
                self.width, self.height
            ))
        };
        let floats: Vec<f32> = match &self.pixels {
            Pixels::Eight(rgb) => rgb.iter().map(|v| f32::from(*v)).collect(),
            Pixels::Sixteen(rgb) => rgb.iter().map(|v| f32::from(*v)).collect(),
        };
        let bytes = floats.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let (w, h) = (self.width as u32, self.height as u32);
        let source = fir::images::Image::from_vec_u8(w, h, bytes, fir::PixelType::F32x3).map_err(|e| fail(&e))?;
        if [width, height].iter().any(|side| !(1..=1 << 20).contains(side)) {
            return Err(fail(&"expected 1 to 1048576 pixels each way"));
        }
        let mut target = fir::images::Image::new(width as u32, height as u32, fir::PixelType::F32x3);
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
            .use_alpha(false);
        fir::Resizer::new().resize(&source, &mut target, &options).map_err(|e| fail(&e))?;
        let floats = target.buffer().as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes).round());
        let pixels = match &self.pixels {
            Pixels::Eight(_) => Pixels::Eight(floats.map(|v| v as u8).collect()),
            Pixels::Sixteen(_) => Pixels::Sixteen(floats.map(|v| v as u16).collect()),
        };
        Ok(Self { width, height, pixels })
    }

    /// A part of the picture, of `width` by `height` pixels from column `left` and row `top` on.
    ///
    /// # Errors
    /// A part that is empty or reaches past the picture.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self> {
        let fits =
            |from: usize, count: usize, all: usize| count > 0 && from.checked_add(count).is_some_and(|to| to <= all);
        if !fits(left, width, self.width) || !fits(top, height, self.height) {
            return Err(Error::Input(format!(
                "a part of {width}x{height} pixels at ({left}, {top}) is not within the picture's {}x{}",
                self.width, self.height
            )));
        }
        let row = 3 * self.width;
        let pixels = match &self.pixels {
            Pixels::Eight(rgb) => Pixels::Eight(part(rgb, row, (3 * left, top), (3 * width, height))),
            Pixels::Sixteen(rgb) => Pixels::Sixteen(part(rgb, row, (3 * left, top), (3 * width, height))),
        };
        Ok(Self { width, height, pixels })
    }

    /// Red, green and blue of each pixel side by side, unless they have 16 bits.
    pub(crate) fn bytes_of_eight(&self) -> Option<&[u8]> {
        match &self.pixels {
            Pixels::Eight(rgb) => Some(rgb),
            Pixels::Sixteen(_) => None,
        }
    }

    /// Bytes that its pixels take.
    pub fn size_in_bytes(&self) -> usize {
        match &self.pixels {
            Pixels::Eight(rgb) => rgb.len(),
            Pixels::Sixteen(rgb) => 2 * rgb.len(),
        }
    }

    /// The bytes of a PNG of 8 bits.
    ///
    /// # Errors
    /// None that is known: every picture has a form as PNG.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let (width, height) = (self.width as u32, self.height as u32);
        image::ImageEncoder::write_image(encoder, &self.to_rgb8(), width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| Error::Input(sentence(&error)))?;
        Ok(png)
    }

    /// Writes the picture as a PNG of 8 bits, whole or not at all.
    ///
    /// # Errors
    /// A folder that does not exist or can't be written to, or a full disk; nothing is left behind then.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let fail = |reason: String| Error::picture(path, format!("can't be written: {reason}"));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(fail(format!("there is no folder {}", folder.display())));
        }
        if path.is_dir() {
            return Err(fail("it is a folder".to_string()));
        }
        let png = self.to_png().map_err(|error| fail(error.to_string()))?;
        let mut file = temporary().tempfile_in(folder).map_err(|error| fail(error.error_text()))?;
        let written = file.as_file_mut().write_all(&png).and_then(|()| file.as_file().sync_all());
        written.map_err(|error| fail(error.error_text()))?;
        file.persist(path).map_err(|error| fail(error.error.to_string()))?;
        Ok(())
    }
}

/// Some of each row's values, where a row has `row`: from (column, row) on so many (columns, rows).
fn part<T: Copy>(all: &[T], row: usize, from: (usize, usize), count: (usize, usize)) -> Vec<T> {
    all.chunks(row).skip(from.1).take(count.1).flat_map(|row| &row[from.0..from.0 + count.0]).copied().collect()
}

/// A temporary file that, unlike others, gets the permissions that any new file gets.
pub(crate) fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Whether so many values are those of a picture.
fn three_a_pixel(width: usize, height: usize, values: usize, what: &str) -> Result<()> {
    let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3)).filter(|count| *count > 0);
    if expected != Some(values) {
        return Err(Error::Input(format!(
            "{values} {what} make no RGB picture of {width}x{height} pixels: expected 3 for each pixel"
        )));
    }
    Ok(())
}

pub(crate) trait ErrorText {
    fn error_text(&self) -> String;
}

impl ErrorText for io::Error {
    /// Without the temporary file's path, which nobody asked for.
    fn error_text(&self) -> String {
        match self.kind() {
            io::ErrorKind::PermissionDenied => "permission denied".to_string(),
            io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_string(),
            io::ErrorKind::FileTooLarge => "it would be larger than files may be here".to_string(),
            io::ErrorKind::StorageFull => "the disk is full".to_string(),
            _ => self.to_string(),
        }
    }
}
