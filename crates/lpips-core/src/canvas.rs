//! Canvas with pictures and text, rendered to a [`Picture`].

use font8x8::UnicodeFonts;

use crate::error::Result;
use crate::image::Picture;

/// Side of a letter in pixels.
pub const GLYPH: usize = 8;

/// Canvas of RGB pixels, white at first. Drawing is clipped at its borders.
///
/// ```
/// use lpips_core::canvas::{Canvas, GLYPH};
///
/// let mut canvas = Canvas::new(80, 30);
/// canvas.text(2, 2, "a pixel");
/// canvas.paste(2, 4 + GLYPH, &[255, 0, 0], 1, 16);
/// assert_eq!(canvas.into_picture()?.size().to_string(), "80x30");
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    /// White canvas of this size in pixels.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![255; 3 * width * height] }
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Sets the colour of a pixel.
    pub fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        if x < self.width && y < self.height {
            let at = 3 * (y * self.width + x);
            self.rgb[at..at + 3].copy_from_slice(&rgb);
        }
    }

    /// Draws a line of text in dark gray, [`GLYPH`] pixels high and as wide for each letter; (left, top) is its corner.
    pub fn text(&mut self, left: usize, top: usize, text: &str) {
        for (i, character) in text.chars().enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(character).unwrap_or_default();
            for (y, row) in glyph.iter().enumerate() {
                for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                    self.set(left + i * GLYPH + x, top + y, [40; 3]);
                }
            }
        }
    }

    /// Draws a picture, red, green, blue of each pixel in rows of `width`, each pixel `zoom` times as large; (left,
    /// top) is its corner.
    pub fn paste(&mut self, left: usize, top: usize, rgb: &[u8], width: usize, zoom: usize) {
        for (at, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (left + at % width * zoom, top + at / width * zoom);
            for (dx, dy) in (0..zoom).flat_map(|dy| (0..zoom).map(move |dx| (dx, dy))) {
                self.set(x + dx, y + dy, *pixel);
            }
        }
    }

    /// Picture of the canvas.
    ///
    /// # Errors
    /// A canvas without pixels.
    pub fn into_picture(self) -> Result<Picture> {
        Picture::from_rgb8(self.width, self.height, self.rgb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canvas_paste_zooms_and_clips_at_the_border() {
        let mut canvas = Canvas::new(5, 4);
        canvas.paste(1, 1, &[9, 0, 0, 0, 9, 0], 2, 2);
        let picture = canvas.into_picture().unwrap();
        let row = [[255; 3], [9, 0, 0], [9, 0, 0], [0, 9, 0], [0, 9, 0]].concat();
        assert_eq!(picture.to_rgb8()[15..45], [row.clone(), row].concat());
        assert!(picture.to_rgb8()[45..].iter().all(|v| *v == 255));
        let mut canvas = Canvas::new(2, 2);
        canvas.paste(1, 1, &[0; 12], 2, 3);
        canvas.text(1, 0, "long words");
        assert_eq!(canvas.into_picture().unwrap().to_rgb8()[9..], [0; 3]);
    }
}
