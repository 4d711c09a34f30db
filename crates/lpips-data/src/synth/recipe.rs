//! Draws one triplet or pair: patch, distortions, strengths and label.

use lpips_core::Picture;
use serde::{Deserialize, Serialize};

use super::options::Synth;
use super::part::{Part, Place};
use super::sources::Source;
use crate::distort::Distortion;
use crate::error::{Error, Result};
use crate::float_image::FloatImage;
use crate::rng::Rng;

/// Attempts at one triplet before it is an error.
const ATTEMPTS: u64 = 256;
/// Attempts with the same distortion.
const PATIENCE: u64 = 16;
/// Smallest difference of the two strengths of a labelled triplet.
const APART: f64 = 0.25;
/// Smallest visible root mean squared error, in gray levels of 255.
const VISIBLE: f64 = 4.0;
/// Smallest root mean squared difference of the sides of a labelled triplet, in gray levels.
const DIFFERENT: f64 = VISIBLE / 2.0;
/// Smallest root mean squared difference of a pair that is labelled different, in gray levels.
const PLAIN: f64 = 12.0;
/// Patches to choose from: the first of enough contrast, or the one with the most.
const CANDIDATES: usize = 6;
/// Standard deviation of a patch of enough contrast, in gray levels.
const VARIED: f64 = 16.0;

/// Distortion that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) distortion: Distortion,
    pub(super) strength: f64,
    /// Seed of its random draws.
    pub(super) seed: u32,
}

/// Line of the manifest: how a triplet or pair was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    pub(super) split: Part,
    pub(super) name: String,
    /// Path of the picture in its folder.
    pub(super) source: String,
    /// Left, top and side of the square that the patch was resized from, in the picture's pixels.
    pub(super) crop: Crop,
    /// Distortions of p0, in order.
    pub(super) p0: Vec<Step>,
    /// Distortions of p1, in order.
    pub(super) p1: Vec<Step>,
    /// Judgment: 1 where p1 is nearer, or where a pair is equal.
    pub(super) judge: Option<f32>,
    /// Origin of the judgment: "synthetic".
    pub(super) label: Option<String>,
}

impl Recipe {
    /// Place of the triplet or pair.
    pub(super) fn place(&self) -> Option<Place> {
        Some((self.split, self.name.parse().ok()?))
    }
}

/// Distortions of p0 and p1, and the judgment that follows from them.
type Plan = ([Vec<Step>; 2], Option<f32>);

impl Synth {
    /// Draws a triplet (or a pair, as reference, p0 and p1) until its differences are visible.
    ///
    /// # Errors
    /// A picture without a patch on which the distortions show.
    pub(super) fn draw(&self, place: Place, source: &Source, picture: &Picture) -> Result<(Recipe, [FloatImage; 3])> {
        let (part, number) = place;
        let mut order = self.distortions.clone();
        self.stream(part, number, ATTEMPTS).shuffle(&mut order);
        for attempt in 0..ATTEMPTS {
            let mut rng = self.stream(part, number, attempt);
            let (crop, patch) = self::patch(picture, self.size, &mut rng)?;
            let first = order[(attempt / PATIENCE) as usize % order.len()];
            let (steps, judge) = match (part, self.labelled) {
                (Part::Train | Part::Val, true) => two_strengths(first, &mut rng),
                (Part::Train | Part::Val, false) => self.two_sequences(first, &mut rng),
                (Part::Jnd, labelled) => pair(first, labelled, &mut rng),
            };
            let [mut p0, mut p1] = [patch.clone(), patch.clone()];
            for (side, steps) in [&mut p0, &mut p1].into_iter().zip(&steps) {
                for step in steps {
                    step.distortion.apply(side, step.strength, step.seed)?;
                }
            }
            if !shows(part, judge, [&patch, &p0, &p1]) {
                continue;
            }
            let [p0_steps, p1_steps] = steps;
            let recipe = Recipe {
                split: part,
                name: format!("{number:06}"),
                source: source.name.clone(),
                crop,
                p0: p0_steps,
                p1: p1_steps,
                judge,
                label: judge.map(|_| "synthetic".to_string()),
            };
            return Ok((recipe, [patch, p0, p1]));
        }
        Err(Error::NoVisibleDistortion { picture: source.name.clone() })
    }

    /// Draws one or two distortions in sequence for each side, starting with different ones where there is a choice.
    fn two_sequences(&self, first: Distortion, rng: &mut Rng) -> Plan {
        let one = |first: Distortion, rng: &mut Rng| {
            let mut kinds = vec![first];
            if rng.chance(0.5) {
                kinds.push(self.distortions[rng.below(self.distortions.len())]);
            }
            kinds.dedup();
            kinds.into_iter().map(|distortion| step(distortion, rng.between(0.05, 1.0), rng)).collect::<Vec<_>>()
        };
        let others: Vec<Distortion> = self.distortions.iter().copied().filter(|other| *other != first).collect();
        let second = if others.is_empty() { first } else { others[rng.below(others.len())] };
        let mut sides = [one(first, rng), one(second, rng)];
        rng.shuffle(&mut sides);
        (sides, None)
    }
}

