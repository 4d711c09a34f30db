#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod augment;
pub mod builtin_samples;
pub mod diff;
pub mod distort;
mod error;
#[cfg(feature = "hub")]
pub mod fetch;
pub mod files;
pub mod float_image;
pub mod journal;
pub mod label;
pub mod loader;
pub mod lock;
pub mod npy;
pub mod rng;
pub mod sets;
pub mod synth;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::label::votes;
use crate::sets::{bapps, list};
pub use error::{Error, Result};

/// How long-running work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Complete,
    /// It was asked to stop, and can be resumed.
    Stopped,
}

/// What people were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// Two alternatives and a forced choice: which of p0 and p1 is the more similar to the reference?
    #[serde(rename = "2afc")]
    TwoAfc,
    /// Just noticeable differences: were p0 and p1, shown for a moment each, the same?
    #[serde(rename = "jnd")]
    Jnd,
}

impl Task {
    /// Its name, and that of its folder in a BAPPS root.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoAfc => "2afc",
            Self::Jnd => "jnd",
        }
    }

    /// The folders of pictures, and fields of a list.
    pub fn pictures(self) -> &'static [&'static str] {
        match self {
            Self::TwoAfc => &["ref", "p0", "p1"],
            Self::Jnd => &["p0", "p1"],
        }
    }

    /// The folder and field of what people said: the fraction that preferred p1, or that took p0 and p1 for the same.
    pub fn vote(self) -> &'static str {
        match self {
            Self::TwoAfc => "judge",
            Self::Jnd => "same",
        }
    }

    /// What one question is called.
    pub fn noun(self) -> &'static str {
        match self {
            Self::TwoAfc => "triplet",
            Self::Jnd => "pair",
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let kind = [Self::TwoAfc, Self::Jnd].into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| Error::Choice(format!("there is no kind '{name}': expected 2afc or jnd")))
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// N pictures that people were asked about, and what they said.
#[derive(Debug, Clone, PartialEq)]
pub struct Item<const N: usize> {
    /// The pictures.
    pub source: Source<N>,
    /// The fraction of people who preferred p1, or took p0 and p1 for the same, in [0, 1].
    pub judge: f32,
    /// Which of the dataset's folders it is from.
    pub folder: usize,
}

/// A reference, p0 and p1.
pub type Triplet = Item<3>;

/// Where a triplet's pictures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<const N: usize> {
    /// In files: reference, p0, p1, or p0 and p1.
    Files(Box<[PathBuf; N]>),
    /// Drawn by [`builtin_samples`] from this seed, with this number.
    Sample {
        /// The set's seed.
        seed: u64,
        /// The number within the set.
        index: u64,
    },
}

impl<const N: usize> Source<N> {
    /// A name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Files(files) => files[0].display().to_string(),
            Self::Sample { index, .. } => format!("sample {index}"),
        }
    }

    /// A hash of the first picture's file, a triplet's reference: equal where the same picture is shown again.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn first_digest(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Files(files) => {
                let bytes = std::fs::read(&files[0]).map_err(|error| Error::io(&files[0], "read", &error))?;
                Sha256::digest(bytes).to_vec()
            }
            Self::Sample { seed, index } => format!("{seed} {index}").into_bytes(),
        })
    }
}

/// What people were asked and said, in the order that it was found in: folders as given, files by name.
#[derive(Debug, Clone, Default)]
pub struct JudgmentSet<const N: usize> {
    /// What the folders are called, as they were given or found.
    pub folders: Vec<String>,
    /// The questions.
    pub items: Vec<Item<N>>,
    /// Whether judgments are of `lpips data label`, where not every question has as many votes as the next.
    pub labelled_here: bool,
}

/// Triplets, to be trained on or scored.
pub type Dataset = JudgmentSet<3>;

/// Pairs that people took for the same or not.
pub type Pairs = JudgmentSet<2>;

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl Problem {
    /// An error that names its file itself, or is put to `path`.
    pub fn of(path: &Path, error: &Error) -> Self {
        match error {
            Error::File { path, reason } => Self { path: path.clone(), reason: reason.clone() },
            other => {
                let reason = other.to_string();
                let reason = reason.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&reason);
                Self { path: path.to_path_buf(), reason: reason.to_string() }
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Which of the two halves of BAPPS a root stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `2afc/train`.
    Train,
    /// `2afc/val`.
    Val,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
        }
    }
}

/// How closely the pictures are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Whether each is there and says how large it is.
    Headers,
    /// Whether each can be decoded to its last pixel.
    Pixels,
}

