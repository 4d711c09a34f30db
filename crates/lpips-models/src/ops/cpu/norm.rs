//! Division of each pixel's channels by their norm, and its gradient.

use rayon::prelude::*;

/// Added to the norm, as in the published package.
pub(crate) const EPSILON: f32 = 1e-10;

/// Pixels per task.
const BLOCK: usize = 256;

fn norm(x: &[f32]) -> f32 {
    x.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// x / (|x| + 1e-10) for each run of `c` values.
pub(crate) fn forward(x: &[f32], c: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(BLOCK * c).zip(x.par_chunks(BLOCK * c)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            let scale = 1.0 / (norm(x) + EPSILON);
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * scale;
            }
        }
    });
    out
}

/// The gradient of the input. Where the norm is 0 the derivative does not exist, and the gradient is 0.
pub(crate) fn input_gradient(x: &[f32], grad: &[f32], c: usize) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(BLOCK * c).zip(x.par_chunks(BLOCK * c)).zip(grad.par_chunks(BLOCK * c)).for_each(
        |((dx, x), grad)| {
            let pixels = dx.chunks_exact_mut(c).zip(x.chunks_exact(c));
            for ((dx, x), grad) in pixels.zip(grad.chunks_exact(c)) {
                let norm = norm(x);
                if norm == 0.0 {
                    continue;
                }
                let scale = 1.0 / (norm + EPSILON);
                // In this order no factor overflows, however small the norm.
                let along = x.iter().zip(grad).map(|(x, g)| x / norm * g).sum::<f32>();
                for ((dx, x), g) in dx.iter_mut().zip(x).zip(grad) {
                    *dx = (g - x * scale * along) * scale;
                }
            }
        },
    );
    dx
}
