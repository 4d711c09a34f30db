//! Built-in triplets, without files: drawn scenes, distorted with known strengths.
//!
//! For tests and first trainings. The judgments follow from the strengths, not from people.

use crate::float_image::FloatImage;
use crate::rng::{Rng, Stream};

/// Distortion of a scene, with a strength from 0 (identity) to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distortion {
    Noise,
    Blur,
    Blocks,
    Levels,
    Tint,
    Fade,
}

const DISTORTIONS: [Distortion; 6] =
    [Distortion::Noise, Distortion::Blur, Distortion::Blocks, Distortion::Levels, Distortion::Tint, Distortion::Fade];

/// Distortions of p0 and p1 with their strengths, and the random stream of the scene.
fn plan(seed: u64, index: u64) -> ([(Distortion, f64); 2], Rng) {
    let mut rng = Rng::new(seed, Stream::Samples, (index, 0));
    let mut one = || (DISTORTIONS[rng.below(DISTORTIONS.len())], rng.between(0.05, 1.0));
    let (first, second) = (one(), one());
    ([first, second], Rng::new(seed, Stream::Samples, (index, 1)))
}

/// Judgment of a sample: the fraction that prefers p1, in [0, 1], a logistic function of the difference of the
/// strengths.
pub fn judge(seed: u64, index: u64) -> f32 {
    let ([(_, s0), (_, s1)], _) = plan(seed, index);
    // Between 0.05 and 0.95: a twentieth of the votes disagrees.
    (0.05 + 0.9 / (1.0 + (-8.0 * (s0 - s1)).exp())) as f32
}

/// Draws reference, p0 and p1 of a sample, `size` pixels each way.
pub fn draw(seed: u64, index: u64, size: usize) -> [FloatImage; 3] {
    let (distortions, mut rng) = plan(seed, index);
    let scene = scene(&mut rng, size);
    let [p0, p1] = distortions.map(|(kind, strength)| {
        let mut picture = scene.clone();
        distort(&mut picture, kind, strength, &mut rng);
        picture
    });
    // Rounded to bytes, as files hold them.
    [scene, p0, p1].map(|picture| FloatImage::from_rgb8(size, &picture.to_rgb8()))
}

/// Draws a scene: a sky of two colours, a few shapes, and texture over all.
fn scene(rng: &mut Rng, size: usize) -> FloatImage {
    fn colour(rng: &mut Rng) -> [f64; 3] {
        [(); 3].map(|()| rng.between(0.1, 0.9))
    }
    let (top, bottom) = (colour(rng), colour(rng));
    let shapes: Vec<_> = (0..6).map(|_| (colour(rng), [(); 5].map(|()| rng.unit()))).collect();
    let (waves, strength) = ([(); 4].map(|()| rng.between(-0.9, 0.9)), rng.between(0.02, 0.12));
    let mut values = Vec::with_capacity(size * size * 3);
    for y in 0..size {
        for x in 0..size {
            let (u, v) = (x as f64 / size as f64, y as f64 / size as f64);
            let mut pixel = [0, 1, 2].map(|c| top[c] * (1.0 - v) + bottom[c] * v);
            for (colour, [cx, cy, rx, ry, kind]) in &shapes {
                let (dx, dy) = ((u - cx) / (0.08 + 0.25 * rx), (v - cy) / (0.08 + 0.25 * ry));
                let inside = if *kind < 0.5 { dx * dx + dy * dy < 1.0 } else { dx.abs().max(dy.abs()) < 1.0 };
                if inside {
                    pixel = *colour;
                }
            }
            let (x, y) = (x as f64, y as f64);
            let texture = strength * ((waves[0] * x + waves[1] * y).sin() + (waves[2] * x + waves[3] * y).cos());
            values.extend(pixel.map(|v| (v + texture).clamp(0.0, 1.0) as f32));
        }
    }
    FloatImage { size, values }
}

fn distort(picture: &mut FloatImage, kind: Distortion, strength: f64, rng: &mut Rng) {
    match kind {
        Distortion::Noise => picture.values.iter_mut().for_each(|v| *v += (0.15 * strength * rng.normal()) as f32),
        Distortion::Blur => picture.blur(0.2 + 2.3 * strength),
        Distortion::Blocks => blocks(picture, strength),
        Distortion::Levels => {
            let levels = (2.0 + 14.0 * (1.0 - strength)) as f32;
            picture.values.iter_mut().for_each(|v| *v = (*v * levels).round() / levels);
        }
        Distortion::Tint => {
            let shift = [(); 3].map(|()| (0.35 * strength * rng.between(-1.0, 1.0)) as f32);
            for pixel in picture.values.as_chunks_mut::<3>().0 {
                pixel.iter_mut().zip(shift).for_each(|(v, shift)| *v += shift);
            }
        }
        Distortion::Fade => {
            let contrast = 1.0 - 0.8 * strength as f32;
            picture.values.iter_mut().for_each(|v| *v = 0.5 + (*v - 0.5) * contrast);
        }
    }
    picture.values.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
}

/// Blends a picture with the means of its 4 x 4 blocks.
fn blocks(picture: &mut FloatImage, strength: f64) {
    const SIDE: usize = 4;
    let size = picture.size;
    for (top, left) in (0..size).step_by(SIDE).flat_map(|y| (0..size).step_by(SIDE).map(move |x| (y, x))) {
        let pixels = || {
            (top..(top + SIDE).min(size)).flat_map(move |y| (left..(left + SIDE).min(size)).map(move |x| y * size + x))
        };
        for channel in 0..3 {
            let mean = pixels().map(|at| picture.values[3 * at + channel]).sum::<f32>() / pixels().count() as f32;
            for at in pixels() {
                let v = &mut picture.values[3 * at + channel];
                *v += (mean - *v) * strength as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_sample_repeats_and_judges_against_stronger_distortion() {
        assert_eq!(draw(1, 5, 32), draw(1, 5, 32));
        assert_ne!(draw(1, 5, 32), draw(2, 5, 32));
        for index in 0..50 {
            let ([(_, s0), (_, s1)], _) = plan(3, index);
            let judge = judge(3, index);
            assert!((0.0..=1.0).contains(&judge) && (judge > 0.5) == (s0 > s1));
        }
    }

    #[test]
    fn builtin_distortion_error_rises_with_strength() {
        for kind in DISTORTIONS {
            let scene = scene(&mut Rng::new(1, Stream::Samples, (0, 0)), 48);
            let error = |strength| {
                let mut picture = scene.clone();
                distort(&mut picture, kind, strength, &mut Rng::new(2, Stream::Samples, (0, 0)));
                picture.values.iter().zip(&scene.values).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
            };
            let (weak, strong) = (error(0.1), error(0.9));
            assert!(weak > 0.0 && strong > 2.0 * weak, "{kind:?}: {weak} and {strong}");
        }
    }
}