impl<const N: usize> JudgmentSet<N> {
    /// What people were asked.
    pub const TASK: Task = if N == 3 { Task::TwoAfc } else { Task::Jnd };

    /// What is in several roots, in the order given, and all that is wrong with them. What is wrong is left out.
    ///
    /// A root is a folder of triplets (`ref`, `p0`, `p1`, `judge`) or of pairs (`p0`, `p1`, `same`), a folder of such folders, a
    /// BAPPS root (`2afc/train`, `2afc/val` and `jnd/val` in it, of which `split` says the one), or a list (`.csv`, `.jsonl`).
    ///
    /// # Errors
    /// A root that is not there, or in which there are no triplets or pairs.
    pub fn open(roots: &[PathBuf], split: Split) -> Result<(Self, Vec<Problem>)> {
        let (mut dataset, mut problems) = (Self::default(), Vec::new());
        for (at, root) in roots.iter().enumerate() {
            let real = |root: &PathBuf| std::fs::canonicalize(root).ok();
            if roots[..at].iter().any(|other| real(other).is_some() && real(other) == real(root)) {
                return Err(Error::Choice(format!("{} is named twice: name each root once", root.display())));
            }
            let above = std::path::absolute(root).unwrap_or_default();
            dataset.labelled_here |= above.ancestors().take(5).any(|folder| folder.join(votes::LOG).is_file());
            let before = dataset.items.len() + problems.len();
            let metadata = std::fs::metadata(root).map_err(|error| Error::io(root, "read", &error))?;
            if metadata.is_dir() {
                bapps::scan(root, split, &mut dataset, &mut problems)?;
            } else {
                list::scan(root, &mut dataset, &mut problems)?;
            }
            if dataset.items.len() + problems.len() == before {
                return Err(Error::file(root, format!("holds no {}s: expected at least one", Self::TASK.noun())));
            }
        }
        Ok((dataset, problems))
    }

    /// Looks at every picture, `progress` being called for each item: what is wrong, and how many items can't be used.
    pub fn check_pictures(&self, look: CheckDepth, progress: impl Fn() + Sync) -> (Vec<Problem>, usize) {
        let problems: Vec<Vec<Problem>> = self
            .items
            .par_iter()
            .map(|item| {
                progress();
                let Source::Files(files) = &item.source else { return Vec::new() };
                check_together(files.as_slice(), look)
            })
            .collect();
        let broken = problems.iter().filter(|problems| !problems.is_empty()).count();
        let mut problems: Vec<Problem> = problems.into_iter().flatten().collect();
        problems.sort();
        problems.dedup();
        (problems, broken)
    }

    /// Opens roots to be scored: what is wrong is an error that names the first few files, or with `skip_broken` left out, with a
    /// line in the log for each. `progress` is called with the number of items once that is known, and then for each.
    ///
    /// # Errors
    /// Those of [`Self::open`], a file that is wrong, or nothing left to score.
    pub fn open_usable(
        roots: &[PathBuf],
        split: Split,
        skip_broken: bool,
        progress: &(dyn Fn(Option<usize>) + Sync),
    ) -> Result<Self> {
        let (mut set, mut problems) = Self::open(roots, split)?;
        progress(Some(set.items.len()));
        // What is broken further in than its header is met when it is scored; to be left out it has to be found now.
        let look = if skip_broken { CheckDepth::Pixels } else { CheckDepth::Headers };
        problems.extend(set.check_pictures(look, || progress(None)).0);
        if !skip_broken && !problems.is_empty() {
            return Err(Error::Data(summary(&problems, ADVICE)));
        }
        for problem in &problems {
            tracing::warn!("left out: {problem}");
        }
        let broken: HashSet<&Path> = problems.iter().map(|problem| problem.path.as_path()).collect();
        set.items.retain(|item| match &item.source {
            Source::Files(files) => files.iter().all(|file| !broken.contains(file.as_path())),
            Source::Sample { .. } => true,
        });
        if set.items.is_empty() {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            return Err(Error::Data(format!("{}: nothing is left to score", roots.join(", "))));
        }
        Ok(set)
    }

