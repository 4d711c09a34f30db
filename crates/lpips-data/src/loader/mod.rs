//! Batches of triplets, decoded and augmented ahead of the training step on worker threads.

mod batch;
mod picture;
mod prefetch;

pub use batch::{Batch, Batching, Loader};
pub use picture::load;
pub use prefetch::Prefetch;
