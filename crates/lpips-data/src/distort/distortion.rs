//! The distortions by name and family.

use serde::{Deserialize, Serialize};

use super::{blur, compression, noise, photometric, spatial};
use crate::error::{Error, Result};
use crate::float_image::FloatImage;
use crate::rng::{Rng, Stream};

/// Kind of distortion.
///
/// # Examples
/// ```
/// use lpips_data::builtin_samples;
/// use lpips_data::distort::Distortion;
///
/// let [picture, ..] = builtin_samples::draw(1, 0, 64);
/// let mut noisy = picture.clone();
/// Distortion::WhiteNoise.apply(&mut noisy, 0.5, 7)?;
/// assert_ne!(noisy, picture);
/// let chosen = Distortion::named(&["blur".to_string(), "jpeg".to_string()])?;
/// assert_eq!(chosen, [Distortion::GaussianBlur, Distortion::Bilateral, Distortion::Jpeg]);
/// # Ok::<(), lpips_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Distortion {
    /// All values scaled.
    Brightness,
    /// Distance from middle gray scaled.
    Contrast,
    /// Colours' distance from gray scaled.
    Saturation,
    /// All hues turned.
    Hue,
    /// CIELAB's lightness shifted up or down.
    Lightness,
    /// CIELAB's two colour axes shifted in some direction.
    ColourShift,
    /// Uniform noise.
    UniformNoise,
    /// Gaussian noise of a flat spectrum.
    WhiteNoise,
    /// Gaussian noise whose amplitude falls with the frequency.
    PinkNoise,
    /// Gaussian noise whose amplitude rises with the frequency.
    BlueNoise,
    /// Gaussian noise somewhere between brown and violet.
    ColouredNoise,
    /// A checkerboard, as transposed convolutions leave it.
    Checkerboard,
    /// A Gaussian blur.
    GaussianBlur,
    /// A bilateral filter: a blur that stops at edges.
    Bilateral,
    /// A shift in some direction.
    Shift,
    /// A linear map of places: rotation, shear, stretch.
    Affine,
    /// Each corner moved.
    Homography,
    /// The nodes of a grid moved, interpolated linearly.
    LinearWarp,
    /// The nodes of a grid moved, interpolated by cubic splines.
    CubicWarp,
    /// A shifted copy laid over the picture.
    Ghosting,
    /// Red shifted one way and blue the other.
    ChromaticAberration,
    /// JPEG compression.
    Jpeg,
}

/// Name and family of every distortion.
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
    /// All distortions, by family.
    pub fn all() -> Vec<Self> {
        ALL.map(|(distortion, ..)| distortion).to_vec()
    }

    /// Names of all families.
    pub fn families() -> Vec<&'static str> {
        let mut families = ALL.map(|(_, _, family)| family).to_vec();
        families.dedup();
        families
    }

    /// Name in lower case with hyphens.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Name of the family.
    pub fn family(self) -> &'static str {
        ALL[self as usize].2
    }

    /// Distortions with these names, or of families with these names, each once.
    ///
    /// # Errors
    /// A name of no distortion and no family, or no names.
    pub fn named(names: &[String]) -> Result<Vec<Self>> {
        let known: Vec<&str> = Self::families().into_iter().chain(ALL.map(|(_, name, _)| name)).collect();
        for given in names {
            if !known.contains(&given.as_str()) {
                let nearest = known
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)));
                return Err(Error::UnknownDistortion {
                    name: given.clone(),
                    nearest: nearest.copied().unwrap_or_default().to_string(),
                    known: known.join(", "),
                });
            }
        }
        let is_named = |name: &str| names.iter().any(|given| given == name);
        let chosen = ALL.into_iter().filter(|(_, name, family)| is_named(name) || is_named(family));
        let chosen: Vec<Self> = chosen.map(|(distortion, ..)| distortion).collect();
        if chosen.is_empty() {
            return Err(Error::argument("no distortion is named: expected at least one"));
        }
        Ok(chosen)
    }

    /// Distorts a picture in place and clamps its values to [0, 1].
    ///
    /// `strength` is in [0, 1]: 0 is the identity. Random draws depend on `seed` alone.
    ///
    /// # Errors
    /// A picture that JPEG can't compress; no other distortion fails.
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

    /// Largest difference in gray levels, and mean squared difference.
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
    fn distortion_names_match_serialisation() {
        for (at, (distortion, name, _)) in ALL.into_iter().enumerate() {
            assert_eq!((distortion as usize, distortion.name()), (at, name));
            assert_eq!(serde_json::to_string(&distortion).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn distortion_error_rises_with_strength() {
        let mut wrong = Vec::new();
        for distortion in Distortion::all() {
            for seed in 0..12 {
                let [mut picture, ..] = builtin_samples::draw(3, u64::from(seed), 64);
                // The samples' waves repeat every few pixels: a shift by so many brings them back, and the error with
                // them.
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
    fn distortion_strength_zero_is_identity() {
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
    fn distortion_randomness_follows_seed() {
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
    fn distortion_named_finds_names_and_families_and_suggests_nearest() {
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
