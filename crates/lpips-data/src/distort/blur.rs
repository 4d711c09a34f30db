//! Blur: Gaussian and bilateral filters.

use crate::float_image::{FloatImage, reflect};

/// Standard deviation of the Gaussian at strength 1, as a fraction of the side.
const DEVIATION: f64 = 0.05;

/// Blurs by a Gaussian. The width grows faster than the strength at first, as blurs far below a pixel are invisible.
pub(super) fn gaussian(picture: &mut FloatImage, strength: f64) {
    picture.blur(DEVIATION * strength.powf(0.75) * picture.size as f64);
}

/// Bilateral filter (Tomasi and Manduchi, 1998): a mean of the neighbourhood, weighted by Gaussians of distance and of
/// colour difference. The strength widens the latter.
pub(super) fn bilateral(picture: &mut FloatImage, strength: f64) {
    if strength <= 0.0 {
        return;
    }
    let deviation = DEVIATION * picture.size as f64;
    let colour = (-0.5 / (0.25 * strength).powi(2)) as f32;
    let (size, reach) = (picture.size, (2.0 * deviation).ceil() as i64);
    let source = picture.values.as_chunks::<3>().0.to_vec();
    let near = |by: i64| (-0.5 * (by as f64 / deviation).powi(2)).exp() as f32;
    let near: Vec<f32> = (-reach..=reach).map(near).collect();
    for (at, pixel) in picture.values.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (y, x) = ((at / size) as i64, (at % size) as i64);
        let (middle, mut sum, mut total) = (*pixel, [0.0; 3], 0.0);
        for (dy, down) in (-reach..=reach).zip(&near) {
            let row = reflect(y + dy, size) * size;
            for (dx, right) in (-reach..=reach).zip(&near) {
                let other = source[row + reflect(x + dx, size)];
                let apart: f32 = middle.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
                let weight = down * right * (colour * apart).exp();
                total += weight;
                sum.iter_mut().zip(other).for_each(|(sum, v)| *sum += weight * v);
            }
        }
        *pixel = sum.map(|sum| sum / total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilateral_smooths_ripples_and_keeps_edge() {
        // A step from 0.2 to 0.8 with ripples on both sides.
        let value =
            |x: usize, y: usize| if x < 16 { 0.2 } else { 0.8 } + if (x + y).is_multiple_of(2) { 0.03 } else { -0.03 };
        let values: Vec<f32> = (0..32 * 32).flat_map(|at| [value(at % 32, at / 32); 3]).collect();
        let mut picture = FloatImage { size: 32, values };
        bilateral(&mut picture, 0.6);
        let at = |x: usize| picture.values[3 * (16 * 32 + x)];
        assert!((at(5) - at(6)).abs() < 0.02, "the ripples go: {} and {}", at(5), at(6));
        assert!(at(16) - at(15) > 0.5, "the edge stays: {} and {}", at(15), at(16));
    }
}
