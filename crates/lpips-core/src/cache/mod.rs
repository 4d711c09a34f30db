//! What networks see in pictures, kept on disk from one run to the next.
//!
//! A picture that was met before, under whatever name, is not taken through the network again: a [`Keyer`] gives each
//! picture a key by its pixels and the network, and a [`FeatureCache`] holds features by their keys.
//!
//! ```
//! use candle_core::Device;
//! use lpips_core::cache::{FeatureCache, Precision};
//! use lpips_core::{Images, Lpips, Network, Picture};
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
//!     None => {
//!         let (values, range) = picture.to_values(&Device::Cpu)?;
//!         cache.put(&key, &lpips.features(Images::new(&values, range))?)?
//!     }
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
//! Several threads and several processes may use one folder at once. When the entries take more than the limit, those
//! go that were not used for longest, until four fifths of the limit are left; as each process looks at what the others
//! have stored only after a twentieth of the limit, the folder may be larger by that much for each of them for a while.
//!
//! The numbers are those that were put in, bit for bit, at [`Precision::F32`]. Which numbers a network computes
//! depends, in the last bits, on the number of pictures that it is given at once (see [`Lpips::features`]).

mod entry;
mod eviction;
mod key;
#[cfg(test)]
mod tests;

pub use key::{Key, Keyer};

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use candle_core::Tensor;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::image::{self, ErrorText};
use crate::lpips::{Features, Lpips};
use crate::size::Size;
use entry::{Entry, Shape, Trouble};
use eviction::Usage;

/// How an entry's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As f32: as they were computed.
    #[default]
    F32,
    /// As f16, in half the space: distances change, by less than 4e-5 on the pictures that were tried. An entry with a
    /// number that f16 does not reach, above 65,504, is stored as f32.
    F16,
}

/// Features on disk; see the [module](self).
#[derive(Debug)]
pub struct FeatureCache {
    folder: PathBuf,
    limit: u64,
    precision: Precision,
    room: Mutex<Usage>,
    hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    /// Whether the log says already that an entry could not be stored.
    has_warned: AtomicBool,
}

/// What a cache has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Pictures whose features were there.
    pub hits: u64,
    /// Pictures whose features were not there, or damaged.
    pub misses: u64,
    /// Entries that were stored.
    pub stored: u64,
    /// Bytes of all entries in the folder, as far as is known: other processes may have stored and removed some of
    /// late.
    pub bytes: u64,
}

impl FeatureCache {
    /// A cache of at most `limit_bytes` in a folder, which is made where it is not there. Entries of earlier runs are
    /// kept, as far as they fit.
    ///
    /// # Errors
    /// A folder that can't be made, read or written to.
    pub fn open(folder: impl Into<PathBuf>, limit_bytes: u64, precision: Precision) -> Result<Self> {
        let folder = folder.into();
        let fail = |what: &str, error: &io::Error| {
            let error = error.error_text();
            let reason =
                format!("can't be {what} as a cache of features ({error}): name a folder that can be written to");
            Error::Cache { path: folder.clone(), reason }
        };
        if folder.is_file() {
            let reason = "is a file: expected a folder for the cache of features, which is made if it is not there";
            return Err(Error::Cache { path: folder, reason: reason.to_string() });
        }
        fs::create_dir_all(&folder).map_err(|error| fail("made", &error))?;
        unfinished(&folder).map_err(|error| fail("written to", &error))?;
        let room = Usage::open(&folder, limit_bytes).map_err(|error| fail("read", &error))?;
        Ok(Self {
            folder,
            limit: limit_bytes,
            precision,
            room: Mutex::new(room),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
        })
    }

    /// What gives pictures their keys for this network. To be made once, as it reads all weights, and anew when these
    /// change.
    ///
    /// # Errors
    /// Those of candle: a device that can't be read from.
    pub fn keyer(&self, lpips: &Lpips) -> Result<Keyer> {
        Keyer::new(lpips, self.precision)
    }

