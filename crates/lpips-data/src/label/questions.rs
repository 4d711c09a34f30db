//! What people are asked about: the triplets or pairs of pictures below a folder, whether there are votes on them or not.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};
use crate::sets::bapps;
use crate::{CheckDepth, Problem, Task, check_together, listed, summary};

/// One triplet, or one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The folder below the root, with `/` between names; `.` is the root itself.
    pub folder: String,
    /// The pictures' name without what tells the format.
    pub name: String,
    /// Reference, p0, p1; of a pair p0, p1.
    pub pictures: Vec<PathBuf>,
    /// The file for the fraction of votes: that preferred p1, or that said "same".
    pub judge: PathBuf,
}

/// Where a picture is shown. Which of p0 and p1 comes first is a matter of chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The reference's.
    Ref,
    /// On the left, or first.
    First,
    /// On the right, or second.
    Second,
}

/// What a person answers, who does not know which picture is p0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The picture on the left is the more similar.
    First,
    /// The picture on the right is.
    Second,
    /// The two are the same.
    Same,
    /// They are different.
    Different,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// p0 is the more similar.
    P0,
    /// p1 is.
    P1,
    /// The two are the same.
    Same,
    /// They are different.
    Different,
}

/// All triplets, or all pairs, below a folder, by folder and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The folder, as it was given.
    pub root: PathBuf,
    /// What people are asked.
    pub kind: Task,
    /// The questions, which go by their place in this list.
    pub list: Vec<Question>,
}

impl Questions {
    /// Finds the triplets (folders `ref`, `p0`, `p1`) or the pairs (`p0`, `p1`) below `root`, however deep, and looks at every
    /// picture's first bytes. Without a `kind` it takes triplets where there are some. `progress` is called with the number of
    /// questions once that is known, and then for each.
    ///
    /// # Errors
    /// A folder that can't be read or holds nothing of the kind; pictures without a twin, of several sizes, or that can't be
    /// read, of which the first few are named.
    pub fn open(root: &Path, kind: Option<Task>, progress: &(dyn Fn(Option<usize>) + Sync)) -> Result<Self> {
        let metadata = std::fs::metadata(root).map_err(|error| Error::io(root, "read", &error))?;
        if !metadata.is_dir() {
            return Err(Error::file(root, "is a file: expected a folder"));
        }
        let mut leaves = Vec::new();
        walk(root, &mut HashSet::new(), &mut leaves)?;
        let holds = |kind| leaves.iter().any(|(_, found)| *found == kind);
        let kind = kind.unwrap_or(if holds(Task::TwoAfc) { Task::TwoAfc } else { Task::Jnd });
        if !holds(kind) {
            let reason = match kind {
                Task::TwoAfc => "holds no triplets: expected the folders ref, p0 and p1 in it or below it",
                Task::Jnd if leaves.is_empty() => {
                    "holds no pictures to judge: expected the folders ref, p0 and p1 (triplets), or p0 and p1 (pairs), in \
                     it or below it"
                }
                Task::Jnd => "holds no pairs: expected the folders p0 and p1, without ref, in it or below it",
            };
            return Err(Error::file(root, reason));
        }
        let (mut list, mut problems) = (Vec::new(), Vec::new());
        for (folder, _) in leaves.iter().filter(|(_, found)| *found == kind) {
            leaf(root, folder, kind, &mut list, &mut problems)?;
        }
        progress(Some(list.len()));
        let broken = list.par_iter().flat_map_iter(|question| {
            progress(None);
            check_together(&question.pictures, CheckDepth::Headers)
        });
        problems.extend(broken.collect::<Vec<_>>());
        if !problems.is_empty() {
            problems.sort();
            problems.dedup();
            return Err(Error::Data(summary(&problems, "mend them, or move them away")));
        }
        Ok(Self { root: root.to_path_buf(), kind, list })
    }

    /// How many folders the questions are from.
    pub fn folders(&self) -> usize {
        self.list.iter().map(|question| &question.folder).collect::<BTreeSet<_>>().len()
    }

    /// The picture that a person sees in a place.
    ///
    /// # Errors
    /// There is no such question, or it has no reference.
    pub fn picture(&self, question: usize, voter: &str, place: Place) -> Result<&Path> {
        let pictures = &self.get(question)?.pictures;
        let p1 = pictures.len() - 1;
        let swapped = self.is_swapped(question, voter);
        let number = match place {
            Place::Ref if self.kind == Task::Jnd => return Err(Error::Choice("a pair has no reference".to_string())),
            Place::Ref => 0,
            Place::First => p1 - usize::from(!swapped),
            Place::Second => p1 - usize::from(swapped),
        };
        Ok(&pictures[number])
    }

