//! The search for weights in the usual places.

use std::fmt;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::origin::Origin;
use super::progress::Progress;
use super::tensors::Weights;
use super::verify;
use crate::Network;
use crate::arch::Published;
use crate::error::{Error, Result};

/// Searches the usual places for a network's official weights.
///
/// ```
/// # #[cfg(feature = "bundled")] {
/// use lpips_models::Network;
/// use lpips_models::weights::Finder;
///
/// let weights = Finder::default().offline().find(Network::AlexNet)?;
/// assert_eq!(weights.is_official(), Some(true));
/// # }
/// # Ok::<(), lpips_models::Error>(())
/// ```
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
    /// The places that the environment names: `LPIPS_WEIGHTS_DIR`; `TORCH_HOME`, `XDG_CACHE_HOME` or the home folder
    /// for PyTorch's cache; `HF_HUB_CACHE`, `HF_HOME` or the home folder for the Hugging Face cache; and a download,
    /// unless `HF_HUB_OFFLINE` is set.
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
    /// Searches for PyTorch's downloads in `folder`, in place of the one that the environment names.
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

    /// Switches downloads off.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.download = false;
        self
    }

    /// Searches `folder` first, in place of the one that `LPIPS_WEIGHTS_DIR` names.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Finds the official weights of `network` in the first place that has them.
    ///
    /// # Errors
    /// The folder that was named (`LPIPS_WEIGHTS_DIR`) is none, or its file for this network is damaged or not
    /// official; or no place has the weights, and then the message says which places were tried and where to put which
    /// file.
    pub fn find(&self, network: Network) -> Result<Weights> {
        let arch = network.architecture();
        let Some(published) = arch.published else {
            return Err(Error::Unpublished { network: arch.id });
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
        Err(self.not_found(network, published, tried))
    }

    #[cfg(not(feature = "hub"))]
    fn on_hub(&self, network: Network, published: &Published, mut tried: Tried) -> Result<Weights> {
        if self.download {
            tried.reasons.push("this build has no downloads (feature `hub`)".to_string());
        }
        Err(self.not_found(network, published, tried))
    }

    fn not_found(&self, network: Network, published: &Published, tried: Tried) -> Error {
        let torch_file = self.torch_cache.as_ref().map_or_else(
            || "PyTorch's cache".to_string(),
            |cache| cache.join(published.torchvision).display().to_string(),
        );
        let file = format!("{}.safetensors", network.architecture().id);
        let Tried { reasons: tried, unusable } = tried;
        Error::NoWeights { network: network.name(), file, torch_file, tried, unusable }
    }
}

impl Weights {
    /// Finds the official weights of `network` in the first of the usual places that has them.
    ///
    /// Same as [`Finder::default`] and [`Finder::find`].
    ///
    /// # Errors
    /// No place has them (the message says which were tried and where to put which file), or a place that was named on
    /// purpose has something else.
    pub fn find(network: Network) -> Result<Self> {
        Finder::default().find(network)
    }
}

/// The reasons why the places tried so far were passed over.
#[derive(Default)]
struct Tried {
    reasons: Vec<String>,
    /// Whether a place had weights that can't be used.
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
    let tensors = verify::complete(network, &archive, network.architecture().features.len() - 1)?;
    Ok(Some(Weights { network, tensors, origin: Origin::Bundled, sha256: None }))
}

/// Reads the weights in `path`, and checks that they are the official ones.
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
