//! Writes a set.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lpips_core::Picture;
use rayon::prelude::*;
use serde::Serialize;

use super::manifest::Manifest;
use super::recipe::{self, Recipe};
use super::sources::{Source, Sources};
use crate::distort::{Distortion, contact_sheet};
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};
use crate::{Task, files, listed, npy};

/// What a set is made from, and how.
#[derive(Debug, Clone)]
pub struct Synth {
    /// The folder of pictures, with all folders in it.
    pub from: PathBuf,
    /// Triplets for training.
    pub train: usize,
    /// Triplets for validation, of other pictures.
    pub val: usize,
    /// Pairs of the pictures for validation.
    pub jnd: usize,
    /// Pixels along a patch's side, 16 to 1024.
    pub size: usize,
    /// Decides all that is random.
    pub seed: u64,
    /// Whether there are labels, by the rules above.
    pub labelled: bool,
    /// The distortions to choose from.
    pub distortions: Vec<Distortion>,
    /// Whether pictures that can't be read are left out.
    pub skip_broken: bool,
}

/// What happens while a set is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// So many more pictures are looked at.
    Looking(usize),
    /// One of them was.
    Looked,
    /// Something to know about a picture.
    Note(String),
    /// So many triplets and pairs are made.
    Making(usize),
    /// One of them was, or was there.
    Made,
}

/// A set that was made, or begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Triplets and pairs that are in the folder now.
    pub done: usize,
    /// Those of them that an earlier run had made.
    pub kept: usize,
    /// All that were asked for.
    pub wanted: usize,
    /// Pictures behind the training's triplets.
    pub train_pictures: usize,
    /// Pictures behind all others.
    pub val_pictures: usize,
}

/// The part of a set that a triplet or pair belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Train,
    Val,
    Jnd,
}

impl Part {
    /// Its folder in the set.
    fn folder(self) -> &'static str {
        match self {
            Self::Train => "2afc/train/synthetic",
            Self::Val => "2afc/val/synthetic",
            Self::Jnd => "jnd/val/synthetic",
        }
    }

    /// What people would be asked.
    fn kind(self) -> Task {
        match self {
            Self::Train | Self::Val => Task::TwoAfc,
            Self::Jnd => Task::Jnd,
        }
    }
}

/// A triplet or pair: its part, and its number in that.
pub(super) type Place = (Part, usize);

/// The settings of a set, in its folder.
const SETTINGS: &str = "synth.toml";
/// How each triplet and pair was made, a line of JSON each.
const MANIFEST: &str = "manifest.jsonl";
/// What the set is, for people.
const README: &str = "README.txt";

/// Whether a folder holds a set of [`Synth`] with labels, which no person gave.
pub fn is_labelled(root: &Path) -> bool {
    std::fs::read_to_string(root.join(SETTINGS)).is_ok_and(|text| text.contains("labels = \"synthetic\""))
}

/// What decides a set's bytes.
#[derive(Serialize)]
struct Settings<'a> {
    labels: &'static str,
    train: usize,
    val: usize,
    jnd: usize,
    size: usize,
    seed: u64,
    distortions: &'a [Distortion],
    pictures: &'a str,
}

