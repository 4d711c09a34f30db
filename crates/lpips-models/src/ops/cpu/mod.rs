//! The CPU kernels: plain slices in, plain vectors out.
//!
//! Every kernel gives the same bits with any number of threads: work is split by the shapes alone, and no sum is shared
//! between tasks.

pub(super) mod buffers;
pub(super) mod conv;
mod correlate;
mod direct;
pub(super) mod norm;
pub(super) mod pool;
mod product;
pub(super) mod simd;
pub(super) mod upsample;
mod winograd;
