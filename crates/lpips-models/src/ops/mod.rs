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
pub mod head;
pub mod input;
pub mod layout;
pub mod pool;
mod storage;
pub mod upsample;

pub use cpu::simd::Level;

#[cfg(test)]
pub(crate) mod testing;

/// Whether our kernels compute on this tensor, or candle's operators do.
fn has_kernels(x: &candle_core::Tensor) -> bool {
    #[cfg(test)]
    if testing::is_composing() {
        return false;
    }
    x.device().is_cpu()
}
