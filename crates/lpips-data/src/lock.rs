//! Exclusive locks on files, so that one process alone writes to a file or folder.
//!
//! The operating system holds a lock until its file is closed: a killed process leaves none behind. A file system
//! without locks, as some clusters have, is reported once as a warning, and the work continues.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

/// An exclusive lock on a lock file, released when it is dropped.
///
/// ```
/// use lpips_data::lock::Lock;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join(".lock");
/// let lock = Lock::acquire(&path, folder.path(), "another run writes to it: wait for that run")?;
/// assert!(Lock::try_acquire(&path)?.is_none(), "it is taken");
/// drop(lock);
/// assert!(Lock::try_acquire(&path)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

impl Lock {
    /// Locks the file at `path`, which is created where it is missing; an error about `guarded` with the reason
    /// `in_use` where another process holds the lock.
    ///
    /// # Errors
    /// A lock that is held, or a file that can't be created.
    pub fn acquire(path: &Path, guarded: &Path, in_use: &str) -> Result<Self> {
        Self::try_acquire(path)?.ok_or_else(|| Error::file(guarded, in_use))
    }

    /// [`Self::acquire`], or `None` where another process holds the lock.
    ///
    /// # Errors
    /// A file that can't be created.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| Error::io(path, "written", &error))?;
        Ok(try_lock(&file, path).then_some(Self { file }))
    }
}

/// Locks a file that is open already, for as long as it stays open; an error with the reason `in_use` where another
/// process holds it.
///
/// # Errors
/// A lock that is held.
pub fn lock_open_file(file: &File, path: &Path, in_use: &str) -> Result<()> {
    if try_lock(file, path) { Ok(()) } else { Err(Error::file(path, in_use)) }
}

/// Releases the lock of an open file. Closing the file would not do so while a child process that is just being started
/// still holds a duplicate of it.
pub fn unlock(file: &File) {
    // A file system without locks has none to release.
    drop(file.unlock());
}

/// Tries to lock a file: false where another holds the lock.
fn try_lock(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            tracing::warn!("{}: can't be locked ({error}): see that one run only writes here", path.display());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_held_by_another_names_the_guarded_folder_and_the_advice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let held = Lock::acquire(&path, folder.path(), "is in use: wait").unwrap();
        let error = Lock::acquire(&path, folder.path(), "is in use: wait").unwrap_err().to_string();
        assert_eq!(error, format!("{}: is in use: wait", folder.path().display()));
        let open = File::open(&path).unwrap();
        assert!(lock_open_file(&open, &path, "is in use").is_err());
        drop(held);
        assert!(lock_open_file(&open, &path, "is in use").is_ok());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
    }

    #[test]
    fn dropped_lock_is_free_while_a_duplicate_of_its_file_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let held = Lock::try_acquire(&path).unwrap().unwrap();
        // As a child process holds it between fork and exec.
        let _duplicate = held.file.try_clone().unwrap();
        drop(held);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn lock_file_in_a_missing_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Lock::try_acquire(&folder.path().join("missing/.lock")).is_err());
    }
}