    /// What `lpips` sees in the picture of a key that was made for it, if that is here. The entry counts as used.
    ///
    /// A damaged entry is removed, with a line in the log, and as good as not there.
    pub fn get(&self, key: &Key, lpips: &Lpips) -> Option<Features> {
        let features = self.read(key, lpips);
        let counter = if features.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        features
    }

    fn read(&self, key: &Key, lpips: &Lpips) -> Option<Features> {
        let (height, width) = key.size();
        let layers = lpips.backbone().layers(1, height, width).ok()?;
        let tapped = layers.iter().filter(|layer| layer.tapped);
        let shapes: Vec<Shape> = tapped.map(|layer| (layer.name, layer.output)).collect();
        let path = self.path(key);
        let taps = File::open(&path).map_err(Trouble::from);
        let taps = match taps.and_then(|file| entry::read(file, key, &shapes, self.precision)) {
            Ok(taps) => taps,
            Err(Trouble::Unreadable(error)) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!("{}: can't be read from the cache: {error}", path.display());
                }
                return None;
            }
            Err(Trouble::Damaged) => {
                tracing::warn!("{}: is damaged: removed from the cache, to be computed anew", path.display());
                drop(fs::remove_file(&path));
                return None;
            }
        };
        let tensor = |(values, (_, shape)): (Vec<f32>, &(_, [usize; 4]))| {
            Tensor::from_vec(values, shape, lpips.device())?.to_dtype(lpips.backbone().dtype())
        };
        let taps = taps.into_iter().zip(&shapes).map(tensor).collect::<candle_core::Result<_>>();
        let taps = taps.inspect_err(|error| tracing::debug!("features can't be taken from the cache: {error}")).ok()?;
        // What can't be marked, in somebody else's folder, is still good.
        drop(File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now())));
        Some(Features { taps, size: (height, width), maker: lpips.maker() })
    }

    /// Stores what the network of the key sees in the one picture of the key, and gives it as [`Self::get`] is going
    /// to: with that, it makes no difference to a distance whether a picture was in the cache.
    ///
    /// What can't be stored, on a full disk for one, is left out, with one line in the log for all; what is larger than
    /// the limit, or holds NaN or infinity, is left out too.
    ///
    /// # Errors
    /// Features of several pictures or of a picture of another size, and those of candle: a device that can't be read
    /// from.
    pub fn put(&self, key: &Key, features: &Features) -> Result<Features> {
        let (height, width) = key.size();
        if features.batch() != 1 || features.size() != (Size { width, height }) {
            return Err(Error::Input(format!(
                "features of {} pictures of {} pixels were given to a cache: expected one of {width}x{height}",
                features.batch(),
                features.size()
            )));
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
                self.room().add(&self.folder, entry.length(), replaced);
            }
            Err(error) if self.has_warned.swap(true, Ordering::Relaxed) => {
                tracing::debug!("an entry can't be stored in the cache: {error}");
            }
            Err(error) => {
                let error = error.error_text();
                tracing::warn!("{}: features can't be kept here, going on without: {error}", self.folder.display());
            }
        }
    }

    fn room(&self) -> MutexGuard<'_, Usage> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an entry whole or not at all; gives the bytes of what was there before. One that a broken machine leaves
    /// torn is told by its checksum.
    fn write(&self, path: &Path, entry: &Entry) -> io::Result<u64> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let file = unfinished(folder)?;
        entry.write_to(file.as_file())?;
        // The system's own times are too coarse to order entries by.
        file.as_file().set_modified(SystemTime::now())?;
        let replaced = fs::metadata(path).map_or(0, |metadata| metadata.len());
        file.persist(path)?;
        Ok(replaced)
    }

    /// What was done since the cache was opened, and what it holds.
    pub fn stats(&self) -> Stats {
        Stats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            bytes: self.room().held(),
        }
    }

    /// The file of a key's entry.
    pub fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.folder.join(&name[..2]).join(name + eviction::EXTENSION)
    }
}

/// A new file, removed when it is dropped before it has got its name.
fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    image::temporary().prefix(eviction::UNFINISHED).tempfile_in(folder)
}
