//! Download of BAPPS, the Berkeley-Adobe Perceptual Patch Similarity dataset (Zhang et al., 2018), from its authors'
//! three archives.

mod download;
mod parts;
mod unpack;

use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use download::{Counts, Fetch, Step};
pub use parts::{BASE, PARTS, Part};

/// Unpacks an archive of at most `largest` bytes into the folder `into`, which must not exist, and returns whether it
/// was accepted. For fuzzing.
#[doc(hidden)]
pub fn unpack_archive(archive: &Path, into: &Path, largest: u64) -> bool {
    unpack::unpack(archive, into, largest, &AtomicBool::new(false), &mut |_| {}).is_ok()
}