    /// What a person's answer means.
    ///
    /// # Errors
    /// There is no such question, or no such answer to it.
    pub fn choice(&self, question: usize, voter: &str, answer: Answer) -> Result<Choice> {
        self.get(question)?;
        let first_is_p0 = !self.is_swapped(question, voter);
        match (self.kind, answer) {
            (Task::TwoAfc, Answer::First) => Ok(if first_is_p0 { Choice::P0 } else { Choice::P1 }),
            (Task::TwoAfc, Answer::Second) => Ok(if first_is_p0 { Choice::P1 } else { Choice::P0 }),
            (Task::Jnd, Answer::Same) => Ok(Choice::Same),
            (Task::Jnd, Answer::Different) => Ok(Choice::Different),
            (Task::TwoAfc, _) => Err(Error::Choice("expected the answer first or second".to_string())),
            (Task::Jnd, _) => Err(Error::Choice("expected the answer same or different".to_string())),
        }
    }

    fn get(&self, question: usize) -> Result<&Question> {
        let missing = || Error::Choice(format!("there is no {} {question}", self.kind.noun()));
        self.list.get(question).ok_or_else(missing)
    }

    /// Whether a person sees p1 first: by chance, but always the same.
    fn is_swapped(&self, question: usize, voter: &str) -> bool {
        let Question { folder, name, .. } = &self.list[question];
        Rng::new(number_of(&[voter, folder, name]), Stream::Votes, (0, 0)).chance(0.5)
    }

    /// The questions in the order of one person: by chance, but always the same.
    pub(super) fn order(&self, voter: &str) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        Rng::new(number_of(&[voter]), Stream::Votes, (1, 0)).shuffle(&mut order);
        order
    }
}