    /// Tells datasets apart: a hash of their files' names, in their order, and judgments. It does not depend on where
    /// the folders lie.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for item in &self.items {
            match &item.source {
                Source::Files(files) => {
                    for path in files.iter() {
                        // Of BAPPS: the distortion, the column and the file.
                        let parts: Vec<_> = path.components().rev().take(3).collect();
                        for part in parts.iter().rev() {
                            hash.update(part.as_os_str().as_encoded_bytes());
                            hash.update(b"/");
                        }
                    }
                }
                Source::Sample { seed, index } => hash.update(format!("sample {seed} {index}")),
            }
            hash.update(item.judge.to_le_bytes());
        }
        short_hex(hash)
    }

    /// [`Self::digest`] with the contents of all files.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn content_digest(&self) -> Result<String> {
        let of = |item: &Item<N>| match &item.source {
            Source::Files(files) => files
                .iter()
                .map(|path| {
                    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
                    Ok(Sha256::digest(bytes).to_vec())
                })
                .collect::<Result<Vec<_>>>(),
            Source::Sample { .. } => Ok(Vec::new()),
        };
        let contents: Vec<Vec<Vec<u8>>> = self.items.par_iter().map(of).collect::<Result<_>>()?;
        let mut hash = Sha256::new_with_prefix(self.digest());
        contents.iter().flatten().for_each(|content| hash.update(content));
        Ok(short_hex(hash))
    }

    /// Each folder's name and how many items it has.
    pub fn counts(&self) -> Vec<(&str, usize)> {
        let mut counts = vec![0; self.folders.len()];
        for item in &self.items {
            counts[item.folder] += 1;
        }
        self.folders.iter().map(String::as_str).zip(counts).collect()
    }
}

impl Dataset {
    /// The built-in set of `count` samples.
    pub fn samples(seed: u64, count: usize) -> Self {
        let triplet = |index| Triplet {
            source: Source::Sample { seed, index },
            judge: builtin_samples::judge(seed, index),
            folder: 0,
        };
        Self {
            folders: vec!["built-in samples".to_string()],
            items: (0..count as u64).map(triplet).collect(),
            labelled_here: false,
        }
    }

    /// Opens roots for a training: what is wrong is an error that names the first few files, or with `skip_broken` a line
    /// in the log for each. Pictures that are broken stay in the set, which is thereby the same when a run goes on, and are left out
    /// when they are loaded. `progress` is called with the number of triplets once that is known, and then for each.
    ///
    /// # Errors
    /// Those of [`Self::open`], a file that is wrong, or nothing left to train on.
    pub fn open_for_training(
        roots: &[PathBuf],
        split: Split,
        skip_broken: bool,
        look: CheckDepth,
        progress: &(dyn Fn(Option<usize>) + Sync),
    ) -> Result<Self> {
        let (dataset, mut problems) = Self::open(roots, split)?;
        progress(Some(dataset.items.len()));
        let (found, broken) = dataset.check_pictures(look, || progress(None));
        problems.extend(found);
        if skip_broken {
            for problem in &problems {
                tracing::warn!("left out: {problem}");
            }
        } else if !problems.is_empty() {
            return Err(Error::Data(summary(&problems, ADVICE)));
        }
        if dataset.items.len() == broken {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            return Err(Error::Data(format!("{}: nothing is left to train on", roots.join(", "))));
        }
        Ok(dataset)
    }
}

/// A hash in hex, as much of it as tells things apart that nobody has made to look alike.
pub fn short_hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with pictures that are judged together.
fn check_together(files: &[PathBuf], look: CheckDepth) -> Vec<Problem> {
    let (mut problems, mut sizes) = (Vec::new(), Vec::new());
    for path in files {
        match float_image::check(path, look) {
            Ok(size) => sizes.push((path, size)),
            Err(error) => problems.push(Problem::of(path, &error.into())),
        }
    }
    if let Some((path, size)) = sizes.iter().find(|(_, size)| *size != sizes[0].1) {
        let (first, expected) = sizes[0];
        let all = if files.len() == 3 { "all three of a triplet" } else { "both of a pair" };
        let reason = format!("is {size} pixels, and {} {expected}: expected one size for {all}", first.display());
        problems.push(Problem { path: (*path).clone(), reason });
    }
    problems
}

/// What to do about files that are wrong.
const ADVICE: &str = "mend them, or leave them out with --skip-broken (`lpips data check` names every one)";

/// The first few problems in one message, with what to do.
fn summary(problems: &[Problem], advice: &str) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match problems.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}: {advice}", shown.join("; "))
}

/// The files of a folder, by name.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error: std::io::Error| Error::io(folder, "read", &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A judgment that is a fraction, or what is wrong with it.
fn fraction(judge: f64) -> Result<f32, String> {
    if (0.0..=1.0).contains(&judge) {
        Ok(judge as f32)
    } else {
        Err(format!("the judgment is {judge}: expected a fraction of people, from 0 to 1"))
    }
}
