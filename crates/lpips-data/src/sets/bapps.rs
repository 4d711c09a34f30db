//! Folders laid out as BAPPS is: `ref`, `p0`, `p1` with a picture of the same name in each, and `judge` with a `.npy`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::{Item, JudgmentSet, Problem, Source, Split, Task, fraction, listed, npy};

pub(crate) const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "gif"];

/// Adds what is below `root`.
pub(crate) fn scan<const N: usize>(
    root: &Path,
    split: Split,
    dataset: &mut JudgmentSet<N>,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let kind = JudgmentSet::<N>::TASK;
    let leaves = leaves(root, split, kind)?;
    if leaves.is_empty() {
        let other = if kind == Task::Jnd { Task::TwoAfc } else { Task::Jnd };
        let holds = |split| self::leaves(root, split, other).is_ok_and(|leaves| !leaves.is_empty());
        let hint = if holds(Split::Train) || holds(Split::Val) {
            format!("; it holds {}s of {other}", other.noun())
        } else {
            String::new()
        };
        let reason = format!(
            "holds no {}s: expected the folders {} and {}, folders of them, or a BAPPS root with {kind}/{}{hint}",
            kind.noun(),
            kind.pictures().join(", "),
            kind.vote(),
            split.name()
        );
        return Err(Error::file(root, reason));
    }
    for leaf in leaves {
        match leaf_folder(&leaf, dataset, problems) {
            Err(Error::File { path, reason }) => problems.push(Problem { path, reason }),
            other => other?,
        }
    }
    Ok(())
}

/// What a folder holds, if it is one of pictures.
pub(crate) fn kind_of(folder: &Path) -> Option<Task> {
    let has = |part: &str| folder.join(part).is_dir();
    match ["ref", "p0", "p1"].map(has) {
        [true, ..] => Some(Task::TwoAfc),
        [false, true, true] => Some(Task::Jnd),
        _ => None,
    }
}

/// The folders that hold pictures of a kind, by name.
pub(crate) fn leaves(root: &Path, split: Split, kind: Task) -> Result<Vec<PathBuf>> {
    let mut folder = root.to_path_buf();
    for part in [kind.name(), split.name()] {
        if folder.join(part).is_dir() {
            folder.push(part);
        }
    }
    let is_leaf = |folder: &Path| kind_of(folder) == Some(kind);
    Ok(if is_leaf(&folder) { vec![folder] } else { listed(&folder)?.into_iter().filter(|f| is_leaf(f)).collect() })
}

fn leaf_folder<const N: usize>(folder: &Path, dataset: &mut JudgmentSet<N>, problems: &mut Vec<Problem>) -> Result<()> {
    let (number, kind) = (dataset.folders.len(), JudgmentSet::<N>::TASK);
    dataset.folders.push(folder.display().to_string());
    let mut columns = Vec::new();
    let expected = || format!("{} and {}", kind.pictures().join(", "), kind.vote());
    for part in kind.pictures().iter().copied().chain([kind.vote()]) {
        let path = folder.join(part);
        if !path.is_dir() {
            return Err(Error::file(folder, format!("lacks the folder {part}: expected {}", expected())));
        }
        let column = if part == kind.vote() { column(&path, &["npy"], problems)? } else { pictures(&path, problems)? };
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
            let reason = format!("has no twin in {}", missing.join(" and "));
            problems.push(Problem { path: path.clone(), reason });
        }
    }
    Ok(())
}

/// The pictures of a folder by the name that they share with their twins in others.
pub(crate) fn pictures(folder: &Path, problems: &mut Vec<Problem>) -> Result<BTreeMap<OsString, PathBuf>> {
    column(folder, &EXTENSIONS, problems)
}

/// The files of a folder that end in one of these, by name.
fn column(folder: &Path, extensions: &[&str], problems: &mut Vec<Problem>) -> Result<BTreeMap<OsString, PathBuf>> {
    let wanted = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        extensions.contains(&extension.as_str())
    };
    let mut column: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for path in listed(folder)?.into_iter().filter(wanted) {
        let stem = path.file_stem().unwrap_or_default().to_os_string();
        if let Some(other) = column.insert(stem, path.clone()) {
            let reason = format!("has the name of {}: expected one of them", other.display());
            problems.push(Problem { path, reason });
        }
    }
    Ok(column)
}

/// The one number of a `.npy` file, a fraction of people.
fn read_judge(path: &Path) -> Result<f32, String> {
    /// More than any header of one number takes.
    const LARGEST: u64 = 4096;
    let fail = |error: std::io::Error| format!("can't be read: {error}");
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > LARGEST {
        return Err(format!("is {length} bytes long: expected one real number in NumPy's format"));
    }
    let number = npy::one_number(&std::fs::read(path).map_err(fail)?);
    fraction(number.ok_or("does not hold one real number in NumPy's format (.npy): expected the fraction of people")?)
}
