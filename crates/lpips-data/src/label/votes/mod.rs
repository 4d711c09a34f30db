//! Votes: the append-only log, the totals, and the judgment files computed from them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::questions::{Choice, Questions};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::lock::Lock;
use crate::sets::{Task, VOTES_LOG};
use crate::{files, npy};

/// File name of the log in the root.
pub const LOG: &str = VOTES_LOG;
const LOCK: &str = ".votes.lock";
/// Largest length of a voter's name in characters, and of a vote's id in bytes.
const LONGEST: usize = 64;

/// One vote: voter, question, choice and time taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Identifies the vote: a repeated one counts once.
    pub id: String,
    /// Voter's name; see [`name`].
    pub voter: String,
    /// Index of the question in [`Questions::list`].
    pub question: usize,
    /// The choice.
    pub choice: Choice,
    /// Time to the answer, in milliseconds.
    pub ms: u64,
}

/// Progress of one voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Number of questions judged.
    pub judged: usize,
    /// Number of questions judged or left.
    pub total: usize,
    /// Id of the latest vote, which can be undone.
    pub last: Option<String>,
}

/// Totals over all voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Number of votes that count.
    pub votes: usize,
    /// Number of voters.
    pub people: usize,
    /// Number of questions with a vote.
    pub judged: usize,
    /// Number of questions.
    pub questions: usize,
}

/// Line of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Vote(VoteLine),
    Undo(UndoLine),
}

