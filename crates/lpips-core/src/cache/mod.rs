//! On-disk cache of features, shared by runs and processes.
//!
//! A picture that was cached before, under any name, does not go through the network again: a [`Keyer`] computes a key
//! of its pixels and the network, and a [`FeatureCache`] stores features by their keys.
//!
//! ```
//! use lpips_core::cache::{FeatureCache, Precision};
//! use lpips_core::{Lpips, Network, Picture};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let lpips = Lpips::new(Network::AlexNet)?;
//! let cache = FeatureCache::open(folder, 10_000_000_000, Precision::F32)?;
//! let keyer = cache.keyer(&lpips)?;
//!
//! let picture = Picture::from_rgb8(64, 64, vec![128; 64 * 64 * 3])?;
//! let key = keyer.key(&picture);
//! let features = match cache.get(&key, &lpips) {
//!     Some(features) => features,
//!     None => cache.put(&key, &lpips.features(&picture)?)?,
//! };
//! # assert_eq!(features.batch(), 1);
//! # assert!(cache.get(&key, &lpips).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An entry is a safetensors file, `ab/abcd….safetensors` by the key's hex, with the taps of one picture, (1, H', W',
//! C), and a checksum. At 256x256 pixels it takes 2.6 MB for AlexNet, 8.8 MB for SqueezeNet and 32.0 MB for VGG-16, and
//! half of that at [`Precision::F16`].
//!
//! Several threads and several processes may use one folder at once. When the entries take more than the limit, the
//! least recently used are evicted, down to four fifths of the limit; as each process counts the entries of the others
//! only after storing a twentieth of the limit, the folder may be larger by that much for each of them for a while.
//!
//! The numbers are those that were stored, bit for bit, at [`Precision::F32`]. The last bits that a network computes
//! depend on the number of pictures in its batch (see [`Lpips::features`]).

mod entry;
mod eviction;
mod key;
mod precision;
#[cfg(test)]
mod tests;

pub use key::{Key, Keyer};
pub use precision::Precision;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::files;
use crate::lpips::Lpips;
use entry::{Entry, ReadError, Shape};
use eviction::Usage;

/// Features on disk by key; see the [module](self) for an example.
#[derive(Debug)]
pub struct FeatureCache {
    folder: PathBuf,
    limit: u64,
    precision: Precision,
    usage: Mutex<Usage>,
    hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    /// Whether the warning that an entry could not be stored was logged.
    has_warned: AtomicBool,
}

/// Statistics of a cache since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Pictures with a cached entry.
    pub hits: u64,
    /// Pictures without one, or with a damaged one.
    pub misses: u64,
    /// Entries stored.
    pub stored: u64,
    /// Bytes of all entries in the folder at the last count: other processes may have stored and evicted some since.
    pub bytes: u64,
}

impl FeatureCache {
    /// Opens a cache of at most `limit_bytes` in a folder, which is created if missing. Entries of earlier runs stay,
    /// as far as they fit.
    ///
    /// # Errors
    /// [`Error::Cache`]: a folder that can't be created, read or written to.
    pub fn open(folder: impl Into<PathBuf>, limit_bytes: u64, precision: Precision) -> Result<Self> {
        let folder = folder.into();
        let fail = |what: &str, error: io::Error| {
            let reason = files::reason(&error);
            let reason =
                format!("can't be {what} as a cache of features ({reason}): name a folder that can be written to");
            Error::Cache { path: folder.clone(), reason, source: Some(error) }
        };
        if folder.is_file() {
            let reason = "is a file: expected a folder for the cache of features, which is made if it is not there";
            return Err(Error::Cache { path: folder, reason: reason.to_string(), source: None });
        }
        fs::create_dir_all(&folder).map_err(|error| fail("made", error))?;
        files::begin(&folder).map_err(|error| fail("written to", error))?;
        let usage = Usage::open(&folder, limit_bytes).map_err(|error| fail("read", error))?;
        Ok(Self {
            folder,
            limit: limit_bytes,
            precision,
            usage: Mutex::new(usage),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
        })
    }

    /// Keyer of pictures for this network. To be created once, as it hashes all weights, and again when these change.
    ///
    /// # Errors
    /// A device that can't be read from.
    pub fn keyer(&self, lpips: &Lpips) -> Result<Keyer> {
        Keyer::new(lpips, self.precision)
    }

