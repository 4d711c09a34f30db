//! How one triplet or pair is made.

use lpips_core::Picture;
use serde::{Deserialize, Serialize};

use super::set::{Part, Place, Synth};
use super::sources::Source;
use crate::distort::Distortion;
use crate::error::{Error, Result};
use crate::float_image::FloatImage;
use crate::rng::Rng;

/// Draws for one triplet before it is given up.
const ATTEMPTS: u64 = 256;
/// Draws in which the same distortion is tried.
const PATIENCE: u64 = 16;
/// The least difference of two strengths that have an order.
const APART: f64 = 0.25;
/// The least root mean squared error of a side that must differ from the reference, in gray levels of 255.
const VISIBLE: f64 = 4.0;
/// The least root mean squared difference of two sides of which one is nearer, in gray levels.
const DIFFERENT: f64 = VISIBLE / 2.0;
/// The same for a pair that nobody may take for equal.
const PLAIN: f64 = 12.0;
/// Patches of which the one with the most contrast is taken, unless one is good enough.
const LOOKS: usize = 6;
/// The standard deviation of a patch that is good enough, in gray levels.
const VARIED: f64 = 16.0;

/// A distortion that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) distortion: Distortion,
    pub(super) strength: f64,
    /// Decides what is random about it.
    pub(super) seed: u32,
}

/// A line of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    pub(super) split: Part,
    pub(super) name: String,
    /// The picture's path in its folder.
    pub(super) source: String,
    /// Left, top and side of the square that was brought to the patch's size, in the picture's pixels.
    pub(super) crop: Crop,
    /// What was done to p0, in this order.
    pub(super) p0: Vec<Step>,
    /// What was done to p1.
    pub(super) p1: Vec<Step>,
    /// The fraction that prefers p1; of a pair, the fraction that takes it for equal.
    pub(super) judge: Option<f32>,
    /// Where the judgment is from.
    pub(super) label: Option<String>,
}

impl Recipe {
    /// The triplet or pair that it is about.
    pub(super) fn place(&self) -> Option<Place> {
        Some((self.split, self.name.parse().ok()?))
    }
}

/// What is done to p0 and p1, and the judgment that follows from it.
type Plan = ([Vec<Step>; 2], Option<f32>);

impl Synth {
    /// Draws a triplet, or a pair as reference, p0 and p1, until its differences show.
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
        Err(Error::Data(format!(
            "{}: no patch of it shows what the chosen distortions do: leave the picture out, or choose more distortions",
            source.name
        )))
    }

    /// One or two distortions after the other on each side, beginning with different ones where there is a choice.
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

/// Whether there is enough to see. Of a labelled triplet nothing compares the sides' errors: such a test would make the
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

fn step(distortion: Distortion, strength: f64, rng: &mut Rng) -> Step {
    // Four digits are enough to tell strengths apart, and easier to read.
    Step { distortion, strength: (strength * 1e4).round() / 1e4, seed: rng.bits() as u32 }
}

/// One distortion, with one draw, at two strengths.
fn two_strengths(distortion: Distortion, rng: &mut Rng) -> Plan {
    let weak = rng.between(0.05, 0.95 - APART);
    let strong = rng.between(weak + APART, 1.0);
    let weak = step(distortion, weak, rng);
    let strong = Step { seed: weak.seed, ..step(distortion, strong, rng) };
    if rng.chance(0.5) { ([vec![weak], vec![strong]], Some(0.0)) } else { ([vec![strong], vec![weak]], Some(1.0)) }
}

/// A patch as it is, and the same again or distorted.
fn pair(distortion: Distortion, labelled: bool, rng: &mut Rng) -> Plan {
    let same = labelled && rng.chance(0.5);
    let strength = if labelled { rng.between(0.6, 1.0) } else { rng.between(0.0, 0.5) };
    let steps = if same { Vec::new() } else { vec![step(distortion, strength, rng)] };
    ([Vec::new(), steps], labelled.then_some(if same { 1.0 } else { 0.0 }))
}

/// Where a patch was cut out: left, top and side of the square in the picture's pixels.
type Crop = [usize; 3];

/// Cuts a square out of a picture and brings it to the patch's size; not a flat one if that can be helped.
pub(super) fn patch(picture: &Picture, size: usize, rng: &mut Rng) -> Result<(Crop, FloatImage)> {
    let rgb = picture.to_rgb8();
    let mut best = cut(picture, &rgb, size, rng)?;
    for _ in 1..LOOKS {
        if variety(&best.1) >= VARIED {
            break;
        }
        let other = cut(picture, &rgb, size, rng)?;
        if variety(&other.1) > variety(&best.1) {
            best = other;
        }
    }
    Ok(best)
}

/// A square at a random place, of any size from the patch's up to the whole picture's or eight times the patch's.
fn cut(picture: &Picture, rgb: &[u8], size: usize, rng: &mut Rng) -> Result<(Crop, FloatImage)> {
    let (width, height) = (picture.width(), picture.height());
    let largest = width.min(height).min(8 * size);
    // As likely between one and two times the patch as between two and four.
    let side = (size as f64 * (largest as f64 / size as f64).powf(rng.unit())).round() as usize;
    let side = side.clamp(size, largest);
    let (left, top) = (rng.below(width - side + 1), rng.below(height - side + 1));
    let rows = (top..top + side).flat_map(|y| &rgb[(y * width + left) * 3..][..side * 3]);
    let cut = Picture::from_rgb8(side, side, rows.copied().collect())?;
    let cut = if side == size { cut } else { cut.resize(size, size)? };
    Ok(([left, top, side], FloatImage::from_rgb8(size, &cut.to_rgb8())))
}

/// The standard deviation of a patch's values about each colour's mean, in gray levels.
fn variety(patch: &FloatImage) -> f64 {
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

/// The root of the mean squared difference of two pictures as files have them, in gray levels.
fn apart(a: &FloatImage, b: &FloatImage) -> f64 {
    let (a, b) = (a.to_rgb8(), b.to_rgb8());
    let squares: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (squares / a.len() as f64).sqrt()
}
