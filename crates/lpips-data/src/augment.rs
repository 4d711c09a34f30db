//! Label-preserving augmentation of triplets: the same random change of all three pictures.

use crate::float_image::{FloatImage, Jitter, product, projective, to_corners};
use crate::rng::{Rng, Stream};

/// Ranges of the random changes; the default, all 0, is the identity, as in the published trainer.
///
/// # Examples
/// ```
/// use lpips_data::augment::Augment;
/// use lpips_data::builtin_samples;
///
/// let augment = Augment { flip: 0.5, rotate: 5.0, brightness: 0.1, ..Augment::default() };
/// let original = builtin_samples::draw(1, 0, 32);
/// let mut pictures = original.clone();
/// augment.apply_seeded(&mut pictures, 7, 0, 3);
/// assert_ne!(pictures, original);
/// // The same seed, epoch and number draw the same change.
/// let mut again = original.clone();
/// augment.apply_seeded(&mut again, 7, 0, 3);
/// assert_eq!(pictures, again);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Deserialize, serde::Serialize)]
pub struct Augment {
    /// Whether each picture of a triplet gets a draw of its own, which may invalidate its judgment.
    pub independent: bool,
    /// Probability of a mirror image, in [0, 1].
    pub flip: f64,
    /// Largest rotation, in degrees.
    pub rotate: f64,
    /// Largest shift, in pixels: a random crop after padding by reflection.
    pub crop: f64,
    /// Largest relative change of brightness.
    pub brightness: f64,
    /// Largest relative change of contrast.
    pub contrast: f64,
    /// Largest relative change of saturation.
    pub saturation: f64,
    /// Largest turn of the hue, as a fraction of the circle.
    pub hue: f64,
    /// Largest relative change of scale.
    pub scale: f64,
    /// Largest shear, in degrees.
    pub shear: f64,
    /// Largest move of a corner, as a fraction of the side.
    pub perspective: f64,
    /// Largest standard deviation of a Gaussian blur, in pixels.
    pub blur: f64,
}

/// One random change.
#[derive(Debug, Clone, Copy)]
struct Draw {
    /// Projective map from the new picture's coordinates to the old one's, in units of half a side from the middle.
    map: [[f64; 3]; 3],
    moves: bool,
    jitter: Jitter,
    blur: f64,
}

impl Augment {
    /// Whether the augmentation is the identity.
    pub fn is_off(&self) -> bool {
        Self { independent: false, ..*self } == Self::default()
    }

    /// Changes a triplet by draws from `rng`.
    fn apply(&self, pictures: &mut [FloatImage; 3], rng: Rng) {
        if self.is_off() {
            return;
        }
        let mut rng = rng;
        let shared = self.draw(&mut rng, pictures[0].size);
        for picture in pictures {
            let draw = if self.independent { self.draw(&mut rng, picture.size) } else { shared };
            draw.apply(picture);
        }
    }

    /// Changes a triplet by the draw that its number has in an epoch.
    pub fn apply_seeded(&self, pictures: &mut [FloatImage; 3], seed: u64, epoch: u64, number: u64) {
        self.apply(pictures, Rng::new(seed, Stream::Augment, (epoch, number)));
    }

    fn draw(&self, rng: &mut Rng, size: usize) -> Draw {
        let mut up_to = |most: f64| rng.between(-most, most);
        let (angle, lean) = (up_to(self.rotate).to_radians(), up_to(self.shear).to_radians());
        let zoom = 1.0 / (1.0 + up_to(self.scale));
        // Whole pixels, so that a shift alone changes no value.
        let pixel = 2.0 / size as f64;
        let mut shift = || up_to(self.crop + 0.5).round().clamp(-self.crop, self.crop) * pixel;
        let (right, down) = if self.crop > 0.0 { (shift(), shift()) } else { (0.0, 0.0) };
        let corners = if self.perspective > 0.0 { [(); 8].map(|()| 2.0 * up_to(self.perspective)) } else { [0.0; 8] };
        let jitter = Jitter {
            brightness: 1.0 + up_to(self.brightness),
            contrast: 1.0 + up_to(self.contrast),
            saturation: 1.0 + up_to(self.saturation),
            hue: up_to(self.hue),
        };
        let blur = self.blur * rng.unit();
        let mirror = if rng.chance(self.flip) { -1.0 } else { 1.0 };
        let (sin, cos) = angle.sin_cos();
        let affine = [
            [mirror * zoom * cos, zoom * (lean.tan() * cos - sin), right],
            [mirror * zoom * sin, zoom * (lean.tan() * sin + cos), down],
            [0.0, 0.0, 1.0],
        ];
        let map = product(&affine, &to_corners(&corners));
        let moves = map != [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Draw { map, moves, jitter, blur }
    }
}

impl Draw {
    fn apply(&self, picture: &mut FloatImage) {
        if self.moves {
            picture.warp(projective(&self.map));
        }
        picture.blur(self.blur);
        self.jitter.apply(picture);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> FloatImage {
        let mut rng = Rng::new(1, Stream::Samples, (0, 0));
        FloatImage { size: 16, values: (0..16 * 16 * 3).map(|_| rng.unit() as f32).collect() }
    }

    fn changed(augment: &Augment, place: u64) -> [FloatImage; 3] {
        let mut pictures = [picture(), picture(), picture()];
        augment.apply(&mut pictures, Rng::new(7, Stream::Augment, (0, place)));
        pictures
    }

    #[test]
    fn augment_default_is_identity() {
        assert!(changed(&Augment::default(), 0).iter().all(|changed| *changed == picture()));
    }

    #[test]
    fn augment_changes_all_three_alike_unless_independent() {
        let all = Augment {
            flip: 0.5,
            rotate: 5.0,
            crop: 3.0,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            hue: 0.1,
            scale: 0.1,
            shear: 5.0,
            perspective: 0.1,
            blur: 1.0,
            independent: false,
        };
        let [a, b, c] = changed(&all, 0);
        assert!(a == b && b == c && a != picture());
        assert_eq!([a, b, c], changed(&all, 0));
        assert_ne!(changed(&all, 0)[0], changed(&all, 1)[0]);
        let [a, b, c] = changed(&Augment { independent: true, ..all }, 0);
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn augment_flip_is_exact() {
        let mirrored = &changed(&Augment { flip: 1.0, ..Augment::default() }, 0)[0];
        let original = picture();
        for (y, x) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
            assert_eq!(mirrored.values[3 * (y * 16 + x)..][..3], original.values[3 * (y * 16 + 15 - x)..][..3]);
        }
    }

    #[test]
    fn augment_crop_shifts_whole_pixels_and_reflects() {
        let original = picture();
        let shifted = &changed(&Augment { crop: 3.0, ..Augment::default() }, 0)[0];
        let reflect = |at: i64| {
            (if at < 0 {
                -1 - at
            } else if at > 15 {
                31 - at
            } else {
                at
            }) as usize
        };
        let matches = (-3..=3).flat_map(|dy| (-3..=3).map(move |dx| (dy, dx))).filter(|(dy, dx)| {
            (0..16i64).flat_map(|y| (0..16i64).map(move |x| (y, x))).all(|(y, x)| {
                let from = 3 * (reflect(y + dy) * 16 + reflect(x + dx));
                shifted.values[3 * (y * 16 + x) as usize..][..3] == original.values[from..][..3]
            })
        });
        assert_eq!(matches.count(), 1);
    }
}
