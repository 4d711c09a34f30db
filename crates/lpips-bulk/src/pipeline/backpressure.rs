//! How much is in flight between the pairs' source and their rows.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes of pictures that are decoded ahead at least: there may be many sizes, each of which waits for its batch to be full.
const AHEAD: usize = 16 << 20;
/// Pairs that are in flight at most.
const IN_FLIGHT: usize = 256;

/// How much is in flight.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) pairs: usize,
    pub(super) undecoded: usize,
    /// Of pictures that are decoded and not measured yet.
    pub(super) bytes: usize,
    /// Of a pair, of late.
    pub(super) typical: usize,
    /// Whether the feeder waits, or has no more.
    pub(super) still: bool,
    pub(super) closed: bool,
}

/// Lets pairs in as there is room for them.
#[derive(Debug)]
pub(super) struct Gate {
    /// Bytes of pictures that are decoded ahead.
    ahead: usize,
    flow: Mutex<Flow>,
    changed: Condvar,
}

impl Gate {
    /// So many bytes of pictures are decoded ahead, or more where that is little.
    pub(super) fn new(ahead: usize) -> Self {
        Self { ahead: ahead.max(AHEAD), flow: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Flow) -> T) -> T {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut flow);
        self.changed.notify_all();
        result
    }

    /// Waits for room for one more pair; `false` where none is wanted any more.
    pub(super) fn enter(&self) -> bool {
        let at_once = 2 * rayon::current_num_threads();
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |flow: &Flow| {
            let expected = flow.bytes + (flow.undecoded + 1) * flow.typical;
            flow.pairs == 0
                || (flow.pairs < IN_FLIGHT
                    // Of large pictures one pair is decoded while another is measured.
                    && (expected <= self.ahead || flow.pairs < 2)
                    // Nothing is known of sizes before the first pair is decoded.
                    && (flow.typical > 0 || flow.undecoded < at_once))
        };
        while !flow.closed && !has_room(&flow) {
            flow.still = true;
            flow = self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner);
        }
        flow.still = false;
        flow.pairs += 1;
        flow.undecoded += 1;
        !flow.closed
    }
}
