//! Sums of tensors in place.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::dispatch::has_kernels;
use super::memory::recycle;

/// Floats per task.
const BLOCK: usize = 1 << 14;

/// Adds `b` to `a` in the memory of `a`, and recycles that of `b`. Both have one shape.
///
/// For this workspace's crates: both must be the last handles to their storage, as for [`recycle`]. Gradients do not
/// flow through the sum.
///
/// # Errors
/// Tensors of different shapes, types or devices.
#[doc(hidden)]
pub fn add_in_place(a: Tensor, b: Tensor) -> Result<Tensor> {
    let is_plain = |x: &Tensor| has_kernels(x) && x.dtype() == DType::F32 && x.is_contiguous() && !x.track_op();
    if !is_plain(&a) || !is_plain(&b) {
        return a + b;
    }
    if a.dims() != b.dims() {
        bail!("tensors of shapes {:?} and {:?} can't be added", a.shape(), b.shape())
    }
    a.inplace_op2(&b, &AddTo)?;
    recycle(b, Some(&a))?;
    Ok(a)
}

struct AddTo;

impl InplaceOp2 for AddTo {
    fn name(&self) -> &'static str {
        "add-to"
    }

    fn cpu_fwd(&self, a: &mut CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<()> {
        let (CpuStorage::F32(a), CpuStorage::F32(b)) = (a, b) else { bail!("only f32 is added in place") };
        let (Some((a0, a1)), Some((b0, b1))) = (la.contiguous_offsets(), lb.contiguous_offsets()) else {
            bail!("only contiguous tensors are added in place")
        };
        a[a0..a1].par_chunks_mut(BLOCK).zip(b[b0..b1].par_chunks(BLOCK)).for_each(|(a, b)| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Noise, composing, values};

    #[test]
    fn add_in_place_equals_sum_on_every_path() {
        for n in [1, 5, 3 * BLOCK + 1] {
            let mut noise = Noise::new(1);
            let (a, b) = (noise.tensor(n), noise.tensor(n));
            let expected: Vec<f32> = values(&a).iter().zip(values(&b)).map(|(a, b)| a + b).collect();
            let copy = |x: &Tensor| x.copy().unwrap();
            assert_eq!(values(&composing(|| add_in_place(copy(&a), copy(&b)).unwrap())), expected);
            let half = add_in_place(a.to_dtype(DType::BF16).unwrap(), b.to_dtype(DType::BF16).unwrap()).unwrap();
            assert_eq!(half.dtype(), DType::BF16);
            assert_eq!(values(&add_in_place(a, b).unwrap()), expected);
        }
        let mut noise = Noise::new(2);
        assert!(add_in_place(noise.tensor((2, 3)), noise.tensor((3, 2))).is_err());
    }
}
