//! Writes a synthetic set to a folder, in parallel and resumable.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lpips_core::Picture;
use rayon::prelude::*;

use super::manifest::Manifest;
use super::options::{Event, Made, Synth};
use super::part::{Part, Place};
use super::recipe::{self, Recipe};
use super::settings::{self, SETTINGS};
use super::sources::{Source, Sources};
use crate::distort::contact_sheet;
use crate::error::{Error, Result};
use crate::{files, lock, npy};

/// File that records how each triplet and pair was made, one JSON line each.
pub(super) const MANIFEST: &str = "manifest.jsonl";
/// File that describes the set to its users.
const README: &str = "README.txt";

impl Synth {
    /// Writes the set to a folder that does not exist, is empty, or holds a part of the same set, which is resumed.
    ///
    /// The bytes of every file follow from the options and the pictures, for any number of threads or runs. Once `stop`
    /// is set, items in progress are finished and the rest is left.
    ///
    /// # Errors
    /// Invalid options, unusable pictures, a folder that holds something else, or one that can't be written to.
    pub fn write(&self, out: &Path, progress: &(dyn Fn(Event) + Sync), stop: &AtomicBool) -> Result<Made> {
        self.check()?;
        let sources = Sources::find(self, Some(out), progress)?;
        let _lock = self.open(out, &sources.digest())?;

        let wanted = self.places();
        progress(Event::Making(wanted.len()));
        let mut earlier = Manifest::read(&out.join(MANIFEST), &wanted)?;
        let mut jobs: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
        earlier.retain(|place, _| self.paths(out, *place).iter().all(|path| path.is_file()));
        for place in &wanted {
            if earlier.contains_key(place) {
                progress(Event::Made);
            } else {
                jobs.entry(sources.of(*place)).or_default().push(*place);
            }
        }
        let resumed = earlier.len();
        let manifest = Manifest::open(&out.join(MANIFEST), earlier)?;
        let jobs: Vec<(&Source, Vec<Place>)> =
            jobs.into_iter().map(|(source, places)| (&sources.pictures[source], places)).collect();
        // As many pictures at a time as there are threads: each is decoded once, and memory stays bounded.
        for jobs in jobs.chunks(rayon::current_num_threads()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let opened = jobs.par_iter().map(|(source, places)| Ok((*source, source.open()?, places)));
            let opened = opened.collect::<Result<Vec<_>>>()?;
            let each = opened
                .iter()
                .flat_map(|(source, picture, places)| places.iter().map(move |place| (source, picture, place)));
            each.collect::<Vec<_>>().into_par_iter().try_for_each(|(source, picture, place)| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let recipe = self.make(out, *place, source, picture)?;
                manifest.add(*place, recipe)?;
                progress(Event::Made);
                Ok::<(), Error>(())
            })?;
        }
        let done = manifest.close()?;
        Ok(Made {
            done,
            resumed,
            wanted: wanted.len(),
            train_pictures: sources.count(Part::Train),
            val_pictures: sources.count(Part::Val),
        })
    }

    /// Draws a contact sheet: one patch under each distortion at strengths from 0 to 1.
    ///
    /// # Errors
    /// Those of [`Self::write`] about options and pictures.
    pub fn preview(&self, progress: &(dyn Fn(Event) + Sync)) -> Result<Picture> {
        self.check()?;
        let sources = Sources::find(&Self { train: 1, val: 0, jnd: 0, ..self.clone() }, None, progress)?;
        let source = &sources.pictures[0];
        let (_, patch) = recipe::patch(&source.open()?, self.size, &mut self.stream(Part::Train, 0, 0))?;
        contact_sheet::draw(&patch, &self.distortions, self.seed as u32)
    }

    /// Makes one triplet or pair and writes its files.
    fn make(&self, out: &Path, place: Place, source: &Source, picture: &Picture) -> Result<Recipe> {
        let (recipe, pictures) = self.draw(place, source, picture)?;
        let pictures = match place.0 {
            Part::Train | Part::Val => &pictures[..],
            Part::Jnd => &pictures[1..],
        };
        let paths = self.paths(out, place);
        for (path, picture) in paths.iter().zip(pictures) {
            files::write(path, &Picture::from_rgb8(self.size, self.size, picture.to_rgb8())?.to_png()?)?;
        }
        if let (Some(judge), Some(path)) = (recipe.judge, paths.last()) {
            files::write(path, &npy::of_number(judge))?;
        }
        Ok(recipe)
    }

    /// Creates the folders and their settings, or checks that they belong to this set, and locks the set.
    fn open(&self, out: &Path, pictures: &str) -> Result<File> {
        let path = out.join(SETTINGS);
        let text = settings::to_toml(self, pictures)
            .map_err(|error| Error::file(&path, format!("can't be written: {error}")))?;
        std::fs::create_dir_all(out).map_err(|error| Error::io(out, "made", &error))?;
        if path.is_file() {
            settings::compare(out, &path, &text)?;
        } else if let Some(other) = crate::sets::bapps::listed(out)?.first() {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let reason =
                format!("holds {name} and no set of this command's: name a folder that is empty or not there yet");
            return Err(Error::file(out, reason));
        } else {
            files::write(&path, format!("# {}\n{text}", settings::notice(self)).as_bytes())?;
        }
        let file = File::open(&path).map_err(|error| Error::io(&path, "read", &error))?;
        lock::lock_open_file(&file, out, "another run is making this set: wait for it, or name another folder")?;
        files::remove_unfinished(out)?;
        for (part, _) in self.places().into_iter().filter(|(_, number)| *number == 0) {
            for path in self.paths(out, (part, 0)) {
                let folder = path.parent().unwrap_or(out);
                std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "made", &error))?;
                files::remove_unfinished(folder)?;
            }
        }
        files::write(&out.join(README), settings::readme(self).as_bytes())?;
        Ok(file)
    }
}
