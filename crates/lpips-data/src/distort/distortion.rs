//! The distortions, by name and family.

use serde::{Deserialize, Serialize};

use super::{blur, compression, noise, photometric, spatial};
use crate::error::{Error, Result};
use crate::float_image::FloatImage;
use crate::rng::{Rng, Stream};

/// How a picture can be spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distortion {
    /// All values times a factor, above or below 1.
    Brightness,
    /// The distance from middle gray times a factor, above or below 1.
    Contrast,
    /// The colours' distance from gray times a factor, above or below 1.
    Saturation,
    /// All hues turned.
    Hue,
    /// CIELAB's lightness shifted up or down.
    Lightness,
    /// CIELAB's two colour axes shifted in some direction.
    ColourShift,
    /// Noise between two limits, all values of which are equally likely.
    UniformNoise,
    /// Gaussian noise.
    WhiteNoise,
    /// Gaussian noise whose amplitude falls with the frequency.
    PinkNoise,
    /// Gaussian noise whose amplitude rises with the frequency.
    BlueNoise,
    /// Gaussian noise somewhere between brown and violet.
    ColouredNoise,
    /// A checkerboard over all, as transposed convolutions leave it.
    Checkerboard,
    /// A Gaussian blur.
    GaussianBlur,
    /// A bilateral filter: a blur that stops at edges.
    Bilateral,
    /// A shift in some direction.
    Shift,
    /// A linear map of places: turned, leant, stretched.
    Affine,
    /// Each corner moved.
    Homography,
    /// The nodes of a grid moved, and linearly what lies between.
    LinearWarp,
    /// The nodes of a grid moved, and smoothly (by cubic splines) what lies between.
    CubicWarp,
    /// A shifted copy laid over the picture.
    Ghosting,
    /// Red shifted one way and blue the other.
    ChromaticAberration,
    /// Compressed by JPEG.
    Jpeg,
}

/// Every distortion with its name and its family's.
const ALL: [(Distortion, &str, &str); 22] = [
    (Distortion::Brightness, "brightness", "photometric"),
    (Distortion::Contrast, "contrast", "photometric"),
    (Distortion::Saturation, "saturation", "photometric"),
    (Distortion::Hue, "hue", "photometric"),
    (Distortion::Lightness, "lightness", "photometric"),
    (Distortion::ColourShift, "colour-shift", "photometric"),
    (Distortion::UniformNoise, "uniform-noise", "noise"),
    (Distortion::WhiteNoise, "white-noise", "noise"),
    (Distortion::PinkNoise, "pink-noise", "noise"),
    (Distortion::BlueNoise, "blue-noise", "noise"),
    (Distortion::ColouredNoise, "coloured-noise", "noise"),
    (Distortion::Checkerboard, "checkerboard", "noise"),
    (Distortion::GaussianBlur, "gaussian-blur", "blur"),
    (Distortion::Bilateral, "bilateral", "blur"),
    (Distortion::Shift, "shift", "spatial"),
    (Distortion::Affine, "affine", "spatial"),
    (Distortion::Homography, "homography", "spatial"),
    (Distortion::LinearWarp, "linear-warp", "spatial"),
    (Distortion::CubicWarp, "cubic-warp", "spatial"),
    (Distortion::Ghosting, "ghosting", "spatial"),
    (Distortion::ChromaticAberration, "chromatic-aberration", "spatial"),
    (Distortion::Jpeg, "jpeg", "compression"),
];

impl Distortion {
    /// All of them, by family.
    pub fn all() -> Vec<Self> {
        ALL.map(|(distortion, ..)| distortion).to_vec()
    }

