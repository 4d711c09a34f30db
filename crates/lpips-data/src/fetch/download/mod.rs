//! Downloads, unpacks and counts the missing parts, resumably.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lpips_models::transfer::{self, Transfer, is_secure};

use super::parts::{BASE, PARTS, Part};
use super::unpack::{self, unpack, unwritable};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::outcome::Outcome;
use crate::problem::Problem;
use crate::sets::bapps::listed;
use crate::sets::{JudgmentSet, Split, Task};

/// Largest size of an archive, packed or unpacked, as a multiple of the expected size.
const MARGIN: u64 = 3;

/// Options of a download: parts, address and folder.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Folder that receives `2afc` and `jnd`. An archive that lies there already is unpacked without a download, and
    /// stays.
    pub root: PathBuf,
    /// The parts.
    pub parts: Vec<Part>,
    /// Address that the archives' names are appended to: [`BASE`], or that of a mirror.
    pub base: String,
    /// Whether downloaded archives stay in the root after they are unpacked.
    pub keep_archives: bool,
    /// Time without a byte after which a transfer counts as stalled.
    pub stall: Duration,
    /// Pause before the first retry of a transfer; it doubles with each further retry.
    pub pause: Duration,
}

/// Progress of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The part was there already.
    Skipped,
    /// Bytes of the archive on the disk, and in all where the server states it.
    Downloading(u64, Option<u64>),
    /// Bytes of the archive unpacked, and in all.
    Unpacking(u64, u64),
}

/// Folders with their numbers of triplets or pairs, and the problems in them.
pub type Counts = (Vec<(String, usize)>, Vec<Problem>);

impl Fetch {
    /// Options for all parts, from the authors' address into `root`.
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

    /// Downloads and unpacks the missing parts. `report` receives each step.
    ///
    /// A part gets its folder's name when it is complete: after an interruption, by `stop` or otherwise, the same call
    /// resumes the work.
    ///
    /// # Errors
    /// An address that is neither HTTPS nor on this machine, too little free space, a server that does not have the
    /// archive or stops sending it, an archive that is damaged or would write outside its folder (it is deleted if it
    /// was downloaded), or a folder that can't be written to.
    pub fn run(&self, stop: &AtomicBool, report: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
        self.run_with(&|root| fs4::available_space(root), stop, report)
    }

    /// [`Self::run`] with `available` as the source of the free bytes of a folder.
    fn run_with(
        &self,
        available: &dyn Fn(&Path) -> io::Result<u64>,
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Part, Step),
    ) -> Result<Outcome> {
        if !is_secure(&self.base) {
            return Err(Error::argument(format!(
                "{} is no address to fetch pictures from: expected https://, or http:// on this machine itself",
                self.base
            )));
        }
        fs::create_dir_all(&self.root).map_err(|error| unwritable(&self.root, &error))?;
        let in_use = "is being fetched into already: wait for that, or name another folder";
        let _lock = Lock::acquire(&self.root.join(".fetching"), &self.root, in_use)?;
        let (there, wanted): (Vec<&Part>, Vec<&Part>) = self.parts.iter().partition(|part| self.folder(part).exists());
        for part in there {
            self.finish(part)?;
            report(part, Step::Skipped);
        }
        self.check_space(&wanted, available)?;
        for part in wanted {
            let is_here = self.archive(part).exists() || self.fetched(part).exists();
            if !is_here && self.download(part, stop, report)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
            if self.unpack(part, stop, report)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Complete)
    }

    /// Folder of a complete part.
    pub fn folder(&self, part: &Part) -> PathBuf {
        self.root.join(part.folder)
    }

    /// Path of an archive that the user supplied; it is never deleted.
    fn archive(&self, part: &Part) -> PathBuf {
        self.root.join(part.archive)
    }

    /// Path of a downloaded archive, which may be deleted.
    fn fetched(&self, part: &Part) -> PathBuf {
        self.archive(part).with_added_extension("fetched")
    }

    /// Folder of a part that is being unpacked.
    fn unfinished(&self, part: &Part) -> PathBuf {
        self.root.join(format!(".unpacking-{}", part.name))
    }

    /// Removes the remains of an interrupted unpacking.
    fn tidy(&self, part: &Part) -> Result<()> {
        let unfinished = self.unfinished(part);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(&unfinished, "removed", &error)),
            _ => Ok(()),
        }
    }

    /// Cleans up after a complete part: removes or keeps its downloaded archive.
    fn finish(&self, part: &Part) -> Result<()> {
        self.tidy(part)?;
        let (archive, fetched) = (self.archive(part), self.fetched(part));
        if self.keep_archives && fetched.exists() && !archive.exists() {
            return fs::rename(&fetched, &archive).map_err(|error| unwritable(&archive, &error));
        }
        remove(&fetched)
    }

    /// Checks that archives and pictures fit on the disk.
    fn check_space(&self, wanted: &[&Part], available: &dyn Fn(&Path) -> io::Result<u64>) -> Result<()> {
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        // The bytes of an archive that are on the disk already are not free.
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

    /// Downloads the archive of a part.
    fn download(&self, part: &Part, stop: &AtomicBool, report: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
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
        match transfer.run(&mut |position, total| report(part, Step::Downloading(position, total))) {
            Ok(()) => {}
            Err(transfer::Failure::Stopped) => return Ok(Outcome::Stopped),
            Err(transfer::Failure::Write(error)) => return Err(unwritable(&partial, &error)),
            Err(failure) => {
                let resumable = fs::metadata(&partial).is_ok_and(|metadata| metadata.len() > 0);
                return Err(Error::Download { url, reason: failure.to_string(), resumable });
            }
        }
        let fetched = self.fetched(part);
        fs::rename(&partial, &fetched).map_err(|error| unwritable(&fetched, &error))?;
        remove(&version)?;
        Ok(Outcome::Complete)
    }

    /// Unpacks the archive of a part, and gives its folder the final name.
    fn unpack(&self, part: &Part, stop: &AtomicBool, report: &mut dyn FnMut(&Part, Step)) -> Result<Outcome> {
        let (archive, fetched) = (self.archive(part), self.fetched(part));
        let (unfinished, folder) = (self.unfinished(part), self.folder(part));
        let is_own = archive.exists();
        let archive = if is_own { archive } else { fetched };
        self.tidy(part)?;
        let total = fs::metadata(&archive).map_or(0, |metadata| metadata.len());
        let mut progress = |read| report(part, Step::Unpacking(read, total));
        let unpacked = unpack(&archive, &unfinished, part.bytes * MARGIN, stop, &mut progress);
        let without = || unpack::Failure::Refused(format!("does not hold {} with pictures in it", part.folder));
        let found = match unpacked.and_then(|()| find(&unfinished, part).ok_or_else(without)) {
            Ok(found) => found,
            Err(unpack::Failure::Stopped) => return Ok(Outcome::Stopped),
            Err(unpack::Failure::Disk(error)) => return Err(error),
            Err(unpack::Failure::Refused(what)) => {
                self.tidy(part)?;
                let rest = if is_own {
                    "nothing of it was used: replace it, or move it away to download it again"
                } else {
                    remove(&archive)?;
                    "it was deleted, and nothing of it was used"
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

    /// Counts the items of a complete part, reading every judgment.
    ///
    /// # Errors
    /// A folder that can't be read, or is empty.
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

/// Removes a file if it exists.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, "removed", &error)),
        _ => Ok(()),
    }
}

/// Path of a partial download.
fn part_of(archive: &Path) -> PathBuf {
    archive.with_added_extension("part")
}

/// Finds the folder of a part below the unpacked folder: the archives differ in how many of its parents they hold.
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
