//! Questions for people: the triplets or pairs of pictures below a folder, with or without votes.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::rng::{Rng, Stream};
use crate::sets::bapps::{self, listed};
use crate::sets::check::check_together;
use crate::sets::{CheckDepth, Task};

/// Question on one triplet or pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Folder below the root, with `/` between names; `.` for the root itself.
    pub folder: String,
    /// Name of the pictures, without the extension.
    pub name: String,
    /// Reference, p0, p1, or p0, p1 of a pair.
    pub pictures: Vec<PathBuf>,
    /// File of the judgment: the fraction of votes for p1, or for "same".
    pub judge: PathBuf,
}

/// Place of a picture on the page. Which of p0 and p1 comes first is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The reference, in the middle.
    Ref,
    /// The left or first picture.
    First,
    /// The right or second picture.
    Second,
}

/// Answer of a voter, in terms of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The left picture is the more similar.
    First,
    /// The right picture is the more similar.
    Second,
    /// The two are the same.
    Same,
    /// The two are different.
    Different,
}

/// Meaning of an answer, in terms of p0 and p1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// p0 is the more similar.
    P0,
    /// p1 is the more similar.
    P1,
    /// The two are the same.
    Same,
    /// The two are different.
    Different,
}

/// All triplets, or all pairs, below a folder, sorted by folder and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The folder, as given.
    pub root: PathBuf,
    /// Task of the questions.
    pub task: Task,
    /// The questions; their indices identify them.
    pub list: Vec<Question>,
}