impl Synth {
    /// Makes the set in a folder that is not there, is empty, or holds a part of the same set, which is gone on with. The
    /// bytes of every file follow from the settings and the pictures, whatever the number of threads or runs.
    ///
    /// Once `stop` is set, what is begun is finished and the rest left.
    ///
    /// # Errors
    /// Settings that can't be, pictures that can't be used, a folder that holds something else, or one that can't be written
    /// to.
    pub fn write(&self, out: &Path, progress: &(dyn Fn(Event) + Sync), stop: &AtomicBool) -> Result<Made> {
        self.check()?;
        let sources = Sources::find(self, Some(out), progress)?;
        let digest = sources.digest();
        let settings = Settings {
            labels: if self.labelled { "synthetic" } else { "none" },
            train: self.train,
            val: self.val,
            jnd: self.jnd,
            size: self.size,
            seed: self.seed,
            distortions: &self.distortions,
            pictures: &digest,
        };
        let _lock = self.open(out, &settings)?;

        let wanted = self.places();
        progress(Event::Making(wanted.len()));
        let earlier = Manifest::read(&out.join(MANIFEST), &wanted)?;
        let mut jobs: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for place in &wanted {
            match earlier.get(place) {
                Some(line) if self.paths(out, *place).iter().all(|path| path.is_file()) => {
                    kept.insert(*place, line.clone());
                    progress(Event::Made);
                }
                _ => jobs.entry(sources.of(*place)).or_default().push(*place),
            }
        }
        let manifest = Manifest::open(&out.join(MANIFEST), &kept)?;
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
                manifest.add(*place, &recipe)?;
                progress(Event::Made);
                Ok::<(), Error>(())
            })?;
        }
        let done = manifest.close()?;
        Ok(Made {
            done,
            kept: kept.len(),
            wanted: wanted.len(),
            train_pictures: sources.count(Part::Train),
            val_pictures: sources.count(Part::Val),
        })
    }

    /// Draws one patch under each distortion at strengths from 0 to 1.
    ///
    /// # Errors
    /// Those of [`Self::write`] about settings and pictures.
    pub fn preview(&self, progress: &(dyn Fn(Event) + Sync)) -> Result<Picture> {
        self.check()?;
        let sources = Sources::find(&Self { train: 1, val: 0, jnd: 0, ..self.clone() }, None, progress)?;
        let source = &sources.pictures[0];
        let (_, patch) = recipe::patch(&source.open()?, self.size, &mut self.stream(Part::Train, 0, 0))?;
        contact_sheet::draw(&patch, &self.distortions, self.seed as u32)
    }

    fn check(&self) -> Result<()> {
        const MOST: usize = 1_000_000;
        if self.train + self.val + self.jnd == 0 {
            return Err(Error::Choice("no triplets are asked for: expected at least one".to_string()));
        }
        if let Some(count) = [self.train, self.val, self.jnd].into_iter().find(|count| *count > MOST) {
            return Err(Error::Choice(format!("{count} triplets are too many: expected at most {MOST} of a kind")));
        }
        if !(16..=1024).contains(&self.size) {
            let size = self.size;
            return Err(Error::Choice(format!("a patch of {size} pixels a side can't be: expected 16 to 1024")));
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Error::Choice(format!("the seed {} is too large: expected at most {}", self.seed, i64::MAX)));
        }
        Ok(())
    }

    fn places(&self) -> Vec<Place> {
        let counts = [(Part::Train, self.train), (Part::Val, self.val), (Part::Jnd, self.jnd)];
        counts.into_iter().flat_map(|(part, count)| (0..count).map(move |number| (part, number))).collect()
    }

    /// The stream of random numbers for an attempt at a triplet or pair.
    pub(super) fn stream(&self, part: Part, number: usize, attempt: u64) -> Rng {
        Rng::new(self.seed, Stream::Synth, (1 + part as u64, (number as u64) << 16 | attempt))
    }

    /// The files of a triplet or pair: its pictures, then its label if it has one.
    fn paths(&self, out: &Path, (part, number): Place) -> Vec<PathBuf> {
        let folder = out.join(part.folder());
        let mut paths: Vec<PathBuf> =
            part.kind().pictures().iter().map(|column| folder.join(column).join(format!("{number:06}.png"))).collect();
        if self.labelled {
            paths.push(folder.join(part.kind().vote()).join(format!("{number:06}.npy")));
        }
        paths
    }

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

    /// Makes the folders, with their settings, or sees that they are of this set. Nobody else makes it as long as what is
    /// returned is kept.
    fn open(&self, out: &Path, settings: &Settings<'_>) -> Result<File> {
        let path = out.join(SETTINGS);
        let fail = |error: std::io::Error| Error::io(&path, "written", &error);
        let text =
            toml::to_string(settings).map_err(|error| Error::file(&path, format!("can't be written: {error}")))?;
        std::fs::create_dir_all(out).map_err(|error| Error::io(out, "made", &error))?;
        if path.is_file() {
            compare(out, &path, &text)?;
        } else if let Some(other) = listed(out)?.first() {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let reason =
                format!("holds {name} and no set of this command's: name a folder that is empty or not there yet");
            return Err(Error::file(out, reason));
        } else {
            files::write(&path, format!("# {}\n{text}", self.notice()).as_bytes())?;
        }
        let lock = File::open(&path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file(out, "another run is making this set: wait for it, or name another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        files::remove_unfinished(out)?;
        for (part, _) in self.places().into_iter().filter(|(_, number)| *number == 0) {
            for path in self.paths(out, (part, 0)) {
                let folder = path.parent().unwrap_or(out);
                std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "made", &error))?;
                files::remove_unfinished(folder)?;
            }
        }
        let readme = format!("{}\n\n{}\n", self.notice(), self.story());
        files::write(&out.join(README), readme.as_bytes())?;
        Ok(lock)
    }

    fn notice(&self) -> &'static str {
        if self.labelled {
            "The labels of this set are synthetic: no person was asked."
        } else {
            "This set has no labels yet: people have to give them."
        }
    }

    /// What the set is, for its README.
    fn story(&self) -> String {
        let made = "`lpips data synth` cut these patches from pictures and distorted them; manifest.jsonl says how each was \
            made, and synth.toml by which settings. References for validation are from other pictures than those for training.";
        let rule = if self.labelled {
            "Of each triplet, p0 and p1 show the same distortion at two strengths, with the same random draw, and the \
             judgment (0 for p0, 1 for p1) names the weaker one as nearer to the reference. This orders two strengths of \
             one distortion; it does not say which of two distortions people mind more, and a score on this set is no score on \
             people's judgments. Of each pair under jnd, if there are any, both pictures are equal to the last byte \
             (same = 1) or one is strongly distorted (same = 0)."
        } else {
            "Of each triplet, p0 and p1 show different distortions or sequences of them at random strengths, and of each \
             pair under jnd, if there are any, p1 shows p0 distorted: `lpips data label` asks people about them."
        };
        format!("{made} {rule}")
    }
}

/// Refuses a folder that was made with other settings.
fn compare(out: &Path, path: &Path, ours: &str) -> Result<()> {
    let read = |text: &str| text.parse::<toml::Table>();
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    let (Ok(theirs), Ok(ours)) = (read(&text), read(ours)) else {
        return Err(Error::file(path, "holds no settings of this command's: name another folder"));
    };
    // Which pictures are used depends on the other settings too.
    let differing = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value));
    let Some((key, value)) = differing.min_by_key(|(key, _)| *key == "pictures") else { return Ok(()) };
    let what = match (key.as_str(), theirs.get(key)) {
        ("pictures", _) => "from other pictures".to_string(),
        ("distortions", _) => "with other distortions".to_string(),
        (_, Some(found)) => format!("with {key} = {found}, and {key} is {value} now"),
        (_, None) => format!("without {key}"),
    };
    let reason =
        format!("holds a set that was made {what}: give what it was made with to go on, or name another folder");
    Err(Error::file(out, reason))
}

#[cfg(test)]
mod tests;
