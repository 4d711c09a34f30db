//! Options, progress events and outcome of a synthesis.

use std::path::{Path, PathBuf};

use super::part::{Part, Place};
use crate::distort::Distortion;
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};

/// Options of a synthetic set; see [`write`](Self::write).
///
/// # Examples
/// A set of six triplets for training and two for validation, made from drawn pictures:
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use lpips_data::builtin_samples;
/// use lpips_data::distort::Distortion;
/// use lpips_data::synth::Synth;
/// use lpips_data::{Dataset, Split};
///
/// let folder = tempfile::tempdir()?;
/// let from = folder.path().join("pictures");
/// std::fs::create_dir(&from)?;
/// for number in 0..3 {
///     let [picture, ..] = builtin_samples::draw(1, number, 64);
///     lpips_core::Picture::from_rgb8(64, 64, picture.to_rgb8())?.save_png(from.join(format!("{number}.png")))?;
/// }
/// let synth = Synth {
///     from,
///     train: 6,
///     val: 2,
///     jnd: 0,
///     size: 32,
///     seed: 0,
///     labelled: true,
///     distortions: Distortion::all(),
///     skip_broken: false,
/// };
/// let out = folder.path().join("set");
/// let made = synth.write(&out, &|_event| {}, &AtomicBool::new(false))?;
/// assert_eq!((made.done, made.wanted), (8, 8));
/// let (set, problems) = Dataset::open(&[out], Split::Train)?;
/// assert_eq!((set.items.len(), problems.len()), (6, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Synth {
    /// Folder of pictures, searched with its subfolders.
    pub from: PathBuf,
    /// Number of triplets for training.
    pub train: usize,
    /// Number of triplets for validation, cut from other pictures than those for training.
    pub val: usize,
    /// Number of pairs, cut from the pictures for validation.
    pub jnd: usize,
    /// Side of a patch in pixels, 16 to 1024.
    pub size: usize,
    /// Seed of all random draws.
    pub seed: u64,
    /// Whether the set has labels, by the [module's rules](super).
    pub labelled: bool,
    /// The distortions to choose from.
    pub distortions: Vec<Distortion>,
    /// Whether unreadable pictures are left out rather than an error.
    pub skip_broken: bool,
}

/// Progress event of a synthesis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The check of this many more pictures starts.
    Checking(usize),
    /// A picture was checked.
    Checked,
    /// Note on a picture, such as why it is left out.
    Note(String),
    /// The making of this many triplets and pairs starts.
    Making(usize),
    /// A triplet or pair was made, or was there already.
    Made,
}

/// Numbers of a set that was written, in whole or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Triplets and pairs that are in the folder now.
    pub done: usize,
    /// Triplets and pairs of these that an earlier run had made.
    pub resumed: usize,
    /// Triplets and pairs of the whole set.
    pub wanted: usize,
    /// Pictures that the triplets for training are cut from.
    pub train_pictures: usize,
    /// Pictures that all others are cut from.
    pub val_pictures: usize,
}

impl Synth {
    /// Checks the numbers, the size and the seed.
    pub(super) fn check(&self) -> Result<()> {
        const MOST: usize = 1_000_000;
        if self.train + self.val + self.jnd == 0 {
            return Err(Error::argument("no triplets are asked for: expected at least one"));
        }
        if let Some(count) = [self.train, self.val, self.jnd].into_iter().find(|count| *count > MOST) {
            return Err(Error::argument(format!("{count} triplets are too many: expected at most {MOST} of a kind")));
        }
        if !(16..=1024).contains(&self.size) {
            let size = self.size;
            return Err(Error::argument(format!("a patch of {size} pixels a side can't be: expected 16 to 1024")));
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Error::argument(format!("the seed {} is too large: expected at most {}", self.seed, i64::MAX)));
        }
        Ok(())
    }

    /// Places of all triplets and pairs, in order.
    pub(super) fn places(&self) -> Vec<Place> {
        let counts = [(Part::Train, self.train), (Part::Val, self.val), (Part::Jnd, self.jnd)];
        counts.into_iter().flat_map(|(part, count)| (0..count).map(move |number| (part, number))).collect()
    }

    /// Random stream of one attempt at a triplet or pair.
    pub(super) fn stream(&self, part: Part, number: usize, attempt: u64) -> Rng {
        Rng::new(self.seed, Stream::Synth, (1 + part as u64, (number as u64) << 16 | attempt))
    }

    /// Files of a triplet or pair: its pictures, then its label if it has one.
    pub(super) fn paths(&self, out: &Path, (part, number): Place) -> Vec<PathBuf> {
        let folder = out.join(part.folder());
        let task = part.task();
        let mut paths: Vec<PathBuf> =
            task.pictures().iter().map(|column| folder.join(column).join(format!("{number:06}.png"))).collect();
        if self.labelled {
            paths.push(folder.join(task.vote()).join(format!("{number:06}.npy")));
        }
        paths
    }
}