/// A number that depends on names, none of which holds a zero byte.
fn number_of(names: &[&str]) -> u64 {
    let hash = Sha256::digest(names.join("\0"));
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Adds the folders at and below `folder` that hold questions.
fn walk(folder: &Path, seen: &mut HashSet<PathBuf>, leaves: &mut Vec<(PathBuf, Task)>) -> Result<()> {
    let real = std::fs::canonicalize(folder).map_err(|error| Error::io(folder, "read", &error))?;
    // A link can lead back to where it is.
    if !seen.insert(real) {
        return Ok(());
    }
    if let Some(kind) = bapps::kind_of(folder) {
        leaves.push((folder.to_path_buf(), kind));
        return Ok(());
    }
    listed(folder)?.iter().filter(|path| path.is_dir()).try_for_each(|path| walk(path, seen, leaves))
}

/// Adds the questions of one folder.
fn leaf(root: &Path, folder: &Path, kind: Task, list: &mut Vec<Question>, problems: &mut Vec<Problem>) -> Result<()> {
    let parts = kind.pictures();
    if let Some(part) = parts.iter().find(|part| !folder.join(part).is_dir()) {
        let reason = format!("lacks the folder {part}: expected {}", parts.join(", "));
        problems.push(Problem { path: folder.to_path_buf(), reason });
        return Ok(());
    }
    let columns = parts.iter().map(|part| bapps::pictures(&folder.join(part), problems)).collect::<Result<Vec<_>>>()?;
    let names: BTreeSet<&OsString> = columns.iter().flat_map(|column| column.keys()).collect();
    if names.is_empty() {
        let reason = format!("is empty: expected pictures in {}", parts.join(", "));
        problems.push(Problem { path: folder.to_path_buf(), reason });
    }
    let below: Option<Vec<&str>> =
        folder.strip_prefix(root).unwrap_or(folder).iter().map(|part| part.to_str()).collect();
    for name in names {
        let found: Vec<PathBuf> = columns.iter().filter_map(|column| column.get(name).cloned()).collect();
        let path = found[0].clone();
        if found.len() < parts.len() {
            let missing = parts.iter().zip(&columns).filter(|(_, column)| !column.contains_key(name));
            let missing: Vec<&str> = missing.map(|(part, _)| *part).collect();
            problems.push(Problem { path, reason: format!("has no twin in {}", missing.join(" and ")) });
            continue;
        }
        let (Some(name), Some(below)) = (name.to_str(), &below) else {
            problems.push(Problem { path, reason: "has a name that is not in Unicode: rename it".to_string() });
            continue;
        };
        list.push(Question {
            folder: if below.is_empty() { ".".to_string() } else { below.join("/") },
            name: name.to_string(),
            pictures: found,
            judge: folder.join(kind.vote()).join(format!("{name}.npy")),
        });
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes pictures of one pixel: `name` in each of the parts of a folder.
    pub(in super::super) fn pictures(folder: &Path, parts: &[&str], names: &[&str]) {
        for part in parts {
            let folder = folder.join(part);
            std::fs::create_dir_all(&folder).unwrap();
            for name in names {
                let picture = lpips_core::Picture::from_rgb8(1, 1, vec![0; 3]).unwrap();
                picture.save_png(folder.join(format!("{name}.png"))).unwrap();
            }
        }
    }

    pub(in super::super) const TRIPLET: [&str; 3] = ["ref", "p0", "p1"];

    fn open(root: &Path, kind: Option<Task>) -> Result<Questions> {
        Questions::open(root, kind, &|_| ())
    }

    #[test]
    fn all_folders_below_the_root_are_found_and_triplets_come_before_pairs() {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("2afc/train/cnn"), &TRIPLET, &["b", "a"]);
        pictures(&root.path().join("2afc/val/color"), &TRIPLET, &["a"]);
        pictures(&root.path().join("jnd/val/cnn"), &TRIPLET[1..], &["c"]);
        let found = open(root.path(), None).unwrap();
        let names: Vec<_> = found.list.iter().map(|q| format!("{} {}", q.folder, q.name)).collect();
        assert_eq!(names, ["2afc/train/cnn a", "2afc/train/cnn b", "2afc/val/color a"]);
        assert_eq!((found.kind, found.folders()), (Task::TwoAfc, 2));
        assert_eq!(found.list[1].judge, root.path().join("2afc/train/cnn/judge/b.npy"));
        let found = open(root.path(), Some(Task::Jnd)).unwrap();
        assert_eq!(found.list[0].judge, root.path().join("jnd/val/cnn/same/c.npy"));
        let found = open(&root.path().join("jnd"), None).unwrap();
        assert_eq!((found.kind, found.list.len()), (Task::Jnd, 1));
        let found = open(&root.path().join("2afc/val/color"), None).unwrap();
        assert_eq!(found.list[0].folder, ".");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_is_walked_once() {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("set"), &TRIPLET, &["a"]);
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert_eq!(open(root.path(), None).unwrap().list.len(), 1);
    }

    #[test]
    fn what_can_not_be_shown_is_named() {
        let root = tempfile::tempdir().unwrap();
        let refused = |kind| open(root.path(), kind).unwrap_err().to_string();
        assert!(refused(None).contains("holds no pictures to judge"));
        pictures(root.path(), &TRIPLET, &["a", "b", "c"]);
        assert!(refused(Some(Task::Jnd)).contains("holds no pairs"));
        std::fs::write(root.path().join("p0/a.png"), "no picture").unwrap();
        std::fs::remove_file(root.path().join("p1/b.png")).unwrap();
        lpips_core::Picture::from_rgb8(2, 1, vec![0; 6]).unwrap().save_png(root.path().join("p1/c.png")).unwrap();
        let message = refused(None);
        for part in ["p0/a.png: ", "ref/b.png: has no twin in p1", "p1/c.png: is 2x1 pixels", "mend them"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        std::fs::remove_dir_all(root.path().join("p0")).unwrap();
        assert!(refused(None).contains("lacks the folder p0"));
        assert!(open(&root.path().join("ref/a.png"), None).unwrap_err().to_string().contains("expected a folder"));
    }

    #[test]
    fn sides_are_by_chance_the_same_each_time_and_an_answer_goes_with_what_was_seen() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..64).map(|name| name.to_string()).collect();
        pictures(root.path(), &TRIPLET, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let questions = open(root.path(), None).unwrap();
        let is_p1_first = |voter: &str, question: usize| {
            let path = questions.picture(question, voter, Place::First).unwrap();
            let other = questions.picture(question, voter, Place::Second).unwrap();
            let is_p1 = path.parent().unwrap().ends_with("p1");
            assert!(other.parent().unwrap().ends_with(if is_p1 { "p0" } else { "p1" }));
            let choice = questions.choice(question, voter, Answer::First).unwrap();
            assert_eq!(choice, if is_p1 { Choice::P1 } else { Choice::P0 });
            is_p1
        };
        let sides = |voter: &str| -> Vec<bool> { (0..64).map(|question| is_p1_first(voter, question)).collect() };
        assert_eq!(sides("anna"), sides("anna"));
        assert_ne!(sides("anna"), sides("bo"));
        assert!((16..48).contains(&sides("anna").iter().filter(|first| **first).count()));
        assert!(questions.picture(0, "anna", Place::Ref).unwrap().parent().unwrap().ends_with("ref"));
        assert!(questions.picture(64, "anna", Place::Ref).is_err());
        assert!(questions.choice(0, "anna", Answer::Same).is_err());
        assert_ne!(questions.order("anna"), questions.order("bo"));
    }
}
