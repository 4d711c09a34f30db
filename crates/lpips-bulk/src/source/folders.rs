//! Pairs of the pictures of two folders, matched by name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::list;
use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use lpips_data::Problem;
use lpips_data::discover::{Walk, bytes, real, sort};

/// Matching of the pictures of two folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MatchBy {
    /// By the path within the folder: `a/x.png` with `a/x.png`.
    #[default]
    Path,
    /// By the path without its extension: `a/x.png` with `a/x.jpg`.
    Stem,
    /// By a list of pairs in this file (see [`list`]), with paths within the two folders. Files that it names may be
    /// missing: their rows then fail. The globs of the walk do not apply to them.
    Map(PathBuf),
}

/// The pairs of two folders, ordered by the bytes of the reference's path within its folder, or in the order of a list.
///
/// ```
/// use lpips_data::discover::Walk;
/// use lpips_bulk::source::folders::{Folders, MatchBy};
///
/// let folder = tempfile::tempdir()?;
/// for name in ["a/x.png", "a/y.png", "b/x.jpg"] {
///     let path = folder.path().join(name);
///     std::fs::create_dir_all(path.parent().unwrap())?;
///     std::fs::write(path, "")?;
/// }
/// let (a, b) = (folder.path().join("a"), folder.path().join("b"));
/// let folders = Folders::open(&a, &b, &MatchBy::Stem, &Walk::default())?;
/// assert_eq!((folders.len(), folders.unmatched.reference.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Folders {
    reference: PathBuf,
    candidate: PathBuf,
    names: Names,
    /// Files without a partner.
    pub unmatched: Unmatched,
    /// Warnings about files that were left out.
    pub notes: Vec<Problem>,
}

/// The paths of the pairs' files within their folders.
#[derive(Debug)]
enum Names {
    Same(Vec<Box<Path>>),
    Two(Vec<[Box<Path>; 2]>),
}

/// Files of two folders without a partner, by their paths within the folder, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Files of the first folder.
    pub reference: Vec<Box<Path>>,
    /// Files of the second folder.
    pub candidate: Vec<Box<Path>>,
}

impl Folders {
    /// Matches the files of two folders. Ten million pairs with names of 36 letters take 0.7 GB by path, and up to
    /// three times that otherwise.
    ///
    /// # Errors
    /// Those of [`Walk::files`]; a folder without pictures; the same folder twice, or one inside the other; no common
    /// name; two files of a folder with the same stem, where stems are matched; a list that can't be read.
    pub fn open(reference: &Path, candidate: &Path, by: &MatchBy, walk: &Walk) -> Result<Self> {
        apart(reference, candidate)?;
        let mut notes = Vec::new();
        let mut files = |folder| -> Result<Vec<Box<Path>>> {
            let found = walk.files(folder)?;
            notes.extend(found.notes);
            Ok(found.names)
        };
        let (names, unmatched) = match by {
            MatchBy::Path => {
                let (names, mut only) = (files(reference)?, Vec::new());
                let mut matched = vec![false; names.len()];
                // The second folder's names are not kept in memory: they would take as much again.
                let more = walk.visit(candidate, |name| match position(&names, &name) {
                    Some(at) => matched[at] = true,
                    None => only.push(name.into_boxed_path()),
                })?;
                notes.extend(more);
                sort(&mut only);
                let (both, left) = split(names, &matched);
                (Names::Same(both), Unmatched { reference: left, candidate: only })
            }
            MatchBy::Stem => {
                let names = by_stem(reference, files(reference)?)?;
                by_stems(names, by_stem(candidate, files(candidate)?)?)
            }
            MatchBy::Map(map) => mapped(map, files(reference)?, files(candidate)?)?,
        };
        let folders =
            Self { reference: reference.to_path_buf(), candidate: candidate.to_path_buf(), names, unmatched, notes };
        if folders.is_empty() { Err(folders.nothing_in_common(by, walk)) } else { Ok(folders) }
    }

