//! Contact sheets: one patch under every distortion, at rising strengths.

use lpips_core::Picture;
use lpips_core::canvas::{Canvas, GLYPH};

use super::distortion::Distortion;
use crate::error::Result;
use crate::float_image::FloatImage;

/// Strengths of the columns.
const STRENGTHS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Pixels between pictures.
const GAP: usize = 4;
/// Letters of the longest name.
const LETTERS: usize = 20;
/// Side below which pictures are enlarged by a whole factor, in pixels.
const COMFORTABLE: usize = 128;

/// Draws a picture under each distortion, one named row each, at strengths from 0 to 1. More than eight rows go into
/// two columns.
///
/// # Errors
/// Those of [`Distortion::apply`].
pub fn draw(picture: &FloatImage, distortions: &[Distortion], seed: u32) -> Result<Picture> {
    let zoom = (COMFORTABLE / picture.size).max(1);
    let cell = picture.size * zoom + GAP;
    let columns = if distortions.len() > 8 { 2 } else { 1 };
    let rows = distortions.len().div_ceil(columns);
    let (head, names) = (GLYPH + 2 * GAP, LETTERS * GLYPH + 2 * GAP);
    let wide = names + STRENGTHS.len() * cell + GAP;
    let mut canvas = Canvas::new(columns * wide, head + rows * cell);
    for column in 0..columns {
        for (i, strength) in STRENGTHS.into_iter().enumerate() {
            canvas.text(column * wide + names + i * cell, GAP, &strength.to_string());
        }
    }
    for (at, distortion) in distortions.iter().enumerate() {
        let (left, top) = (at / rows * wide, head + at % rows * cell);
        canvas.text(left + GAP, top + (cell - GAP - GLYPH) / 2, distortion.name());
        for (i, strength) in STRENGTHS.into_iter().enumerate() {
            let mut changed = picture.clone();
            distortion.apply(&mut changed, strength, seed)?;
            canvas.paste(left + names + i * cell, top, &changed.to_rgb8(), picture.size, zoom);
        }
    }
    Ok(canvas.into_picture()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin_samples;

    #[test]
    fn contact_sheet_fits_every_distortion_and_name() {
        let [picture, ..] = builtin_samples::draw(1, 0, 64);
        let all = Distortion::all();
        assert!(all.iter().all(|distortion| distortion.name().len() <= LETTERS));
        let sheet = draw(&picture, &all, 1).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (2 * (168 + 5 * 132 + 4), 16 + 11 * 132));
        let first = &sheet.to_rgb8()[3 * (16 * sheet.width() + 168)..][..3];
        assert_eq!(first, &picture.to_rgb8()[..3], "strength 0 is the picture itself");
    }
}
