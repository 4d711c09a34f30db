//! What is measured: two pictures, and where they come from.

use std::path::Path;
use std::sync::Arc;

use lpips_core::Picture;

/// A picture to be measured.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, not looked at yet.
    File(Arc<Path>),
    /// A frame of a video, with its name, or why it can't be had.
    Frame(Arc<Path>, Result<Arc<Picture>, String>),
}

impl Input {
    /// What results call it.
    pub fn name(&self) -> &Path {
        match self {
            Self::File(name) | Self::Frame(name, _) => name,
        }
    }
}

/// Pictures to be measured, and the place of their distances among all results.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The number of the row, from 0 on, in the whole work: of all shards.
    pub index: u64,
    /// What the candidate is compared with.
    pub reference: Input,
    /// The picture compared.
    pub candidate: Input,
    /// Of a triplet the second candidate, compared with the same reference.
    pub second: Option<Input>,
}
