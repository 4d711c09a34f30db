//! How much a cache holds, and what goes when that is too much.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How the names of entries end.
pub(super) const EXTENSION: &str = ".safetensors";
/// How the names of entries begin that are still being written.
pub(super) const UNFINISHED: &str = ".unfinished";
/// Held by the process that removes entries, and by the system let go of when that is killed.
const LOCK: &str = ".lock";
/// No entry takes so long to write: a process that was killed has left it.
const ABANDONED: Duration = Duration::from_hours(1);

/// What a cache's entries take.
#[derive(Debug)]
pub(super) struct Usage {
    limit: u64,
    /// Bytes of all entries when they were last counted, and of those that were added since.
    held: u64,
    /// The latter alone.
    added: u64,
}

/// An entry in the folder.
struct Entry {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

impl Usage {
    /// Of a folder, from which what is too much is removed.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub(super) fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { limit, held: trim(folder, limit)?, added: 0 })
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Counts an entry in, and removes others if it is one too many.
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

/// Removes entries, where they take more than the limit, until they take four fifths of it, and gives what they take
/// then.
fn trim(folder: &Path, limit: u64) -> io::Result<u64> {
    let mut entries = entries(folder)?;
    let mut held = entries.iter().map(|entry| entry.bytes).sum();
    if held <= limit {
        return Ok(held);
    }
    let lock = File::options().write(true).create(true).truncate(false).open(folder.join(LOCK));
    // Where files can't be locked, or not this one, two processes may remove more than one would: no harm.
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
            // Gone, by whomever.
            _ => held -= entry.bytes,
        }
    }
    Ok(held)
}

/// All entries of a cache. What was left unfinished is removed on the way; what else is there is left alone.
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
            // What has vanished meanwhile was removed by another process.
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

/// Removes an unfinished entry that nobody writes any more.
fn remove_abandoned(file: &fs::DirEntry) {
    let is_unfinished = file.file_name().to_string_lossy().starts_with(UNFINISHED);
    let age = || file.metadata().ok()?.modified().ok()?.elapsed().ok();
    if is_unfinished && age().is_some_and(|age| age > ABANDONED) {
        drop(fs::remove_file(file.path()));
    }
}