    /// Number of pairs.
    pub fn len(&self) -> u64 {
        match &self.names {
            Names::Same(names) => names.len() as u64,
            Names::Two(names) => names.len() as u64,
        }
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pair of this index; `None` after the last pair.
    pub fn get(&self, index: u64) -> Option<Pair> {
        let at = usize::try_from(index).ok()?;
        let (reference, candidate) = match &self.names {
            Names::Same(names) => names.get(at).map(|name| (name, name))?,
            Names::Two(names) => names.get(at).map(|[reference, candidate]| (reference, candidate))?,
        };
        let file = |folder: &Path, name: &Path| Input::File(Arc::from(folder.join(name)));
        Some(Pair {
            index,
            reference: file(&self.reference, reference),
            candidate: file(&self.candidate, candidate),
            second: None,
        })
    }

    fn nothing_in_common(&self, by: &MatchBy, walk: &Walk) -> Error {
        let (Some(one), Some(other)) = (self.unmatched.reference.first(), self.unmatched.candidate.first()) else {
            let without = if self.unmatched.reference.is_empty() { &self.reference } else { &self.candidate };
            return walk.nothing_in(without).into();
        };
        let (reference, candidate) = (self.reference.display(), self.candidate.display());
        let stems: HashSet<&[u8]> = self.unmatched.reference.iter().map(|name| stem(name)).collect();
        let common = self.unmatched.candidate.iter().filter(|name| stems.contains(stem(name))).count();
        let advice = if *by == MatchBy::Path && common > 0 {
            format!("; without their extensions {common} of the names are the same: pair by --by stem")
        } else {
            "; pair the files of different names with --map FILE".to_string()
        };
        Error::invalid(format!(
            "{reference} and {candidate} have no names in common: there is {} in the one and {} in the other{advice}",
            one.display(),
            other.display()
        ))
    }
}

/// Rejects the same folder twice and one inside the other.
fn apart(reference: &Path, candidate: &Path) -> Result<()> {
    let (a, b) = (real(reference), real(candidate));
    if a == b {
        return Err(Error::choice(format!(
            "{} and {} are one folder, whose pictures would be compared with themselves: name two folders (`lpips pairs` \
             compares the pictures of one folder with each other)",
            reference.display(),
            candidate.display()
        )));
    }
    let (inner, outer) = if b.starts_with(&a) { (candidate, reference) } else { (reference, candidate) };
    if b.starts_with(&a) || a.starts_with(&b) {
        return Err(Error::choice(format!(
            "{} lies inside {}, and its pictures would be found in both: put the two folders side by side",
            inner.display(),
            outer.display()
        )));
    }
    Ok(())
}

fn position(names: &[Box<Path>], name: &Path) -> Option<usize> {
    names.binary_search_by(|other| bytes(other).cmp(bytes(name))).ok()
}

/// Splits names into those that were matched and the others.
fn split(names: Vec<Box<Path>>, matched: &[bool]) -> (Vec<Box<Path>>, Vec<Box<Path>>) {
    let mut left = Vec::new();
    let both = names.into_iter().zip(matched).filter_map(|(name, matched)| {
        if *matched {
            return Some(name);
        }
        left.push(name);
        None
    });
    (both.collect(), left)
}

/// A name without its extension.
fn stem(name: &Path) -> &[u8] {
    let ending = name.extension().map_or(0, |ending| ending.len() + 1);
    &bytes(name)[..bytes(name).len() - ending]
}

/// Sorts names by their stems, which must be unique.
fn by_stem(folder: &Path, mut names: Vec<Box<Path>>) -> Result<Vec<Box<Path>>> {
    names.sort_by(|a, b| stem(a).cmp(stem(b)));
    for pair in names.windows(2) {
        if stem(&pair[0]) == stem(&pair[1]) {
            return Err(Error::file(
                folder,
                format!(
                    "{} and {} differ in their extensions only, so that --by stem is ambiguous: leave one out with --include or \
                     --exclude, or list the pairs with --map FILE",
                    pair[0].display(),
                    pair[1].display()
                ),
            ));
        }
    }
    Ok(names)
}

/// Matches names that are sorted by their stems.
fn by_stems(reference: Vec<Box<Path>>, candidate: Vec<Box<Path>>) -> (Names, Unmatched) {
    let (mut pairs, mut unmatched) = (Vec::new(), Unmatched::default());
    let mut others = candidate.into_iter().peekable();
    for name in reference {
        while let Some(other) = others.next_if(|other| stem(other) < stem(&name)) {
            unmatched.candidate.push(other);
        }
        match others.next_if(|other| stem(other) == stem(&name)) {
            Some(other) => pairs.push([name, other]),
            None => unmatched.reference.push(name),
        }
    }
    unmatched.candidate.extend(others);
    sort(&mut unmatched.reference);
    sort(&mut unmatched.candidate);
    pairs.sort_unstable_by(|[a, _], [b, _]| bytes(a).cmp(bytes(b)));
    (Names::Two(pairs), unmatched)
}

fn mapped(map: &Path, reference: Vec<Box<Path>>, candidate: Vec<Box<Path>>) -> Result<(Names, Unmatched)> {
    let pairs = list::pairs(map)?;
    let rest = |names: Vec<Box<Path>>, side: usize| {
        let used: HashSet<&[u8]> = pairs.iter().map(|pair| bytes(&pair[side])).collect();
        names.into_iter().filter(|name| !used.contains(bytes(name))).collect()
    };
    let unmatched = Unmatched { reference: rest(reference, 0), candidate: rest(candidate, 1) };
    Ok((Names::Two(pairs), unmatched))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two folders, `a` and `b`.
    fn two(a: &[&str], b: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (side, files) in [("a", a), ("b", b)] {
            std::fs::create_dir_all(folder.path().join(side)).unwrap();
            for file in files {
                let path = folder.path().join(side).join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
        }
        folder
    }

    fn open(folder: &tempfile::TempDir, by: &MatchBy) -> Result<Folders> {
        let at = |side| folder.path().join(side);
        Folders::open(&at("a"), &at("b"), by, &Walk::default())
    }

    /// The names of the pairs, within the folder that holds both.
    fn names(folder: &tempfile::TempDir, folders: &Folders) -> Vec<String> {
        let name = |input: &Input| input.name().strip_prefix(folder.path()).unwrap().display().to_string();
        (0..folders.len())
            .filter_map(|index| folders.get(index))
            .map(|pair| format!("{} {}", name(&pair.reference), name(&pair.candidate)))
            .collect()
    }

    fn strings(names: &[Box<Path>]) -> Vec<&str> {
        names.iter().map(|name| name.to_str().unwrap()).collect()
    }

    #[test]
    fn folders_are_matched_by_path_and_list_the_unmatched() {
        let folder = two(&["y.png", "s/x.png", "only.png", "t.jpg"], &["s/x.png", "y.png", "t.png", "s/more.png"]);
        let folders = open(&folder, &MatchBy::Path).unwrap();
        assert_eq!(names(&folder, &folders), ["a/s/x.png b/s/x.png", "a/y.png b/y.png"]);
        assert_eq!(strings(&folders.unmatched.reference), ["only.png", "t.jpg"]);
        assert_eq!(strings(&folders.unmatched.candidate), ["s/more.png", "t.png"]);
        assert_eq!((folders.len(), folders.get(1).unwrap().index), (2, 1));
        assert!(folders.get(2).is_none() && folders.get(u64::MAX).is_none());
    }

    #[test]
    fn folders_matched_by_stem_are_ordered_by_path() {
        let folder = two(&["a.png", "a-b.png", "s/x.tar.png"], &["a.jpg", "a-b.webp", "s/x.tar.bmp", "x.png"]);
        let folders = open(&folder, &MatchBy::Stem).unwrap();
        assert_eq!(
            names(&folder, &folders),
            ["a/a-b.png b/a-b.webp", "a/a.png b/a.jpg", "a/s/x.tar.png b/s/x.tar.bmp"]
        );
        assert_eq!(strings(&folders.unmatched.candidate), ["x.png"]);
    }

    #[test]
    fn folder_with_two_files_of_one_stem_is_refused() {
        let folder = two(&["x.png"], &["x.jpg", "s/x.jpg", "x.webp"]);
        let error = open(&folder, &MatchBy::Stem).unwrap_err().to_string();
        assert!(error.contains("b: x.jpg and x.webp differ in their extensions only"), "{error}");
        assert!(error.contains("--exclude") && error.contains("--map"), "{error}");
    }

    #[test]
    fn folders_matched_by_a_list_keep_its_order() {
        let folder = two(&["1.png", "2.png", "3.png"], &["x/one.jpg", "x/two.jpg", "three.jpg"]);
        let map = folder.path().join("map.csv");
        std::fs::write(&map, "reference,candidate\n2.png,./x/two.jpg\n1.png,x/one.jpg\n1.png,not there.png\n").unwrap();
        let folders = open(&folder, &MatchBy::Map(map)).unwrap();
        let expected = ["a/2.png b/x/two.jpg", "a/1.png b/x/one.jpg", "a/1.png b/not there.png"];
        assert_eq!(names(&folder, &folders), expected);
        assert_eq!(strings(&folders.unmatched.reference), ["3.png"]);
        assert_eq!(strings(&folders.unmatched.candidate), ["three.jpg"]);
        let missing = open(&folder, &MatchBy::Map(folder.path().join("none.csv"))).unwrap_err().to_string();
        assert!(missing.contains("none.csv: there is no such file"), "{missing}");
    }

    #[test]
    fn folders_without_common_names_give_examples_and_advice() {
        let folder = two(&["a.png", "b.png"], &["a.jpg", "c.jpg"]);
        let error = open(&folder, &MatchBy::Path).unwrap_err().to_string();
        assert!(error.contains("no names in common: there is a.png in the one and a.jpg in the other"), "{error}");
        assert!(error.contains("1 of the names are the same: pair by --by stem"), "{error}");
        let error = open(&two(&["a.png"], &["c.png"]), &MatchBy::Path).unwrap_err().to_string();
        assert!(error.contains("--map FILE") && !error.contains("stem"), "{error}");
        let error = open(&two(&["a.png"], &["notes.txt"]), &MatchBy::Path).unwrap_err().to_string();
        assert!(error.ends_with("b: holds no pictures (png, jpg, jpeg, webp, bmp, tif, tiff, gif)"), "{error}");
    }

    #[test]
    fn folders_that_are_one_or_nested_are_refused() {
        let folder = two(&["x.png", "in/x.png"], &["x.png"]);
        let open = |a: &str, b: &str| {
            let at = |name: &str| folder.path().join(name);
            Folders::open(&at(a), &at(b), &MatchBy::Path, &Walk::default()).unwrap_err().to_string()
        };
        assert!(open("a", "b/../a").contains("are one folder"));
        let inside = |a: &str, b: &str, inner: &str| {
            let error = open(a, b);
            assert!(error.contains(&format!("{inner} lies inside ")) && error.contains("side by side"), "{error}");
        };
        inside("a", "a/in", "a/in");
        inside("a/in", "a", "a/in");
        assert!(open("a", "none").contains("none: there is no such file or folder"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("link")).unwrap();
            assert!(open("a", "link").contains("are one folder"));
        }
    }
}
