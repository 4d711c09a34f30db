//! Pictures that are being measured, and those that are kept for the next pairs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use lpips_core::{Features, Picture};

/// A picture: decoded once, and looked at once by each network, while anybody holds it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Height and width once it is decoded, or why it can't be.
    size: OnceLock<Result<(usize, usize), String>>,
    picture: Mutex<Option<Arc<Picture>>>,
    seen: Mutex<Vec<Option<Arc<Features>>>>,
    /// How many pairs have asked for it.
    uses: AtomicUsize,
}

impl Slot {
    pub(super) fn of(picture: Picture) -> Arc<Self> {
        let slot = Self::default();
        drop(slot.load(|| Ok(picture)));
        Arc::new(slot)
    }

    /// Height and width in pixels; `decode` is called if nobody has before, and others wait for it then. It must not wait for other work of
    /// the threads, which may be to load the same.
    pub(super) fn load(&self, decode: impl FnOnce() -> Result<Picture, String>) -> Result<(usize, usize), String> {
        let decode = || {
            let picture = decode()?;
            let size = (picture.height(), picture.width());
            *held(&self.picture) = Some(Arc::new(picture));
            Ok(size)
        };
        self.size.get_or_init(decode).clone()
    }

    /// Height and width in pixels, if it is decoded.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        self.size.get()?.as_ref().ok().copied()
    }

    /// The pixels, unless they are no longer needed.
    pub(super) fn picture(&self) -> Option<Arc<Picture>> {
        held(&self.picture).clone()
    }

    /// What a network sees in it, if that is known.
    pub(super) fn seen(&self, look: usize) -> Option<Arc<Features>> {
        held(&self.seen).get(look)?.clone()
    }

    pub(super) fn remember(&self, look: usize, features: Arc<Features>) {
        let mut seen = held(&self.seen);
        if seen.len() <= look {
            seen.resize(look + 1, None);
        }
        seen[look] = Some(features);
    }

    pub(super) fn forget_pixels(&self) {
        *held(&self.picture) = None;
    }

    /// Whether another pair has asked for it too.
    pub(super) fn is_shared(&self) -> bool {
        self.uses.load(Ordering::Relaxed) > 1
    }

    /// Bytes of all that it holds.
    pub(super) fn bytes(&self) -> usize {
        let pixels = held(&self.picture).as_ref().map_or(0, |picture| picture.size_in_bytes());
        pixels + held(&self.seen).iter().flatten().map(|features| features.size_in_bytes()).sum::<usize>()
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these is whole after each single change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slots by their files' names, the least recently used of those that are kept going first.
#[derive(Debug)]
pub(super) struct Slots {
    known: HashMap<Arc<Path>, Weak<Slot>>,
    kept: HashMap<Arc<Path>, Kept>,
    /// The names of what is kept, by when it was used last.
    order: BTreeMap<u64, Arc<Path>>,
    clock: u64,
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct Kept {
    slot: Arc<Slot>,
    bytes: usize,
    used: u64,
}

impl Slots {
    /// At most so many bytes are kept.
    pub(super) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), kept: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0, limit }
    }

    /// The slot of a file, for one more pair.
    pub(super) fn get(&mut self, name: &Arc<Path>) -> Arc<Slot> {
        let kept = self.touch(name);
        let slot = kept.or_else(|| self.known.get(name)?.upgrade()).unwrap_or_else(|| {
            // Names of what is gone are swept out now and then.
            if self.known.len() >= 1024 && self.known.len().is_power_of_two() {
                self.known.retain(|_, slot| slot.strong_count() > 0);
            }
            let slot = Arc::<Slot>::default();
            self.known.insert(name.clone(), Arc::downgrade(&slot));
            slot
        });
        slot.uses.fetch_add(1, Ordering::Relaxed);
        slot
    }

    /// Keeps a slot as it is now, as far as there is room.
    pub(super) fn keep(&mut self, name: &Arc<Path>, slot: &Arc<Slot>) {
        self.clock += 1;
        let kept = Kept { slot: slot.clone(), bytes: slot.bytes(), used: self.clock };
        self.bytes += kept.bytes;
        self.order.insert(self.clock, name.clone());
        if let Some(before) = self.kept.insert(name.clone(), kept) {
            self.bytes -= before.bytes;
            self.order.remove(&before.used);
        }
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some(gone) = self.kept.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
    }

    /// What is kept of this name, which is used now.
    fn touch(&mut self, name: &Arc<Path>) -> Option<Arc<Slot>> {
        let kept = self.kept.get_mut(name)?;
        self.clock += 1;
        self.order.remove(&kept.used);
        self.order.insert(self.clock, name.clone());
        kept.used = self.clock;
        Some(kept.slot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: usize) -> Arc<Path> {
        Arc::from(Path::new(&i.to_string()))
    }

    fn loaded(slots: &mut Slots, i: usize) -> Arc<Slot> {
        let slot = slots.get(&name(i));
        slot.load(|| Picture::from_rgb8(2, 5, vec![i as u8; 30]).map_err(|error| error.to_string())).unwrap();
        slot
    }

    #[test]
    fn what_was_used_last_is_kept_within_the_limit() {
        let mut slots = Slots::new(100);
        for i in 0..3 {
            let slot = loaded(&mut slots, i);
            slots.keep(&name(i), &slot);
        }
        // The first is used again, so that the second goes.
        drop(slots.get(&name(0)));
        let slot = loaded(&mut slots, 3);
        slots.keep(&name(3), &slot);
        drop(slot);
        assert_eq!(slots.bytes, 90);
        assert!([0, 2, 3].iter().all(|i| slots.get(&name(*i)).picture().is_some()));
        assert!(slots.get(&name(1)).picture().is_none(), "a new one");
        // Kept again it counts once.
        let slot = slots.get(&name(3));
        slots.keep(&name(3), &slot);
        assert_eq!((slots.bytes, slots.order.len()), (90, 3));
    }

    #[test]
    fn a_picture_is_decoded_once_while_it_is_held() {
        let mut slots = Slots::new(0);
        let first = loaded(&mut slots, 7);
        assert!(!first.is_shared());
        let second = slots.get(&name(7));
        assert!(second.is_shared());
        assert_eq!(second.load(|| Err("decoded again".to_string())), Ok((5, 2)));
        drop((first, second));
        assert_eq!(slots.get(&name(7)).load(|| Err("gone".to_string())), Err("gone".to_string()));
    }

    #[test]
    fn names_of_what_is_gone_do_not_pile_up() {
        let mut slots = Slots::new(0);
        for i in 0..10_000 {
            drop(slots.get(&name(i)));
        }
        assert!(slots.known.len() <= 1025, "{}", slots.known.len());
    }
}
