//! Triplets in other guises: the same change of all three pictures, so that the judgment stays true.

use crate::float_image::FloatImage;
use crate::rng::{Rng, Stream};

/// How far pictures are changed at random; all 0 leaves them alone, as the published trainer does.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Deserialize, serde::Serialize)]
pub struct Augment {
    /// Whether each picture of a triplet gets a draw of its own. Judgments need not hold then.
    pub independent: bool,
    /// The probability of a mirror image.
    pub flip: f64,
    /// Turns by at most so many degrees.
    pub rotate: f64,
    /// Shifts by at most so many pixels: a border so wide is reflected, and a crop taken at random.
    pub crop: f64,
    /// Brightness changes by at most this part.
    pub brightness: f64,
    /// Contrast changes by at most this part.
    pub contrast: f64,
    /// Saturation changes by at most this part.
    pub saturation: f64,
    /// Hue turns by at most this part of the circle.
    pub hue: f64,
    /// Size changes by at most this part.
    pub scale: f64,
    /// Leans by at most so many degrees.
    pub shear: f64,
    /// Corners move by at most this part of a side.
    pub perspective: f64,
    /// Blurs by a Gaussian of at most so many pixels' standard deviation.
    pub blur: f64,
}

/// One change, drawn at random.
#[derive(Debug, Clone, Copy)]
struct Draw {
    /// From the new picture's coordinates to the old one's, in units of half a side from the middle: a projective map.
    map: [[f64; 3]; 3],
    moves: bool,
    jitter: Jitter,
    blur: f64,
}

impl Augment {
    /// Whether pictures are changed at all.
    pub fn is_off(&self) -> bool {
        Self { independent: false, ..*self } == Self::default()
    }

    /// Changes a triplet by what `rng` draws.
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

    /// Changes a triplet by the draw for its number in an epoch.
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

/// A projective map of places, for [`FloatImage::warp`].
pub(super) fn projective(map: &[[f64; 3]; 3]) -> impl Fn(f64, f64) -> (f64, f64) {
    move |u, v| {
        let [x, y, w] = map.map(|row| row[0] * u + row[1] * v + row[2]);
        // A map so steep that a pixel lies on the horizon shows the middle there.
        if w > 1e-3 { (x / w, y / w) } else { (0.0, 0.0) }
    }
}

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// The projective map that takes the corners (-1, -1), (1, -1), (1, 1), (-1, 1) to places so far from them.
pub(super) fn to_corners(moves: &[f64; 8]) -> [[f64; 3]; 3] {
    if moves.iter().all(|by| *by == 0.0) {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    // Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989: from the unit square, then from ours to that.
    let corner = |i: usize, x: f64, y: f64| (x + moves[2 * i], y + moves[2 * i + 1]);
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] =
        [corner(0, -1.0, -1.0), corner(1, 1.0, -1.0), corner(2, 1.0, 1.0), corner(3, -1.0, 1.0)];
    let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
    let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
    let determinant = dx1 * dy2 - dx2 * dy1;
    let (g, h) = ((sx * dy2 - dx2 * sy) / determinant, (dx1 * sy - sx * dy1) / determinant);
    let square = [[x1 - x0 + g * x1, x3 - x0 + h * x3, x0], [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], [g, h, 1.0]];
    product(&square, &[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
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

/// A change of colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jitter {
    /// The factor of all values.
    pub(super) brightness: f64,
    /// The factor of their distance from middle gray.
    pub(super) contrast: f64,
    /// The factor of the colours' distance from gray.
    pub(super) saturation: f64,
    /// The part of the circle that hues turn by.
    pub(super) hue: f64,
}

impl Jitter {
    /// No change.
    pub(super) const NONE: Self = Self { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 };

    /// Changes a picture.
    pub(super) fn apply(&self, picture: &mut FloatImage) {
        if *self == Self::NONE {
            return;
        }
        let (sin, cos) = (std::f64::consts::TAU * self.hue).sin_cos();
        for pixel in picture.values.as_chunks_mut::<3>().0 {
            let [r, g, b] = pixel.map(|v| (f64::from(v) * self.brightness - 0.5) * self.contrast + 0.5);
            // Brightness, and two axes of colour that the hue turns in (NTSC's YIQ).
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
    fn nothing_changes_nothing() {
        assert!(changed(&Augment::default(), 0).iter().all(|changed| *changed == picture()));
    }

    #[test]
    fn all_three_change_alike_unless_asked_otherwise() {
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
    fn a_mirror_image_is_exact() {
        let mirrored = &changed(&Augment { flip: 1.0, ..Augment::default() }, 0)[0];
        let original = picture();
        for (y, x) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
            assert_eq!(mirrored.values[3 * (y * 16 + x)..][..3], original.values[3 * (y * 16 + 15 - x)..][..3]);
        }
    }

    #[test]
    fn a_shift_is_by_whole_pixels_and_reflects() {
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

    #[test]
    fn turning_the_hue_all_the_way_round_gives_the_colours_back() {
        let (mut turned, original) = (picture(), picture());
        Jitter { hue: 1.0, ..Jitter::NONE }.apply(&mut turned);
        assert!(turned.values.iter().zip(&original.values).all(|(a, b)| (a - b).abs() < 5e-3));
    }

    #[test]
    fn corners_go_where_they_are_sent() {
        let moves = [0.1, -0.2, 0.05, 0.1, -0.1, 0.2, 0.15, -0.05];
        let map = to_corners(&moves);
        for (i, (x, y)) in [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].into_iter().enumerate() {
            let [u, v, w] = map.map(|row: [f64; 3]| row[0] * x + row[1] * y + row[2]);
            assert!((u / w - x - moves[2 * i]).abs() < 1e-12 && (v / w - y - moves[2 * i + 1]).abs() < 1e-12);
        }
    }
}