    /// The names of all families.
    pub fn families() -> Vec<&'static str> {
        let mut families = ALL.map(|(_, _, family)| family).to_vec();
        families.dedup();
        families
    }

    /// Its name: small letters and hyphens.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Its family's name.
    pub fn family(self) -> &'static str {
        ALL[self as usize].2
    }

    /// Those with these names, or of the families with these names, each once.
    ///
    /// # Errors
    /// A name that is neither a distortion's nor a family's, or no name at all.
    pub fn named(names: &[String]) -> Result<Vec<Self>> {
        let known: Vec<&str> = Self::families().into_iter().chain(ALL.map(|(_, name, _)| name)).collect();
        for given in names {
            if !known.contains(&given.as_str()) {
                let nearest = known
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)));
                let nearest = nearest.copied().unwrap_or_default();
                let known = known.join(", ");
                return Err(Error::Choice(format!(
                    "there is no distortion '{given}': did you mean {nearest}? There are {known}"
                )));
            }
        }
        let is_named = |name: &str| names.iter().any(|given| given == name);
        let chosen = ALL.into_iter().filter(|(_, name, family)| is_named(name) || is_named(family));
        let chosen: Vec<Self> = chosen.map(|(distortion, ..)| distortion).collect();
        if chosen.is_empty() {
            return Err(Error::Choice("no distortion is named: expected at least one".to_string()));
        }
        Ok(chosen)
    }

    /// Distorts a picture, by nothing at strength 0 and by more the greater the strength is, up to 1.
    /// What is random about it follows from `seed` alone.
    ///
    /// # Errors
    /// JPEG alone can fail: a picture that can't be compressed.
    pub fn apply(self, picture: &mut FloatImage, strength: f64, seed: u32) -> Result<()> {
        let rng = &mut Rng::new(u64::from(seed), Stream::Synth, (0, self as u64));
        match self {
            Self::Brightness => photometric::brightness(picture, strength, rng),
            Self::Contrast => photometric::contrast(picture, strength, rng),
            Self::Saturation => photometric::saturation(picture, strength, rng),
            Self::Hue => photometric::hue(picture, strength, rng),
            Self::Lightness => photometric::lightness(picture, strength, rng),
            Self::ColourShift => photometric::colour_shift(picture, strength, rng),
            Self::UniformNoise => noise::uniform(picture, strength, rng),
            Self::WhiteNoise => noise::white(picture, strength, rng),
            Self::PinkNoise => noise::coloured(picture, strength, -1.0, rng),
            Self::BlueNoise => noise::coloured(picture, strength, 1.0, rng),
            Self::ColouredNoise => {
                let exponent = rng.between(-1.5, 1.5);
                noise::coloured(picture, strength, exponent, rng);
            }
            Self::Checkerboard => noise::checkerboard(picture, strength, rng),
            Self::GaussianBlur => blur::gaussian(picture, strength),
            Self::Bilateral => blur::bilateral(picture, strength),
            Self::Shift => spatial::shift(picture, strength, rng),
            Self::Affine => spatial::affine(picture, strength, rng),
            Self::Homography => spatial::homography(picture, strength, rng),
            Self::LinearWarp => spatial::linear_warp(picture, strength, rng),
            Self::CubicWarp => spatial::cubic_warp(picture, strength, rng),
            Self::Ghosting => spatial::ghosting(picture, strength, rng),
            Self::ChromaticAberration => spatial::chromatic_aberration(picture, strength, rng),
            Self::Jpeg => compression::jpeg(picture, strength)?,
        }
        picture.values.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin_samples;

    /// The largest difference in gray levels, and the mean squared one.
    fn differences(a: &FloatImage, b: &FloatImage) -> (f32, f32) {
        let differences = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs() * 255.0);
        let squares = differences.clone().map(|d| d * d).sum::<f32>() / a.values.len() as f32;
        (differences.fold(0.0, f32::max), squares)
    }

    fn distorted(distortion: Distortion, picture: &FloatImage, strength: f64, seed: u32) -> FloatImage {
        let mut changed = picture.clone();
        distortion.apply(&mut changed, strength, seed).unwrap();
        changed
    }

    #[test]
    fn names_are_those_of_the_manifest() {
        for (at, (distortion, name, _)) in ALL.into_iter().enumerate() {
            assert_eq!((distortion as usize, distortion.name()), (at, name));
            assert_eq!(serde_json::to_string(&distortion).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn the_error_rises_with_the_strength() {
        let mut wrong = Vec::new();
        for distortion in Distortion::all() {
            for seed in 0..12 {
                let [mut picture, ..] = builtin_samples::draw(3, u64::from(seed), 64);
                // The samples' waves repeat every few pixels: a shift by so many brings them back, and the error with them.
                if distortion == Distortion::Shift {
                    picture.blur(3.0);
                }
                let errors = [0.0, 0.05, 0.3, 0.55, 0.8, 1.0]
                    .map(|strength| differences(&picture, &distorted(distortion, &picture, strength, seed)).1);
                if !errors.is_sorted_by(|a, b| a < b) || errors[5] < 9.0 {
                    wrong.push((distortion, seed, errors));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn no_strength_is_no_change() {
        for distortion in Distortion::all() {
            for seed in 0..4 {
                let [picture, ..] = builtin_samples::draw(4, u64::from(seed), 64);
                let (most, _) = differences(&picture, &distorted(distortion, &picture, 0.0, seed));
                assert!(most < 0.5, "{distortion:?}: {most} gray levels");
                let (_, mean) = differences(&picture, &distorted(distortion, &picture, 0.002, seed));
                assert!(mean < 2.0, "{distortion:?} begins with a jump: {mean} squared gray levels");
            }
        }
    }

    #[test]
    fn what_is_random_follows_from_the_seed() {
        let [picture, ..] = builtin_samples::draw(5, 0, 32);
        let fixed = [Distortion::GaussianBlur, Distortion::Bilateral, Distortion::Jpeg];
        for distortion in Distortion::all() {
            let first = distorted(distortion, &picture, 0.7, 1);
            assert_eq!(first, distorted(distortion, &picture, 0.7, 1));
            let others = (2..12).filter(|seed| distorted(distortion, &picture, 0.7, *seed) != first).count();
            assert_eq!(others > 0, !fixed.contains(&distortion), "{distortion:?}");
        }
    }

    #[test]
    fn names_and_families_are_found_and_others_refused() {
        let named = |names: &[&str]| Distortion::named(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            named(&["jpeg", "blur", "jpeg"]).unwrap(),
            [Distortion::GaussianBlur, Distortion::Bilateral, Distortion::Jpeg]
        );
        for (given, nearest) in [("color-shift", "colour-shift"), ("JPEG2000", "jpeg"), ("photometry", "photometric")] {
            let error = named(&[given]).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {nearest}?")), "{error}");
        }
        assert!(named(&[]).is_err());
    }
}
