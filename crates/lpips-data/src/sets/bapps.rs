//! Reader of BAPPS folders: `ref`, `p0`, `p1` with a picture of the same name in each, and `judge` with a `.npy`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::item::{Item, Source, fraction};
use super::judgment_set::{JudgmentSet, Split};
use super::task::Task;
use crate::discover;
use crate::error::{Error, Result};
use crate::npy;
use crate::problem::Problem;

/// Adds the items and problems below a root.
pub(super) fn scan<const N: usize>(
    root: &Path,
    split: Split,
    dataset: &mut JudgmentSet<N>,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let task = JudgmentSet::<N>::TASK;
    let leaves = leaves(root, split, task)?;
    if leaves.is_empty() {
        let other = if task == Task::Jnd { Task::TwoAfc } else { Task::Jnd };
        let holds = |split| self::leaves(root, split, other).is_ok_and(|leaves| !leaves.is_empty());
        let hint = if holds(Split::Train) || holds(Split::Val) {
            format!("; it holds {}s of {other}", other.noun())
        } else {
            String::new()
        };
        let reason = format!(
            "holds no {}s: expected the folders {} and {}, folders of them, or a BAPPS root with {task}/{}{hint}",
            task.noun(),
            task.pictures().join(", "),
            task.vote(),
            split.name()
        );
        return Err(Error::file(root, reason));
    }
    for leaf in leaves {
        match leaf_folder(&leaf, dataset, problems) {
            Err(error @ (Error::File { .. } | Error::Io { .. })) => problems.push(Problem::of(&leaf, &error)),
            other => other?,
        }
    }
    Ok(())
}

/// Task of a folder of items, by the names of its subfolders.
pub(crate) fn task_of(folder: &Path) -> Option<Task> {
    let has = |part: &str| folder.join(part).is_dir();
    match ["ref", "p0", "p1"].map(has) {
        [true, ..] => Some(Task::TwoAfc),
        [false, true, true] => Some(Task::Jnd),
        _ => None,
    }
}

/// Folders of items of a task at or below a root, by name.
pub(super) fn leaves(root: &Path, split: Split, task: Task) -> Result<Vec<PathBuf>> {
    let mut folder = root.to_path_buf();
    for part in [task.name(), split.name()] {
        if folder.join(part).is_dir() {
            folder.push(part);
        }
    }
    let is_leaf = |folder: &Path| task_of(folder) == Some(task);
    Ok(if is_leaf(&folder) { vec![folder] } else { listed(&folder)?.into_iter().filter(|f| is_leaf(f)).collect() })
}

/// Adds the items and problems of one folder.
fn leaf_folder<const N: usize>(folder: &Path, dataset: &mut JudgmentSet<N>, problems: &mut Vec<Problem>) -> Result<()> {
    let (number, task) = (dataset.folders.len(), JudgmentSet::<N>::TASK);
    dataset.folders.push(folder.display().to_string());
    let mut columns = Vec::new();
    let expected = || format!("{} and {}", task.pictures().join(", "), task.vote());
    for part in task.pictures().iter().copied().chain([task.vote()]) {
        let path = folder.join(part);
        if !path.is_dir() {
            return Err(Error::file(folder, format!("lacks the folder {part}: expected {}", expected())));
        }
        let column = if part == task.vote() { column(&path, is_npy, problems)? } else { pictures(&path, problems)? };
        columns.push((part, column));
    }
    let names: BTreeSet<OsString> = columns.iter().flat_map(|(_, column)| column.keys().cloned()).collect();
    if names.is_empty() {
        return Err(Error::file(folder, format!("is empty: expected pictures and judgments in {}", expected())));
    }
    for name in names {
        let found: Vec<Option<&PathBuf>> = columns.iter().map(|(_, column)| column.get(&name)).collect();
        if let [pictures @ .., Some(judge)] = &found[..]
            && let Ok(pictures) = pictures.iter().copied().flatten().cloned().collect::<Vec<_>>().try_into()
        {
            match read_judge(judge) {
                Ok(judge) => {
                    dataset.items.push(Item { source: Source::Files(Box::new(pictures)), judge, folder: number });
                }
                Err(reason) => problems.push(Problem { path: (*judge).clone(), reason }),
            }
            continue;
        }
        let missing: Vec<&str> =
            columns.iter().zip(&found).filter(|(_, path)| path.is_none()).map(|((part, _), _)| *part).collect();
        if let Some(path) = found.into_iter().flatten().next() {
            let reason = format!("has no file of the same name in {}", missing.join(" and "));
            problems.push(Problem { path: path.clone(), reason });
        }
    }
    Ok(())
}

/// Pictures of a folder by their names without extension, which their twins in the other folders share.
pub(crate) fn pictures(folder: &Path, problems: &mut Vec<Problem>) -> Result<BTreeMap<OsString, PathBuf>> {
    column(folder, discover::is_picture, problems)
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// Wanted files of a folder, by name without extension.
fn column(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut column: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for path in listed(folder)?.into_iter().filter(|path| wanted(path)) {
        let stem = path.file_stem().unwrap_or_default().to_os_string();
        if let Some(other) = column.insert(stem, path.clone()) {
            let reason = format!("has the name of {}: expected one of them", other.display());
            problems.push(Problem { path, reason });
        }
    }
    Ok(column)
}

/// Reads the one number of a `.npy` file, a fraction of votes.
fn read_judge(path: &Path) -> Result<f32, String> {
    /// More than the header of any file of one number takes.
    const LARGEST: u64 = 4096;
    let fail = |error: std::io::Error| format!("can't be read: {error}");
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > LARGEST {
        return Err(format!("is {length} bytes long: expected one real number in NumPy's format"));
    }
    let number = npy::one_number(&std::fs::read(path).map_err(fail)?);
    fraction(number.ok_or("does not hold one real number in NumPy's format (.npy): expected the fraction of people")?)
}

/// Files and folders in a folder, by name, without hidden ones.
pub(crate) fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
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
