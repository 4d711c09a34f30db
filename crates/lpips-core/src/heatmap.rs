//! Heat maps: rendering of distance maps as pictures with a colour scale.

use candle_core::Tensor;

use crate::canvas::{Canvas, GLYPH};
use crate::error::{Error, Result};
use crate::image::Picture;
use crate::size::Size;

/// Colour map from no difference to the greatest, in sRGB: dark to light throughout, so that it reads in gray too.
const COLOURS: [[u8; 3]; 6] =
    [[10, 12, 30], [62, 28, 110], [146, 38, 122], [220, 70, 86], [248, 152, 62], [252, 246, 200]];

/// Longer side in pixels below which maps are enlarged by a whole factor.
const COMFORTABLE: usize = 320;
const MARGIN: usize = 8;
const BAR: usize = 16;

/// Style of a heat map.
///
/// ```
/// use lpips_core::heatmap::Style;
///
/// // The same colours for several maps: the brightest stands for a difference of 0.5.
/// let style = Style::default().top(0.5);
/// assert_eq!(style.top, Some(0.5));
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Style<'a> {
    /// Difference with the brightest colour. Default: the map's largest value.
    pub top: Option<f32>,
    /// Picture of the map's size under the map, in gray. Default: none.
    pub over: Option<&'a Picture>,
}

impl<'a> Style<'a> {
    /// Sets the difference with the brightest colour; `None` for the map's largest value.
    #[must_use]
    pub fn top(mut self, top: impl Into<Option<f32>>) -> Self {
        self.top = top.into();
        self
    }

    /// Sets the picture under the map.
    #[must_use]
    pub fn over(mut self, picture: impl Into<Option<&'a Picture>>) -> Self {
        self.over = picture.into();
        self
    }
}

/// Draws a map, (1, 1, H, W), as a picture with a colour scale beside it.
///
/// ```
/// use lpips_core::heatmap::{self, Style};
/// use lpips_core::{Lpips, Network, Picture};
///
/// let reference = Picture::from_rgb8(64, 64, vec![128; 64 * 64 * 3])?;
/// let candidate = Picture::from_rgb8(64, 64, (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect())?;
/// let map = Lpips::new(Network::AlexNet)?.compare(&reference, &candidate)?.map()?;
/// let picture = heatmap::draw(&map, &Style::default().over(&reference))?;
/// assert!(picture.width() > 64 && picture.height() > 64);
/// # Ok::<(), lpips_core::Error>(())
/// ```
///
/// # Errors
/// A tensor that is not one map, or a picture to draw over that has another size.
pub fn draw(map: &Tensor, style: &Style<'_>) -> Result<Picture> {
    let &[1, 1, height, width] = map.dims() else {
        return Err(Error::Shape { given: map.dims().to_vec(), what: "not one map", expected: "(1, 1, H, W)" });
    };
    if let Some(over) = style.over
        && over.size() != (Size { width, height })
    {
        return Err(Error::SizeMismatch { a: Size { width, height }, b: over.size() });
    }
    let values = map.flatten_all()?.to_vec1::<f32>()?;
    let largest = values.iter().copied().fold(0.0, f32::max);
    let top = style.top.unwrap_or(largest).max(f32::MIN_POSITIVE);
    let ground = style.over.map(Picture::to_rgb8);

    let zoom = (COMFORTABLE / width.max(height)).max(1);
    let (map_width, map_height) = (width * zoom, height * zoom);
    let ticks = ticks(if largest > 0.0 || style.top.is_some() { top } else { 0.0 });
    let label = ticks.iter().map(|(_, text)| text.len()).max().unwrap_or(0) * GLYPH;
    let mut canvas = Canvas::new(map_width + 2 * MARGIN + BAR + MARGIN / 2 + label, map_height.max(64));
    for y in 0..map_height {
        for x in 0..map_width {
            let at = y / zoom * width + x / zoom;
            let heat = (values[at] / top).clamp(0.0, 1.0);
            let ground = ground.as_ref().map(|rgb| [rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2]]);
            canvas.set(x, y, shade(heat, ground));
        }
    }
    scale(&mut canvas, map_width + MARGIN, &ticks, top);
    canvas.into_picture()
}

/// Colour of a difference between 0 and 1.
pub fn colour(heat: f32) -> [u8; 3] {
    let at = heat.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let low = (at as usize).min(COLOURS.len() - 2);
    mix(COLOURS[low], COLOURS[low + 1], at - low as f32)
}

