//! Downloads and unpacks the parts that are missing.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lpips_models::transfer::{self, Transfer, is_secure};

use crate::error::{Error, Result};
use crate::fetch::unpack::{self, unpack, unwritable};
use crate::{JudgmentSet, Outcome, Problem, Split, Task, listed};

/// Where the authors keep the archives: the address in their `scripts/download_dataset.sh` since October 2023.
pub const BASE: &str = "https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset";

/// What a file takes on the disk beyond its length, in bytes: half a block.
const REST_OF_BLOCK: u64 = 2048;

/// How many times its expected size an archive may have, packed or unpacked.
const MARGIN: u64 = 3;

/// A part of BAPPS, which has an archive of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is called here.
    pub name: &'static str,
    /// The archive's file name.
    pub archive: &'static str,
    /// The folder that it becomes below the root.
    pub folder: &'static str,
    /// What is in it, as the authors say.
    pub holds: &'static str,
    /// The archive's size in bytes, about.
    pub bytes: u64,
    /// How many files are in it, about.
    pub files: u64,
}

/// The parts of BAPPS. The sizes are those of copies of the archives; the authors speak of 5.3, 1.1 and 0.2 GB.
pub const PARTS: [Part; 3] = [
    Part {
        name: "2afc-train",
        archive: "twoafc_train.tar.gz",
        folder: "2afc/train",
        holds: "about 151,300 triplets, 2 judgments each",
        bytes: 6_100_000_000,
        files: 605_200,
    },
    Part {
        name: "2afc-val",
        archive: "twoafc_val.tar.gz",
        folder: "2afc/val",
        holds: "about 36,300 triplets, 5 judgments each",
        bytes: 1_280_000_000,
        files: 145_200,
    },
    Part {
        name: "jnd",
        archive: "jnd.tar.gz",
        folder: "jnd/val",
        holds: "about 9,600 pairs, 3 judgments each",
        bytes: 250_000_000,
        files: 28_800,
    },
];

impl Part {
    /// What it takes on the disk when it is unpacked, in bytes, about: pictures do not become smaller by compression.
    pub fn unpacked(&self) -> u64 {
        self.bytes + self.files * REST_OF_BLOCK
    }
}

/// Which parts are fetched, from where and into which folder.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The folder that `2afc` and `jnd` are to be in. An archive that lies there already is not downloaded, and stays.
    pub root: PathBuf,
    /// The parts.
    pub parts: Vec<Part>,
    /// The address that the archives' names are added to: [`BASE`], or that of a mirror.
    pub base: String,
    /// Keeps what was downloaded after it is unpacked, under the archive's name.
    pub keep_archives: bool,
    /// The time without a byte after which the server counts as stalled.
    pub stall: Duration,
    /// The pause before a transfer is tried again; it doubles with each further try.
    pub pause: Duration,
}

/// What is being done with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was there before.
    Skipped,
    /// So many bytes of the archive are here, of so many where the server says so.
    Downloading(u64, Option<u64>),
    /// So many bytes of the archive are unpacked, of so many.
    Unpacking(u64, u64),
}

/// Folders and how many triplets or pairs each has, and what in them can't be used.
pub type Counts = (Vec<(String, usize)>, Vec<Problem>);

