//! Pairs and triplets of pictures to be compared.

use std::path::Path;
use std::sync::Arc;

use lpips_core::Picture;

/// A picture to be compared: a file, or a decoded frame.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, not opened yet.
    File(Arc<Path>),
    /// A frame of a video with its name, or the reason that it can't be decoded.
    Frame(Arc<Path>, Result<Arc<Picture>, String>),
}

impl Input {
    /// The name in results.
    pub fn name(&self) -> &Path {
        match self {
            Self::File(name) | Self::Frame(name, _) => name,
        }
    }
}

/// A pair or triplet, and the index of its row in the results.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Index of the row, counted from 0 over all shards.
    pub index: u64,
    /// The reference.
    pub reference: Input,
    /// The picture that is compared with the reference.
    pub candidate: Input,
    /// The second candidate of a triplet, compared with the same reference.
    pub second: Option<Input>,
}
