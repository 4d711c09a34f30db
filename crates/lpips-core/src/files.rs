//! Atomic file writes: temporary name in the same folder, sync, rename.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Prefix of the temporary names.
pub const UNFINISHED: &str = ".unfinished";

/// Writes a file whole or not at all. What was there before stays where the write fails.
///
/// # Errors
/// A folder that can't be written to, or a full disk.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes a file whole or not at all, as [`write`] does, from a closure that fills it.
///
/// # Errors
/// Those of [`write`] and of `fill`.
pub fn write_with(path: impl AsRef<Path>, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = path.as_ref();
    let mut file = begin(folder_of(path))?;
    fill(file.as_file_mut())?;
    finish(file, path)
}

/// Opens a file under a temporary name in a folder, with the permissions of any new file. It is removed when dropped.
///
/// # Errors
/// A folder that can't be written to.
pub fn begin(folder: impl AsRef<Path>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Syncs a file of [`begin`] to the disk and gives it its name.
///
/// # Errors
/// A folder that can't be written to, or a full disk.
pub fn finish(file: NamedTempFile, path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name is on the disk only when the folder is; not every system can sync one.
    if let Ok(folder) = File::open(folder_of(path)) {
        drop(folder.sync_all());
    }
    Ok(())
}

/// The folder of a file: `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Text of an I/O error without the path of the temporary file.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_string(),
        io::ErrorKind::FileTooLarge => "it would be larger than files may be here".to_string(),
        io::ErrorKind::StorageFull => "the disk is full".to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_write_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"first").unwrap();
        let error = write_with(&path, |file| file.write_all(b"half").and(Err(io::Error::other("stop")))).unwrap_err();
        assert_eq!(error.to_string(), "stop");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
