//! What files lose.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::error::{Error, Result};
use crate::float_image::FloatImage;

/// JPEG of quality 100 at almost no strength, 40 at a quarter, 16 at a half, 6 at three quarters and 3 at 1.
pub(super) fn jpeg(picture: &mut FloatImage, strength: f64) -> Result<()> {
    if strength <= 0.0 {
        return Ok(());
    }
    let quality = (100.0 * 0.025f64.powf(strength)).round() as u8;
    let fail = |error: image::ImageError| Error::Data(format!("a patch can't be compressed by JPEG: {error}"));
    let (size, mut file) = (picture.size as u32, Vec::new());
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(&picture.to_rgb8(), size, size, ExtendedColorType::Rgb8)
        .map_err(fail)?;
    let back = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).map_err(fail)?;
    *picture = FloatImage::from_rgb8(picture.size, back.to_rgb8().as_raw());
    Ok(())
}
