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

impl Pair {
    /// A pair of picture files.
    ///
    /// ```
    /// use lpips_bulk::source::pair::Pair;
    ///
    /// let pair = Pair::of_files(0, "truth/x.png", "renders/x.png");
    /// assert_eq!(pair.reference.name().to_str(), Some("truth/x.png"));
    /// ```
    pub fn of_files(index: u64, reference: impl AsRef<Path>, candidate: impl AsRef<Path>) -> Self {
        let file = |path: &Path| Input::File(Arc::from(path));
        Self { index, reference: file(reference.as_ref()), candidate: file(candidate.as_ref()), second: None }
    }
}