impl Questions {
    /// Finds the triplets (folders `ref`, `p0`, `p1`) or pairs (`p0`, `p1`) at any depth below `root`, and checks the
    /// header of every picture. Without a `task`, triplets are chosen where there are any.
    ///
    /// `progress` is called with the number of questions once that is known, and then with `None` for each.
    ///
    /// # Errors
    /// A folder that can't be read or holds nothing for the task; pictures without a twin, of several sizes, or that
    /// can't be read, of which the first few are named.
    pub fn open(root: &Path, task: Option<Task>, progress: &(dyn Fn(Option<usize>) + Sync)) -> Result<Self> {
        let metadata = std::fs::metadata(root).map_err(|error| Error::io(root, "read", &error))?;
        if !metadata.is_dir() {
            return Err(Error::file(root, "is a file: expected a folder"));
        }
        let mut leaves = Vec::new();
        walk(root, &mut HashSet::new(), &mut leaves)?;
        let holds = |task| leaves.iter().any(|(_, found)| *found == task);
        let task = task.unwrap_or(if holds(Task::TwoAfc) { Task::TwoAfc } else { Task::Jnd });
        if !holds(task) {
            let reason = match task {
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
        for (folder, _) in leaves.iter().filter(|(_, found)| *found == task) {
            leaf(root, folder, task, &mut list, &mut problems)?;
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
            return Err(Error::BrokenFiles { problems, advice: "fix them, or move them away" });
        }
        Ok(Self { root: root.to_path_buf(), task, list })
    }

    /// Number of folders that hold questions.
    pub fn folders(&self) -> usize {
        self.list.iter().map(|question| &question.folder).collect::<BTreeSet<_>>().len()
    }

    /// Picture that a voter is shown at a place.
    ///
    /// # Errors
    /// A question that does not exist, or a reference of a pair.
    pub fn picture(&self, question: usize, voter: &str, place: Place) -> Result<&Path> {
        let pictures = &self.get(question)?.pictures;
        let p1 = pictures.len() - 1;
        let swapped = self.is_swapped(question, voter);
        let number = match place {
            Place::Ref if self.task == Task::Jnd => return Err(Error::argument("a pair has no reference")),
            Place::Ref => 0,
            Place::First => p1 - usize::from(!swapped),
            Place::Second => p1 - usize::from(swapped),
        };
        Ok(&pictures[number])
    }

    /// Meaning of a voter's answer.
    ///
    /// # Errors
    /// A question that does not exist, or an answer that does not fit the task.
    pub fn choice(&self, question: usize, voter: &str, answer: Answer) -> Result<Choice> {
        self.get(question)?;
        let first_is_p0 = !self.is_swapped(question, voter);
        match (self.task, answer) {
            (Task::TwoAfc, Answer::First) => Ok(if first_is_p0 { Choice::P0 } else { Choice::P1 }),
            (Task::TwoAfc, Answer::Second) => Ok(if first_is_p0 { Choice::P1 } else { Choice::P0 }),
            (Task::Jnd, Answer::Same) => Ok(Choice::Same),
            (Task::Jnd, Answer::Different) => Ok(Choice::Different),
            (Task::TwoAfc, _) => Err(Error::argument("expected the answer first or second")),
            (Task::Jnd, _) => Err(Error::argument("expected the answer same or different")),
        }
    }

    fn get(&self, question: usize) -> Result<&Question> {
        let missing = || Error::argument(format!("there is no {} {question}", self.task.noun()));
        self.list.get(question).ok_or_else(missing)
    }

    /// Whether a voter is shown p1 first: random, and the same every time.
    fn is_swapped(&self, question: usize, voter: &str) -> bool {
        let Question { folder, name, .. } = &self.list[question];
        Rng::new(number_of(&[voter, folder, name]), Stream::Votes, (0, 0)).chance(0.5)
    }

    /// Order of the questions for one voter: random, and the same every time.
    pub(super) fn order(&self, voter: &str) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        Rng::new(number_of(&[voter]), Stream::Votes, (1, 0)).shuffle(&mut order);
        order
    }
}

/// Hashes names, none of which holds a zero byte, to a number.
fn number_of(names: &[&str]) -> u64 {
    let hash = Sha256::digest(names.join("\0"));
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Adds the folders at or below `folder` that hold questions.
fn walk(folder: &Path, seen: &mut HashSet<PathBuf>, leaves: &mut Vec<(PathBuf, Task)>) -> Result<()> {
    let real = std::fs::canonicalize(folder).map_err(|error| Error::io(folder, "read", &error))?;
    // A symbolic link can lead back to a folder above it.
    if !seen.insert(real) {
        return Ok(());
    }
    if let Some(task) = bapps::task_of(folder) {
        leaves.push((folder.to_path_buf(), task));
        return Ok(());
    }
    listed(folder)?.iter().filter(|path| path.is_dir()).try_for_each(|path| walk(path, seen, leaves))
}

/// Adds the questions and problems of one folder.
fn leaf(root: &Path, folder: &Path, task: Task, list: &mut Vec<Question>, problems: &mut Vec<Problem>) -> Result<()> {
    let parts = task.pictures();
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
            problems
                .push(Problem { path, reason: format!("has no file of the same name in {}", missing.join(" and ")) });
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
            judge: folder.join(task.vote()).join(format!("{name}.npy")),
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
    fn questions_open_finds_nested_folders_and_prefers_triplets() {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("2afc/train/cnn"), &TRIPLET, &["b", "a"]);
        pictures(&root.path().join("2afc/val/color"), &TRIPLET, &["a"]);
        pictures(&root.path().join("jnd/val/cnn"), &TRIPLET[1..], &["c"]);
        let found = open(root.path(), None).unwrap();
        let names: Vec<_> = found.list.iter().map(|q| format!("{} {}", q.folder, q.name)).collect();
        assert_eq!(names, ["2afc/train/cnn a", "2afc/train/cnn b", "2afc/val/color a"]);
        assert_eq!((found.task, found.folders()), (Task::TwoAfc, 2));
        assert_eq!(found.list[1].judge, root.path().join("2afc/train/cnn/judge/b.npy"));
        let found = open(root.path(), Some(Task::Jnd)).unwrap();
        assert_eq!(found.list[0].judge, root.path().join("jnd/val/cnn/same/c.npy"));
        let found = open(&root.path().join("jnd"), None).unwrap();
        assert_eq!((found.task, found.list.len()), (Task::Jnd, 1));
        let found = open(&root.path().join("2afc/val/color"), None).unwrap();
        assert_eq!(found.list[0].folder, ".");
    }

    #[cfg(unix)]
    #[test]
    fn questions_open_walks_a_symlink_cycle_once() {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("set"), &TRIPLET, &["a"]);
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert_eq!(open(root.path(), None).unwrap().list.len(), 1);
    }

    #[test]
    fn questions_open_names_unusable_pictures() {
        let root = tempfile::tempdir().unwrap();
        let refused = |kind| open(root.path(), kind).unwrap_err().to_string();
        assert!(refused(None).contains("holds no pictures to judge"));
        pictures(root.path(), &TRIPLET, &["a", "b", "c"]);
        assert!(refused(Some(Task::Jnd)).contains("holds no pairs"));
        std::fs::write(root.path().join("p0/a.png"), "no picture").unwrap();
        std::fs::remove_file(root.path().join("p1/b.png")).unwrap();
        lpips_core::Picture::from_rgb8(2, 1, vec![0; 6]).unwrap().save_png(root.path().join("p1/c.png")).unwrap();
        let message = refused(None);
        for part in
            ["p0/a.png: ", "ref/b.png: has no file of the same name in p1", "p1/c.png: is 2x1 pixels", "fix them"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        std::fs::remove_dir_all(root.path().join("p0")).unwrap();
        assert!(refused(None).contains("lacks the folder p0"));
        assert!(open(&root.path().join("ref/a.png"), None).unwrap_err().to_string().contains("expected a folder"));
    }

    #[test]
    fn sides_are_random_per_voter_and_answers_follow_the_sides() {
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
