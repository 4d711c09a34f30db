//! Selection of the pictures that patches are cut from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lpips_core::Picture;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::options::{Event, Synth};
use super::part::{Part, Place};
use crate::digest::short_hex;
use crate::discover::{EXTENSIONS, Walk};
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::rng::{Rng, Stream};
use crate::sets::{CheckDepth, check_picture};

/// Usable picture.
#[derive(Debug)]
pub(super) struct Source {
    /// Path in the folder, with slashes.
    pub(super) name: String,
    path: PathBuf,
    /// Digest of the pixels.
    digest: String,
}

impl Source {
    /// Decodes the picture.
    pub(super) fn open(&self) -> Result<Picture> {
        Ok(Picture::open(&self.path)?)
    }
}

/// Pictures of a set.
#[derive(Debug)]
pub(super) struct Sources {
    /// The pictures: first those for training, then the others.
    pub(super) pictures: Vec<Source>,
    /// Number of pictures for training.
    train: usize,
}

impl Sources {
    /// Selects pictures of a folder: those large enough, at most one for each triplet, none twice.
    ///
    /// # Errors
    /// A folder without pictures, pictures that can't be read, or too few.
    pub(super) fn find(synth: &Synth, out: Option<&Path>, progress: &(dyn Fn(Event) + Sync)) -> Result<Self> {
        let from = &synth.from;
        let written = out.map(Path::to_path_buf).into_iter().collect();
        let walk = Walk { skip_linked_folders: true, written, ..Walk::default() };
        let mut found = walk.files(from)?;
        if found.names.is_empty() {
            let kinds = EXTENSIONS.join(", ");
            return Err(Error::file(from, format!("holds no pictures: expected files that end in one of {kinds}")));
        }
        for note in &found.notes {
            progress(Event::Note(note.to_string()));
        }
        // Component by component: the order that the seed's shuffle starts from.
        found.names.sort();
        let paths: Vec<PathBuf> = found.names.iter().map(|name| from.join(name)).collect();
        let sizes: Vec<_> = paths.par_iter().map(|path| check_picture(path, CheckDepth::Headers)).collect();
        let mut broken = Vec::new();
        let mut large = Vec::new();
        for (path, size) in paths.into_iter().zip(sizes) {
            match size {
                Ok(size) if size.width.min(size.height) < synth.size => progress(Event::Note(format!(
                    "{} is left out: {size} pixels are less than a patch of {}",
                    name(from, &path),
                    synth.size
                ))),
                Ok(_) => large.push(path),
                Err(error) => broken.push(Problem::of(&path, &error.into())),
            }
        }
        Rng::new(synth.seed, Stream::Synth, (u64::MAX, 0)).shuffle(&mut large);
        let wanted = synth.train + synth.val + synth.jnd;
        let (mut pictures, mut seen, mut rest) = (Vec::new(), HashMap::new(), large.as_slice());
        while pictures.len() < wanted && !rest.is_empty() {
            let (next, later) = rest.split_at(rest.len().min(wanted - pictures.len()));
            rest = later;
            progress(Event::Checking(next.len()));
            let check = |path: &PathBuf| {
                let found = Picture::open(path).map(|picture| (!is_plain(&picture)).then(|| digest(&picture)));
                progress(Event::Checked);
                found
            };
            let found: Vec<_> = next.par_iter().map(check).collect();
            for (path, found) in next.iter().zip(found) {
                let name = name(from, path);
                match found {
                    Ok(None) => {
                        progress(Event::Note(format!("{name} is left out: it shows one colour and nothing else")));
                    }
                    Ok(Some(digest)) => {
                        if let Some(twin) = seen.get(&digest) {
                            progress(Event::Note(format!("{name} is left out: it shows what {twin} shows")));
                        } else {
                            seen.insert(digest.clone(), name.clone());
                            pictures.push(Source { name, path: path.clone(), digest });
                        }
                    }
                    Err(error) => broken.push(Problem::of(path, &error.into())),
                }
            }
        }
        report(broken, synth.skip_broken, progress)?;
        if pictures.is_empty() {
            let size = synth.size;
            return Err(Error::file(from, format!("holds no picture that patches of {size}x{size} can be cut from")));
        }
        let train = split(from, pictures.len(), synth)?;
        Ok(Self { pictures, train })
    }

    /// Index of the picture of a triplet or pair: the pictures of a part take turns.
    pub(super) fn of(&self, (part, number): Place) -> usize {
        match part {
            Part::Train => number % self.train,
            Part::Val | Part::Jnd => self.train + number % (self.pictures.len() - self.train),
        }
    }

    /// Number of pictures of a part.
    pub(super) fn count(&self, part: Part) -> usize {
        if part == Part::Train { self.train } else { self.pictures.len() - self.train }
    }

    /// Digest of the pictures' names and pixels.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for picture in &self.pictures {
            hash.update(format!("{} {}\n", picture.digest, picture.name));
        }
        short_hex(hash)
    }
}

/// Path of a picture below its folder, with slashes.
fn name(from: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(from).unwrap_or(path).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Whether all pixels are equal.
fn is_plain(picture: &Picture) -> bool {
    let rgb = picture.to_rgb8();
    let mut pixels = rgb.as_chunks::<3>().0.iter();
    let first = pixels.next();
    pixels.all(|pixel| Some(pixel) == first)
}

/// Digest of a picture's pixels.
fn digest(picture: &Picture) -> String {
    let mut hash = Sha256::new();
    hash.update((picture.width() as u64).to_le_bytes());
    hash.update(picture.to_rgb8());
    short_hex(hash)
}

/// Reports the unreadable pictures: as notes where they are left out, else as an error.
fn report(broken: Vec<Problem>, skip: bool, progress: &(dyn Fn(Event) + Sync)) -> Result<()> {
    if skip {
        for problem in &broken {
            progress(Event::Note(format!("left out: {problem}")));
        }
        return Ok(());
    }
    let advice = "fix them, or leave them out with --skip-broken";
    if broken.is_empty() { Ok(()) } else { Err(Error::BrokenFiles { problems: broken, advice }) }
}

/// Number of pictures for training: in proportion to the triplets, and at least one on each side that has any.
fn split(from: &Path, pictures: usize, synth: &Synth) -> Result<usize> {
    let held_out = synth.val + synth.jnd;
    if synth.train == 0 || held_out == 0 {
        return Ok(if synth.train == 0 { 0 } else { pictures });
    }
    if pictures < 2 {
        let reason = "holds one picture that can be used, and what is held out for validation must come from another: \
            add pictures, or make one side only (--val 0, or --train 0)";
        return Err(Error::file(from, reason));
    }
    let share = pictures as f64 * synth.train as f64 / (synth.train + held_out) as f64;
    Ok((share.round() as usize).clamp(1, pictures - 1))
}
