//! The operators of the networks, each with its gradient, one call per fused operator.
//!
//! Activations have shape (N, H, W, C) on every device. On the CPU an operator is a kernel of our own behind a candle
//! custom op, and its result is contiguous. On CUDA and Metal the same function composes candle's operators, and its
//! result may be a view of (N, C, H, W). The tensor's device decides which of the two runs.
//!
//! Unstable: the other crates of this workspace are built on these functions, and they change with them.
//!
//! f16 and bf16 are stored as such; on the CPU the arithmetic is in f32.

pub mod conv;
#[allow(unsafe_code)]
mod cpu;
mod dispatch;
pub mod dropout;
pub mod head;
pub mod input;
pub mod layout;
mod memory;
pub mod plan;
pub mod pool;
pub(crate) mod rows;
mod storage;
pub mod sum;
pub mod upsample;

pub use cpu::simd::Level;
pub(crate) use dispatch::has_kernels;
pub use dispatch::in_pool;
pub use memory::{recycle, release_memory};

#[cfg(test)]
pub(crate) mod testing;
