//! Bilinear resampling of maps.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::cpu::upsample::{self, Taps};
use super::dispatch::has_kernels;
use super::storage;

/// Resamples planes (N, C, H, W) bilinearly to (N, C, height, width), with pixel centres at halves
/// (`align_corners = false`).
///
/// `torch.nn.Upsample(size=(height, width), mode="bilinear", align_corners=False)`. Differentiable.
///
/// # Errors
/// A size of zero on either side.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_models::ops::upsample::bilinear;
///
/// let x = Tensor::new(&[0f32, 4.0], &Device::Cpu)?.reshape((1, 1, 1, 2))?;
/// let y = bilinear(&x, 1, 4)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn bilinear(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if [h, w, height, width].contains(&0) {
        bail!("can't resample {h}x{w} pixels to {height}x{width}")
    }
    let op = Bilinear { input: (n, c, h, w), output: (height, width) };
    if has_kernels(x) { x.contiguous()?.apply_op1(op) } else { op.composed(x) }
}

#[derive(Clone, Copy)]
struct Bilinear {
    input: (usize, usize, usize, usize),
    output: (usize, usize),
}

impl Bilinear {
    fn taps(&self) -> (Taps, Taps) {
        let ((_, _, h, w), (height, width)) = (self.input, self.output);
        (Taps::new(h, height), Taps::new(w, width))
    }

    /// [`bilinear`] as two matrix products, for devices without our kernel.
    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let ((_, _, h, w), (height, width)) = (self.input, self.output);
        let (rows, cols) = self.taps();
        let matrix = |data, shape: (usize, usize)| Tensor::from_vec(data, shape, x.device())?.to_dtype(x.dtype());
        let rows = matrix(rows.matrix(h), (height, h))?;
        let cols = matrix(cols.matrix(w), (width, w))?;
        let x = x.contiguous()?.broadcast_matmul(&cols.t()?)?;
        rows.broadcast_matmul(&x)
    }
}

impl CustomOp1 for Bilinear {
    fn name(&self) -> &'static str {
        "bilinear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, c, h, w), (height, width)) = (self.input, self.output);
        let (rows, cols) = self.taps();
        let y = upsample::forward(&storage::read(x, lx)?, (h, w), &rows, &cols);
        let y = storage::write(y, x.dtype())?;
        Ok((y, Shape::from((n, c, height, width))))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?.detach();
        Ok(Some(grad.apply_op1_no_bwd(&BilinearGradient(*self))?))
    }
}

/// Gradient of the output -> gradient of the input.
struct BilinearGradient(Bilinear);

impl CustomOp1 for BilinearGradient {
    fn name(&self) -> &'static str {
        "bilinear-gradient"
    }

    fn cpu_fwd(&self, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = self.0.input;
        let (rows, cols) = self.0.taps();
        let dx = upsample::input_gradient(&storage::read(grad, lg)?, (h, w), &rows, &cols);
        let dx = storage::write(dx, grad.dtype())?;
        Ok((dx, Shape::from((n, c, h, w))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, check_gradient, close, device, gradients, values};
    use candle_core::Var;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition_on_both_paths(
            n in 1usize..3, c in 1usize..3, h in 1usize..9, w in 1usize..9,
            height in 1usize..30, width in 1usize..30, seed: u64,
        ) {
            let mut noise = Noise::new(seed);
            let data = noise.take(n * c * h * w);
            let mut expected = Vec::new();
            for plane in data.chunks_exact(h * w) {
                for y in 0..height {
                    for x in 0..width {
                        let at = |o: usize, size: usize, out: usize| {
                            ((o as f64 + 0.5) * size as f64 / out as f64 - 0.5).clamp(0.0, size as f64 - 1.0)
                        };
                        let (fy, fx) = (at(y, h, height), at(x, w, width));
                        let mut sum = 0.0;
                        for iy in 0..h {
                            for ix in 0..w {
                                let weight = (1.0 - (fy - iy as f64).abs()).max(0.0) * (1.0 - (fx - ix as f64).abs()).max(0.0);
                                sum += weight * f64::from(plane[iy * w + ix]);
                            }
                        }
                        expected.push(sum as f32);
                    }
                }
            }
            let x = Var::from_vec(data, (n, c, h, w), &device()).unwrap();
            let weights = noise.tensor((n, c, height, width));
            let y = bilinear(&x, height, width).unwrap();
            close(&values(&y), &expected, 1e-5);
            let op = Bilinear { input: (n, c, h, w), output: (height, width) };
            let other = op.composed(&x).unwrap();
            close(&values(&other), &expected, 1e-5);
            let [dx] = gradients(&y, &weights, [&x]);
            let [other] = gradients(&other, &weights, [&x]);
            close(&dx, &other, 1e-3);
            check_gradient(&x, &weights, |x| bilinear(x, height, width).unwrap(), &dx, seed);
        }
    }

    #[test]
    fn bilinear_refuses_a_size_of_zero() {
        let x = Tensor::zeros((1, 1, 2, 2), candle_core::DType::F32, &device()).unwrap();
        assert!(bilinear(&x, 0, 3).is_err());
    }
}
