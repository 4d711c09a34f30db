//! Colour jitter: brightness, contrast, saturation and hue.

use super::FloatImage;

/// Change of brightness, contrast, saturation and hue, applied in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Jitter {
    /// Factor of all values.
    pub(crate) brightness: f64,
    /// Factor of the values' distance from middle gray.
    pub(crate) contrast: f64,
    /// Factor of the colours' distance from gray.
    pub(crate) saturation: f64,
    /// Turn of all hues, as a fraction of the full circle.
    pub(crate) hue: f64,
}

impl Jitter {
    /// Identity.
    pub(crate) const NONE: Self = Self { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 };

    /// Changes a picture in place and clamps its values to [0, 1].
    pub(crate) fn apply(&self, picture: &mut FloatImage) {
        if *self == Self::NONE {
            return;
        }
        let (sin, cos) = (std::f64::consts::TAU * self.hue).sin_cos();
        for pixel in picture.values.as_chunks_mut::<3>().0 {
            let [r, g, b] = pixel.map(|v| (f64::from(v) * self.brightness - 0.5) * self.contrast + 0.5);
            // NTSC's YIQ: luma, and two axes of colour in which the hue turns.
            let y = 0.299 * r + 0.587 * g + 0.114 * b;
            let (i, q) = (0.596 * r - 0.274 * g - 0.322 * b, 0.211 * r - 0.523 * g + 0.312 * b);
            let (i, q) = (self.saturation * (cos * i - sin * q), self.saturation * (sin * i + cos * q));
            *pixel = [y + 0.956 * i + 0.621 * q, y - 0.272 * i - 0.647 * q, y - 1.106 * i + 1.703 * q]
                .map(|v| v.clamp(0.0, 1.0) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    #[test]
    fn hue_full_turn_restores_colours() {
        let mut rng = Rng::new(1, Stream::Samples, (0, 0));
        let original = FloatImage { size: 16, values: (0..16 * 16 * 3).map(|_| rng.unit() as f32).collect() };
        let mut turned = original.clone();
        Jitter { hue: 1.0, ..Jitter::NONE }.apply(&mut turned);
        assert!(turned.values.iter().zip(&original.values).all(|(a, b)| (a - b).abs() < 5e-3));
    }
}
