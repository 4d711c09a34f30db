//! Geometric warps: bilinear resampling along a map of places, and projective maps.

use super::{FloatImage, reflect};

impl FloatImage {
    /// Resamples bilinearly: each pixel takes the value at the place that `from` maps its own place to.
    ///
    /// Places are in units of half a side from the middle, x to the right and y down: the picture covers [-1, 1] each
    /// way. Beyond the border the picture is reflected.
    pub fn warp(&mut self, from: impl Fn(f64, f64) -> (f64, f64)) {
        let (size, half, source) = (self.size, self.size as f64 / 2.0, self.values.clone());
        for (at, pixel) in self.values.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (u, v) = (((at % size) as f64 + 0.5) / half - 1.0, ((at / size) as f64 + 0.5) / half - 1.0);
            let (x, y) = from(u, v);
            let (x, y) = (snap((x + 1.0) * half - 0.5), snap((y + 1.0) * half - 0.5));
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = ((x - left) as f32, (y - top) as f32);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let at = |dx: i64, dy: i64| {
                    source[3 * (reflect(top as i64 + dy, size) * size + reflect(left as i64 + dx, size)) + channel]
                };
                let above = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
                let below = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
                *value = above * (1.0 - fy) + below * fy;
            }
        }
    }
}

/// Rounds to a whole pixel where only rounding errors separate them, so that a shift by whole pixels mixes no two.
fn snap(v: f64) -> f64 {
    if (v - v.round()).abs() < 1e-9 { v.round() } else { v }
}

/// Converts a 3 x 3 matrix of a projective map into a map for [`FloatImage::warp`].
pub(crate) fn projective(map: &[[f64; 3]; 3]) -> impl Fn(f64, f64) -> (f64, f64) {
    move |u, v| {
        let [x, y, w] = map.map(|row| row[0] * u + row[1] * v + row[2]);
        // Pixels at or beyond the horizon of a steep map take the value of the middle.
        if w > 1e-3 { (x / w, y / w) } else { (0.0, 0.0) }
    }
}

/// Product of two 3 x 3 matrices.
pub(crate) fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// Matrix of the projective map that moves the corners (-1, -1), (1, -1), (1, 1), (-1, 1) by `moves`, x and y of each.
///
/// Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989.
pub(crate) fn to_corners(moves: &[f64; 8]) -> [[f64; 3]; 3] {
    if moves.iter().all(|by| *by == 0.0) {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    let corner = |i: usize, x: f64, y: f64| (x + moves[2 * i], y + moves[2 * i + 1]);
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] =
        [corner(0, -1.0, -1.0), corner(1, 1.0, -1.0), corner(2, 1.0, 1.0), corner(3, -1.0, 1.0)];
    let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
    let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
    let determinant = dx1 * dy2 - dx2 * dy1;
    let (g, h) = ((sx * dy2 - dx2 * sy) / determinant, (dx1 * sy - sx * dy1) / determinant);
    // From the unit square to the moved corners, after the map from [-1, 1] to the unit square.
    let square = [[x1 - x0 + g * x1, x3 - x0 + h * x3, x0], [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], [g, h, 1.0]];
    product(&square, &[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_corners_map_moves_each_corner_by_its_offset() {
        let moves = [0.1, -0.2, 0.05, 0.1, -0.1, 0.2, 0.15, -0.05];
        let map = to_corners(&moves);
        for (i, (x, y)) in [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].into_iter().enumerate() {
            let [u, v, w] = map.map(|row: [f64; 3]| row[0] * x + row[1] * y + row[2]);
            assert!((u / w - x - moves[2 * i]).abs() < 1e-12 && (v / w - y - moves[2 * i + 1]).abs() < 1e-12);
        }
    }
}
