//! Where weights come from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Archive, Weights};
use crate::Network;
use crate::arch::Published;
use crate::error::{Error, Result};

/// Where a network's weights came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file that was asked for by path.
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
    /// Made up from a seed; see [`Weights::random`].
    Random(u64),
}

impl Origin {
    /// The file, unless the weights are bundled or made up.
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
            Self::Random(seed) => write!(f, "made up (seed {seed})"),
        }
    }
}

/// A callback for the progress of a download: the file's name, the bytes that have arrived, and how many there will be where
/// the server says so.
pub type Progress = Arc<dyn Fn(&str, u64, Option<u64>) + Send + Sync>;

/// Looks for a network's official weights in the usual places.
#[derive(Clone)]
pub struct Finder {
    folder: Option<PathBuf>,
    torch_cache: Option<PathBuf>,
    download: bool,
    progress: Option<Progress>,
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder")
            .field("folder", &self.folder)
            .field("torch_cache", &self.torch_cache)
            .field("download", &self.download)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

impl Default for Finder {
    /// The places that the environment names: `LPIPS_WEIGHTS_DIR`; `TORCH_HOME`, `XDG_CACHE_HOME` or the home folder for
    /// PyTorch's cache; `HF_HUB_CACHE`, `HF_HOME` or the home folder for the Hugging Face cache; and a download, unless
    /// `HF_HUB_OFFLINE` is set.
    fn default() -> Self {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let torch = env("TORCH_HOME").or_else(|| {
            let cache = env("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
            cache.map(|cache| cache.join("torch"))
        });
        Self {
            folder: env("LPIPS_WEIGHTS_DIR"),
            torch_cache: torch.map(|torch| torch.join("hub").join("checkpoints")),
            download: true,
            progress: None,
        }
    }
}

impl Finder {
    /// Looks for PyTorch's downloads in `folder`, in place of the one that the environment names.
    #[must_use]
    pub fn torch_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.torch_cache = Some(folder.into());
        self
    }

    /// Calls `progress` while a file is downloaded: about every 64 KiB, the last time with all bytes.
    #[must_use]
    pub fn on_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Never downloads.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.download = false;
        self
    }

    /// Looks into `folder` first, in place of what `LPIPS_WEIGHTS_DIR` names.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The official weights of `network` from the first place that has them.
    ///
    /// # Errors
    /// The folder that was named (`LPIPS_WEIGHTS_DIR`) is none, or its file for this network is damaged or not official; or
    /// no place has the weights, and then the message says which places were tried and where to put which file.
    pub fn find(&self, network: Network) -> Result<Weights> {
        let arch = network.architecture();
        let Some(published) = arch.published else {
            let message = format!(
                "no hash of {}'s official weights is known, so they are not looked for: give a file by path",
                arch.id
            );
            return Err(Error::NoWeights { message, unusable: false });
        };
        if let Some(weights) = self.in_folder(network, &published)? {
            return Ok(weights);
        }
        if let Some(weights) = bundled(network)? {
            return Ok(weights);
        }
        let mut tried = Tried::default();
        if let Some(path) = self.torch_cache.as_ref().map(|cache| cache.join(published.torchvision))
            && path.exists()
        {
            match official(network, &path) {
                Ok(weights) => return Ok(Weights { origin: Origin::TorchCache(path), ..weights }),
                Err(error) => {
                    tracing::warn!("passing over PyTorch's cached weights: {error}");
                    tried.found(&error);
                }
            }
        }
        self.on_hub(network, &published, tried)
    }

