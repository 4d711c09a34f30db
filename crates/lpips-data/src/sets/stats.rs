//! What a set is made of.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use lpips_core::Size;
use rayon::prelude::*;
use serde::Serialize;

use super::{agreement, bapps};
use crate::error::Result;
use crate::{CheckDepth, JudgmentSet, Problem, Source, Split, Task, float_image};

/// One dataset of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// What people were asked.
    pub kind: Task,
    /// The folder or list.
    pub folder: String,
    /// How many triplets or pairs can be used.
    pub items: usize,
    /// How many different pictures stand at their first place: references, or p0.
    pub references: usize,
    /// Sizes of pictures, as `WxH`, and how many pictures have them.
    pub sizes: BTreeMap<String, usize>,
    /// The mean fraction that preferred p1, or took both for the same.
    pub mean: f64,
    /// The fraction of questions on which all people said the same.
    pub unanimous: f64,
    /// The votes behind each judgment, where judgments tell.
    pub votes: Option<u32>,
    /// How often one vote agrees with another, where that can be told: what a metric can score on triplets.
    pub human: Option<f64>,
}

/// What is in a root, in the order 2AFC before JND and training before validation.
///
/// # Errors
/// A root that can't be read.
pub fn parts(root: &Path) -> Result<Vec<(Task, Split)>> {
    let all = [(Task::TwoAfc, Split::Train), (Task::TwoAfc, Split::Val), (Task::Jnd, Split::Val)];
    let found: Vec<_> =
        all.into_iter().filter(|(kind, split)| root.join(kind.name()).join(split.name()).is_dir()).collect();
    if !found.is_empty() || !root.exists() {
        return Ok(found);
    }
    // A folder or a list that is not laid out as BAPPS is of one kind and no half.
    let is_jnd = if root.is_dir() {
        bapps::leaves(root, Split::Val, Task::TwoAfc)?.is_empty()
            && !bapps::leaves(root, Split::Val, Task::Jnd)?.is_empty()
    } else {
        let text = std::fs::read_to_string(root).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        // Without a line of names, by the number of fields.
        let named = [Task::TwoAfc, Task::Jnd].map(|kind| first.contains(kind.vote()));
        named == [false, true] || (named == [false, false] && first.split(',').count() == 3)
    };
    Ok(vec![(if is_jnd { Task::Jnd } else { Task::TwoAfc }, Split::Val)])
}

/// A root by itself, so that one which can't be read does not hide what is wrong with the next: what can be used, and all that is
/// wrong. `progress` is called with the number of items once that is known, and then for each.
pub fn look<const N: usize>(
    root: &Path,
    split: Split,
    look: CheckDepth,
    progress: &(dyn Fn(Option<usize>) + Sync),
) -> (JudgmentSet<N>, Vec<Problem>) {
    let (set, mut problems) = match JudgmentSet::open(&[root.to_path_buf()], split) {
        Ok(found) => found,
        Err(error) => return (JudgmentSet::default(), vec![Problem::of(root, &error)]),
    };
    progress(Some(set.items.len()));
    problems.extend(set.check_pictures(look, || progress(None)).0);
    (set, problems)
}

/// What a set's datasets are made of.
pub fn of<const N: usize>(set: &JudgmentSet<N>) -> Vec<Stats> {
    (0..set.folders.len()).map(|folder| one(set, folder)).collect()
}

fn one<const N: usize>(set: &JudgmentSet<N>, folder: usize) -> Stats {
    let items: Vec<_> = set.items.iter().filter(|item| item.folder == folder).collect();
    let files = |item: &&crate::Item<N>| -> Vec<PathBuf> {
        match &item.source {
            Source::Files(files) => files.to_vec(),
            Source::Sample { .. } => Vec::new(),
        }
    };
    let all: Vec<Vec<PathBuf>> = items.iter().map(files).collect();
    let size = |path: &PathBuf| float_image::check(path, CheckDepth::Headers).ok();
    let found: Vec<Size> = all.par_iter().flatten().filter_map(size).collect();
    let mut sizes = BTreeMap::new();
    for size in found {
        *sizes.entry(size.to_string()).or_insert(0) += 1;
    }
    let judges: Vec<f64> = items.iter().map(|item| agreement::fraction(item.judge)).collect();
    // From 0: an empty sum is -0.
    let mean = |values: &[f64]| values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f64;
    let votes = agreement::votes_behind(&judges).filter(|_| !set.labelled_here);
    let kind = JudgmentSet::<N>::TASK;
    Stats {
        kind,
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
