//! CPU kernels over plain slices.
//!
//! Every kernel computes the same bits with any number of threads: the split of work may depend on them, but each
//! output is one chain of operations in a fixed order, in one task.
#![allow(clippy::inline_always)] // What is not inlined into a level's code lacks its instructions; see `simd`.

pub(super) mod buffers;
pub(super) mod conv;
mod conv_weight_grad;
mod direct;
mod gemm_microkernel;
pub(super) mod geometry;
pub(super) mod head;
pub(super) mod input;
pub(super) mod output;
pub(super) mod pool;
pub(super) mod relu_backward;
pub(super) mod simd;
pub(super) mod upsample;
mod winograd;
