//! Bilinear resampling of planes, and its gradient.

use rayon::prelude::*;

/// For each output position along one side: the two inputs it lies between and the weight of the second.
pub(crate) struct Taps(Vec<(usize, usize, f32)>);

impl Taps {
    /// PyTorch's positions for `align_corners = false`: pixel centres are at halves, and the first and last are held.
    pub(crate) fn new(input: usize, output: usize) -> Self {
        let scale = input as f32 / output as f32;
        let taps = (0..output).map(|o| {
            let at = (scale * (o as f32 + 0.5) - 0.5).max(0.0);
            let low = (at as usize).min(input - 1);
            (low, (low + 1).min(input - 1), at - low as f32)
        });
        Self(taps.collect())
    }

    /// The positions as a dense (output, input) matrix, row by row.
    pub(crate) fn matrix(&self, input: usize) -> Vec<f32> {
        let mut matrix = vec![0.0; self.0.len() * input];
        for (row, &(low, high, weight)) in matrix.chunks_exact_mut(input).zip(&self.0) {
            row[low] += 1.0 - weight;
            row[high] += weight;
        }
        matrix
    }
}

/// Resamples planes of `h` x `w` pixels to `rows` x `cols`.
pub(crate) fn forward(x: &[f32], (h, w): (usize, usize), rows: &Taps, cols: &Taps) -> Vec<f32> {
    let (oh, ow) = (rows.0.len(), cols.0.len());
    let mut out = vec![0.0; x.len() / (h * w) * oh * ow];
    out.par_chunks_mut(ow).enumerate().for_each(|(line, out)| {
        let (low, high, v) = rows.0[line % oh];
        let plane = &x[line / oh * h * w..][..h * w];
        let (top, bottom) = (&plane[low * w..][..w], &plane[high * w..][..w]);
        for (out, &(l, r, u)) in out.iter_mut().zip(&cols.0) {
            let (above, below) = (top[l] * (1.0 - u) + top[r] * u, bottom[l] * (1.0 - u) + bottom[r] * u);
            *out = above * (1.0 - v) + below * v;
        }
    });
    out
}

/// The gradient of the input.
pub(crate) fn input_gradient(grad: &[f32], (h, w): (usize, usize), rows: &Taps, cols: &Taps) -> Vec<f32> {
    let (oh, ow) = (rows.0.len(), cols.0.len());
    let mut dx = vec![0.0; grad.len() / (oh * ow) * h * w];
    dx.par_chunks_mut(h * w).zip(grad.par_chunks(oh * ow)).for_each(|(dx, grad)| {
        for (grad, &(low, high, v)) in grad.chunks_exact(ow).zip(&rows.0) {
            for (g, &(l, r, u)) in grad.iter().zip(&cols.0) {
                dx[low * w + l] += g * (1.0 - v) * (1.0 - u);
                dx[low * w + r] += g * (1.0 - v) * u;
                dx[high * w + l] += g * v * (1.0 - u);
                dx[high * w + r] += g * v * u;
            }
        }
    });
    dx
}
