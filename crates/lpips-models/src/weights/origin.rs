//! Origins of weights.

use std::fmt;
use std::path::{Path, PathBuf};

/// The origin of a network's weights.
///
/// ```
/// use lpips_models::weights::Origin;
///
/// assert_eq!(Origin::Bundled.to_string(), "bundled");
/// assert_eq!(Origin::Random(3).path(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file given by path.
    File(PathBuf),
    /// A file in the folder named by `LPIPS_WEIGHTS_DIR`.
    Folder(PathBuf),
    /// The binary itself.
    Bundled,
    /// PyTorch's hub cache.
    TorchCache(PathBuf),
    /// The Hugging Face cache, from an earlier download by this or another program.
    HubCache(PathBuf),
    /// A download from the Hugging Face hub, now in its cache.
    Download(PathBuf),
    /// Random numbers from a seed; see [`Weights::random`](super::Weights::random).
    Random(u64),
}

impl Origin {
    /// The file, unless the weights are bundled or random.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Bundled | Self::Random(_) => None,
            Self::File(path)
            | Self::Folder(path)
            | Self::TorchCache(path)
            | Self::HubCache(path)
            | Self::Download(path) => Some(path),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("bundled"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Folder(path) => write!(f, "{} (LPIPS_WEIGHTS_DIR)", path.display()),
            Self::TorchCache(path) => write!(f, "{} (PyTorch's cache)", path.display()),
            Self::HubCache(path) => write!(f, "{} (Hugging Face cache)", path.display()),
            Self::Download(path) => write!(f, "{} (downloaded)", path.display()),
            Self::Random(seed) => write!(f, "random (seed {seed})"),
        }
    }
}