    /// Cached features of the picture of a key, which must come from a keyer of `lpips`. The entry counts as used.
    ///
    /// A damaged entry is removed, with a line in the log, and is a miss.
    pub fn get(&self, key: &Key, lpips: &Lpips) -> Option<Features> {
        let features = self.read(key, lpips);
        let counter = if features.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        features
    }

    fn read(&self, key: &Key, lpips: &Lpips) -> Option<Features> {
        let size = key.size();
        let layers = lpips.backbone().layers(1, size.height, size.width).ok()?;
        let tapped = layers.iter().filter(|layer| layer.tapped);
        let shapes: Vec<Shape> = tapped.map(|layer| (layer.name, layer.output)).collect();
        let path = self.path(key);
        let taps = File::open(&path).map_err(ReadError::from);
        let taps = match taps.and_then(|file| entry::read(file, key, &shapes, self.precision)) {
            Ok(taps) => taps,
            Err(ReadError::Unreadable(error)) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!("{}: can't be read from the cache: {error}", path.display());
                }
                return None;
            }
            Err(ReadError::Damaged) => {
                tracing::warn!("{}: is damaged: removed from the cache, to be computed again", path.display());
                drop(fs::remove_file(&path));
                return None;
            }
        };
        let tensor = |(values, (_, shape)): (Vec<f32>, &(_, [usize; 4]))| {
            Tensor::from_vec(values, shape, lpips.device())?.to_dtype(lpips.backbone().dtype())
        };
        let taps = taps.into_iter().zip(&shapes).map(tensor).collect::<candle_core::Result<_>>();
        let taps = taps.inspect_err(|error| tracing::debug!("features can't be taken from the cache: {error}")).ok()?;
        // An entry that can't be marked as used, in a read-only folder, is still good.
        drop(File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now())));
        Some(Features { taps, size, spec: lpips.spec() })
    }

    /// Stores the features of the picture of the key, and returns them as [`Self::get`] will: with these, a distance
    /// does not depend on whether the picture was cached.
    ///
    /// An entry that can't be stored, on a full disk for one, is left out, with one line in the log for all; one that
    /// is larger than the limit, or holds NaN or infinity, is left out too.
    ///
    /// # Errors
    /// [`Error::CacheEntry`]: features of several pictures or of a picture of another size; a device that can't be read
    /// from.
    pub fn put(&self, key: &Key, features: &Features) -> Result<Features> {
        if features.batch() != 1 || features.size() != key.size() {
            let (pictures, size) = (features.batch(), features.size());
            return Err(Error::CacheEntry { pictures, size, expected: key.size() });
        }
        let Some(entry) = Entry::new(key, features, self.precision)? else { return Ok(features.clone()) };
        if entry.length() <= self.limit {
            self.store(key, &entry);
        }
        let Some(rounded) = entry.rounded()? else { return Ok(features.clone()) };
        let like = |(tap, given): (Tensor, &Tensor)| tap.to_dtype(given.dtype())?.to_device(given.device());
        let taps = rounded.into_iter().zip(&features.taps).map(like).collect::<candle_core::Result<_>>()?;
        Ok(Features { taps, ..features.clone() })
    }

    fn store(&self, key: &Key, entry: &Entry) {
        match self.write(&self.path(key), entry) {
            Ok(replaced) => {
                self.stored.fetch_add(1, Ordering::Relaxed);
                self.usage().add(&self.folder, entry.length(), replaced);
            }
            Err(error) if self.has_warned.swap(true, Ordering::Relaxed) => {
                tracing::debug!("an entry can't be stored in the cache: {error}");
            }
            Err(error) => {
                let reason = files::reason(&error);
                tracing::warn!("{}: features can't be cached here: {reason}", self.folder.display());
            }
        }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an entry whole or not at all, and returns the bytes of the one it replaces. There is no sync: an entry
    /// torn by a power failure is recognised by its checksum.
    fn write(&self, path: &Path, entry: &Entry) -> io::Result<u64> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let file = files::begin(folder)?;
        entry.write_to(file.as_file())?;
        // The system's own times are too coarse to order entries.
        file.as_file().set_modified(SystemTime::now())?;
        let replaced = fs::metadata(path).map_or(0, |metadata| metadata.len());
        file.persist(path)?;
        Ok(replaced)
    }

    /// Statistics since the cache was opened.
    pub fn stats(&self) -> Stats {
        Stats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            bytes: self.usage().held(),
        }
    }

    /// Path of a key's entry.
    pub fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.folder.join(&name[..2]).join(name + eviction::EXTENSION)
    }
}
