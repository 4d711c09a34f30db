//! Downloads from the Hugging Face hub, into the cache that Python's `huggingface_hub` uses too.
//!
//! `hf-hub` gives the cache's layout; the transfer is our own (see [`crate::transfer`]), as that of `hf-hub` draws progress bars.
//! A file is moved into the cache only after its contents were accepted.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use super::archive::LARGEST_FILE;
use super::progress::Progress;
use crate::arch::HubFile;
use crate::error::{Error, Result};
use crate::hash::hex;
use crate::transfer::{Failure, Transfer};

/// The hub unless `HF_ENDPOINT` names another.
const ENDPOINT: &str = "https://huggingface.co";

/// The hub and its cache on this machine.
#[derive(Clone)]
pub(super) struct Hub {
    endpoint: Option<String>,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    stall: Duration,
    pause: Duration,
    progress: Option<Progress>,
}

impl Hub {
    /// The hub as the environment describes it: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`,
    /// and `HF_HUB_DOWNLOAD_TIMEOUT` for the seconds without a byte after which a server counts as stalled.
    pub(super) fn from_env(progress: Option<Progress>) -> Self {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        // hf-hub panics where it has to guess the cache's place and there is no home folder.
        let home = env("HF_HOME").is_some() || std::env::home_dir().is_some();
        let cache = if home { Cache::from_env() } else { Cache::new(std::env::temp_dir().join("huggingface/hub")) };
        let seconds = env("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse::<f64>().ok());
        let on = |value: String| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Self {
            endpoint: env("HF_ENDPOINT").map(|endpoint| endpoint.trim_end_matches('/').to_string()),
            token: env("HF_TOKEN").map(|token| token.trim().to_string()).or_else(|| cache.token()),
            cache: env("HF_HUB_CACHE").map_or_else(|| cache.path().clone(), PathBuf::from),
            offline: env("HF_HUB_OFFLINE").is_some_and(on),
            stall: Duration::try_from_secs_f64(seconds.unwrap_or(20.0)).unwrap_or(Duration::from_secs(20)),
            pause: Duration::from_millis(500),
            progress,
        }
    }

    pub(super) fn offline(&self) -> bool {
        self.offline
    }

    fn repo(file: &HubFile) -> Repo {
        Repo::with_revision(file.repo.to_string(), RepoType::Model, file.revision.to_string())
    }

    /// The file in the cache, if this or another program has fetched it.
    pub(super) fn cached(&self, file: &HubFile) -> Option<PathBuf> {
        let cache = Cache::new(self.cache.clone()).repo(Self::repo(file));
        // A commit has no entry under refs/ when Python fetched it.
        let direct = cache.pointer_path(file.revision).join(file.file);
        cache.get(file.file).or_else(|| direct.exists().then_some(direct))
    }

    /// Fetches the file into the cache. `accept` checks the whole file before it is moved there, and its result is
    /// returned; a file that it refuses is deleted.
    pub(super) fn download<T>(&self, file: &HubFile, accept: impl Fn(&Path) -> Result<T>) -> Result<(PathBuf, T)> {
        let folder = Self::repo(file).folder_name();
        let (blobs, locks) = (self.cache.join(&folder).join("blobs"), self.cache.join(".locks").join(&folder));
        let slug = format!("{}-{}", file.revision, file.file).replace(['/', '\\'], "-");
        let lock = || {
            fs::create_dir_all(&blobs)?;
            fs::create_dir_all(&locks)?;
            let lock = File::create(locks.join(format!("{slug}.lock")))?;
            lock.lock()?;
            Ok(lock)
        };
        let _lock = lock().map_err(|error| self.unwritable(error))?;
        // Another process may have fetched it while this one waited for the lock.
        if let Some(path) = self.cached(file)
            && let Ok(value) = accept(&path)
        {
            return Ok((path, value));
        }
        let part = blobs.join(format!("{slug}.incomplete"));
        let mut resumed = part.exists();
        loop {
            let commit = self.fetch(file, &part)?;
            match accept(&part) {
                Ok(value) => {
                    let path = self.store(file, &part, &commit).map_err(|error| self.unwritable(error))?;
                    return Ok((path, value));
                }
                Err(error) => {
                    fs::remove_file(&part).map_err(|error| self.unwritable(error))?;
                    if !resumed {
                        let reason = match &error {
                            Error::WeightsFile { reason, .. } => reason.clone(),
                            other => other.to_string(),
                        };
                        let reason = format!("what was sent {reason}; it was not kept");
                        return Err(Error::Download { url: self.url(file), reason, source: Some(error.into()) });
                    }
                    // The part of an earlier run may have been the beginning of another version.
                    resumed = false;
                }
            }
        }
    }

    fn unwritable(&self, source: io::Error) -> Error {
        Error::UnwritableCache { path: self.cache.clone(), source }
    }

    fn url(&self, file: &HubFile) -> String {
        let endpoint = self.endpoint.as_deref().unwrap_or(ENDPOINT);
        format!("{endpoint}/{}/resolve/{}/{}", file.repo, file.revision.replace('/', "%2F"), file.file)
    }

    /// Downloads the whole file into `part`, resuming an earlier attempt. Returns the commit it belongs to.
    fn fetch(&self, file: &HubFile, part: &Path) -> Result<String> {
        let url = self.url(file);
        let transfer = Transfer {
            url: &url,
            part,
            version: None,
            token: self.token.as_deref(),
            largest: LARGEST_FILE,
            secure: false,
            stall: self.stall,
            pause: self.pause,
            stop: &AtomicBool::new(false),
        };
        let headers = transfer.fetch(&mut |position, total| {
            if let Some(progress) = &self.progress {
                progress(file.file, position, total);
            }
        });
        let headers = headers.map_err(|failure| match failure {
            Failure::Write(error) => self.unwritable(error),
            failure => {
                let reason = match &failure {
                    Failure::Access(status) => {
                        format!("access was refused ({status}); a token can be given in HF_TOKEN")
                    }
                    Failure::TooLarge(_) => "what the server sends is over 2 GB: no weights".to_string(),
                    other => other.to_string(),
                };
                Error::Download { url: url.clone(), reason, source: Some(failure.into()) }
            }
        })?;
        let commits = headers.get_all("x-repo-commit").iter().filter_map(|commit| commit.to_str().ok());
        // A folder's name in the cache: nothing but a commit's digits is taken.
        let mut commits = commits.filter(|commit| commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()));
        Ok(commits.next().unwrap_or(file.revision).to_string())
    }

