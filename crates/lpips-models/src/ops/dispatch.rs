//! The choice between our CPU kernels and candle's operators, and the pool of threads.

use candle_core::Tensor;

/// Whether our kernels compute on this tensor, or candle's operators do.
pub(crate) fn has_kernels(x: &Tensor) -> bool {
    #[cfg(test)]
    if super::testing::is_composing() {
        return false;
    }
    x.device().is_cpu()
}

/// Runs `f` on a thread of the kernels' pool: the caller's, or rayon's global one.
///
/// Call it around a whole forward pass: entering the pool for every operator costs more than a small operator does.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { f() } else { rayon::scope(|_| f()) }
}
