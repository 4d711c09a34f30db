//! Buffers that are used again.
//!
//! The system hands out large buffers page by page, at the first touch of each, which costs more than many an operator
//! does with them. Activations and scratch space therefore come from here and go back here.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Below this many floats the system's allocator is as good.
const SMALL: usize = 4 << 10;
/// A buffer that was not taken for this many takes is given back to the system.
const PATIENCE: u64 = 192;

struct Pool {
    free: Vec<(Vec<f32>, u64)>,
    clock: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), clock: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `len` floats of any value.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if len < SMALL {
        return vec![0.0; len];
    }
    let found = {
        let mut pool = pool();
        pool.clock += 1;
        let now = pool.clock;
        let fits = |(_, (buffer, _)): &(usize, &(Vec<f32>, u64))| buffer.len() >= len && buffer.len() <= 2 * len;
        let best = pool.free.iter().enumerate().filter(fits).min_by_key(|(_, (buffer, _))| buffer.len());
        let found = best.map(|(at, _)| at).map(|at| pool.free.swap_remove(at).0);
        pool.free.retain(|(_, since)| now - since <= PATIENCE);
        found
    };
    found.map_or_else(
        || {
            let mut buffer = vec![0.0; len];
            advise_huge_pages(&mut buffer);
            buffer
        },
        |mut buffer| {
            buffer.truncate(len);
            buffer
        },
    )
}

/// Takes a buffer back.
pub(crate) fn give(buffer: Vec<f32>) {
    if buffer.len() >= SMALL {
        let mut pool = pool();
        let now = pool.clock;
        pool.free.push((buffer, now));
    }
}

/// Gives all buffers that wait for use back to the system.
pub(crate) fn clear() {
    pool().free.clear();
}

/// Scratch space: a buffer that goes back by itself.
#[derive(Debug)]
pub(crate) struct Scratch(Vec<f32>);

impl Scratch {
    /// `len` floats of any value.
    pub(super) fn new(len: usize) -> Self {
        Self(take(len))
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

/// Asks for pages of 2 MiB under a buffer that nothing has touched yet: fewer faults, and fewer misses of the table of pages.
fn advise_huge_pages(buffer: &mut [f32]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const HUGE: usize = 2 << 20;
        const PAGE: usize = 64 << 10;
        let bytes = std::mem::size_of_val(buffer);
        if bytes >= HUGE {
            let start = buffer.as_mut_ptr() as usize;
            let first = start.next_multiple_of(PAGE);
            let end = (start + bytes) / PAGE * PAGE;
            // SAFETY: the range lies inside the buffer and on whole pages (of any size in use), and the advice changes
            // neither what the memory holds nor who may use it. That it may not be followed is fine.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = buffer;
}

/// A result that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: it is only an address; whoever writes through it says why no other task writes there.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(buffer: &mut [f32]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len() }
    }

    /// The address of element `at`, from which `count` elements can be written.
    #[inline(always)]
    pub(super) fn at(self, at: usize, count: usize) -> *mut f32 {
        debug_assert!(at + count <= self.len, "{at} + {count} is past the end, {}", self.len);
        self.start.wrapping_add(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_for_the_same_size() {
        let mut first = take(1_234_567);
        first[1_234_566] = 3.0;
        let at = first.as_ptr();
        give(first);
        let again = take(1_200_000);
        assert_eq!(again.len(), 1_200_000);
        // Another test may have taken it in between; if not, it is the same one.
        assert!(again.as_ptr() == at || again.iter().all(|v| v.is_finite()));
        give(again);
    }
}
