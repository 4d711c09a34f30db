//! Decoded pictures and their features: shared by the pairs in flight, cached for later ones.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use lpips_core::{Features, Picture, Size};

/// Pictures whose features stay in memory for later pairs, and the bytes they may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePolicy {
    /// All pictures, for sources in which each is compared with many others.
    All(usize),
    /// Pictures that more than one pair in flight refers to.
    Repeated(usize),
}

impl CachePolicy {
    /// The bytes that cached pictures and features may take.
    pub fn limit(self) -> usize {
        match self {
            Self::All(limit) | Self::Repeated(limit) => limit,
        }
    }

    /// Whether an image is cached.
    pub(super) fn includes(self, image: &CachedImage) -> bool {
        match self {
            Self::All(limit) => limit > 0,
            Self::Repeated(limit) => limit > 0 && image.is_shared(),
        }
    }
}

/// A decoded picture and its features, shared by the pairs in flight.
///
/// It is decoded once and goes through each backbone once, as long as a pair or the cache refers to it.
#[derive(Debug, Default)]
pub(super) struct CachedImage {
    sizes: OnceLock<Result<Sizes, String>>,
    picture: Mutex<Option<Arc<Picture>>>,
    /// By backbone.
    features: Mutex<Vec<Option<Arc<Features>>>>,
    /// Number of pairs that have referred to it.
    uses: AtomicUsize,
}

/// Sizes of a decoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// As decoded from its file.
    pub(super) original: Size,
    /// As measured, after preprocessing.
    pub(super) measured: Size,
}

impl CachedImage {
    /// An image of a picture that needs no preprocessing.
    pub(super) fn of(picture: Picture) -> Arc<Self> {
        let image = Self::default();
        let original = picture.size();
        drop(image.load(|| Ok((picture, original))));
        Arc::new(image)
    }

    /// The sizes in pixels. The first call runs `decode`, which returns the preprocessed picture and its original size;
    /// concurrent calls wait for it. `decode` must not wait for other tasks of the thread pool, as these may load the
    /// same image.
    pub(super) fn load(&self, decode: impl FnOnce() -> Result<(Picture, Size), String>) -> Result<Sizes, String> {
        let decode = || {
            let (picture, original) = decode()?;
            let measured = picture.size();
            *lock(&self.picture) = Some(Arc::new(picture));
            Ok(Sizes { original, measured })
        };
        self.sizes.get_or_init(decode).clone()
    }

    /// The size in pixels as measured, once the picture is decoded.
    pub(super) fn size(&self) -> Option<Size> {
        Some(self.sizes.get()?.as_ref().ok()?.measured)
    }

    /// The pixels, unless they were dropped.
    pub(super) fn picture(&self) -> Option<Arc<Picture>> {
        lock(&self.picture).clone()
    }

    /// The features of a backbone, if they are known.
    pub(super) fn features(&self, backbone: usize) -> Option<Arc<Features>> {
        lock(&self.features).get(backbone)?.clone()
    }

    /// Stores the features of a backbone.
    pub(super) fn insert(&self, backbone: usize, features: Arc<Features>) {
        let mut all = lock(&self.features);
        if all.len() <= backbone {
            all.resize(backbone + 1, None);
        }
        all[backbone] = Some(features);
    }

    /// Drops the pixels of a picture whose features are all known.
    pub(super) fn drop_pixels(&self) {
        *lock(&self.picture) = None;
    }

    /// Whether more than one pair has referred to it.
    pub(super) fn is_shared(&self) -> bool {
        self.uses.load(Ordering::Relaxed) > 1
    }

