//! Opens roots as one set: BAPPS folders and lists.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::check::CheckDepth;
use super::item::Source;
use super::judgment_set::{Dataset, JudgmentSet, Split};
use super::{VOTES_LOG, bapps, list};
use crate::error::{Error, Result};
use crate::problem::Problem;

/// Advice that ends the message about unusable files.
const ADVICE: &str = "fix them, or leave them out with --skip-broken (`lpips data check` names every one)";

impl<const N: usize> JudgmentSet<N> {
    /// Reads several roots, in the order given, and returns the usable items and the problems of the others.
    ///
    /// A root is a folder of triplets (`ref`, `p0`, `p1`, `judge`) or of pairs (`p0`, `p1`, `same`), a folder of such
    /// folders, a BAPPS root (with `2afc/train`, `2afc/val` and `jnd/val`, of which `split` selects one), or a list
    /// (`.csv`, `.jsonl`). Pictures are not opened: see [`Self::check_pictures`].
    ///
    /// # Errors
    /// A root that does not exist, is given twice, or holds no triplets or pairs.
    pub fn open(roots: &[PathBuf], split: Split) -> Result<(Self, Vec<Problem>)> {
        let (mut set, mut problems) = (Self::default(), Vec::new());
        for (at, root) in roots.iter().enumerate() {
            let real = |root: &PathBuf| std::fs::canonicalize(root).ok();
            if roots[..at].iter().any(|other| real(other).is_some() && real(other) == real(root)) {
                return Err(Error::argument(format!("{} is named twice: name each root once", root.display())));
            }
            let above = std::path::absolute(root).unwrap_or_default();
            set.labelled_here |= above.ancestors().take(5).any(|folder| folder.join(VOTES_LOG).is_file());
            let before = set.items.len() + problems.len();
            let metadata = std::fs::metadata(root).map_err(|error| Error::io(root, "read", &error))?;
            if metadata.is_dir() {
                bapps::scan(root, split, &mut set, &mut problems)?;
            } else {
                list::scan(root, &mut set, &mut problems)?;
            }
            if set.items.len() + problems.len() == before {
                return Err(Error::file(root, format!("holds no {}s: expected at least one", Self::TASK.noun())));
            }
        }
        Ok((set, problems))
    }

    /// Opens roots for scoring. A problem is an error that names the first few files; with `skip_broken` the items are
    /// left out instead, with a warning in the log for each problem.
    ///
    /// `progress` is called with the number of items once that is known, and then with `None` for each.
    ///
    /// # Errors
    /// Those of [`Self::open`], an unusable file, or no items left to score.
    pub fn open_usable(
        roots: &[PathBuf],
        split: Split,
        skip_broken: bool,
        progress: &(dyn Fn(Option<usize>) + Sync),
    ) -> Result<Self> {
        let (mut set, mut problems) = Self::open(roots, split)?;
        progress(Some(set.items.len()));
        // Damage behind a header is found during scoring; items to be left out have to be known before it starts.
        let depth = if skip_broken { CheckDepth::Pixels } else { CheckDepth::Headers };
        problems.extend(set.check_pictures(depth, || progress(None)).0);
        if !skip_broken && !problems.is_empty() {
            return Err(Error::BrokenFiles { problems, advice: ADVICE });
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
            return Err(nothing_left(roots, "score"));
        }
        Ok(set)
    }
}

impl Dataset {
    /// Opens roots for training. A problem is an error that names the first few files; with `skip_broken` it is a
    /// warning in the log instead.
    ///
    /// Broken pictures stay in the set, so that it is the same when a run is resumed, and are skipped by the loader.
    /// `progress` is called with the number of triplets once that is known, and then with `None` for each.
    ///
    /// # Errors
    /// Those of [`Self::open`], an unusable file, or no triplets left to train on.
    pub fn open_for_training(
        roots: &[PathBuf],
        split: Split,
        skip_broken: bool,
        depth: CheckDepth,
        progress: &(dyn Fn(Option<usize>) + Sync),
    ) -> Result<Self> {
        let (dataset, mut problems) = Self::open(roots, split)?;
        progress(Some(dataset.items.len()));
        let (found, broken) = dataset.check_pictures(depth, || progress(None));
        problems.extend(found);
        if skip_broken {
            for problem in &problems {
                tracing::warn!("left out: {problem}");
            }
        } else if !problems.is_empty() {
            return Err(Error::BrokenFiles { problems, advice: ADVICE });
        }
        if dataset.items.len() == broken {
            return Err(nothing_left(roots, "train on"));
        }
        Ok(dataset)
    }
}

fn nothing_left(roots: &[PathBuf], purpose: &'static str) -> Error {
    let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
    Error::NothingLeft { roots: roots.join(", "), purpose }
}
