//! The CPU kernels: plain slices in, plain vectors out.
//!
//! Every kernel gives the same bits with any number of threads: how work is split may depend on them, but each output is
//! one chain of operations in a fixed order, in one task.
#![allow(clippy::inline_always)] // What is not inlined into a level's code lacks its instructions; see `simd`.

pub(super) mod buffers;
pub(super) mod conv;
mod correlate;
mod direct;
pub(super) mod head;
pub(super) mod input;
pub(super) mod pool;
mod product;
pub(super) mod rectify;
pub(super) mod simd;
pub(super) mod upsample;
mod winograd;
