//! Max pooling without padding.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::cpu::pool::{self, Geometry};
use super::dispatch::has_kernels;
use super::rows::{AppendRows, Rows, WindowParams, append_rows};
use super::{Level, storage};
use crate::arch::pool_size;

/// The windows of a square max pooling, in pixels, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolParams {
    /// The side of a window.
    pub kernel: usize,
    /// The step between two windows.
    pub stride: usize,
    /// Whether a last window that reaches past the edge counts, as in PyTorch.
    pub ceil_mode: bool,
}

impl PoolParams {
    pub(crate) fn window(&self) -> WindowParams {
        let Self { kernel, stride, ceil_mode } = *self;
        WindowParams { kernel, stride, padding: 0, ceil_mode }
    }
}

/// Max pooling: the largest value of each window, (N, H, W, C) to (N, H', W', C).
///
/// Differentiable: the gradient goes to the first of the window's largest values.
///
/// # Errors
/// A picture on which not one window fits, or a kernel or stride of zero.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_models::ops::pool::{PoolParams, max_pool};
///
/// let x = Tensor::new(&[1f32, 4.0, 2.0, 3.0], &Device::Cpu)?.reshape((1, 2, 2, 1))?;
/// let y = max_pool(&x, PoolParams { kernel: 2, stride: 2, ceil_mode: false })?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn max_pool(x: &Tensor, params: PoolParams) -> Result<Tensor> {
    let geometry = geometry(x.dims4()?, params)?;
    if has_kernels(x) { x.contiguous()?.apply_op1(MaxPool(geometry)) } else { composed(x, &geometry) }
}

/// Computes some rows of [`max_pool`]'s output from some rows `x` of the picture, and appends them to the rows `above`.
pub(crate) fn max_pool_rows(x: &Tensor, params: PoolParams, rows: &Rows, above: Option<&Tensor>) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let whole = geometry((n, rows.height, w, c), params)?;
    if above.is_none() && rows.is_whole(h, whole.oh) {
        return max_pool(x, params);
    }
    let (_, skip) = rows.top_and_skip(&params.window());
    let x = if skip > 0 { x.narrow(1, skip, h - skip)? } else { x.clone() }.contiguous()?;
    let g = Geometry { h: h - skip, oh: rows.count, ..whole };
    if !has_kernels(&x) {
        return append_rows(above, composed(&x, &g)?);
    }
    if x.track_op() {
        return append_rows(above, x.apply_op1(MaxPool(g))?);
    }
    let level = Level::current()?;
    let compute = |x: &[f32], y: &mut [f32]| {
        pool::forward_into(level, x, &Geometry { n: 1, ..g }, y);
        Ok(())
    };
    x.apply_op1_no_bwd(&AppendRows { name: "max-pool-rows", above, size: (g.oh, g.ow, g.c), compute })
}

fn geometry((n, h, w, c): (usize, usize, usize, usize), params: PoolParams) -> Result<Geometry> {
    let PoolParams { kernel, stride, ceil_mode } = params;
    if [n, c, kernel, stride].contains(&0) {
        bail!(
            "max pooling needs pictures, channels, a kernel and a stride of at least 1, got {n}, {c}, {kernel} and {stride}"
        )
    }
    let size = |input| pool_size(input, kernel, stride, ceil_mode);
    let (Some(oh), Some(ow)) = (size(h), size(w)) else {
        bail!("max pooling {kernel}x{kernel} by {stride} finds no window in {h}x{w} pixels")
    };
    Ok(Geometry { n, h, w, c, oh, ow, kernel, stride })
}

/// [`max_pool`] composed of candle's operators: the maximum over strided selections, one for each position in the
/// window.
fn composed(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    // A selection takes contiguous tensors only.
    let x = x.contiguous()?;
    let select = |i: usize, j: usize| -> Result<Tensor> {
        // Past the edge the last pixel is repeated: it is in the window anyway, so it changes neither the maximum nor,
        // being a later position, which one is first.
        let at = |offset: usize, count: usize, size: usize| {
            let at = (0..count).map(|o| (o * g.stride + offset).min(size - 1) as u32);
            Tensor::from_iter(at, x.device())
        };
        x.index_select(&at(i, g.oh, g.h)?, 1)?.index_select(&at(j, g.ow, g.w)?, 2)
    };
    let positions: Vec<(usize, usize)> = (0..g.kernel).flat_map(|i| (0..g.kernel).map(move |j| (i, j))).collect();
    let mut best = select(0, 0)?;
    for &(i, j) in &positions[1..] {
        let value = select(i, j)?;
        best = if x.track_op() {
            // `maximum` would split the gradient between equal values.
            value.detach().gt(&best.detach())?.where_cond(&value, &best)?
        } else {
            best.maximum(&value)?
        };
    }
    Ok(best)
}

struct MaxPool(Geometry);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = &self.0;
        let y = storage::write(pool::forward(Level::current()?, &storage::read(x, lx)?, g), x.dtype())?;
        Ok((y, Shape::from((g.n, g.oh, g.ow, g.c))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let op = MaxPoolGradient(self.0);
        Ok(Some(x.detach().apply_op2_no_bwd(&grad.contiguous()?.detach(), &op)?))
    }
}

/// The gradient of [`max_pool`]'s input from that of its output. For the CPU.
pub(crate) fn backward(x: &Tensor, params: PoolParams, grad: &Tensor) -> Result<Tensor> {
    let op = MaxPoolGradient(geometry(x.dims4()?, params)?);
    x.contiguous()?.apply_op2_no_bwd(&grad.contiguous()?, &op)
}

/// (input, gradient of the output) -> gradient of the input.
struct MaxPoolGradient(Geometry);

