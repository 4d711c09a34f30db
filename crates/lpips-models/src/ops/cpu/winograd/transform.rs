//! The Winograd transforms of a row or column, for tiles of 6 and 8 pixels.

use super::super::simd::Simd;

/// Output pixels of a tile along one side.
pub(super) const OUTPUTS: usize = 4;

/// Whether there is a transform for kernels of this size.
pub(in super::super) fn has_transform(k: usize) -> bool {
    k == 3 || k == 5
}

/// Frequencies of a tile for kernels of this size: as many as its input pixels.
pub(in super::super) fn frequencies(k: usize) -> usize {
    side(k) * side(k)
}

/// Input pixels of a tile along one side.
pub(super) fn side(k: usize) -> usize {
    OUTPUTS + k - 1
}

/// Transforms a tile's row or column of `T` pixels to frequencies.
#[inline(always)]
pub(super) fn transform_input<S: Simd, const T: usize>(s: S, d: [S::V; T]) -> [S::V; T] {
    let mut out = d;
    // The two values at ±x from their even and odd parts in x.
    let pair = |even: S::V, odd: S::V| (s.add(even, odd), s.sub(even, odd));
    if T == 6 {
        let (p, q) = (s.splat(std::f32::consts::FRAC_1_SQRT_2), s.splat(std::f32::consts::SQRT_2));
        let middle = s.splat(-2.5);
        out[0] = s.add(s.fma(middle, d[2], d[0]), d[4]);
        (out[1], out[2]) = pair(s.fma(s.splat(-2.0), d[2], d[4]), s.sub(s.mul(p, d[3]), s.mul(q, d[1])));
        (out[3], out[4]) = pair(s.fma(s.splat(-0.5), d[2], d[4]), s.sub(s.mul(q, d[3]), s.mul(p, d[1])));
        out[5] = s.add(s.fma(middle, d[3], d[1]), d[5]);
    } else {
        let middle = s.splat(5.25);
        out[0] = s.fma(middle, s.sub(d[4], d[2]), s.sub(d[0], d[6]));
        let one = s.splat(-4.25);
        (out[1], out[2]) = pair(s.fma(one, d[4], s.add(d[2], d[6])), s.fma(one, d[3], s.add(d[1], d[5])));
        let (quarter, half, two, four) = (s.splat(0.25), s.splat(0.5), s.splat(2.0), s.splat(4.0));
        let odd = s.mul(s.splat(-2.5), d[3]);
        (out[3], out[4]) =
            pair(s.fma(quarter, d[2], s.fma(s.splat(-1.25), d[4], d[6])), s.fma(half, d[1], s.fma(two, d[5], odd)));
        (out[5], out[6]) =
            pair(s.fma(four, d[2], s.fma(s.splat(-5.0), d[4], d[6])), s.fma(two, d[1], s.fma(half, d[5], odd)));
        out[7] = s.fma(middle, s.sub(d[3], d[5]), s.sub(d[7], d[1]));
    }
    out
}

/// Transforms a row or column of products to outputs.
#[inline(always)]
pub(super) fn transform_output<S: Simd, const T: usize>(s: S, m: [S::V; T]) -> [S::V; OUTPUTS] {
    let mut out = [m[0]; OUTPUTS];
    if T == 6 {
        let (p, q) = (std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::SQRT_2);
        let sums = [s.add(m[1], m[2]), s.add(m[3], m[4])];
        let differences = [s.sub(m[1], m[2]), s.sub(m[3], m[4])];
        out[0] = s.add(m[0], s.add(sums[0], sums[1]));
        let (mut p_i, mut q_i) = (1.0, 1.0);
        for i in 1..OUTPUTS {
            (p_i, q_i) = (p_i * p, q_i * q);
            let of = if i % 2 == 0 { &sums } else { &differences };
            out[i] = s.fma(s.splat(p_i), of[0], s.mul(s.splat(q_i), of[1]));
        }
    } else {
        let sums = [s.add(m[1], m[2]), s.add(m[3], m[4]), s.add(m[5], m[6])];
        let differences = [s.sub(m[1], m[2]), s.sub(m[3], m[4]), s.sub(m[5], m[6])];
        out[0] = s.add(s.add(m[0], sums[0]), s.add(sums[1], sums[2]));
        let (mut two_i, mut half_i) = (1.0, 1.0);
        for i in 1..OUTPUTS {
            (two_i, half_i) = (two_i * 2.0, half_i * 0.5);
            let of = if i % 2 == 0 { &sums } else { &differences };
            out[i] = s.fma(s.splat(two_i), of[1], s.fma(s.splat(half_i), of[2], of[0]));
        }
    }
    out[OUTPUTS - 1] = s.add(out[OUTPUTS - 1], m[T - 1]);
    out
}

/// The points above 0 at which tiles for kernels of this size interpolate; their negatives are others, as are 0 and
/// infinity.
#[inline(always)]
pub(super) fn positive(k: usize) -> &'static [f64] {
    use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
    if k == 3 { &[FRAC_1_SQRT_2, SQRT_2] } else { &[1.0, 2.0, 0.5] }
}

/// The matrix that transforms a kernel's row or column of `k` weights: its values at the points, each over the product
/// of the point's distances to the others, which for tiles of 8x8 has its sign turned at 0, as [`transform_input`] has.
pub(super) fn points(k: usize) -> Vec<[f32; 5]> {
    let all: Vec<f64> = std::iter::once(0.0).chain(positive(k).iter().flat_map(|x| [*x, -x])).collect();
    let mut rows: Vec<[f32; 5]> = all
        .iter()
        .map(|x| {
            let distances: f64 = all.iter().map(|y| x - y).filter(|distance| distance.abs() > 0.0).product();
            let scale = if *x == 0.0 { distances.abs() } else { distances };
            let mut row = [0f32; 5];
            for (i, value) in row[..k].iter_mut().enumerate() {
                *value = (f64::powi(*x, i as i32) / scale) as f32;
            }
            row
        })
        .collect();
    let mut infinity = [0f32; 5];
    infinity[k - 1] = 1.0;
    rows.push(infinity);
    rows
}

/// Transforms a row or column of output gradients to frequencies: the transpose of [`transform_output`].
#[inline(always)]
pub(super) fn transform_grad<S: Simd, const T: usize>(s: S, e: [S::V; OUTPUTS]) -> [S::V; T] {
    let mut out = [e[0]; T];
    for (i, x) in positive(T + 1 - OUTPUTS).iter().enumerate() {
        let x = *x as f32;
        let even = s.fma(s.splat(x * x), e[2], e[0]);
        let odd = s.fma(s.splat(x * x * x), e[3], s.mul(s.splat(x), e[1]));
        (out[1 + 2 * i], out[2 + 2 * i]) = (s.add(even, odd), s.sub(even, odd));
    }
    out[T - 1] = e[3];
    out
}
