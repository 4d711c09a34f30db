//! The operators of the networks, each with its gradient, one call per fused operator.
//!
//! Activations have shape (N, H, W, C) on every device. On the CPU an operator is a kernel of our own behind a candle custom
//! op, and its result is contiguous. On CUDA and Metal the same function composes candle's operators, and its result may be
//! a view of (N, C, H, W). Which of the two runs is decided by the tensor's device.
//!
//! f16 and bf16 are stored as such; on the CPU the arithmetic is in f32.

pub mod conv;
#[allow(unsafe_code)]
mod cpu;
pub mod dropout;
pub mod head;
pub mod input;
pub mod layout;
pub mod plan;
pub mod pool;
pub(crate) mod rows;
mod storage;
pub mod sum;
pub mod upsample;

pub use cpu::simd::Level;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

#[cfg(test)]
pub(crate) mod testing;

/// Whether our kernels compute on this tensor, or candle's operators do.
pub(crate) fn has_kernels(x: &Tensor) -> bool {
    #[cfg(test)]
    if testing::is_composing() {
        return false;
    }
    x.device().is_cpu()
}

/// Runs `f` on a thread of the pool that the kernels share their work with: the caller's, or rayon's global one.
///
/// To be called around a whole forward pass: entering the pool anew for every operator costs more than a small one does.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { f() } else { rayon::scope(|_| f()) }
}

/// Takes back the memory of an activation that was needed only to compute `result`, for the next one of its size.
///
/// The tensor must be the only one over its storage: nothing is left in it, and any use of it is an error. Where gradients
/// will flow back from `result` the activation is still needed, and left alone.
pub fn recycle(x: &Tensor, result: &Tensor) -> Result<()> {
    struct Recycle;
    impl InplaceOp1 for Recycle {
        fn name(&self) -> &'static str {
            "recycle"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
            // Of another type: an operator that trusts the shape would find too few values, and finds the wrong type first.
            if let CpuStorage::F32(data) = std::mem::replace(storage, CpuStorage::U8(Vec::new())) {
                cpu::buffers::give(data);
            }
            Ok(())
        }
    }
    if has_kernels(x) && !x.track_op() && !result.track_op() { x.inplace_op1(&Recycle) } else { Ok(()) }
}

/// Gives the memory that is kept for the next forward pass back to the system.
///
/// The operators keep what they have used, up to the size of the largest pass of late, since asking the system for it each
/// time is slow.
pub fn release_memory() {
    cpu::buffers::clear();
}
