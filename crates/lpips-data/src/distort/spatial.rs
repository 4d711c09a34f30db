//! What moves pixels. Places and moves are in units of half a side; past the border a picture is reflected.

use crate::augment::{projective, to_corners};
use crate::float_image::FloatImage;
use crate::rng::Rng;

type Place = (f64, f64);

/// So far in a direction drawn at random.
fn somewhere(distance: f64, rng: &mut Rng) -> Place {
    let (sin, cos) = rng.between(0.0, std::f64::consts::TAU).sin_cos();
    (distance * cos, distance * sin)
}

/// By up to an eighth of the side.
pub(super) fn shift(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let (right, down) = somewhere(0.25 * strength, rng);
    picture.warp(|u, v| (u + right, v + down));
}

/// The corner that moves farthest moves by up to a fifth of the side.
pub(super) fn affine(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let [a, b, c, d] = [(); 4].map(|()| rng.normal());
    let corner = |v: f64| (a + b * v).hypot(c + d * v);
    let by = 0.4 * strength / corner(1.0).max(corner(-1.0));
    picture.warp(|u, v| (u + by * (a * u + b * v), v + by * (c * u + d * v)));
}

/// The corner that moves farthest moves by up to a fifth of the side.
pub(super) fn homography(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let moves = [(); 8].map(|()| rng.normal());
    let farthest = moves.as_chunks::<2>().0.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f64::max);
    picture.warp(projective(&to_corners(&moves.map(|by| 0.4 * strength * by / farthest))));
}

/// Moves of the nodes of a grid, by at most 1 to the side and 1 up or down; nodes lie at the corners of CELLS x CELLS cells and
/// one row beyond.
struct Grid([[Place; NODES]; NODES]);

const CELLS: usize = 4;
const NODES: usize = CELLS + 3;

impl Grid {
    fn draw(rng: &mut Rng) -> Self {
        let mut nodes = [[(0.0, 0.0); NODES]; NODES];
        nodes.iter_mut().flatten().for_each(|node| *node = (rng.between(-1.0, 1.0), rng.between(-1.0, 1.0)));
        Self(nodes)
    }

    /// The move at a place, mixed from four nodes each way by weights that depend on where between the middle two it is.
    fn at(&self, (u, v): Place, weights: impl Fn(f64) -> [f64; 4]) -> Place {
        let cell = |at: f64| {
            let at = (at + 1.0) * CELLS as f64 / 2.0;
            let first = (at as usize).min(CELLS - 1);
            (first, weights(at - first as f64))
        };
        let ((left, across), (top, down)) = (cell(u), cell(v));
        let mut sum = (0.0, 0.0);
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let ((x, y), weight) = (self.0[top + i][left + j], down[i] * across[j]);
            sum = (sum.0 + weight * x, sum.1 + weight * y);
        }
        sum
    }

    fn warp(&self, picture: &mut FloatImage, most: f64, weights: impl Fn(f64) -> [f64; 4]) {
        picture.warp(|u, v| {
            let (x, y) = self.at((u, v), &weights);
            (u + most * x, v + most * y)
        });
    }
}

/// Nodes move by up to a tenth of the side each way, which is less than half a cell, so that nothing folds over.
pub(super) fn linear_warp(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    Grid::draw(rng).warp(picture, 0.2 * strength, |t| [0.0, 1.0 - t, t, 0.0]);
}

/// A uniform cubic B-spline, which halves most moves: its nodes move by twice as much.
pub(super) fn cubic_warp(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    Grid::draw(rng).warp(picture, 0.4 * strength, |t| {
        [
            (1.0 - t).powi(3) / 6.0,
            (3.0 * t.powi(3) - 6.0 * t * t + 4.0) / 6.0,
            (-3.0 * t.powi(3) + 3.0 * t * t + 3.0 * t + 1.0) / 6.0,
            t.powi(3) / 6.0,
        ]
    });
}

/// A copy, shifted by a tenth to a fifth of the side, makes up to half of the picture.
pub(super) fn ghosting(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let distance = rng.between(0.2, 0.4);
    let (right, down) = somewhere(distance, rng);
    let mut ghost = picture.clone();
    ghost.warp(|u, v| (u + right, v + down));
    for (value, ghost) in picture.values.iter_mut().zip(ghost.values) {
        *value += (ghost - *value) * 0.5 * strength as f32;
    }
}

/// Red and blue move by up to a sixteenth of the side.
pub(super) fn chromatic_aberration(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let (right, down) = somewhere(0.125 * strength, rng);
    let (mut red, mut blue) = (picture.clone(), picture.clone());
    red.warp(|u, v| (u + right, v + down));
    blue.warp(|u, v| (u - right, v - down));
    let moved = red.values.as_chunks::<3>().0.iter().zip(blue.values.as_chunks::<3>().0);
    for (pixel, (red, blue)) in picture.values.as_chunks_mut::<3>().0.iter_mut().zip(moved) {
        (pixel[0], pixel[2]) = (red[0], blue[2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn a_grid_is_linear_or_smooth_and_meets_at_its_nodes() {
        let grid = Grid::draw(&mut Rng::new(1, Stream::Synth, (0, 1)));
        let linear = |t: f64| [0.0, 1.0 - t, t, 0.0];
        let place = |at: usize| at as f64 * 2.0 / CELLS as f64 - 1.0;
        for (y, x) in (0..=CELLS).flat_map(|y| (0..=CELLS).map(move |x| (y, x))) {
            let (node, found) = (grid.0[y + 1][x + 1], grid.at((place(x), place(y)), linear));
            assert!((found.0 - node.0).abs() < 1e-12 && (found.1 - node.1).abs() < 1e-12);
        }
        let (a, b) = (grid.at((place(1) - 1e-9, 0.3), linear), grid.at((place(1) + 1e-9, 0.3), linear));
        assert!((a.0 - b.0).abs() < 1e-7 && (a.1 - b.1).abs() < 1e-7);
    }

    #[test]
    fn a_shift_shows_what_was_beside() {
        let values = (0..64 * 64).flat_map(|at| [(at % 64) as f32 / 64.0; 3]).collect();
        let mut picture = FloatImage { size: 64, values };
        // Some seed shifts mostly to the side.
        let by = (0..50).find_map(|seed| {
            let (right, down) = somewhere(0.25, &mut Rng::new(seed, Stream::Synth, (0, 1)));
            (right > 0.24).then_some((seed, right, down))
        });
        let (seed, right, _) = by.unwrap();
        shift(&mut picture, 1.0, &mut Rng::new(seed, Stream::Synth, (0, 1)));
        let value = picture.values[3 * (32 * 64 + 20)];
        assert!((f64::from(value) - (20.0 / 64.0 + right / 2.0)).abs() < 1e-4, "{value}");
    }
}
