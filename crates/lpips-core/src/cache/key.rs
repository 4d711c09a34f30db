//! Keys of cache entries.

use std::fmt;

use candle_core::Device;
use lpips_models::ops::Level;
use sha2::{Digest, Sha256};

use super::precision::Precision;
use crate::error::Result;
use crate::image::{Picture, Pixels};
use crate::lpips::Lpips;
use crate::size::Size;

/// Version of the entries: raised when a change computes other bits for the same pictures, or writes entries in another
/// form.
const FORMAT: u32 = 1;

/// SHA-256 over pixels, network, weights, taps, type and batch mode: the key of a picture's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    hash: [u8; 32],
    size: Size,
}

impl Key {
    /// Size of the picture.
    pub(super) fn size(&self) -> Size {
        self.size
    }
}

impl fmt::Display for Key {
    /// Writes 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Computes the keys of pictures for one network. Made by [`FeatureCache::keyer`](super::FeatureCache::keyer).
///
/// The key is the SHA-256 of the network's name, weights, version, taps, type and kind of device (on the CPU the vector
/// instructions too), of this crate's version, of the entries' precision, and of the picture's size, bits and pixels.
/// Lin heads have no part in it: they come after the features.
#[derive(Debug, Clone)]
pub struct Keyer {
    /// Hash of everything but the picture.
    prefix: Sha256,
}

impl Keyer {
    pub(super) fn new(lpips: &Lpips, precision: Precision) -> Result<Self> {
        let backbone = lpips.backbone();
        let device = match lpips.device() {
            Device::Cpu => Level::current()?.name(),
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        let about = format!(
            "lpips features {FORMAT}\n{}\n{}\n{}\n{}\n{}\n{:?}\n{}\n{device}\n{precision:?}\n",
            env!("CARGO_PKG_VERSION"),
            backbone.network(),
            backbone.fingerprint()?,
            lpips.version(),
            lpips.tap_names().join(","),
            backbone.dtype(),
            backbone.is_batch_invariant(),
        );
        Ok(Self { prefix: Sha256::new_with_prefix(about) })
    }

    /// Key of a picture.
    pub fn key(&self, picture: &Picture) -> Key {
        let mut hash = self.prefix.clone();
        let bits = match picture.pixels() {
            Pixels::Eight(_) => 8,
            Pixels::Sixteen(_) => 16,
        };
        hash.update(format!("{} {bits}\n", picture.size()));
        match picture.pixels() {
            Pixels::Eight(values) => hash.update(values),
            Pixels::Sixteen(values) => {
                let mut bytes = Vec::with_capacity(1 << 16);
                for chunk in values.chunks(1 << 15) {
                    bytes.clear();
                    bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                    hash.update(&bytes);
                }
            }
        }
        Key { hash: hash.finalize().into(), size: picture.size() }
    }
}