    fn in_folder(&self, network: Network, published: &Published) -> Result<Option<Weights>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        if !folder.is_dir() {
            return Err(Error::file(
                folder,
                "is no folder, but weights were to be looked for there (LPIPS_WEIGHTS_DIR)",
            ));
        }
        let names = [format!("{}.safetensors", network.architecture().id), published.torchvision.to_string()];
        let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok()) else {
            return Ok(None);
        };
        let weights = official(network, &path)?;
        Ok(Some(Weights { origin: Origin::Folder(path), ..weights }))
    }

    #[cfg(feature = "hub")]
    fn on_hub(&self, network: Network, published: &Published, mut tried: Tried) -> Result<Weights> {
        use super::hub::Hub;
        let hub = Hub::from_env(self.progress.clone());
        for file in published.hub {
            let Some(path) = hub.cached(file) else { continue };
            match official(network, &path) {
                Ok(weights) => return Ok(Weights { origin: Origin::HubCache(path), ..weights }),
                Err(error) => {
                    tracing::warn!("passing over cached weights: {error}");
                    tried.found(&error);
                }
            }
        }
        if !self.download || hub.offline() {
            tried.reasons.push("downloads are switched off".to_string());
        } else {
            for file in published.hub {
                match hub.download(file, |path| official(network, path)) {
                    Ok((path, weights)) => return Ok(Weights { origin: Origin::Download(path), ..weights }),
                    Err(error) => {
                        tracing::debug!("{error}");
                        tried.reasons.push(error.to_string());
                    }
                }
            }
        }
        Err(self.not_found(network, published, &tried))
    }

    #[cfg(not(feature = "hub"))]
    fn on_hub(&self, network: Network, published: &Published, mut tried: Tried) -> Result<Weights> {
        if self.download {
            tried.reasons.push("this build has no downloads (feature `hub`)".to_string());
        }
        Err(self.not_found(network, published, &tried))
    }

    fn not_found(&self, network: Network, published: &Published, tried: &Tried) -> Error {
        let torch = self.torch_cache.as_ref().map_or_else(
            || "PyTorch's cache".to_string(),
            |cache| cache.join(published.torchvision).display().to_string(),
        );
        let reasons = if tried.reasons.is_empty() { String::new() } else { format!(" ({})", tried.reasons.join("; ")) };
        let message = format!(
            "the weights of {network} are not on this machine{reasons}: put {}.safetensors into a folder and name it in \
             LPIPS_WEIGHTS_DIR, or put torchvision's file at {torch}",
            network.architecture().id
        );
        Error::NoWeights { message, unusable: tried.unusable }
    }
}

/// Why the places tried so far gave nothing.
#[derive(Default)]
struct Tried {
    reasons: Vec<String>,
    /// Whether one had weights that can't be used.
    unusable: bool,
}

impl Tried {
    fn found(&mut self, error: &Error) {
        self.reasons.push(error.to_string());
        self.unusable = true;
    }
}

#[cfg(feature = "bundled")]
const ALEXNET: Option<&[u8]> = Some(include_bytes!("../../weights/alexnet.safetensors"));
#[cfg(not(feature = "bundled"))]
const ALEXNET: Option<&[u8]> = None;

fn bundled(network: Network) -> Result<Option<Weights>> {
    let Some(bytes) = ALEXNET.filter(|_| network == Network::AlexNet) else { return Ok(None) };
    let archive = Archive::from_static("alexnet.safetensors (bundled)", bytes)?;
    // Part of the program, and checked by its tests: no need to hash at every start.
    let tensors = super::verify::complete(network, &archive, network.architecture().features.len() - 1)?;
    Ok(Some(Weights { network, tensors, origin: Origin::Bundled, sha256: None }))
}

/// The weights in `path`, if they are the official ones.
fn official(network: Network, path: &Path) -> Result<Weights> {
    let weights = Weights::from_archive(network, &Archive::open(path)?)?;
    if weights.is_official() == Some(false) {
        let reason = format!(
            "holds other numbers than {}'s official weights (SHA-256 of the tensors {}): to use it all the same, ask for \
             it by path",
            network.architecture().id,
            weights.sha256()
        );
        return Err(Error::file(path, reason));
    }
    Ok(weights)
}
