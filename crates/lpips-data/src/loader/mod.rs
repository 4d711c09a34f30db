//! Loads triplets into batches on threads of their own.

mod batch;
mod prefetch;

pub use batch::{Batch, Batching, Loader};
pub use prefetch::Prefetch;