impl CustomOp2 for MaxPoolGradient {
    fn name(&self) -> &'static str {
        "max-pool-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = &self.0;
        let dx = pool::input_gradient(Level::current()?, &storage::read(x, lx)?, &storage::read(grad, lg)?, g);
        let dx = storage::write(dx, x.dtype())?;
        Ok((dx, Shape::from((g.n, g.h, g.w, g.c))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, at_every_level, check_gradient, close, device, gradients, values};
    use candle_core::DType;
    use proptest::prelude::*;

    fn square(kernel: usize, stride: usize) -> PoolParams {
        PoolParams { kernel, stride, ceil_mode: false }
    }

    /// Straight from the definition, in (N, H, W, C).
    fn naive(x: &[f32], g: &Geometry) -> Vec<f32> {
        let mut out = Vec::new();
        for n in 0..g.n {
            for oy in 0..g.oh {
                for ox in 0..g.ow {
                    for c in 0..g.c {
                        let mut best = f32::NEG_INFINITY;
                        for iy in oy * g.stride..(oy * g.stride + g.kernel).min(g.h) {
                            for ix in ox * g.stride..(ox * g.stride + g.kernel).min(g.w) {
                                best = best.max(x[((n * g.h + iy) * g.w + ix) * g.c + c]);
                            }
                        }
                        out.push(best);
                    }
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn max_pool_equals_the_definition_on_both_paths(
            n in 1usize..4, h in 1usize..14, w in 1usize..14, c in 1usize..40,
            kernel in 1usize..5, stride in 1usize..5, ceil_mode: bool, ties: bool, seed: u64,
        ) {
            let size = |s| pool_size(s, kernel, stride, ceil_mode);
            prop_assume!(size(h).is_some() && size(w).is_some());
            let (oh, ow) = (size(h).unwrap(), size(w).unwrap());
            let g = Geometry { n, h, w, c, oh, ow, kernel, stride };
            let mut noise = Noise::new(seed);
            let mut data = noise.take(n * h * w * c);
            if ties {
                for v in &mut data {
                    *v = v.round();
                }
            }
            let x = candle_core::Var::from_vec(data.clone(), (n, h, w, c), &device()).unwrap();
            let weights = noise.tensor((n, oh, ow, c));
            let y = max_pool(&x, PoolParams { kernel, stride, ceil_mode }).unwrap();
            at_every_level(|_| {
                assert_eq!(values(&max_pool(&x, PoolParams { kernel, stride, ceil_mode }).unwrap()), naive(&data, &g));
            });
            let other = composed(&x, &g).unwrap();
            prop_assert_eq!(values(&other), naive(&data, &g));
            let [dx] = gradients(&y, &weights, [&x]);
            let [other] = gradients(&other, &weights, [&x]);
            // Up to 16 windows share a pixel, and the two paths add them in different orders.
            close(&dx, &other, 1e-5);
            at_every_level(|_| assert_eq!(gradients(&y, &weights, [&x])[0], dx));
            // Every output's gradient arrives exactly once.
            let total = |v: &[f32]| v.iter().copied().map(f64::from).sum::<f64>();
            prop_assert!((total(&values(&weights)) - total(&dx)).abs() < 1e-3);
            if !ties {
                let f = |x: &Tensor| max_pool(x, PoolParams { kernel, stride, ceil_mode }).unwrap();
                check_gradient(&x, &weights, f, &dx, seed);
            }
        }
    }

    /// Heights at which several tasks share a picture, and windows overlap two of them.
    #[test]
    fn max_pool_gradient_is_right_across_tasks() {
        for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
            let mut noise = Noise::new(6);
            let g = geometry((2, 71, 40, 9), PoolParams { kernel, stride, ceil_mode: true }).unwrap();
            let x = candle_core::Var::from_tensor(&noise.tensor((2, 71, 40, 9))).unwrap();
            let weights = noise.tensor((2, g.oh, g.ow, 9));
            let [dx] =
                gradients(&max_pool(&x, PoolParams { kernel, stride, ceil_mode: true }).unwrap(), &weights, [&x]);
            let [other] = gradients(&composed(&x, &g).unwrap(), &weights, [&x]);
            close(&dx, &other, 1e-5);
        }
    }

    #[test]
    fn max_pool_gradient_of_all_infinite_window_goes_to_first_pixel() {
        let x =
            candle_core::Var::from_tensor(&Tensor::full(f32::NEG_INFINITY, (1, 2, 4, 1), &device()).unwrap()).unwrap();
        let [dx] = gradients(
            &max_pool(&x, square(2, 2)).unwrap(),
            &Noise::new(1).tensor((1, 1, 2, 1)).ones_like().unwrap(),
            [&x],
        );
        assert_eq!(dx, [1., 0., 1., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn max_pool_propagates_nan() {
        let x = Tensor::new(&[1f32, f32::NAN, 3., 2.], &device()).unwrap();
        at_every_level(|_| {
            let y = max_pool(&x.reshape((1, 2, 2, 1)).unwrap(), square(2, 2)).unwrap();
            assert!(values(&y)[0].is_nan());
        });
    }

    #[test]
    fn max_pool_keeps_16_bit_types() {
        let x = Noise::new(1).tensor((1, 4, 4, 3));
        for dtype in [DType::F16, DType::BF16] {
            let y = max_pool(&x.to_dtype(dtype).unwrap(), square(2, 2)).unwrap();
            assert_eq!(y.dtype(), dtype);
        }
    }

    #[test]
    fn max_pool_refuses_windows_that_do_not_fit() {
        let x = Tensor::zeros((1, 2, 2, 1), DType::F32, &device()).unwrap();
        assert!(max_pool(&x, square(3, 2)).is_err());
        assert!(max_pool(&x, square(0, 2)).is_err());
        assert!(max_pool(&x, square(2, 0)).is_err());
    }
}
