//! HTTP downloads into a part file: cut transfers resume, stalled servers time out, and parts of different files are
//! never joined.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// The number of failures in a row, without progress between them, after which a transfer ends.
const ATTEMPTS: u32 = 4;

/// A file to download.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// The address.
    pub url: &'a str,
    /// The file that it is written to; the part of an earlier transfer is resumed.
    pub part: &'a Path,
    /// The file for the version (`ETag` or `Last-Modified`) of the part, if the server's file may change between two
    /// transfers: a part of another or an unknown version is started anew. `None` where the address names one version,
    /// or the whole is checked otherwise.
    pub version: Option<&'a Path>,
    /// A token for the address's own host; it is sent to no other.
    pub token: Option<&'a str>,
    /// The size limit in bytes.
    pub largest: u64,
    /// Whether only HTTPS or this machine itself is allowed, redirects included.
    pub secure: bool,
    /// The time without a byte after which the server counts as stalled.
    pub stall: Duration,
    /// The pause before the first new attempt; it doubles with each further one.
    pub pause: Duration,
    /// Ends the transfer when it becomes true.
    pub stop: &'a AtomicBool,
}

/// The reason why a transfer ended early. The part stays, and another transfer resumes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server can't be reached, does not have the file, or failed too often.
    #[error("{0}")]
    Server(String),
    /// The server requires authorisation; its status.
    #[error("access was refused ({0})")]
    Access(String),
    /// More than [`Transfer::largest`] bytes.
    #[error("the server sends more than the {0} bytes that were expected at most")]
    TooLarge(u64),
    /// The part can't be written.
    #[error("can't be written: {0}")]
    Write(#[from] io::Error),
    /// [`Transfer::stop`] became true.
    #[error("stopped")]
    Stopped,
}

/// The failure of one attempt: final, or worth another attempt.
enum AttemptError {
    Final(Failure),
    Transient(String),
}

impl From<io::Error> for AttemptError {
    fn from(error: io::Error) -> Self {
        Self::Final(Failure::Write(error))
    }
}

