//! Limit of the pairs and bytes in flight between the source and the emitted rows.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Least number of bytes of pictures that are decoded ahead: of many sizes, each waits for its own batch to fill.
const LEAST_BYTES: usize = 16 << 20;
/// Largest number of pairs in flight.
const MAX_PAIRS: usize = 256;

/// Admits pairs while their pictures fit in memory, so that memory does not grow with the number of pairs.
#[derive(Debug)]
pub(super) struct InFlightLimit {
    /// Bytes of pictures that may be decoded ahead.
    bytes: usize,
    flow: Mutex<Flow>,
    changed: Condvar,
}

/// Pairs and bytes in flight.
#[derive(Debug, Default)]
struct Flow {
    pairs: usize,
    undecoded: usize,
    /// Bytes of pictures that are decoded and not measured yet.
    bytes: usize,
    /// Bytes of a recent pair.
    typical: usize,
    /// Whether the source waits for room, or has ended.
    source_waits: bool,
    closed: bool,
}

impl Flow {
    fn has_room(&self, limit: usize) -> bool {
        let expected = self.bytes + (self.undecoded + 1) * self.typical;
        self.pairs == 0
            || (self.pairs < MAX_PAIRS
                // Of large pictures one pair is decoded while another is measured.
                && (expected <= limit || self.pairs < 2)
                // No size is known before the first pair is decoded.
                && (self.typical > 0 || self.undecoded < 2 * rayon::current_num_threads()))
    }

    fn admit(&mut self) {
        self.source_waits = false;
        self.pairs += 1;
        self.undecoded += 1;
    }
}

impl InFlightLimit {
    /// A limit of `bytes` of decoded pictures, and at least 16 MiB.
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes: bytes.max(LEAST_BYTES), flow: Mutex::default(), changed: Condvar::new() }
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Flow) -> T) -> T {
        let result = change(&mut self.flow());
        self.changed.notify_all();
        result
    }

    /// Waits for room for one more pair and admits it; `false` once the run is closed.
    pub(super) fn admit(&self) -> bool {
        let mut flow = self.flow();
        while !flow.closed && !flow.has_room(self.bytes) {
            flow.source_waits = true;
            flow = self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner);
        }
        flow.admit();
        !flow.closed
    }

    /// Admits one more pair if there is room for it now.
    pub(super) fn try_admit(&self) -> bool {
        let mut flow = self.flow();
        flow.source_waits = !flow.has_room(self.bytes);
        if flow.source_waits {
            return false;
        }
        flow.admit();
        true
    }

    /// Records that a pair is decoded into pictures of `bytes`.
    pub(super) fn decoded(&self, bytes: usize) {
        self.change(|flow| {
            flow.undecoded -= 1;
            flow.bytes += bytes;
            flow.typical = bytes.max(flow.typical - flow.typical / 8);
        });
    }

    /// Records that a decoded pair of `bytes` has its row.
    pub(super) fn finished(&self, bytes: usize) {
        self.change(|flow| {
            flow.pairs -= 1;
            flow.bytes -= bytes;
        });
    }

    /// Records that the source has no more pairs.
    pub(super) fn source_ended(&self) {
        self.change(|flow| flow.source_waits = true);
    }

    /// Releases a source that waits: the run has ended.
    pub(super) fn close(&self) {
        self.change(|flow| flow.closed = true);
    }

    /// Whether no pair is being decoded.
    pub(super) fn is_decoded(&self) -> bool {
        self.flow().undecoded == 0
    }

    /// Whether no pair is being decoded, and none will be before one of those in flight is finished.
    pub(super) fn is_stalled(&self) -> bool {
        let flow = self.flow();
        flow.undecoded == 0 && flow.source_waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_limit_admits_two_large_pairs_and_stalls_on_the_third() {
        let limit = InFlightLimit::new(0);
        assert!(limit.try_admit());
        limit.decoded(LEAST_BYTES);
        assert!(limit.is_decoded() && !limit.is_stalled(), "the source has not been refused yet");
        assert!(limit.try_admit(), "one is decoded while another is measured");
        limit.decoded(LEAST_BYTES);
        assert!(!limit.try_admit() && limit.is_stalled());
        limit.finished(LEAST_BYTES);
        assert!(limit.try_admit());
    }

    #[test]
    fn in_flight_limit_bounds_the_pairs_of_unknown_size() {
        let limit = InFlightLimit::new(usize::MAX);
        let admitted = (0..1000).filter(|_| limit.try_admit()).count();
        assert_eq!(admitted, 2 * rayon::current_num_threads());
        limit.close();
        assert!(!limit.admit(), "a closed limit does not block");
    }
}
