//! Channel normalisation: each pixel's channels as a vector of length one.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::cpu::norm::{self, EPSILON};
use super::storage;

/// x / (|x| + 1e-10), |x| being the Euclidean norm over the channels of each pixel; (N, H, W, C) to (N, H, W, C).
///
/// `normalize_tensor` of the published package. A pixel whose channels are all zero stays zero. Differentiable; where the
/// norm is zero, and the derivative does not exist, the gradient is 0 (the published package's is NaN).
///
/// # Errors
/// A tensor that is not (N, H, W, C), or has no channels.
pub fn unit_channels(x: &Tensor) -> Result<Tensor> {
    if x.dims4()?.3 == 0 {
        bail!("a pixel without channels has no direction")
    }
    if super::has_kernels(x) { x.contiguous()?.apply_op1(UnitChannels) } else { composed(x) }
}

/// The same of candle's operators. The norm is taken in f32, where 1e-10 is not lost.
fn composed(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(DType::F32)?;
    let squares = x.sqr()?.sum_keepdim(3)?;
    // The square root's gradient at 0 is NaN: put 1 there first, and take the result's gradient away below.
    let zero = squares.detach().eq(0f64)?;
    let norm = zero.where_cond(&squares.ones_like()?, &squares)?.sqrt()?.affine(1.0, f64::from(EPSILON))?;
    let unit = x.broadcast_div(&norm)?;
    let still = (x.detach() / f64::from(EPSILON))?;
    zero.broadcast_as(unit.shape())?.where_cond(&still, &unit)?.to_dtype(dtype)
}

struct UnitChannels;

impl CustomOp1 for UnitChannels {
    fn name(&self) -> &'static str {
        "unit-channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = norm::forward(&storage::read(x, lx)?, lx.dims()[3]);
        Ok((storage::write(y, x.dtype())?, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?.detach();
        let dx = x.detach().apply_op2_no_bwd(&grad, &UnitChannelsGradient)?;
        Ok(Some(dx))
    }
}

/// (input, gradient of the output) -> gradient of the input.
struct UnitChannelsGradient;

impl CustomOp2 for UnitChannelsGradient {
    fn name(&self) -> &'static str {
        "unit-channels-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let (data, grad) = (storage::read(x, lx)?, storage::read(grad, lg)?);
        let dx = norm::input_gradient(&data, &grad, lx.dims()[3]);
        Ok((storage::write(dx, x.dtype())?, lx.shape().clone()))
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
            n in 1usize..4, h in 1usize..7, w in 1usize..7, c in 1usize..40, seed: u64,
        ) {
            let mut noise = Noise::new(seed);
            let mut data = noise.take(n * h * w * c);
            data[..c].fill(0.0);
            let expected: Vec<f32> = data
                .chunks_exact(c)
                .flat_map(|x| {
                    let norm = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                    x.iter().map(move |v| (f64::from(*v) / (norm + 1e-10)) as f32)
                })
                .collect();
            let x = Var::from_vec(data, (n, h, w, c), &device()).unwrap();
            let weights = noise.tensor((n, h, w, c));
            let y = unit_channels(&x).unwrap();
            close(&values(&y), &expected, 1e-6);
            let other = composed(&x).unwrap();
            close(&values(&other), &expected, 1e-6);
            let [dx] = gradients(&y, &weights, [&x]);
            let [other] = gradients(&other, &weights, [&x]);
            prop_assert!(dx.iter().all(|v| v.is_finite()));
            prop_assert!(dx[..c].iter().all(|v| *v == 0.0));
            let largest = dx.iter().fold(1f32, |m, v| m.max(v.abs()));
            close(&dx, &other, 1e-4 * largest);
        }

        #[test]
        fn gradient_is_the_slope(c in 2usize..9, seed: u64) {
            let mut noise = Noise::new(seed);
            // Away from the origin, where the function bends faster than a difference can follow.
            let data = noise.take(6 * c).into_iter().map(|v| v + 2.0).collect();
            let x = Var::from_vec(data, (1, 2, 3, c), &device()).unwrap();
            let weights = noise.tensor((1, 2, 3, c));
            let f = |x: &Tensor| unit_channels(x).unwrap();
            let [dx] = gradients(&f(&x), &weights, [&x]);
            check_gradient(&x, &weights, f, &dx, seed);
        }
    }

    #[test]
    fn tiny_columns_have_finite_gradients() {
        for scale in [1e-38f32, 1e-30, 1e-20, 1e-10] {
            let x = Var::new(&[[[[scale, -scale, 0.5 * scale]]]], &device()).unwrap();
            let y = unit_channels(&x).unwrap();
            let [dx] = gradients(&y, &y.ones_like().unwrap(), [&x]);
            assert!(dx.iter().all(|v| v.is_finite()), "{scale}: {dx:?}");
        }
    }
}
