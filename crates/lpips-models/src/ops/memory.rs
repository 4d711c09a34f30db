//! Reuse of activations' memory between operators.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

use super::cpu::buffers;
use super::dispatch::has_kernels;

/// Recycles the memory of an activation for the next one of its size.
///
/// For this workspace's crates. Contract: `x` is the last handle to its storage. candle does not expose the number of
/// handles, so this is not checked: any other handle is left without values; our operators refuse it with an error, and
/// candle's may panic. Nothing happens to a tensor that holds a part of its storage only, that is a variable, or that
/// gradients flow through, by its own graph or by that of `result`, which was computed from it.
///
/// # Errors
/// Never for a tensor that candle made.
#[doc(hidden)]
#[allow(clippy::needless_pass_by_value)] // The handle goes, so that the caller can't use it again.
pub fn recycle(x: Tensor, result: Option<&Tensor>) -> Result<()> {
    struct Recycle;
    impl InplaceOp1 for Recycle {
        fn name(&self) -> &'static str {
            "recycle"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let CpuStorage::F32(data) = &*storage else { return Ok(()) };
            if layout.contiguous_offsets() != Some((0, data.len())) {
                return Ok(());
            }
            // Of another type: an operator that trusts the shape would find too few values, and finds the wrong type
            // first.
            if let CpuStorage::F32(data) = std::mem::replace(storage, CpuStorage::U8(Vec::new())) {
                buffers::give(data);
            }
            Ok(())
        }
    }
    if has_kernels(&x) && !x.track_op() && !result.is_some_and(Tensor::track_op) {
        x.inplace_op1(&Recycle)
    } else {
        Ok(())
    }
}

/// Returns the memory that is pooled for the next forward pass to the system.
///
/// The operators pool what they have used, up to the size of the largest recent pass, since allocating it each time is
/// slow.
pub fn release_memory() {
    buffers::clear();
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::pool::{PoolParams, max_pool};

    fn sum(x: &Tensor) -> u32 {
        x.sum_all().unwrap().to_scalar::<f32>().unwrap() as u32
    }

    #[test]
    fn recycled_storage_is_refused_by_our_operators() {
        let x = Tensor::ones((1, 100, 100, 1), DType::F32, &Device::Cpu).unwrap();
        let other = x.clone();
        recycle(x, None).unwrap();
        let params = PoolParams { kernel: 2, stride: 2, ceil_mode: false };
        assert!(max_pool(&other, params).is_err());
    }

    #[test]
    fn recycle_leaves_views_variables_and_graphs_alone() {
        let whole = Tensor::ones((100, 100), DType::F32, &Device::Cpu).unwrap();
        recycle(whole.narrow(0, 0, 50).unwrap(), None).unwrap();
        recycle(whole.t().unwrap(), None).unwrap();
        assert_eq!(sum(&whole), 10_000);
        let variable = Var::from_tensor(&whole).unwrap();
        recycle(variable.as_tensor().clone(), None).unwrap();
        let tracked = (variable.as_tensor() * 2.0).unwrap();
        recycle(tracked.clone(), None).unwrap();
        assert_eq!(sum(&tracked), 20_000);
        // A constant that a tracked result needs for its gradient.
        let result = (variable.as_tensor() * &whole).unwrap();
        recycle(whole.clone(), Some(&result)).unwrap();
        assert_eq!(sum(&whole), 10_000);
    }
}
