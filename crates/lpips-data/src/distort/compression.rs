//! Lossy compression: JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::error::{Error, Result};
use crate::float_image::FloatImage;

/// Compresses by JPEG, of quality 100 at strength 0, 40 at 0.25, 16 at 0.5, 6 at 0.75 and 3 at 1.
///
/// # Errors
/// A patch that the codec refuses.
pub(super) fn jpeg(picture: &mut FloatImage, strength: f64) -> Result<()> {
    if strength <= 0.0 {
        return Ok(());
    }
    let quality = (100.0 * 0.025f64.powf(strength)).round() as u8;
    let fail = |source: image::ImageError| Error::Jpeg { source };
    let (size, mut file) = (picture.size as u32, Vec::new());
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(&picture.to_rgb8(), size, size, ExtendedColorType::Rgb8)
        .map_err(fail)?;
    let back = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).map_err(fail)?;
    *picture = FloatImage::from_rgb8(picture.size, back.to_rgb8().as_raw());
    Ok(())
}
