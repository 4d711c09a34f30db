//! The pictures of two folders, paired by their names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::discover::{Walk, bytes, real, sort};
use crate::source::list;
use crate::source::pair::{Input, Pair};
use crate::{Error, Result};
use lpips_data::Problem;

/// What pictures of two folders are paired by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MatchBy {
    /// The path from the folder on: `a/x.png` with `a/x.png`.
    #[default]
    Path,
    /// The path without its ending: `a/x.png` with `a/x.jpg`.
    Stem,
    /// A list of pairs in this file, as [`list`] reads it; its paths are those from the first and from the second folder on. Files
    /// that it names need not be there, and then fail as rows; the walk's rules do not apply to them.
    Map(PathBuf),
}

/// The pairs of two folders: ordered by the reference's path from its folder on, byte by byte, or as a map has them.
#[derive(Debug)]
pub struct Folders {
    reference: PathBuf,
    candidate: PathBuf,
    names: Names,
    /// The files that no pair is made of.
    pub unmatched: Unmatched,
    /// What was left out of the folders though it may have been meant.
    pub notes: Vec<Problem>,
}

/// The names of a pair's files, from their folders on.
#[derive(Debug)]
enum Names {
    Same(Vec<Box<Path>>),
    Two(Vec<[Box<Path>; 2]>),
}

/// Files of two folders that no pair is made of, by their paths from the folder on, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// In the first folder.
    pub reference: Vec<Box<Path>>,
    /// In the second.
    pub candidate: Vec<Box<Path>>,
}

impl Folders {
    /// Pairs the files of two folders. By path ten million pairs with names of 36 letters take 0.7 GB, otherwise they take up to three
    /// times that.
    ///
    /// # Errors
    /// Those of [`Walk::files`]; a folder without pictures; one folder twice, or one inside the other; nothing in common; two files
    /// of one folder that differ in their endings alone, where those are not looked at; a map that can't be read.
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
                // The second folder's names are not held: they would take as much again.
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

    /// How many pairs.
    pub fn len(&self) -> u64 {
        match &self.names {
            Names::Same(names) => names.len() as u64,
            Names::Two(names) => names.len() as u64,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pair with this number, if there are so many.
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
            return walk.nothing_in(without);
        };
        let (reference, candidate) = (self.reference.display(), self.candidate.display());
        let stems: HashSet<&[u8]> = self.unmatched.reference.iter().map(|name| stem(name)).collect();
        let common = self.unmatched.candidate.iter().filter(|name| stems.contains(stem(name))).count();
        let advice = if *by == MatchBy::Path && common > 0 {
            format!("; without their endings {common} of the names are the same: pair by --by stem")
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

/// Refuses one folder twice and one inside the other.
fn apart(reference: &Path, candidate: &Path) -> Result<()> {
    let (a, b) = (real(reference), real(candidate));
    if a == b {
        return Err(Error::choice(format!(
            "{} and {} are one folder, and its pictures would be compared with themselves: name two (`lpips pairs` compares the \
             pictures of one folder with each other)",
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

/// The names that were matched, and the others.
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

/// A name without its ending.
fn stem(name: &Path) -> &[u8] {
    let ending = name.extension().map_or(0, |ending| ending.len() + 1);
    &bytes(name)[..bytes(name).len() - ending]
}

/// Names in the order of their stems, of which there may be no two.
fn by_stem(folder: &Path, mut names: Vec<Box<Path>>) -> Result<Vec<Box<Path>>> {
    names.sort_by(|a, b| stem(a).cmp(stem(b)));
    for pair in names.windows(2) {
        if stem(&pair[0]) == stem(&pair[1]) {
            return Err(Error::file(
                folder,
                format!(
                    "{} and {} differ in their endings alone, so that --by stem can't tell which is meant: leave one out with \
                     --include or --exclude, or say what belongs together with --map FILE",
                    pair[0].display(),
                    pair[1].display()
                ),
            ));
        }
    }
    Ok(names)
}

/// Of names in the order of their stems.
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

    /// The pairs' names, from the folder that holds both on.
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
    fn pictures_are_paired_by_path_and_the_rest_is_told() {
        let folder = two(&["y.png", "s/x.png", "only.png", "t.jpg"], &["s/x.png", "y.png", "t.png", "s/more.png"]);
        let folders = open(&folder, &MatchBy::Path).unwrap();
        assert_eq!(names(&folder, &folders), ["a/s/x.png b/s/x.png", "a/y.png b/y.png"]);
        assert_eq!(strings(&folders.unmatched.reference), ["only.png", "t.jpg"]);
        assert_eq!(strings(&folders.unmatched.candidate), ["s/more.png", "t.png"]);
        assert_eq!((folders.len(), folders.get(1).unwrap().index), (2, 1));
        assert!(folders.get(2).is_none() && folders.get(u64::MAX).is_none());
    }

    #[test]
    fn stems_pair_whatever_the_ending_in_the_order_of_paths() {
        let folder = two(&["a.png", "a-b.png", "s/x.tar.png"], &["a.jpg", "a-b.webp", "s/x.tar.bmp", "x.png"]);
        let folders = open(&folder, &MatchBy::Stem).unwrap();
        assert_eq!(
            names(&folder, &folders),
            ["a/a-b.png b/a-b.webp", "a/a.png b/a.jpg", "a/s/x.tar.png b/s/x.tar.bmp"]
        );
        assert_eq!(strings(&folders.unmatched.candidate), ["x.png"]);
    }

    #[test]
    fn two_files_with_one_stem_are_both_named() {
        let folder = two(&["x.png"], &["x.jpg", "s/x.jpg", "x.webp"]);
        let error = open(&folder, &MatchBy::Stem).unwrap_err().to_string();
        assert!(error.contains("b: x.jpg and x.webp differ in their endings alone"), "{error}");
        assert!(error.contains("--exclude") && error.contains("--map"), "{error}");
    }

    #[test]
    fn a_map_says_what_belongs_together_in_its_order() {
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
    fn nothing_in_common_gives_an_example_of_each_and_what_to_do() {
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
    fn one_folder_twice_and_one_inside_the_other_are_refused() {
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
