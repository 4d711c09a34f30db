//! The operators of the networks, each with its gradient, one call per fused operator.
//!
//! Activations have shape (N, H, W, C) on every device. On the CPU that is also the order in memory, and an operator is a
//! kernel of our own behind a candle custom op. On CUDA and Metal the memory keeps (N, C, H, W), the shape is a view, and
//! the same function composes candle's operators. Which of the two runs is decided by the tensor's device.
//!
//! f16 and bf16 are stored as such; on the CPU the arithmetic is in f32.

pub mod conv;
#[allow(unsafe_code)]
mod cpu;
pub mod layout;
pub mod norm;
pub mod pool;
mod storage;
pub mod upsample;

#[cfg(test)]
pub(crate) mod testing;