    /// Bytes of its pixels and features.
    pub(super) fn size_in_bytes(&self) -> usize {
        let pixels = lock(&self.picture).as_ref().map_or(0, |picture| picture.size_in_bytes());
        pixels + lock(&self.features).iter().flatten().map(|features| features.size_in_bytes()).sum::<usize>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values behind these are whole after each single change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two images of one size to be compared.
#[derive(Debug, Clone)]
pub(super) struct ImagePair {
    pub(super) reference: Arc<CachedImage>,
    pub(super) candidate: Arc<CachedImage>,
    /// Whether its heat map is drawn.
    pub(super) wants_map: bool,
}

/// Images by their files' names, with a least-recently-used cache within a limit of bytes.
#[derive(Debug)]
pub(super) struct ImageCache {
    /// Images that a pair in flight may still refer to.
    in_flight: HashMap<Arc<Path>, Weak<CachedImage>>,
    cached: HashMap<Arc<Path>, Entry>,
    /// Names of the cached images by the time of their last use.
    order: BTreeMap<u64, Arc<Path>>,
    clock: u64,
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    image: Arc<CachedImage>,
    bytes: usize,
    used: u64,
}

impl ImageCache {
    /// A cache of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { in_flight: HashMap::new(), cached: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0, limit }
    }

    /// The image of a file, for one more pair.
    pub(super) fn get(&mut self, name: &Arc<Path>) -> Arc<CachedImage> {
        let cached = self.touch(name);
        let image = cached.or_else(|| self.in_flight.get(name)?.upgrade()).unwrap_or_else(|| {
            // Names of dropped images are removed from time to time.
            if self.in_flight.len() >= 1024 && self.in_flight.len().is_power_of_two() {
                self.in_flight.retain(|_, image| image.strong_count() > 0);
            }
            let image = Arc::<CachedImage>::default();
            self.in_flight.insert(name.clone(), Arc::downgrade(&image));
            image
        });
        image.uses.fetch_add(1, Ordering::Relaxed);
        image
    }

    /// Caches an image as it is now, and evicts those that were not used for longest.
    pub(super) fn insert(&mut self, name: &Arc<Path>, image: &Arc<CachedImage>) {
        self.clock += 1;
        let entry = Entry { image: image.clone(), bytes: image.size_in_bytes(), used: self.clock };
        self.bytes += entry.bytes;
        self.order.insert(self.clock, name.clone());
        if let Some(before) = self.cached.insert(name.clone(), entry) {
            self.bytes -= before.bytes;
            self.order.remove(&before.used);
        }
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some(evicted) = self.cached.remove(&oldest) {
                self.bytes -= evicted.bytes;
            }
        }
    }

    /// The cached image of this name, marked as used now.
    fn touch(&mut self, name: &Arc<Path>) -> Option<Arc<CachedImage>> {
        let entry = self.cached.get_mut(name)?;
        self.clock += 1;
        self.order.remove(&entry.used);
        self.order.insert(self.clock, name.clone());
        entry.used = self.clock;
        Some(entry.image.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: usize) -> Arc<Path> {
        Arc::from(Path::new(&i.to_string()))
    }

    fn loaded(cache: &mut ImageCache, i: usize) -> Arc<CachedImage> {
        let image = cache.get(&name(i));
        let decode = || {
            let picture = Picture::from_rgb8(2, 5, vec![i as u8; 30]).map_err(|error| error.to_string())?;
            Ok((picture, Size { width: 20, height: 50 }))
        };
        image.load(decode).unwrap();
        image
    }

    #[test]
    fn image_cache_evicts_the_least_recently_used_beyond_its_limit() {
        let mut cache = ImageCache::new(100);
        for i in 0..3 {
            let image = loaded(&mut cache, i);
            cache.insert(&name(i), &image);
        }
        // The first is used again, so that the second is evicted.
        drop(cache.get(&name(0)));
        let image = loaded(&mut cache, 3);
        cache.insert(&name(3), &image);
        drop(image);
        assert_eq!(cache.bytes, 90);
        assert!([0, 2, 3].iter().all(|i| cache.get(&name(*i)).picture().is_some()));
        assert!(cache.get(&name(1)).picture().is_none(), "a new one");
        // Inserted again it counts once.
        let image = cache.get(&name(3));
        cache.insert(&name(3), &image);
        assert_eq!((cache.bytes, cache.order.len()), (90, 3));
    }

    #[test]
    fn cached_image_is_decoded_once_while_referred_to_and_keeps_its_original_size() {
        let mut cache = ImageCache::new(0);
        let first = loaded(&mut cache, 7);
        assert!(!first.is_shared());
        let second = cache.get(&name(7));
        assert!(second.is_shared());
        let sizes = second.load(|| Err("decoded again".to_string())).unwrap();
        assert_eq!((sizes.original.to_string(), sizes.measured.to_string()), ("20x50".into(), "2x5".into()));
        drop((first, second));
        assert_eq!(cache.get(&name(7)).load(|| Err("gone".to_string())), Err("gone".to_string()));
    }

    #[test]
    fn image_cache_names_of_dropped_images_are_removed() {
        let mut cache = ImageCache::new(0);
        for i in 0..10_000 {
            drop(cache.get(&name(i)));
        }
        assert!(cache.in_flight.len() <= 1025, "{}", cache.in_flight.len());
    }
}