#[derive(Debug, Serialize, Deserialize)]
struct VoteLine {
    id: String,
    /// Seconds since 1970.
    time: f64,
    voter: String,
    #[serde(rename = "kind")]
    task: Task,
    folder: String,
    name: String,
    choice: Choice,
    ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct UndoLine {
    undo: String,
    time: f64,
    voter: String,
}

/// Vote that counts.
#[derive(Debug)]
struct Cast {
    id: String,
    choice: Choice,
    /// Sequence number.
    order: usize,
}

/// Votes on a set of questions, in memory and in the log.
#[derive(Debug)]
pub struct Votes {
    questions: Arc<Questions>,
    limit: Option<usize>,
    path: PathBuf,
    /// The open log; `None` before the first vote of this process.
    log: Option<Journal>,
    _lock: Lock,
    /// Ids of all votes, undone ones included.
    ids: HashSet<String>,
    /// Votes that count, by voter and question.
    people: BTreeMap<String, BTreeMap<usize, Cast>>,
    /// Questions whose judgment file is out of date.
    unsettled: BTreeSet<usize>,
}

/// Normalises a voter's name: trims blanks around it.
///
/// # Errors
/// A name that is empty, longer than 64 characters, or holds control characters.
pub fn name(given: &str) -> Result<String> {
    let name = given.trim();
    if name.is_empty() || name.chars().count() > LONGEST || name.chars().any(char::is_control) {
        let message = format!("a voter's name has 1 to {LONGEST} characters, none of them a control character");
        return Err(Error::argument(message));
    }
    Ok(name.to_string())
}

impl Votes {
    /// Locks the questions' root, reads its log if there is one, and updates the judgment files. A question is asked
    /// until it has `limit` votes.
    ///
    /// # Errors
    /// A root that another process is labelling, judgment files that do not come from the log, or a file that can't be
    /// read or written.
    pub fn open(questions: Arc<Questions>, limit: Option<usize>) -> Result<Self> {
        let path = questions.root.join(LOG);
        let in_use =
            "is being labelled by another `lpips data label` already: open the address that it printed, or end it";
        let lock = Lock::acquire(&questions.root.join(LOCK), &questions.root, in_use)?;
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| Error::io(&path, "read", &error))?,
        };
        let mut votes = Self {
            questions,
            limit,
            path,
            log: None,
            _lock: lock,
            ids: HashSet::new(),
            people: BTreeMap::new(),
            unsettled: BTreeSet::new(),
        };
        votes.replay(&bytes);
        let known: HashSet<&Path> =
            votes.unsettled.iter().map(|question| votes.questions.list[*question].judge.as_path()).collect();
        let foreign = votes.questions.list.iter().map(|question| question.judge.as_path());
        if let Some(path) = foreign.filter(|path| !known.contains(path)).find(|path| path.exists()) {
            return Err(Error::file(
                path,
                format!("is a judgment that is not from {LOG}: move it away, or label another folder"),
            ));
        }
        let folders: BTreeSet<&Path> = known.iter().filter_map(|path| path.parent()).collect();
        folders.into_iter().filter(|folder| folder.is_dir()).try_for_each(files::remove_unfinished)?;
        votes.settle()?;
        Ok(votes)
    }

    /// Replays the lines of the log.
    fn replay(&mut self, bytes: &[u8]) {
        let questions = self.questions.clone();
        let places: HashMap<(&str, &str), usize> =
            questions.list.iter().enumerate().map(|(at, q)| ((q.folder.as_str(), q.name.as_str()), at)).collect();
        let mut strays = 0;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(Line::Vote(vote)) if vote.task == questions.task => {
                    match places.get(&(vote.folder.as_str(), vote.name.as_str())) {
                        Some(&question) => {
                            let VoteLine { id, voter, choice, ms, .. } = vote;
                            self.count(Ballot { id, voter, question, choice, ms });
                        }
                        None => strays += 1,
                    }
                }
                Ok(Line::Vote(_)) => {}
                Ok(Line::Undo(undo)) => drop(self.take_back(&undo.voter, &undo.undo)),
                Err(_) if line.is_empty() => {}
                Err(_) => tracing::warn!("{}: line {} is no whole vote: left out", self.path.display(), at + 1),
            }
        }
        if strays > 0 {
            tracing::warn!("{}: {strays} votes are on pictures that are not here: left out", self.path.display());
        }
    }

    /// Next question for a voter whose page has loaded `holding` already: of those the voter has not judged, one with
    /// the fewest votes, at random among equals. `None` when none is left.
    pub fn next(&self, voter: &str, holding: &[usize]) -> Option<usize> {
        let (counts, order) = (self.counts(), self.questions.order(voter));
        let is_left = self.left(voter, &counts);
        let left = order.into_iter().filter(|question| is_left(*question) && !holding.contains(question));
        left.min_by_key(|question| counts[*question])
    }

    /// Progress of a voter.
    pub fn progress(&self, voter: &str) -> Progress {
        let own = self.people.get(voter);
        let judged = own.map_or(0, BTreeMap::len);
        let last = own.and_then(|own| own.values().max_by_key(|cast| cast.order)).map(|cast| cast.id.clone());
        let counts = self.counts();
        let is_left = self.left(voter, &counts);
        Progress { judged, total: judged + (0..counts.len()).filter(|question| is_left(*question)).count(), last }
    }

    /// Totals of all votes.
    pub fn summary(&self) -> Summary {
        let counts = self.counts();
        Summary {
            votes: counts.iter().sum(),
            people: self.people.values().filter(|own| !own.is_empty()).count(),
            judged: counts.iter().filter(|count| **count > 0).count(),
            questions: counts.len(),
        }
    }

    /// Records a vote; it is on the disk when this returns. A vote with a known id changes nothing; another vote of the
    /// same voter on the same question replaces the earlier one.
    ///
    /// # Errors
    /// A vote that does not fit its question, or a log or judgment file that can't be written.
    pub fn vote(&mut self, ballot: Ballot) -> Result<()> {
        if !self.ids.contains(&ballot.id) {
            self.append(&self.line(&ballot)?)?;
            self.count(ballot);
        }
        self.settle()
    }

    /// Undoes a vote and returns its question, to be asked again. `None` where the vote does not count (any more).
    ///
    /// # Errors
    /// A log or judgment file that can't be written.
    pub fn undo(&mut self, voter: &str, id: &str) -> Result<Option<usize>> {
        let question = self.find(voter, id);
        if question.is_some() {
            self.append(&Line::Undo(UndoLine { undo: id.to_string(), time: now(), voter: voter.to_string() }))?;
            self.take_back(voter, id);
        }
        self.settle()?;
        Ok(question)
    }

    /// Predicate of the questions that a voter has not judged and that need votes.
    fn left(&self, voter: &str, counts: &[usize]) -> impl Fn(usize) -> bool {
        let own = self.people.get(voter);
        move |question| {
            own.is_none_or(|own| !own.contains_key(&question))
                && self.limit.is_none_or(|limit| counts[question] < limit)
        }
    }

    /// Number of votes on each question.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.questions.list.len()];
        self.people.values().flat_map(BTreeMap::keys).for_each(|question| counts[*question] += 1);
        counts
    }

    /// Line of the log for a vote.
    fn line(&self, ballot: &Ballot) -> Result<Line> {
        let Ballot { id, voter, question, choice, ms } = ballot.clone();
        let task = match choice {
            Choice::P0 | Choice::P1 => Task::TwoAfc,
            Choice::Same | Choice::Different => Task::Jnd,
        };
        let question = self.questions.list.get(question).filter(|_| task == self.questions.task);
        let question = question.ok_or_else(|| Error::argument("the vote is on no question of this set"))?;
        if id.is_empty() || id.len() > LONGEST {
            return Err(Error::argument(format!("a vote's id has 1 to {LONGEST} bytes")));
        }
        let (folder, name) = (question.folder.clone(), question.name.clone());
        Ok(Line::Vote(VoteLine { id, time: now(), voter, task, folder, name, choice, ms }))
    }

    /// Appends a line to the log and syncs it to the disk.
    fn append(&mut self, line: &Line) -> Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            log => log.insert(Journal::open(&self.path)?),
        };
        // A torn last line may lack nothing but its line break: it stays, and is skipped if it does not parse.
        log.end_torn_line()?;
        log.append_record(line)?;
        log.sync()
    }

    fn count(&mut self, ballot: Ballot) {
        let Ballot { id, voter, question, choice, .. } = ballot;
        if self.ids.insert(id.clone()) {
            self.people.entry(voter).or_default().insert(question, Cast { id, choice, order: self.ids.len() });
            self.unsettled.insert(question);
        }
    }

    /// Question of a vote that counts.
    fn find(&self, voter: &str, id: &str) -> Option<usize> {
        self.people.get(voter)?.iter().find(|(_, cast)| cast.id == id).map(|(question, _)| *question)
    }

    fn take_back(&mut self, voter: &str, id: &str) -> Option<usize> {
        let question = self.find(voter, id)?;
        self.people.get_mut(voter)?.remove(&question);
        self.unsettled.insert(question);
        Some(question)
    }

    /// Writes the judgment files that are out of date; after a failure the next call retries.
    fn settle(&mut self) -> Result<()> {
        while let Some(&question) = self.unsettled.first() {
            let path = &self.questions.list[question].judge;
            match self.fraction(question) {
                Some(fraction) => {
                    let bytes = npy::of_number(fraction);
                    if std::fs::read(path).ok().as_ref() != Some(&bytes) {
                        let folder = path.parent().unwrap_or(&self.questions.root);
                        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "made", &error))?;
                        files::write(path, &bytes)?;
                    }
                }
                None => match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::io(path, "removed", &error));
                    }
                    _ => {}
                },
            }
            self.unsettled.remove(&question);
        }
        Ok(())
    }

    /// Fraction of a question's votes for p1, or for "same".
    fn fraction(&self, question: usize) -> Option<f32> {
        let votes = self.people.values().filter_map(|own| own.get(&question));
        let (mut all, mut yes) = (0, 0);
        for vote in votes {
            all += 1;
            yes += i32::from(matches!(vote.choice, Choice::P1 | Choice::Same));
        }
        (all > 0).then(|| yes as f32 / all as f32)
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
