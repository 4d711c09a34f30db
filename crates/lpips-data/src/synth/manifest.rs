//! The manifest: a JSON line on how each triplet and pair was made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::part::Place;
use super::recipe::Recipe;
use crate::error::{Error, Result};
use crate::files;

/// Manifest of a set, appended to during a run and sorted at its end.
pub(super) struct Manifest {
    path: PathBuf,
    lines: Mutex<(File, BTreeMap<Place, String>)>,
}

impl Manifest {
    /// Reads the lines of an earlier run for the wanted places, without a torn last line.
    pub(super) fn read(path: &Path, wanted: &[Place]) -> Result<BTreeMap<Place, String>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(Error::io(path, "read", &error)),
        };
        let place = |line: &str| serde_json::from_str::<Recipe>(line).ok()?.place();
        let lines = text.lines().filter_map(|line| Some((place(line)?, line.to_string())));
        Ok(lines.filter(|(place, _)| wanted.binary_search(place).is_ok()).collect())
    }

    /// Rewrites the manifest with these lines and opens it for appending.
    pub(super) fn open(path: &Path, lines: &BTreeMap<Place, String>) -> Result<Self> {
        let manifest = |file| Self { path: path.to_path_buf(), lines: Mutex::new((file, lines.clone())) };
        write_lines(path, lines)?;
        OpenOptions::new().append(true).open(path).map(manifest).map_err(|error| Error::io(path, "written", &error))
    }

    /// Appends the line of a triplet or pair.
    pub(super) fn add(&self, place: Place, recipe: &Recipe) -> Result<()> {
        let fail = |error| Error::io(&self.path, "written", &error);
        let line = serde_json::to_string(recipe).map_err(|error| fail(error.into()))?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.0.write_all(format!("{line}\n").as_bytes()).map_err(fail)?;
        lines.1.insert(place, line);
        Ok(())
    }

    /// Sorts the lines and returns their number.
    pub(super) fn close(self) -> Result<usize> {
        let (file, lines) = self.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(file);
        write_lines(&self.path, &lines)?;
        Ok(lines.len())
    }
}

fn write_lines(path: &Path, lines: &BTreeMap<Place, String>) -> Result<()> {
    files::write(path, lines.values().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().as_bytes())
}
