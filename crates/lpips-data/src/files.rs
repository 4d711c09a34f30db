//! Atomic file writes: a temporary name in the same folder, sync, rename.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use lpips_core::files;
use safetensors::SafeTensors;
use tempfile::NamedTempFile;

pub use lpips_core::files::folder_of;

use crate::error::{Error, Result};

/// Writes a file whole or not at all: under a temporary name in the same folder, which is synced and renamed.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("notes.txt");
/// lpips_data::files::write(&path, b"whole")?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A folder that can't be written to, or a full disk; an earlier file of this name then stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// [`write()`] with a function that writes the content.
///
/// # Errors
/// Those of [`write()`].
pub fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    files::write_with(path, fill).map_err(|error| Error::io(path, "written", &error))
}

/// Creates a file under a temporary name in the folder of `path`; dropping it removes it.
///
/// # Errors
/// A folder that can't be written to.
pub fn begin(path: &Path) -> Result<NamedTempFile> {
    files::begin(folder_of(path)).map_err(|error| Error::io(path, "written", &error))
}

/// Syncs a file of [`begin`] and renames it to `path`.
///
/// # Errors
/// A folder that can't be written to, or a full disk; an earlier file of this name then stays.
pub fn end(file: NamedTempFile, path: &Path) -> Result<()> {
    files::finish(file, path).map_err(|error| Error::io(path, "written", &error))
}

/// Removes the temporary files that a killed [`write()`] has left in a folder.
///
/// # Errors
/// A folder that can't be read or written to.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    let fail = |error: std::io::Error| Error::io(folder, "tidied", &error);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(files::UNFINISHED)) {
            std::fs::remove_file(&path).map_err(fail)?;
        }
    }
    Ok(())
}

/// Writes tensors as safetensors with one metadata entry (key, value), whole or not at all. One entry, as the order of
/// several would differ from run to run.
///
/// # Errors
/// Those of [`write()`].
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>, (key, value): (&str, String)) -> Result<()> {
    let tensors = tensors.iter().map(|(name, tensor)| Ok((name.as_str(), tensor.to_device(&Device::Cpu)?)));
    let tensors = tensors.collect::<candle_core::Result<Vec<_>>>()?;
    let metadata = HashMap::from([(key.to_string(), value)]);
    let bytes = safetensors::serialize(tensors.iter().map(|(name, tensor)| (*name, tensor)), Some(metadata))
        .map_err(|error| Error::file(path, format!("can't be written: {error}")))?;
    write(path, &bytes)
}

/// The tensors and the metadata of a safetensors file.
///
/// # Errors
/// A file that can't be read, is cut short, or is no safetensors file.
pub fn read_tensors(path: &Path) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
    let damaged = |_| Error::file(path, "is cut short or no safetensors file: take another checkpoint");
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    SafeTensors::deserialize(&bytes).map_err(damaged)?;
    Ok((candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?, metadata))
}