impl Transfer<'_> {
    /// Downloads the whole file into the part, and syncs it to the disk. `progress` is called with the bytes that have
    /// arrived and the total, where the server states it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn run(&self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), Failure> {
        self.fetch(progress).map(drop)
    }

    /// [`Self::run`], with the headers of the answers that came from the address's own host.
    pub(crate) fn fetch(&self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<HeaderMap, Failure> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.stall))
            .timeout_recv_response(Some(self.stall))
            .timeout_per_read(Some(self.stall))
            .build();
        let agent = Agent::new_with_config(config);
        let length = || fs::metadata(self.part).map_or(0, |metadata| metadata.len());
        let (mut failures, mut farthest) = (0, length());
        loop {
            let reason = match self.attempt(&agent, progress) {
                Ok(headers) => return Ok(headers),
                Err(AttemptError::Final(failure)) => return Err(failure),
                Err(AttemptError::Transient(reason)) => reason,
            };
            let after = length();
            // A server that alternates between sending a part and refusing the rest makes no progress: this must end.
            failures = if after > farthest { 1 } else { failures + 1 };
            farthest = farthest.max(after);
            if failures >= ATTEMPTS {
                return Err(Failure::Server(format!("{reason} (tried {ATTEMPTS} times)")));
            }
            tracing::warn!("{}: {reason}; trying again", self.url);
            std::thread::sleep(self.pause * 2u32.pow(failures - 1));
        }
    }

    fn attempt(&self, agent: &Agent, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<HeaderMap, AttemptError> {
        let mut target = OpenOptions::new().create(true).append(true).truncate(false).read(true).open(self.part)?;
        let mut have = target.metadata()?.len();
        let known = self.version.and_then(|path| fs::read_to_string(path).ok());
        if have > 0 && self.version.is_some() && known.is_none() {
            target.set_len(0)?;
            have = 0;
        }
        let (response, own) = self.request(agent, have, known.as_deref())?;
        let headers = response.headers();
        // Not every server that supports ranges respects the version requested.
        let is_same = known.is_some() && version(headers).is_none_or(|version| Some(version) == known);
        let (start, total) = match response.status() {
            // The server ignored the range, or has another version now: from the beginning again.
            StatusCode::OK => (0, number(headers, "content-length")),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((start, _)) if start != have => return Err(other_part(&target)?),
                Some(_) if known.is_some() && !is_same => {
                    target.set_len(0)?;
                    return Err(AttemptError::Transient("the file has changed on the server".to_string()));
                }
                Some((start, total)) => (start, total),
                None => return Err(other_part(&target)?),
            },
            // Stopped after the last byte.
            StatusCode::RANGE_NOT_SATISFIABLE if is_same && whole_length(headers) == Some(have) => return Ok(own),
            // Either nothing is left to send, or the file has become shorter: start anew to find out.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                target.set_len(0)?;
                return Err(AttemptError::Transient("the server has no such part of the file".to_string()));
            }
            StatusCode::NOT_FOUND => {
                return Err(AttemptError::Final(Failure::Server("there is no such file (404)".to_string())));
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(AttemptError::Final(Failure::Access(status.to_string())));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(AttemptError::Transient(format!("the server answered {status}")));
            }
            status => return Err(AttemptError::Final(Failure::Server(format!("the server answered {status}")))),
        };
        if total.is_some_and(|total| total > self.largest) {
            return Err(AttemptError::Final(Failure::TooLarge(self.largest)));
        }
        if start == 0 {
            // In this order: a version that is written stands for every byte of the part.
            target.set_len(0)?;
            if let Some(path) = self.version {
                match version(headers) {
                    Some(version) => fs::write(path, version)?,
                    None if path.exists() => fs::remove_file(path)?,
                    None => {}
                }
            }
        }
        target.seek(SeekFrom::End(0))?;
        self.receive(response, &mut target, start, total, progress)?;
        Ok(own)
    }

    /// Writes the rest of the file, from byte `start` on.
    fn receive(
        &self,
        response: Response<Body>,
        target: &mut File,
        start: u64,
        total: Option<u64>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), AttemptError> {
        let mut position = start;
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(position, total);
            if self.stop.load(Ordering::Relaxed) {
                return Err(AttemptError::Final(Failure::Stopped));
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(AttemptError::Transient(format!("the connection broke ({error})"))),
            };
            target.write_all(&buffer[..count])?;
            position += count as u64;
            if position > self.largest {
                target.set_len(0)?;
                return Err(AttemptError::Final(Failure::TooLarge(self.largest)));
            }
        }
        match total {
            Some(total) if position < total => {
                Err(AttemptError::Transient(format!("the connection broke after {position} of {total} bytes")))
            }
            Some(total) if position > total => {
                target.set_len(0)?;
                Err(AttemptError::Transient(format!("the server sent {position} bytes in place of {total}")))
            }
            _ => Ok(target.sync_all()?),
        }
    }

    /// Requests the file from byte `have` on and follows redirects. The token is sent to the address's own host only;
    /// the headers of that host's answers are returned.
    fn request(
        &self,
        agent: &Agent,
        have: u64,
        known: Option<&str>,
    ) -> Result<(Response<Body>, HeaderMap), AttemptError> {
        let fail = |reason: String| AttemptError::Final(Failure::Server(reason));
        let mut address = self.url.to_string();
        let mut own = HeaderMap::new();
        for _ in 0..10 {
            if self.stop.load(Ordering::Relaxed) {
                return Err(AttemptError::Final(Failure::Stopped));
            }
            if self.secure && !is_secure(&address) {
                return Err(fail(format!("leads to {address}, which is not HTTPS")));
            }
            let mut request = agent.get(&address).header("user-agent", concat!("lpips/", env!("CARGO_PKG_VERSION")));
            if have > 0 {
                request = request.header("range", format!("bytes={have}-"));
                if let Some(known) = known {
                    request = request.header("if-range", known);
                }
            }
            let is_own = origin(&address) == origin(self.url);
            if let Some(token) = self.token
                && is_own
            {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| match error {
                ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => fail(format!("no connection ({error})")),
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fail(format!("no connection ({error})"))
                }
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => fail(format!("is no address ({error})")),
                error => AttemptError::Transient(format!("no answer ({error})")),
            })?;
            if is_own {
                for (name, value) in response.headers() {
                    own.append(name, value.clone());
                }
            }
            if !response.status().is_redirection() {
                return Ok((response, own));
            }
            let Some(location) = text(response.headers(), "location") else {
                return Err(fail("the server redirects to nowhere".to_string()));
            };
            address = resolve(&address, location);
        }
        Err(fail("the server redirects in a circle".to_string()))
    }
}

/// Whether an address is safe from changes in transit: HTTPS, or this machine itself.
pub fn is_secure(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback,
        _ => false,
    }
}

fn other_part(target: &File) -> io::Result<AttemptError> {
    target.set_len(0)?;
    Ok(AttemptError::Transient("the server sent another part than was asked for".to_string()))
}

/// Resolves a `Location` header relative to an address.
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

/// The file's version: a strong `ETag`, or else `Last-Modified`.
fn version(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(headers, "last-modified")).map(String::from)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// `bytes 5-9/10` as (5, 10).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = text(headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// `bytes */10` as 10.
fn whole_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-range")?.strip_prefix("bytes */")?.parse().ok()
}

#[cfg(test)]
pub(crate) mod bad_server;
#[cfg(test)]
mod tests;