/// Colour of a difference over a pixel: small differences let it through, large ones cover it.
fn shade(heat: f32, ground: Option<[u8; 3]>) -> [u8; 3] {
    let Some([r, g, b]) = ground else { return colour(heat) };
    let gray = (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) as u8;
    mix([gray; 3], colour(heat), heat.sqrt() * 0.9)
}

/// Linear mix of two colours: `share` of b.
fn mix(a: [u8; 3], b: [u8; 3], share: f32) -> [u8; 3] {
    [0, 1, 2].map(|i| (f32::from(a[i]) + (f32::from(b[i]) - f32::from(a[i])) * share).round() as u8)
}

/// Round numbers from 0 to `top` with their labels.
fn ticks(top: f32) -> Vec<(f32, String)> {
    if top <= f32::MIN_POSITIVE {
        return vec![(0.0, "0".to_string())];
    }
    let magnitude = 10f64.powf((f64::from(top) / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * magnitude).into_iter().find(|s| f64::from(top) / s <= 5.0);
    let step = step.unwrap_or(magnitude * 10.0);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let count = (f64::from(top) / step).floor() as usize;
    (0..=count)
        .map(|i| {
            let value = i as f64 * step;
            let text = match i {
                0 => "0".to_string(),
                _ if decimals > 5 => format!("{value:.0e}"),
                _ => format!("{value:.decimals$}"),
            };
            (value as f32, text)
        })
        .collect()
}

/// Draws the colour scale from column `left` over the whole height, with its ticks on the right.
fn scale(canvas: &mut Canvas, left: usize, ticks: &[(f32, String)], top: f32) {
    let last = canvas.height() - 1;
    for y in 0..=last {
        let rgb = colour(1.0 - y as f32 / last as f32);
        for x in left..left + BAR {
            canvas.set(x, y, rgb);
        }
    }
    for (value, text) in ticks {
        let y = ((1.0 - value / top).clamp(0.0, 1.0) * last as f32).round() as usize;
        for x in left + BAR - 4..left + BAR {
            canvas.set(x, y, if value / top > 0.5 { [0; 3] } else { [255; 3] });
        }
        let text_top = y.saturating_sub(GLYPH / 2).min(canvas.height() - GLYPH);
        canvas.text(left + BAR + MARGIN / 2, text_top, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn heatmap_ticks_are_round_numbers() {
        let texts = |top| ticks(top).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.73), ["0", "0.2", "0.4", "0.6"]);
        assert_eq!(texts(0.0123), ["0", "0.005", "0.010"]);
        assert_eq!(texts(37.0), ["0", "10", "20", "30"]);
        assert_eq!(texts(0.0), ["0"]);
        for top in [1e-30, 1e-7, 3e-4, 1.0, 9.99, 1e9] {
            assert!((2..=7).contains(&ticks(top).len()), "{top}: {:?}", ticks(top));
        }
    }

    #[test]
    fn heatmap_colours_get_lighter_with_difference() {
        let light = |[r, g, b]: [u8; 3]| 2 * u32::from(r) + 5 * u32::from(g) + u32::from(b);
        let lights: Vec<_> = (0u8..=100).map(|i| light(colour(f32::from(i) / 100.0))).collect();
        assert!(lights.is_sorted(), "{lights:?}");
    }

    #[test]
    fn heatmap_pixels_have_the_colours_of_their_values() {
        let map = Tensor::new(&[0f32, 0.5, 1.0, 2.0], &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
        let picture = draw(&map, &Style::default().top(1.0)).unwrap();
        let rgb = picture.to_rgb8();
        let at = |x: usize, y: usize| {
            let at = 3 * (y * picture.width() + x);
            [rgb[at], rgb[at + 1], rgb[at + 2]]
        };
        assert_eq!(at(0, 0), colour(0.0));
        assert_eq!(at(200, 0), colour(0.5));
        assert_eq!(at(0, 200), colour(1.0));
        assert_eq!(at(319, 319), colour(1.0), "clamped at the scale's top");
        assert_eq!(at(0, 159), colour(0.0), "enlarged by whole pixels");
    }

    #[test]
    fn heatmap_of_zero_is_dark_and_other_sizes_are_refused() {
        let map = Tensor::zeros((1, 1, 40, 30), candle_core::DType::F32, &Device::Cpu).unwrap();
        let picture = draw(&map, &Style::default()).unwrap();
        assert_eq!(picture.to_rgb8()[..3], colour(0.0));
        let other = Picture::from_rgb8(2, 2, vec![0; 12]).unwrap();
        assert!(draw(&map, &Style::default().over(&other)).is_err());
        assert!(draw(&map.narrow(2, 0, 1).unwrap().squeeze(0).unwrap(), &Style::default()).is_err());
    }
}