    /// Moves a finished file into the cache: the contents under their hash, and a link with the file's name.
    fn store(&self, file: &HubFile, part: &Path, commit: &str) -> io::Result<PathBuf> {
        let sha256 = hash(part)?;
        let cache = Cache::new(self.cache.clone()).repo(Self::repo(file));
        let contents = self.cache.join(Self::repo(file).folder_name()).join("blobs").join(&sha256);
        fs::rename(part, &contents)?;
        let pointer = cache.pointer_path(commit).join(file.file);
        let parent = pointer.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent)?;
        let depth = Path::new(file.file).components().count() + 1;
        let blob: PathBuf = std::iter::repeat_n("..", depth).collect::<PathBuf>().join("blobs").join(&sha256);
        // Written beside its place and then renamed, so that the name never denotes a partial file.
        let fresh = parent.join(format!(".{sha256}.{}", std::process::id()));
        link(&blob, &contents, &fresh)?;
        fs::rename(&fresh, &pointer)?;
        cache.create_ref(commit)?;
        Ok(pointer)
    }
}

#[cfg(unix)]
fn link(relative: &Path, _absolute: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(relative, at)
}

#[cfg(not(unix))]
fn link(_relative: &Path, absolute: &Path, at: &Path) -> io::Result<()> {
    fs::copy(absolute, at).map(|_| ())
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests;
