//! Spatial distortions: shifts, linear and projective maps, grid warps, ghosting and chromatic aberration.
//!
//! Places and moves are in units of half a side; beyond the border a picture is reflected.

use crate::float_image::{FloatImage, projective, to_corners};
use crate::rng::Rng;

type Place = (f64, f64);

/// Vector of this length in a random direction.
fn random_direction(distance: f64, rng: &mut Rng) -> Place {
    let (sin, cos) = rng.between(0.0, std::f64::consts::TAU).sin_cos();
    (distance * cos, distance * sin)
}

/// Shifts by up to an eighth of the side.
pub(super) fn shift(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let (right, down) = random_direction(0.25 * strength, rng);
    picture.warp(|u, v| (u + right, v + down));
}

/// Applies a random linear map that moves the farthest corner by up to a fifth of the side.
pub(super) fn affine(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let [a, b, c, d] = [(); 4].map(|()| rng.normal());
    let corner = |v: f64| (a + b * v).hypot(c + d * v);
    let by = 0.4 * strength / corner(1.0).max(corner(-1.0));
    picture.warp(|u, v| (u + by * (a * u + b * v), v + by * (c * u + d * v)));
}

/// Applies a random projective map that moves the farthest corner by up to a fifth of the side.
pub(super) fn homography(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let moves = [(); 8].map(|()| rng.normal());
    let farthest = moves.as_chunks::<2>().0.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f64::max);
    picture.warp(projective(&to_corners(&moves.map(|by| 0.4 * strength * by / farthest))));
}

/// Random moves of the nodes of a grid, each coordinate in [-1, 1]. The nodes are the corners of CELLS x CELLS cells
/// and one row beyond.
struct Grid([[Place; NODES]; NODES]);

const CELLS: usize = 4;
const NODES: usize = CELLS + 3;

impl Grid {
    fn draw(rng: &mut Rng) -> Self {
        let mut nodes = [[(0.0, 0.0); NODES]; NODES];
        nodes.iter_mut().flatten().for_each(|node| *node = (rng.between(-1.0, 1.0), rng.between(-1.0, 1.0)));
        Self(nodes)
    }

    /// Interpolates the move at a place from four nodes each way; `weights` maps the position between the middle two to
    /// weights.
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

/// Moves grid nodes by up to a tenth of the side each way and interpolates linearly. Less than half a cell: nothing
/// folds over.
pub(super) fn linear_warp(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    Grid::draw(rng).warp(picture, 0.2 * strength, |t| [0.0, 1.0 - t, t, 0.0]);
}

/// Moves grid nodes and interpolates by a uniform cubic B-spline; it halves most moves, so the nodes move by twice as
/// much.
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

/// Blends in a copy, shifted by a tenth to a fifth of the side, with a weight of up to one half.
pub(super) fn ghosting(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let distance = rng.between(0.2, 0.4);
    let (right, down) = random_direction(distance, rng);
    let mut ghost = picture.clone();
    ghost.warp(|u, v| (u + right, v + down));
    for (value, ghost) in picture.values.iter_mut().zip(ghost.values) {
        *value += (ghost - *value) * 0.5 * strength as f32;
    }
}

/// Shifts red and blue in opposite directions by up to a sixteenth of the side.
pub(super) fn chromatic_aberration(picture: &mut FloatImage, strength: f64, rng: &mut Rng) {
    let (right, down) = random_direction(0.125 * strength, rng);
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
    fn warp_grid_interpolates_its_nodes_and_is_continuous() {
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
    fn shift_shows_the_neighbouring_pixels() {
        let values = (0..64 * 64).flat_map(|at| [(at % 64) as f32 / 64.0; 3]).collect();
        let mut picture = FloatImage { size: 64, values };
        // Some seed shifts mostly to the side.
        let by = (0..50).find_map(|seed| {
            let (right, down) = random_direction(0.25, &mut Rng::new(seed, Stream::Synth, (0, 1)));
            (right > 0.24).then_some((seed, right, down))
        });
        let (seed, right, _) = by.unwrap();
        shift(&mut picture, 1.0, &mut Rng::new(seed, Stream::Synth, (0, 1)));
        let value = picture.values[3 * (32 * 64 + 20)];
        assert!((f64::from(value) - (20.0 / 64.0 + right / 2.0)).abs() < 1e-4, "{value}");
    }
}