/// Whether the differences are visible. The errors of a labelled triplet's sides are not compared, which would make the
/// labels agree with L2.
pub(super) fn shows(part: Part, judge: Option<f32>, [reference, p0, p1]: [&FloatImage; 3]) -> bool {
    match (part, judge) {
        (Part::Jnd, Some(same)) => same > 0.5 || apart(reference, p1) >= PLAIN,
        (Part::Jnd, None) => true,
        (_, None) => apart(reference, p0).min(apart(reference, p1)) >= VISIBLE,
        (_, Some(judge)) => {
            let strong = if judge < 0.5 { p1 } else { p0 };
            apart(reference, strong) >= VISIBLE && apart(p0, p1) >= DIFFERENT
        }
    }
}

/// Draws the seed of a distortion.
fn step(distortion: Distortion, strength: f64, rng: &mut Rng) -> Step {
    // Rounded to four digits, for readable manifests.
    Step { distortion, strength: (strength * 1e4).round() / 1e4, seed: rng.bits() as u32 }
}

/// Draws one distortion with one seed at two strengths.
fn two_strengths(distortion: Distortion, rng: &mut Rng) -> Plan {
    let weak = rng.between(0.05, 0.95 - APART);
    let strong = rng.between(weak + APART, 1.0);
    let weak = step(distortion, weak, rng);
    let strong = Step { seed: weak.seed, ..step(distortion, strong, rng) };
    if rng.chance(0.5) { ([vec![weak], vec![strong]], Some(0.0)) } else { ([vec![strong], vec![weak]], Some(1.0)) }
}

/// Draws a pair: the patch, and the patch again or distorted.
fn pair(distortion: Distortion, labelled: bool, rng: &mut Rng) -> Plan {
    let same = labelled && rng.chance(0.5);
    let strength = if labelled { rng.between(0.6, 1.0) } else { rng.between(0.0, 0.5) };
    let steps = if same { Vec::new() } else { vec![step(distortion, strength, rng)] };
    ([Vec::new(), steps], labelled.then_some(if same { 1.0 } else { 0.0 }))
}

/// Left, top and side of a square, in the picture's pixels.
type Crop = [usize; 3];

/// Cuts a random square out of a picture and resizes it to the patch's size, preferring one with contrast.
pub(super) fn patch(picture: &Picture, size: usize, rng: &mut Rng) -> Result<(Crop, FloatImage)> {
    let rgb = picture.to_rgb8();
    let mut best = cut(picture, &rgb, size, rng)?;
    for _ in 1..CANDIDATES {
        if contrast(&best.1) >= VARIED {
            break;
        }
        let other = cut(picture, &rgb, size, rng)?;
        if contrast(&other.1) > contrast(&best.1) {
            best = other;
        }
    }
    Ok(best)
}

/// Cuts a square at a random place, of any size from the patch's up to the whole picture's or eight times the patch's.
fn cut(picture: &Picture, rgb: &[u8], size: usize, rng: &mut Rng) -> Result<(Crop, FloatImage)> {
    let (width, height) = (picture.width(), picture.height());
    let largest = width.min(height).min(8 * size);
    // Log-uniform: as likely between one and two times the patch as between two and four.
    let side = (size as f64 * (largest as f64 / size as f64).powf(rng.unit())).round() as usize;
    let side = side.clamp(size, largest);
    let (left, top) = (rng.below(width - side + 1), rng.below(height - side + 1));
    let rows = (top..top + side).flat_map(|y| &rgb[(y * width + left) * 3..][..side * 3]);
    let cut = Picture::from_rgb8(side, side, rows.copied().collect())?;
    let cut = if side == size { cut } else { cut.resize(size, size)? };
    Ok(([left, top, side], FloatImage::from_rgb8(size, &cut.to_rgb8())))
}

/// Standard deviation of a patch's values about each channel's mean, in gray levels.
fn contrast(patch: &FloatImage) -> f64 {
    let pixels = patch.values.as_chunks::<3>().0;
    let mean = |channel: usize, of: &dyn Fn(f64) -> f64| {
        pixels.iter().map(|pixel| of(f64::from(pixel[channel]))).sum::<f64>() / pixels.len() as f64
    };
    let variance = |channel: usize| {
        let middle = mean(channel, &|v| v);
        mean(channel, &|v| (v - middle).powi(2))
    };
    255.0 * ((0..3).map(variance).sum::<f64>() / 3.0).sqrt()
}

/// Root mean squared difference of two pictures, rounded to bytes, in gray levels.
fn apart(a: &FloatImage, b: &FloatImage) -> f64 {
    let (a, b) = (a.to_rgb8(), b.to_rgb8());
    let squares: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (squares / a.len() as f64).sqrt()
}
