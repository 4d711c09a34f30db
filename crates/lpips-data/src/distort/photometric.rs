//! Pointwise distortions: brightness, contrast, saturation, hue, lightness and colour shift.

use crate::float_image::{FloatImage, Jitter};
use crate::rng::Rng;

/// Scales brightness to between 0.4 and 1.8 times.
pub(super) fn brightness(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let factor = if rng.chance(0.5) { 1.0 + 0.8 * strength } else { 1.0 - 0.6 * strength };
    Jitter { brightness: factor, ..Jitter::NONE }.apply(picture);
}

/// Scales contrast to between 0.2 and 2.5 times.
pub(super) fn contrast(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let factor = if rng.chance(0.5) { 1.0 + 1.5 * strength } else { 1.0 - 0.8 * strength };
    Jitter { contrast: factor, ..Jitter::NONE }.apply(picture);
}

/// Scales saturation to between 0 (gray) and 3 times.
pub(super) fn saturation(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let factor = if rng.chance(0.5) { 1.0 + 2.0 * strength } else { 1.0 - strength };
    Jitter { saturation: factor, ..Jitter::NONE }.apply(picture);
}

/// Turns the hue by up to a third of the circle; beyond that the RGB distance can fall again.
pub(super) fn hue(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let hue = if rng.chance(0.5) { strength / 3.0 } else { -strength / 3.0 };
    Jitter { hue, ..Jitter::NONE }.apply(picture);
}

/// Shifts CIELAB's L* by up to 40 (of 100).
pub(super) fn lightness(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let by = if rng.chance(0.5) { 40.0 * strength } else { -40.0 * strength };
    shift(picture, [by, 0.0, 0.0]);
}

/// Shifts CIELAB's a* and b* by up to 50 in a random direction.
pub(super) fn colour_shift(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let (sin, cos) = rng.between(0.0, std::f64::consts::TAU).sin_cos();
    shift(picture, [0.0, 50.0 * strength * cos, 50.0 * strength * sin]);
}

/// Shifts every pixel's L*, a* and b*.
fn shift(picture: &mut FloatImage, by: [f64; 3]) {
    for pixel in picture.values.as_chunks_mut::<3>().0 {
        let lab = to_lab(pixel.map(f64::from));
        *pixel = from_lab([0, 1, 2].map(|i| lab[i] + by[i])).map(|v| v as f32);
    }
}

/// White point of sRGB (D65) in CIE XYZ.
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];
/// Cube root of the value below which CIELAB is linear.
const KNEE: f64 = 6.0 / 29.0;

/// Converts sRGB to CIELAB (IEC 61966-2-1; CIE 15).
///
/// `lpips_eval::pixel` has another conversion with the constants of the published baselines.
fn to_lab(rgb: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
    let xyz = [
        0.4124564 * r + 0.3575761 * g + 0.1804375 * b,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        0.0193339 * r + 0.1191920 * g + 0.9503041 * b,
    ];
    let [x, y, z] = [0, 1, 2].map(|i| {
        let t = xyz[i] / WHITE[i];
        if t > KNEE.powi(3) { t.cbrt() } else { t / (3.0 * KNEE * KNEE) + 4.0 / 29.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// Converts CIELAB to sRGB; values outside [0, 1] are colours outside sRGB.
fn from_lab([l, a, b]: [f64; 3]) -> [f64; 3] {
    let y = (l + 16.0) / 116.0;
    let t = [y + a / 500.0, y, y - b / 200.0];
    let [x, y, z] = [0, 1, 2].map(|i| {
        let t: f64 = t[i];
        WHITE[i] * if t > KNEE { t.powi(3) } else { 3.0 * KNEE * KNEE * (t - 4.0 / 29.0) }
    });
    let rgb = [
        3.2404542 * x - 1.5371385 * y - 0.4985314 * z,
        -0.9692660 * x + 1.8760108 * y + 0.0415560 * z,
        0.0556434 * x - 0.2040259 * y + 1.0572252 * z,
    ];
    rgb.map(|v: f64| if v <= 0.0031308 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_matches_tables_and_roundtrips() {
        // Lindbloom's calculator, D65.
        for (rgb, lab) in [
            ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
            ([1.0, 0.0, 0.0], [53.2408, 80.0925, 67.2032]),
            ([0.0, 0.0, 1.0], [32.2970, 79.1875, -107.8602]),
            ([0.5, 0.5, 0.5], [53.3890, 0.0, 0.0]),
        ] {
            let found = to_lab(rgb);
            assert!((0..3).all(|i| (found[i] - lab[i]).abs() < 0.01), "{rgb:?}: {found:?}");
        }
        for rgb in [[0.0, 0.0, 0.0], [0.01, 0.4, 0.9], [0.7, 0.02, 0.3], [1.0, 1.0, 0.2]] {
            let back = from_lab(to_lab(rgb));
            assert!((0..3).all(|i| (back[i] - rgb[i]).abs() < 1e-5), "{rgb:?}: {back:?}");
        }
    }
}