impl Fetch {
    /// All parts from the authors, into `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            parts: PARTS.to_vec(),
            base: BASE.to_string(),
            keep_archives: false,
            stall: Duration::from_secs(30),
            pause: Duration::from_secs(1),
        }
    }

    /// Fetches and unpacks what is not there yet. A part gets its name when it is complete, so what is interrupted, by
    /// `stop` or otherwise, is gone on with by the same call. `tell` is told of each step.
    ///
    /// # Errors
    /// An address that is neither HTTPS nor on this machine, too little free space, a server that does not have the
    /// archive or stops sending it, an archive that is damaged or would write outside its folder (it is deleted if it
    /// was downloaded), or a folder that can't be written to.
    pub fn run(&self, stop: &AtomicBool, tell: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
        self.run_with(&|root| fs4::available_space(root), stop, tell)
    }

    /// [`Self::run`] where `available` says how many bytes are free in a folder.
    fn run_with(
        &self,
        available: &dyn Fn(&Path) -> io::Result<u64>,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Part, Step),
    ) -> Result<Outcome> {
        if !is_secure(&self.base) {
            return Err(Error::Choice(format!(
                "{} is no address to fetch pictures from: expected https://, or http:// on this machine itself",
                self.base
            )));
        }
        fs::create_dir_all(&self.root).map_err(|error| unwritable(&self.root, &error))?;
        let _lock = self.lock()?;
        let (there, wanted): (Vec<&Part>, Vec<&Part>) = self.parts.iter().partition(|part| self.folder(part).exists());
        for part in there {
            self.finish(part)?;
            tell(part, Step::Skipped);
        }
        self.check_space(&wanted, available)?;
        for part in wanted {
            let is_here = self.archive(part).exists() || self.fetched(part).exists();
            if !is_here && self.download(part, stop, tell)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
            if self.unpack(part, stop, tell)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Complete)
    }

    /// Where a part is when it is complete.
    pub fn folder(&self, part: &Part) -> PathBuf {
        self.root.join(part.folder)
    }

    /// An archive that is the user's.
    fn archive(&self, part: &Part) -> PathBuf {
        self.root.join(part.archive)
    }

    /// An archive that was downloaded: it may be deleted.
    fn fetched(&self, part: &Part) -> PathBuf {
        self.archive(part).with_added_extension("fetched")
    }

    fn unfinished(&self, part: &Part) -> PathBuf {
        self.root.join(format!(".unpacking-{}", part.name))
    }

    /// Two at work in one folder would write into each other's files.
    fn lock(&self) -> Result<File> {
        let path = self.root.join(".fetching");
        let lock = File::create(&path).map_err(|error| unwritable(&path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Error::file(&self.root, "is being fetched into already: wait for that, or name another folder"))
            }
            Err(fs::TryLockError::Error(error)) => Err(Error::io(&path, "locked", &error)),
        }
    }

    /// Removes what an interrupted unpacking has left.
    fn tidy(&self, part: &Part) -> Result<()> {
        let unfinished = self.unfinished(part);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(&unfinished, "removed", &error)),
            _ => Ok(()),
        }
    }

    /// Keeps or removes what was downloaded of a part that is complete, and removes what unpacking it has left.
    fn finish(&self, part: &Part) -> Result<()> {
        self.tidy(part)?;
        let (archive, fetched) = (self.archive(part), self.fetched(part));
        if self.keep_archives && fetched.exists() && !archive.exists() {
            return fs::rename(&fetched, &archive).map_err(|error| unwritable(&archive, &error));
        }
        remove(&fetched)
    }

    fn check_space(&self, wanted: &[&Part], available: &dyn Fn(&Path) -> io::Result<u64>) -> Result<()> {
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        // What is here already of an archive is part of what is not free.
        let archive = |part: &Part| {
            let here = [self.archive(part), self.fetched(part), part_of(&self.archive(part))].map(size);
            here.into_iter().fold(part.bytes, |rest, here| rest.min(part.bytes.saturating_sub(here)))
        };
        let archives = wanted.iter().map(|part| archive(part));
        let archives = if self.keep_archives { archives.sum() } else { archives.max().unwrap_or(0) };
        let pictures: u64 = wanted.iter().map(|part| part.unpacked()).sum();
        let free = available(&self.root).map_err(|error| Error::io(&self.root, "asked for its free space", &error))?;
        if free >= archives + pictures || wanted.is_empty() {
            return Ok(());
        }
        let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        let names: Vec<&str> = wanted.iter().map(|part| part.name).collect();
        Err(Error::file(
            &self.root,
            format!(
                "{} are free, and {} need about {}, {} of that while they are unpacked: make room, or name another \
                 folder or fewer parts",
                gigabytes(free),
                names.join(", "),
                gigabytes(archives + pictures),
                gigabytes(archives),
            ),
        ))
    }

    fn download(&self, part: &Part, stop: &AtomicBool, tell: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
        let (archive, url) = (self.archive(part), format!("{}/{}", self.base.trim_end_matches('/'), part.archive));
        let (partial, version) = (part_of(&archive), archive.with_added_extension("version"));
        let transfer = Transfer {
            url: &url,
            part: &partial,
            version: Some(&version),
            token: None,
            largest: part.bytes * MARGIN,
            secure: true,
            stall: self.stall,
            pause: self.pause,
            stop,
        };
        match transfer.run(&mut |position, total| tell(part, Step::Downloading(position, total))) {
            Ok(()) => {}
            Err(transfer::Failure::Stopped) => return Ok(Outcome::Stopped),
            Err(transfer::Failure::Write(error)) => return Err(unwritable(&partial, &error)),
            Err(failure) => {
                let rest = match fs::metadata(&partial) {
                    Ok(metadata) if metadata.len() > 0 => "; the same command goes on where this one ended",
                    _ => "",
                };
                return Err(Error::Data(format!("{url}: {failure}{rest}")));
            }
        }
        let fetched = self.fetched(part);
        fs::rename(&partial, &fetched).map_err(|error| unwritable(&fetched, &error))?;
        remove(&version)?;
        Ok(Outcome::Complete)
    }

    fn unpack(&self, part: &Part, stop: &AtomicBool, tell: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
        let (archive, fetched) = (self.archive(part), self.fetched(part));
        let (unfinished, folder) = (self.unfinished(part), self.folder(part));
        let is_own = archive.exists();
        let archive = if is_own { archive } else { fetched };
        self.tidy(part)?;
        let total = fs::metadata(&archive).map_or(0, |metadata| metadata.len());
        let mut told = |read| tell(part, Step::Unpacking(read, total));
        let unpacked = unpack(&archive, &unfinished, part.bytes * MARGIN, stop, &mut told);
        let without = || unpack::Failure::Refused(format!("does not hold {} with pictures in it", part.folder));
        let found = match unpacked.and_then(|()| find(&unfinished, part).ok_or_else(without)) {
            Ok(found) => found,
            Err(unpack::Failure::Stopped) => return Ok(Outcome::Stopped),
            Err(unpack::Failure::Disk(error)) => return Err(error),
            Err(unpack::Failure::Refused(what)) => {
                self.tidy(part)?;
                let rest = if is_own {
                    "nothing of it was taken: replace it, or take it away to have it downloaded"
                } else {
                    remove(&archive)?;
                    "it was not kept, and nothing of it was taken"
                };
                return Err(Error::file(&archive, format!("{what}; {rest}")));
            }
        };
        let fail = |error: io::Error| unwritable(&folder, &error);
        fs::create_dir_all(folder.parent().unwrap_or(&self.root)).map_err(fail)?;
        fs::rename(&found, &folder).map_err(fail)?;
        self.finish(part)?;
        Ok(Outcome::Complete)
    }

    /// What a part that is there holds; every judgment is read.
    ///
    /// # Errors
    /// A folder that can't be read, or in which there is nothing.
    pub fn count(&self, part: &Part) -> Result<Counts> {
        let folder = self.folder(part);
        if part.folder.starts_with(Task::Jnd.name()) { counts::<2>(folder) } else { counts::<3>(folder) }
    }
}

fn counts<const N: usize>(folder: PathBuf) -> Result<Counts> {
    let (set, problems) = JudgmentSet::<N>::open(&[folder], Split::Val)?;
    let counts = set.counts().into_iter().map(|(folder, count)| (folder.to_string(), count));
    Ok((counts.collect(), problems))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, "removed", &error)),
        _ => Ok(()),
    }
}

fn part_of(archive: &Path) -> PathBuf {
    archive.with_added_extension("part")
}

/// The folder of a part among what was unpacked: the archives differ in how many of its parents they hold.
fn find(unpacked: &Path, part: &Part) -> Option<PathBuf> {
    let mut folder = unpacked.to_path_buf();
    for name in part.folder.split('/') {
        if folder.join(name).is_dir() {
            folder.push(name);
        }
    }
    let has_pictures = listed(&folder).ok()?.iter().any(|below| below.join("p0").is_dir());
    has_pictures.then_some(folder)
}

#[cfg(test)]
mod tests;
