//! A pool of reusable buffers.
//!
//! The system hands out large buffers page by page, at the first touch of each, which costs more than many an operator
//! does with them. Activations and scratch space are therefore pooled.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers of fewer floats are left to the system's allocator, which is as fast.
const SMALL: usize = 4 << 10;
/// A buffer unused for this many takes is returned to the system.
const PATIENCE: u64 = 192;

/// Bytes of a huge page, on the machines that have them.
const HUGE_PAGE: usize = 2 << 20;

/// Free buffers.
struct Pool(Mutex<Waiting>);

struct Waiting {
    /// Each with the clock at which it was returned.
    buffers: Vec<(Vec<f32>, u64)>,
    /// The number of takes.
    clock: u64,
}

/// The pool of activations: a tensor's storage is as long as the tensor, so they are cut to the length of the next one.
static ACTIVATIONS: Pool = Pool::new();
/// The pool of scratch space, which may be longer than requested.
static SCRATCH: Pool = Pool::new();

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Waiting { buffers: Vec::new(), clock: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a buffer with a capacity of `len` to `most` floats, of any value; an activation's length may be below
    /// `len`.
    fn take(&self, len: usize, most: usize) -> Vec<f32> {
        if len < SMALL {
            return vec![0.0; len];
        }
        let found = {
            let Waiting { buffers, clock } = &mut *self.lock();
            *clock += 1;
            let fits = |(_, (buffer, _)): &(usize, &(Vec<f32>, u64))| (len..=most).contains(&buffer.capacity());
            let best = buffers.iter().enumerate().filter(fits).min_by_key(|(_, (buffer, _))| buffer.capacity());
            let found = best.map(|(at, _)| at).map(|at| buffers.swap_remove(at).0);
            buffers.retain(|(_, since)| *clock - since <= PATIENCE);
            found
        };
        found.unwrap_or_else(|| {
            let mut buffer = vec![0.0; len];
            advise_huge_pages(&mut buffer);
            buffer
        })
    }

    fn give(&self, buffer: Vec<f32>) {
        if buffer.len() >= SMALL {
            let Waiting { buffers, clock } = &mut *self.lock();
            buffers.push((buffer, *clock));
        }
    }
}

/// Takes `len` floats of any value, for an activation.
///
/// Up to an eighth of a buffer is left unused: one band of a large picture takes a few rows more or less than the next.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let mut buffer = ACTIVATIONS.take(len, len + len / 8);
    buffer.resize(len, 0.0);
    buffer
}

/// Returns an activation's memory to the pool.
pub(crate) fn give(buffer: Vec<f32>) {
    ACTIVATIONS.give(buffer);
}

/// Returns all free buffers to the system.
pub(crate) fn clear() {
    ACTIVATIONS.lock().buffers.clear();
    SCRATCH.lock().buffers.clear();
}

/// Scratch space: a buffer that returns to its pool when dropped.
///
/// It lies on huge pages of its own where it is not small: transforms write to dozens of places at once, each of which
/// would be on another small page, and the processor's TLB is short.
#[derive(Debug)]
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// `len` floats of any value.
    pub(super) fn new(len: usize) -> Self {
        const HUGE: usize = HUGE_PAGE / size_of::<f32>();
        if len < HUGE / 32 {
            return Self { buffer: SCRATCH.take(len, 2 * len), start: 0, len };
        }
        let room = len.next_multiple_of(HUGE) + HUGE;
        let buffer = SCRATCH.take(room, 2 * room);
        let address = buffer.as_ptr() as usize;
        let start = (address.next_multiple_of(HUGE_PAGE) - address) / size_of::<f32>();
        Self { buffer, start, len }
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SCRATCH.give(std::mem::take(&mut self.buffer));
    }
}

/// Advises the system to use pages of 2 MiB for a fresh buffer: fewer faults, and fewer TLB misses.
fn advise_huge_pages(buffer: &mut [f32]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const PAGE: usize = 64 << 10;
        let bytes = std::mem::size_of_val(buffer);
        if bytes >= HUGE_PAGE {
            let start = buffer.as_mut_ptr() as usize;
            let first = start.next_multiple_of(PAGE);
            let end = (start + bytes) / PAGE * PAGE;
            // SAFETY: the range lies inside the buffer and on whole pages (of any size in use), and the advice changes
            // neither the memory's contents nor its ownership. The advice may be ignored.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = buffer;
}

/// An output buffer that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is only an address; each write through it states why it lies in the buffer and why no other task writes
// there.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(buffer: &'a mut [f32]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len(), borrow: PhantomData }
    }

    /// The address of element `at`, from which `count` elements are used. The caller ensures that they are in the
    /// buffer; debug builds check it.
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
    fn buffer_pool_reuses_and_expires_buffers() {
        let pool = Pool::new();
        let buffer = pool.take(1_234_567, 1_234_567);
        let at = buffer.as_ptr();
        pool.give(buffer);
        let other = pool.take(1_234_566, 1_234_566);
        assert_ne!(other.as_ptr(), at);
        let buffer = pool.take(1_000_000, 2_000_000);
        assert_eq!((buffer.as_ptr(), buffer.len()), (at, 1_234_567));
        pool.give(buffer);
        for _ in 0..=PATIENCE {
            pool.take(SMALL, SMALL);
        }
        assert!(pool.lock().buffers.is_empty());
    }
}
