//! The in-memory set of judged items, and its digests.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::item::{Item, Source, Triplet};
use super::task::Task;
use crate::builtin_samples;
use crate::digest::short_hex;
use crate::error::{Error, Result};

/// Judged items in the order of discovery: folders as given, files by name.
///
/// # Examples
/// The built-in sample set needs no files. [`JudgmentSet::open`] reads sets from the disk.
/// ```
/// use lpips_data::{Dataset, Task};
///
/// let set = Dataset::samples(7, 100);
/// assert_eq!(Dataset::TASK, Task::TwoAfc);
/// assert_eq!(set.counts(), [("built-in samples", 100)]);
/// assert!(set.items.iter().all(|triplet| (0.0..=1.0).contains(&triplet.judge)));
/// // The same seed draws the same set.
/// assert_eq!(set.digest(), Dataset::samples(7, 100).digest());
/// ```
#[derive(Debug, Clone, Default)]
pub struct JudgmentSet<const N: usize> {
    /// Names of the folders, as given or found.
    pub folders: Vec<String>,
    /// The items.
    pub items: Vec<Item<N>>,
    /// Whether the judgments come from `lpips data label`, where the number of votes varies between items.
    pub labelled_here: bool,
}

/// Triplets (2AFC), for training or scoring.
pub type Dataset = JudgmentSet<3>;

/// Pairs (JND), for scoring.
pub type Pairs = JudgmentSet<2>;

/// Training or validation half of BAPPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `2afc/train`.
    Train,
    /// `2afc/val` or `jnd/val`.
    Val,
}

impl Split {
    /// Name of the split's folder: `train` or `val`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
        }
    }
}

impl<const N: usize> JudgmentSet<N> {
    /// Task of the set: 2AFC for triplets, JND for pairs.
    pub const TASK: Task = if N == 3 { Task::TwoAfc } else { Task::Jnd };

    /// Hash of the files' names, in their order, and the judgments; independent of where the folders lie.
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

    /// Hash of [`Self::digest`] and the contents of all files.
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

    /// Names of the folders, and the number of items in each.
    pub fn counts(&self) -> Vec<(&str, usize)> {
        let mut counts = vec![0; self.folders.len()];
        for item in &self.items {
            counts[item.folder] += 1;
        }
        self.folders.iter().map(String::as_str).zip(counts).collect()
    }
}

impl Dataset {
    /// Built-in set of `count` samples, drawn from a seed.
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
}
