//! Statistics of judgment sets: counts, picture sizes, mean judgment and agreement.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use lpips_core::Size;
use rayon::prelude::*;
use serde::Serialize;

use super::check::{CheckDepth, check_picture};
use super::item::{Item, Source};
use super::judgment_set::{JudgmentSet, Split};
use super::task::Task;
use super::{agreement, bapps};
use crate::error::Result;
use crate::problem::Problem;

/// Statistics of one folder or list of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Task of the items.
    #[serde(rename = "kind")]
    pub task: Task,
    /// The folder or list.
    pub folder: String,
    /// Number of usable triplets or pairs.
    pub items: usize,
    /// Number of different first pictures: references, or p0.
    pub references: usize,
    /// Number of pictures of each size, `WxH`.
    pub sizes: BTreeMap<String, usize>,
    /// Mean judgment: the fraction of votes for p1, or for "same".
    pub mean: f64,
    /// Fraction of items whose votes all agree.
    pub unanimous: f64,
    /// Number of votes behind each judgment, where it follows from the fractions.
    pub votes: Option<u32>,
    /// Mean agreement of one vote with another, where `votes` is known: the ceiling of a metric's score on triplets.
    pub human: Option<f64>,
}

/// Tasks and splits in a root: 2AFC before JND, training before validation.
///
/// # Errors
/// A root that can't be read.
pub fn parts(root: &Path) -> Result<Vec<(Task, Split)>> {
    let all = [(Task::TwoAfc, Split::Train), (Task::TwoAfc, Split::Val), (Task::Jnd, Split::Val)];
    let found: Vec<_> =
        all.into_iter().filter(|(task, split)| root.join(task.name()).join(split.name()).is_dir()).collect();
    if !found.is_empty() || !root.exists() {
        return Ok(found);
    }
    // A folder or list without BAPPS layout has one task and no splits.
    let is_jnd = if root.is_dir() {
        bapps::leaves(root, Split::Val, Task::TwoAfc)?.is_empty()
            && !bapps::leaves(root, Split::Val, Task::Jnd)?.is_empty()
    } else {
        let text = std::fs::read_to_string(root).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        // Without a line of names the number of fields decides.
        let named = [Task::TwoAfc, Task::Jnd].map(|task| first.contains(task.vote()));
        named == [false, true] || (named == [false, false] && first.split(',').count() == 3)
    };
    Ok(vec![(if is_jnd { Task::Jnd } else { Task::TwoAfc }, Split::Val)])
}

/// Opens and checks one root by itself, so that an unreadable root does not hide the problems of the next.
///
/// Returns the usable items and all problems. `progress` is called with the number of items once that is known, and
/// then with `None` for each.
pub fn check_root<const N: usize>(
    root: &Path,
    split: Split,
    depth: CheckDepth,
    progress: &(dyn Fn(Option<usize>) + Sync),
) -> (JudgmentSet<N>, Vec<Problem>) {
    let (set, mut problems) = match JudgmentSet::open(&[root.to_path_buf()], split) {
        Ok(found) => found,
        Err(error) => return (JudgmentSet::default(), vec![Problem::of(root, &error)]),
    };
    progress(Some(set.items.len()));
    problems.extend(set.check_pictures(depth, || progress(None)).0);
    (set, problems)
}

/// Statistics of each folder or list of a set.
pub fn of<const N: usize>(set: &JudgmentSet<N>) -> Vec<Stats> {
    (0..set.folders.len()).map(|folder| one(set, folder)).collect()
}

/// Statistics of one folder.
fn one<const N: usize>(set: &JudgmentSet<N>, folder: usize) -> Stats {
    let items: Vec<_> = set.items.iter().filter(|item| item.folder == folder).collect();
    let files = |item: &&Item<N>| -> Vec<PathBuf> {
        match &item.source {
            Source::Files(files) => files.to_vec(),
            Source::Sample { .. } => Vec::new(),
        }
    };
    let all: Vec<Vec<PathBuf>> = items.iter().map(files).collect();
    let size = |path: &PathBuf| check_picture(path, CheckDepth::Headers).ok();
    let found: Vec<Size> = all.par_iter().flatten().filter_map(size).collect();
    let mut sizes = BTreeMap::new();
    for size in found {
        *sizes.entry(size.to_string()).or_insert(0) += 1;
    }
    let judges: Vec<f64> = items.iter().map(|item| agreement::fraction(item.judge)).collect();
    // Starts at 0: the sum of no floats is -0.
    let mean = |values: &[f64]| values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f64;
    let votes = agreement::votes_behind(&judges).filter(|_| !set.labelled_here);
    Stats {
        task: JudgmentSet::<N>::TASK,
        folder: set.folders[folder].clone(),
        items: items.len(),
        references: items.par_iter().filter_map(|item| item.source.first_digest().ok()).collect::<HashSet<_>>().len(),
        sizes,
        mean: mean(&judges),
        unanimous: mean(&judges.iter().map(|j| f64::from(u8::from(*j <= 0.0 || *j >= 1.0))).collect::<Vec<_>>()),
        votes,
        human: votes.and_then(|votes| agreement::agreements(&judges, votes)).map(|all| mean(&all)),
    }
}
