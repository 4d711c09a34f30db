//! Frames of two folders matched by their numbers.

use std::path::Path;
use std::sync::Arc;

/// The frames of a folder in the order of their numbers, with gaps where the other folder has a frame and this one has
/// none.
pub(super) struct FrameSlots {
    slots: Vec<(u64, Option<Arc<Path>>)>,
    /// Number of frames read.
    read: usize,
}

impl FrameSlots {
    /// The files of a folder with their frame numbers.
    pub(super) fn new(files: Vec<(u64, Arc<Path>)>) -> Self {
        Self { slots: files.into_iter().map(|(number, file)| (number, Some(file))).collect(), read: 0 }
    }

    /// The number of the first frame.
    pub(super) fn first(&self) -> u64 {
        self.slots.first().map_or(0, |slot| slot.0)
    }

    /// Number of frames, gaps included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Advances to the next frame; false after the last.
    pub(super) fn advance(&mut self) -> bool {
        self.read += 1;
        self.read <= self.slots.len()
    }

    /// Number and file of the present frame; no file where this folder lacks the frame.
    pub(super) fn present(&self) -> Option<&(u64, Option<Arc<Path>>)> {
        self.slots.get(self.read.saturating_sub(1))
    }
}

/// Inserts gaps so that frames of equal numbers, counted from each folder's first, are at equal places. Frames after
/// the end of the shorter folder are left as they are.
pub(super) fn align(one: &mut FrameSlots, other: &mut FrameSlots) {
    let ends = |slots: &FrameSlots| Some((slots.slots.first()?.0, slots.slots.last()?.0));
    let (Some((first, last)), Some((other_first, other_last))) = (ends(one), ends(other)) else { return };
    let end = (last - first).min(other_last - other_first);
    let numbers = |slots: &FrameSlots, first: u64| {
        slots.slots.iter().map(|(number, _)| number - first).take_while(|number| *number <= end).collect::<Vec<_>>()
    };
    let mut all = [numbers(one, first), numbers(other, other_first)].concat();
    all.sort_unstable();
    all.dedup();
    for (slots, first) in [(one, first), (other, other_first)] {
        let mut rest = std::mem::take(&mut slots.slots).into_iter().peekable();
        slots.slots = (all.iter())
            .map(|number| rest.next_if(|slot| slot.0 == first + number).unwrap_or((first + number, None)))
            .collect();
        slots.slots.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(numbers: &[u64]) -> FrameSlots {
        FrameSlots::new(numbers.iter().map(|number| (*number, Arc::from(Path::new("f.png")))).collect())
    }

    /// Numbers of frames; negative where there is a gap.
    fn numbers(slots: &FrameSlots) -> Vec<i64> {
        let number = |(number, file): &(u64, Option<Arc<Path>>)| {
            let number = i64::try_from(*number).unwrap();
            if file.is_some() { number } else { -number }
        };
        slots.slots.iter().map(number).collect()
    }

    #[test]
    fn frame_alignment_inserts_gaps_up_to_the_end_of_the_shorter_folder() {
        let (mut one, mut other) = (slots(&[0, 1, 2, 3, 10]), slots(&[1, 2, 4, 11, 12, 13]));
        align(&mut one, &mut other);
        assert_eq!(numbers(&one), [0, 1, 2, 3, 10]);
        assert_eq!(numbers(&other), [1, 2, -3, 4, 11, 12, 13]);
    }
}
