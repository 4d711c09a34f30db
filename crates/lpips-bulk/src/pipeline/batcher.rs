//! Batch stage: groups decoded pairs by size into batches.

use std::collections::{BTreeMap, HashMap};

use lpips_core::Size;

use super::decode::Decoded;

/// Pairs that may be finished before an earlier one that is not: their rows wait to be emitted.
const WAITING: u64 = 4096;

/// Output of the stage: decoded pairs of one size.
pub(super) struct Batch {
    pub(super) pairs: Vec<Decoded>,
    /// Number of image pairs that go through the networks at once.
    pub(super) capacity: usize,
}

/// State of the other stages, which the choice of the next batch depends on.
pub(super) struct Progress<'a> {
    /// The sequence number of the next row to be emitted.
    pub(super) next: u64,
    /// Whether the source has no more pairs.
    pub(super) source_ended: bool,
    /// Whether no pair is being decoded, and none will be before one in flight is finished.
    pub(super) is_stalled: &'a dyn Fn() -> bool,
}

/// Groups decoded pairs by size and hands out batches, full ones first.
pub(super) struct Batcher {
    groups: HashMap<Size, Group>,
    /// Batches that are being measured.
    busy: usize,
    /// Largest number of batches that are measured at once.
    concurrent: usize,
    /// Largest sequence number so far.
    newest: u64,
}

/// Decoded pairs of one size in their order.
struct Group {
    pairs: BTreeMap<u64, Decoded>,
    /// Number of their image pairs.
    count: usize,
    /// Image pairs of a full batch.
    capacity: usize,
}

impl Group {
    /// Removes the oldest pairs that make a batch.
    fn take(&mut self) -> Vec<Decoded> {
        let (mut pairs, mut count) = (Vec::new(), 0);
        while count < self.capacity
            && let Some((_, decoded)) = self.pairs.pop_first()
        {
            count += decoded.count();
            pairs.push(decoded);
        }
        self.count -= count;
        pairs
    }
}

impl Batcher {
    /// A batcher for at most `concurrent` batches at once.
    pub(super) fn new(concurrent: usize) -> Self {
        Self { groups: HashMap::new(), busy: 0, concurrent, newest: 0 }
    }

    /// Adds a pair; `capacity` says how many image pairs of a size make a full batch.
    pub(super) fn push(&mut self, decoded: Decoded, capacity: impl FnOnce(Size) -> usize) {
        self.newest = self.newest.max(decoded.sequence);
        let size = decoded.size().unwrap_or(Size { width: 0, height: 0 });
        let new = || Group { pairs: BTreeMap::new(), count: 0, capacity: capacity(size) };
        let group = self.groups.entry(size).or_insert_with(new);
        group.count += decoded.count();
        group.pairs.insert(decoded.sequence, decoded);
    }

    /// Whether a batch is being measured.
    pub(super) fn is_busy(&self) -> bool {
        self.busy > 0
    }

    /// Records that a batch is measured.
    pub(super) fn finished(&mut self) {
        self.busy -= 1;
    }

    /// The batch that is to be measured now: a full one, or that of the oldest pair if it delays the rows of too many
    /// others, or if no more pairs will come.
    pub(super) fn next(&mut self, progress: &Progress<'_>) -> Option<Batch> {
        let may = |group: &Group| self.busy == 0 || (self.busy < self.concurrent && group.capacity > 1);
        if let Some((size, _)) = self.groups.iter().find(|(_, group)| group.count >= group.capacity && may(group)) {
            return self.take(*size);
        }
        let size = self.oldest().filter(|size| may(&self.groups[size]))?;
        let delays = self.newest.saturating_sub(progress.next) >= WAITING;
        let is_last = || (self.busy == 0 || progress.source_ended) && (progress.is_stalled)();
        if delays || is_last() { self.take(size) } else { None }
    }

    /// The batch of the oldest pair, full or not.
    pub(super) fn flush(&mut self) -> Option<Batch> {
        self.oldest().and_then(|size| self.take(size))
    }

    fn oldest(&self) -> Option<Size> {
        let first = |group: &Group| group.pairs.keys().next().copied();
        self.groups.iter().min_by_key(|(_, group)| first(group)).map(|(size, _)| *size)
    }

    fn take(&mut self, size: Size) -> Option<Batch> {
        let group = self.groups.get_mut(&size)?;
        let batch = Batch { pairs: group.take(), capacity: group.capacity };
        if group.pairs.is_empty() {
            self.groups.remove(&size);
        }
        self.busy += 1;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use lpips_core::Picture;

    use super::super::image_cache::{CachedImage, ImagePair};
    use super::*;
    use crate::source::pair::{Input, Pair};

    fn decoded(sequence: u64, side: usize) -> Decoded {
        let image = || CachedImage::of(Picture::from_rgb8(side, side, vec![0; 3 * side * side]).unwrap());
        let input = || Input::File(Arc::from(Path::new("x.png")));
        let pair = Pair { index: sequence, reference: input(), candidate: input(), second: None };
        let images = Ok(vec![ImagePair { reference: image(), candidate: image(), wants_map: false }]);
        Decoded { sequence, pair, images, bytes: 0 }
    }

    fn sequences(batch: Option<Batch>) -> Option<Vec<u64>> {
        batch.map(|batch| batch.pairs.iter().map(|decoded| decoded.sequence).collect())
    }

    fn progress(source_ended: bool, is_stalled: &dyn Fn() -> bool) -> Progress<'_> {
        Progress { next: 0, source_ended, is_stalled }
    }

    #[test]
    fn batcher_hands_out_full_batches_of_one_size() {
        let mut batcher = Batcher::new(1);
        for (sequence, side) in [(0, 4), (1, 5), (2, 4), (3, 5), (4, 5)] {
            batcher.push(decoded(sequence, side), |_| 3);
        }
        assert_eq!(sequences(batcher.next(&progress(false, &|| false))), Some(vec![1, 3, 4]));
        assert!(batcher.is_busy());
        assert_eq!(sequences(batcher.next(&progress(true, &|| true))), None, "one batch at once");
        batcher.finished();
        assert_eq!(sequences(batcher.next(&progress(false, &|| false))), None, "more may come");
        assert_eq!(sequences(batcher.next(&progress(true, &|| true))), Some(vec![0, 2]));
    }

    #[test]
    fn batcher_flush_takes_the_oldest_pairs_of_an_incomplete_batch() {
        let mut batcher = Batcher::new(1);
        for (sequence, side) in [(2, 4), (1, 5), (3, 5)] {
            batcher.push(decoded(sequence, side), |_| 8);
        }
        assert_eq!(sequences(batcher.flush()), Some(vec![1, 3]));
        assert_eq!(sequences(batcher.flush()), Some(vec![2]));
        assert_eq!(sequences(batcher.flush()), None);
    }

    #[test]
    fn batcher_does_not_let_an_incomplete_batch_delay_thousands_of_rows() {
        let mut batcher = Batcher::new(1);
        batcher.push(decoded(0, 4), |_| 8);
        batcher.push(decoded(WAITING, 5), |_| 8);
        assert_eq!(sequences(batcher.next(&progress(false, &|| false))), Some(vec![0]));
    }
}
