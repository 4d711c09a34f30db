//! Folders laid out as BAPPS is: `ref`, `p0`, `p1` with a picture of the same name in each, and `judge` with a `.npy`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Dataset, Problem, Source, Split, Triplet, files, fraction, npy};
use crate::error::{Error, Result};

const PICTURES: [&str; 3] = ["ref", "p0", "p1"];
const JUDGE: &str = "judge";
const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "gif"];

/// Adds the triplets below `root`.
pub(super) fn scan(root: &Path, split: Split, dataset: &mut Dataset, problems: &mut Vec<Problem>) -> Result<()> {
    let mut folder = root.to_path_buf();
    for part in ["2afc", split.name()] {
        if folder.join(part).is_dir() {
            folder.push(part);
        }
    }
    let is_leaf = |folder: &Path| folder.join(PICTURES[0]).is_dir();
    let leaves: Vec<PathBuf> =
        if is_leaf(&folder) { vec![folder] } else { files(&folder)?.into_iter().filter(|f| is_leaf(f)).collect() };
    if leaves.is_empty() {
        return Err(Error::file(
            root,
            format!(
                "holds no triplets: expected the folders ref, p0, p1 and judge, folders of them, or a BAPPS root with \
                 2afc/{}",
                split.name()
            ),
        ));
    }
    for leaf in leaves {
        match leaf_folder(&leaf, dataset, problems) {
            Err(Error::File { path, reason }) => problems.push(Problem { path, reason }),
            other => other?,
        }
    }
    Ok(())
}

fn leaf_folder(folder: &Path, dataset: &mut Dataset, problems: &mut Vec<Problem>) -> Result<()> {
    let number = dataset.folders.len();
    dataset.folders.push(folder.display().to_string());
    let mut columns = Vec::new();
    for part in PICTURES.into_iter().chain([JUDGE]) {
        let path = folder.join(part);
        if !path.is_dir() {
            return Err(Error::file(folder, format!("lacks the folder {part}: expected ref, p0, p1 and judge")));
        }
        let wanted = |path: &PathBuf| {
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            if part == JUDGE { extension == "npy" } else { EXTENSIONS.contains(&extension.as_str()) }
        };
        let mut column: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for path in files(&path)?.into_iter().filter(wanted) {
            let stem = path.file_stem().unwrap_or_default().to_os_string();
            if let Some(other) = column.insert(stem, path.clone()) {
                let reason = format!("has the name of {}: expected one of them", other.display());
                problems.push(Problem { path, reason });
            }
        }
        columns.push((part, column));
    }
    let names: BTreeSet<OsString> = columns.iter().flat_map(|(_, column)| column.keys().cloned()).collect();
    if names.is_empty() {
        return Err(Error::file(folder, "is empty: expected pictures in ref, p0 and p1, and judgments in judge"));
    }
    for name in names {
        let found: Vec<Option<&PathBuf>> = columns.iter().map(|(_, column)| column.get(&name)).collect();
        if let [Some(reference), Some(p0), Some(p1), Some(judge)] = found[..] {
            match read_judge(judge) {
                Ok(judge) => dataset.triplets.push(Triplet {
                    source: Source::Files(Box::new([reference.clone(), p0.clone(), p1.clone()])),
                    judge,
                    folder: number,
                }),
                Err(reason) => problems.push(Problem { path: judge.clone(), reason }),
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

/// The one number of a `.npy` file, the fraction of people who preferred p1.
fn read_judge(path: &Path) -> Result<f32, String> {
    /// More than any header of one number takes.
    const LARGEST: u64 = 4096;
    let fail = |error: std::io::Error| format!("can't be read: {error}");
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > LARGEST {
        return Err(format!("is {length} bytes long: expected one real number in NumPy's format"));
    }
    let number = npy::one_number(&std::fs::read(path).map_err(fail)?);
    fraction(
        number
            .ok_or("does not hold one real number in NumPy's format (.npy): expected the fraction that preferred p1")?,
    )
}
