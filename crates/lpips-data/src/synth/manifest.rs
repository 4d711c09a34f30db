//! The manifest: a JSON line on how each triplet and pair was made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::part::Place;
use super::recipe::Recipe;
use crate::error::Result;
use crate::journal::{self, Journal};

/// Manifest of a set: a journal during a run, sorted at its end.
pub(super) struct Manifest {
    path: PathBuf,
    state: Mutex<(Journal, BTreeMap<Place, Recipe>)>,
}

impl Manifest {
    /// Reads the recipes of an earlier run for the wanted places, without a torn last line.
    pub(super) fn read(path: &Path, wanted: &[Place]) -> Result<BTreeMap<Place, Recipe>> {
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        let recipes = journal::read_records::<Recipe>(path)?.into_iter();
        let recipes = recipes.filter_map(|recipe| Some((recipe.place()?, recipe)));
        Ok(recipes.filter(|(place, _)| wanted.binary_search(place).is_ok()).collect())
    }

    /// Rewrites the manifest with these recipes and opens it for appending.
    pub(super) fn open(path: &Path, recipes: BTreeMap<Place, Recipe>) -> Result<Self> {
        journal::replace(path, recipes.values())?;
        Ok(Self { path: path.to_path_buf(), state: Mutex::new((Journal::open(path)?, recipes)) })
    }

    /// Appends the recipe of a triplet or pair.
    pub(super) fn add(&self, place: Place, recipe: Recipe) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.append_record(&recipe)?;
        state.1.insert(place, recipe);
        Ok(())
    }

    /// Sorts the lines and returns their number.
    pub(super) fn close(self) -> Result<usize> {
        let (journal, recipes) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(journal);
        journal::replace(&self.path, recipes.values())?;
        Ok(recipes.len())
    }
}
