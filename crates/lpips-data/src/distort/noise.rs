//! Additive noise: uniform, Gaussian of several spectra, and checkerboards.

use crate::float_image::FloatImage;
use crate::rng::Rng;

/// Standard deviation of all noise at strength 1.
const DEVIATION: f64 = 0.15;

/// Adds noise, given by value index, scaled to the strength.
fn add(picture: &mut FloatImage, strength: f64, mut noise: impl FnMut(usize) -> f64) {
    for (at, value) in picture.values.iter_mut().enumerate() {
        *value += (DEVIATION * strength * noise(at)) as f32;
    }
}

/// Adds uniform noise.
pub(super) fn uniform(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    add(picture, strength, |_| 3f64.sqrt() * rng.between(-1.0, 1.0));
}

/// Adds white Gaussian noise.
pub(super) fn white(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    add(picture, strength, |_| rng.normal());
}

/// Adds Gaussian noise whose amplitude is proportional to this power of the frequency, independent for each channel.
pub(super) fn coloured(picture: &mut FloatImage, strength: f64, exponent: f64, rng: &mut Rng) {
    let planes = [(); 3].map(|()| field(picture.size, exponent, rng));
    add(picture, strength, |at| planes[at % 3][at / 3]);
}

/// Random field, size x size, of mean 0 and variance 1, whose amplitude is proportional to a power of the frequency.
fn field(size: usize, exponent: f64, rng: &mut Rng) -> Vec<f64> {
    // A Hartley transform of white noise: its waves are real, and white noise is white in any orthogonal basis.
    let wave: Vec<f64> = (0..size * size)
        .map(|at| {
            let (sin, cos) = (std::f64::consts::TAU * (at / size * (at % size) % size) as f64 / size as f64).sin_cos();
            sin + cos
        })
        .collect();
    let frequency = |at: usize| at.min(size - at) as f64;
    let amplitudes: Vec<f64> = (0..size * size)
        .map(|at| {
            let normal = rng.normal();
            if at == 0 { 0.0 } else { normal * frequency(at / size).hypot(frequency(at % size)).powf(exponent) }
        })
        .collect();
    let field = product(&wave, &product(&amplitudes, &wave, size), size);
    let deviation = (field.iter().map(|v| v * v).sum::<f64>() / field.len() as f64).sqrt();
    field.into_iter().map(|v| v / deviation).collect()
}

/// Product of two size x size matrices.
fn product(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let mut out = vec![0.0; size * size];
    for (row, out) in a.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        for (factor, b) in row.iter().zip(b.chunks_exact(size)) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += factor * b);
        }
    }
    out
}

/// Adds a checkerboard of squares of one to four 64ths of a side.
pub(super) fn checkerboard(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let size = picture.size;
    let side = ((1 + rng.below(4)) * size).div_ceil(64);
    let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
    add(picture, strength, |at| {
        let (y, x) = (at / 3 / size, at / 3 % size);
        if (y / side + x / side).is_multiple_of(2) { sign } else { -sign }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Mean squared difference of neighbours: 2 for white noise.
    fn roughness(exponent: f64) -> f64 {
        let field = field(64, exponent, &mut Rng::new(1, Stream::Synth, (0, 1)));
        let mean = field.iter().sum::<f64>() / 4096.0;
        let square = field.iter().map(|v| v * v).sum::<f64>() / 4096.0;
        assert!(mean.abs() < 1e-9 && (square - 1.0).abs() < 1e-9, "{mean} and {square}");
        (0..4095).filter(|at| at % 64 != 63).map(|at| (field[at + 1] - field[at]).powi(2)).sum::<f64>() / (63.0 * 64.0)
    }

    #[test]
    fn coloured_noise_roughness_rises_with_exponent() {
        assert!((roughness(0.0) - 2.0).abs() < 0.1);
        let roughs: Vec<f64> = [-1.5, -1.0, 0.0, 1.0, 1.5].into_iter().map(roughness).collect();
        assert!(roughs.is_sorted() && roughs[1] < 0.6 && roughs[3] > 2.3, "{roughs:?}");
    }
}
