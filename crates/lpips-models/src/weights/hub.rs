//! Downloads from the Hugging Face hub, into the cache that Python's `huggingface_hub` uses too.
//!
//! `hf-hub` gives the cache's layout and the addresses; the transfer is our own, over the HTTP client that it brings: it
//! gives up on a server that stalls, goes on where a cut connection stopped, never joins parts of different files, and
//! moves a file into the cache only after its contents were accepted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use super::format::LARGEST_FILE;
use crate::arch::HubFile;
use crate::error::{Error, Result};

/// How often in a row a transfer may fail without having got any further.
const ATTEMPTS: u32 = 4;

/// The hub and its cache on this machine.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    endpoint: Option<String>,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    stall: Duration,
    pause: Duration,
}

/// Why one attempt ended, and whether another may help.
enum Failure {
    Final(String),
    Passing(String),
}

impl Hub {
    /// The hub as the environment describes it: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`, and
    /// `HF_HUB_DOWNLOAD_TIMEOUT` for the seconds without a byte after which a server counts as stalled.
    pub(super) fn from_env() -> Self {
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

    /// Fetches the file into the cache. `accept` looks at the whole file before it gets its place there, and what it makes
    /// of it is returned; a file that it refuses is deleted.
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
        let _lock = lock().map_err(|error| self.unwritable(&error))?;
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
                    let path = self.keep(file, &part, &commit).map_err(|error| self.unwritable(&error))?;
                    return Ok((path, value));
                }
                Err(error) => {
                    fs::remove_file(&part).map_err(|error| self.unwritable(&error))?;
                    if !resumed {
                        let reason = match error {
                            Error::WeightsFile { reason, .. } => reason,
                            other => other.to_string(),
                        };
                        let url = self.url(file);
                        return Err(Error::Download(format!("{url}: what was sent {reason}; it was not kept")));
                    }
                    // What an earlier run left behind may have been the beginning of another version.
                    resumed = false;
                }
            }
        }
    }

    fn unwritable(&self, error: &io::Error) -> Error {
        Error::Download(format!(
            "can't write to the Hugging Face cache {} ({error}): make room or make it writable, or name another folder in \
             HF_HUB_CACHE",
            self.cache.display()
        ))
    }

    fn url(&self, file: &HubFile) -> String {
        let cache = Cache::new(self.cache.clone());
        let mut api = ApiBuilder::from_cache(cache);
        if let Some(endpoint) = &self.endpoint {
            api = api.with_endpoint(endpoint.clone());
        }
        match api.build() {
            Ok(api) => api.repo(Self::repo(file)).url(file.file),
            Err(_) => format!("{}/resolve/{}/{}", file.repo, file.revision, file.file),
        }
    }

    /// Gets the whole file into `part`, going on where an earlier attempt stopped. Returns the commit it belongs to.
    fn fetch(&self, file: &HubFile, part: &Path) -> Result<String> {
        let url = self.url(file);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.stall))
            .timeout_recv_response(Some(self.stall))
            .timeout_per_read(Some(self.stall))
            .build();
        let agent = Agent::new_with_config(config);
        let bar = progress(file.file);
        let mut failures = 0;
        let mut farthest = fs::metadata(part).map_or(0, |metadata| metadata.len());
        loop {
            let reason = match self.attempt(&agent, &url, part, &bar) {
                Ok(commit) => {
                    bar.finish_and_clear();
                    return Ok(commit.unwrap_or_else(|| file.revision.to_string()));
                }
                Err(Failure::Final(reason)) => {
                    bar.finish_and_clear();
                    return Err(Error::Download(format!("{url}: {reason}")));
                }
                Err(Failure::Passing(reason)) => reason,
            };
            let after = fs::metadata(part).map_or(0, |metadata| metadata.len());
            // A server that alternates between sending a part and refusing the rest gets nowhere, and must not go on.
            failures = if after > farthest { 1 } else { failures + 1 };
            farthest = farthest.max(after);
            if failures >= ATTEMPTS {
                bar.finish_and_clear();
                return Err(Error::Download(format!("{url}: {reason} (tried {ATTEMPTS} times)")));
            }
            tracing::warn!("{url}: {reason}; trying again");
            std::thread::sleep(self.pause * 2u32.pow(failures - 1));
        }
    }

    fn attempt(&self, agent: &Agent, url: &str, part: &Path, bar: &ProgressBar) -> Result<Option<String>, Failure> {
        let io = |error: io::Error| Failure::Final(self.unwritable(&error).to_string());
        let mut target =
            OpenOptions::new().create(true).append(true).truncate(false).read(true).open(part).map_err(io)?;
        let have = target.metadata().map_err(io)?.len();
        let (response, commit) = self.request(agent, url, have)?;
        let headers = response.headers();
        let (start, total) = match response.status() {
            // The server ignored the range: from the beginning again.
            StatusCode::OK => (0, number(headers, "content-length")),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((start, total)) if start == have => (start, total),
                _ => {
                    target.set_len(0).map_err(io)?;
                    return Err(Failure::Passing("the server sent another part than was asked for".to_string()));
                }
            },
            // Nothing is left to send, or the file has become shorter: only a fresh start can tell.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                target.set_len(0).map_err(io)?;
                return Err(Failure::Passing("the server has no such part of the file".to_string()));
            }
            StatusCode::NOT_FOUND => return Err(Failure::Final("there is no such file (404)".to_string())),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(Failure::Final(format!("access was refused ({status}); a token can be given in HF_TOKEN")));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Passing(format!("the server answered {status}")));
            }
            status => return Err(Failure::Final(format!("the server answered {status}"))),
        };
        let too_large = || Failure::Final("what the server sends is over 2 GB: no weights".to_string());
        if total.is_some_and(|total| total > LARGEST_FILE) {
            return Err(too_large());
        }
        if start == 0 {
            target.set_len(0).map_err(io)?;
        }
        target.seek(SeekFrom::End(0)).map_err(io)?;
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(start);
        let mut position = start;
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(Failure::Passing(format!("the connection broke ({error})"))),
            };
            target.write_all(&buffer[..count]).map_err(io)?;
            position += count as u64;
            if position > LARGEST_FILE {
                target.set_len(0).map_err(io)?;
                return Err(too_large());
            }
            bar.set_position(position);
        }
        match total {
            Some(total) if position < total => {
                Err(Failure::Passing(format!("the connection broke after {position} of {total} bytes")))
            }
            Some(total) if position > total => {
                target.set_len(0).map_err(io)?;
                Err(Failure::Passing(format!("the server sent {position} bytes in place of {total}")))
            }
            _ => {
                target.sync_all().map_err(io)?;
                Ok(commit)
            }
        }
    }

    /// Asks for the file from byte `have` on and follows redirects. The token goes to the hub itself and nowhere else.
    fn request(&self, agent: &Agent, url: &str, have: u64) -> Result<(Response<Body>, Option<String>), Failure> {
        let mut address = url.to_string();
        let mut commit = None;
        for _ in 0..10 {
            let mut request = agent.get(&address).header("user-agent", concat!("lpips/", env!("CARGO_PKG_VERSION")));
            if have > 0 {
                request = request.header("range", format!("bytes={have}-"));
            }
            if let Some(token) = &self.token
                && origin(&address) == origin(url)
            {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| match error {
                ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                    Failure::Final(format!("no connection ({error})"))
                }
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Failure::Final(format!("no connection ({error})"))
                }
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::Final(format!("is no address ({error})")),
                error => Failure::Passing(format!("no answer ({error})")),
            })?;
            let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(String::from);
            // A folder's name in the cache: nothing but a commit's digits is taken.
            let hex = |commit: &String| commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            if origin(&address) == origin(url) {
                commit = commit.or_else(|| text("x-repo-commit").filter(hex));
            }
            if !response.status().is_redirection() {
                return Ok((response, commit));
            }
            let Some(location) = text("location") else {
                return Err(Failure::Final("the server redirects to nowhere".to_string()));
            };
            address = resolve(&address, &location);
        }
        Err(Failure::Final("the server redirects in a circle".to_string()))
    }

    /// Gives a finished file its place in the cache: the contents under their hash, and a link with the file's name.
    fn keep(&self, file: &HubFile, part: &Path, commit: &str) -> io::Result<PathBuf> {
        let sha256 = hash(part)?;
        let cache = Cache::new(self.cache.clone()).repo(Self::repo(file));
        fs::rename(part, cache.blob_path(&sha256))?;
        let pointer = cache.pointer_path(commit).join(file.file);
        let parent = pointer.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent)?;
        let depth = Path::new(file.file).components().count() + 1;
        let blob: PathBuf = std::iter::repeat_n("..", depth).collect::<PathBuf>().join("blobs").join(&sha256);
        // Beside its place and then onto it, so that the name never stands for something half made.
        let fresh = parent.join(format!(".{sha256}.{}", std::process::id()));
        link(&blob, &cache.blob_path(&sha256), &fresh)?;
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
    Ok(super::hex(&hash.finalize()))
}

/// A bar on standard error, drawn only where that is a terminal.
fn progress(name: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})")
    {
        bar.set_style(style);
    }
    bar.set_message(name.to_string());
    bar
}

/// Where a `Location` header leads to from an address.
fn resolve(from: &str, location: &str) -> String {
    if location.contains("://") {
        location.to_string()
    } else if location.starts_with("//") {
        let scheme = from.split("//").next().unwrap_or_default();
        format!("{scheme}{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(from))
    } else {
        let path = from.split(['?', '#']).next().unwrap_or(from);
        let folder = path.rfind('/').filter(|&at| at >= origin(from).len()).map_or(path, |at| &path[..at]);
        format!("{folder}/{location}")
    }
}

/// Scheme and host of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    address[host..].find('/').map_or(address, |end| &address[..host + end])
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// `bytes 5-9/10` as (5, 10).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

#[cfg(test)]
mod tests;
