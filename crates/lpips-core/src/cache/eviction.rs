//! Eviction of the least recently used entries when a cache is over its limit.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::files;

/// Extension of entries.
pub(super) const EXTENSION: &str = ".safetensors";
/// Lock of the process that evicts entries; released by the system when the process is killed.
const LOCK: &str = ".lock";
/// Age from which an unfinished entry was left by a process that was killed.
const ABANDONED: Duration = Duration::from_hours(1);

/// Bytes taken by the entries of a cache.
#[derive(Debug)]
pub(super) struct Usage {
    limit: u64,
    /// Bytes of all entries when last counted, and of those added since.
    held: u64,
    /// Bytes of the entries added since the last count.
    added: u64,
}

/// Entry in the folder.
struct Entry {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

impl Usage {
    /// Counts the entries of a folder and evicts those over the limit.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub(super) fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { limit, held: trim(folder, limit)?, added: 0 })
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Counts an added entry, and evicts others if the limit is passed.
    pub(super) fn add(&mut self, folder: &Path, bytes: u64, replaced: u64) {
        self.held = (self.held + bytes).saturating_sub(replaced);
        self.added += bytes;
        // Other processes add entries as well.
        if self.held <= self.limit && self.added <= self.limit / 20 {
            return;
        }
        match trim(folder, self.limit) {
            Ok(held) => (self.held, self.added) = (held, 0),
            Err(error) => tracing::debug!("{}: can't be read: {error}", folder.display()),
        }
    }
}

/// Evicts the least recently used entries, if all take more than the limit, down to four fifths of it. Returns the
/// bytes left.
fn trim(folder: &Path, limit: u64) -> io::Result<u64> {
    let mut entries = entries(folder)?;
    let mut held = entries.iter().map(|entry| entry.bytes).sum();
    if held <= limit {
        return Ok(held);
    }
    let lock = File::options().write(true).create(true).truncate(false).open(folder.join(LOCK));
    // Where the file can't be locked, two processes may evict more than one would, which is harmless.
    if let Ok(lock) = &lock
        && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
    {
        return Ok(held);
    }
    entries.sort_unstable_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    for entry in entries {
        if held <= limit - limit / 5 {
            break;
        }
        match fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!("{}: can't be removed: {error}", entry.path.display());
            }
            // Removed by this or another process.
            _ => held -= entry.bytes,
        }
    }
    Ok(held)
}

/// Lists the entries of a cache and removes abandoned unfinished ones. Other files are left alone.
fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for part in fs::read_dir(folder)? {
        let part = part?;
        let prefix = part.file_name();
        let Some(prefix) = prefix.to_str().filter(|name| name.len() == 2 && is_hex(name)) else {
            remove_abandoned(&part);
            continue;
        };
        for file in fs::read_dir(part.path()).into_iter().flatten().flatten() {
            let name = file.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            if !digits.is_some_and(|digits| digits.len() == 64 && digits.starts_with(prefix) && is_hex(digits)) {
                remove_abandoned(&file);
                continue;
            }
            // An entry that has vanished was evicted by another process.
            if let Ok(metadata) = file.metadata()
                && let Ok(used) = metadata.modified()
                && metadata.is_file()
            {
                entries.push(Entry { used, path: file.path(), bytes: metadata.len() });
            }
        }
    }
    Ok(entries)
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Removes an unfinished entry whose process was killed.
fn remove_abandoned(file: &fs::DirEntry) {
    let is_unfinished = file.file_name().to_string_lossy().starts_with(files::UNFINISHED);
    let age = || file.metadata().ok()?.modified().ok()?.elapsed().ok();
    if is_unfinished && age().is_some_and(|age| age > ABANDONED) {
        drop(fs::remove_file(file.path()));
    }
}
