use super::super::questions::tests::{TRIPLET, pictures};
use super::*;

struct Labelled {
    root: tempfile::TempDir,
    questions: Arc<Questions>,
}

impl Labelled {
    fn new(names: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("set"), &TRIPLET, names);
        let questions = Arc::new(Questions::open(root.path(), None, &|_| ()).unwrap());
        Self { root, questions }
    }

    fn open(&self) -> Votes {
        Votes::open(self.questions.clone(), None).unwrap()
    }

    fn judge(&self, name: &str) -> Option<f64> {
        let bytes = std::fs::read(self.root.path().join(format!("set/judge/{name}.npy"))).ok()?;
        Some(npy::one_number(&bytes).unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.root.path().join(LOG)).unwrap()
    }
}

fn ballot(id: &str, voter: &str, question: usize, choice: Choice) -> Ballot {
    Ballot { id: id.to_string(), voter: voter.to_string(), question, choice, ms: 700 }
}

#[test]
fn votes_on_triplets_become_the_fraction_for_p1() {
    let set = Labelled::new(&["a", "b"]);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    assert_eq!(set.judge("a"), Some(1.0));
    votes.vote(ballot("2", "bo", 0, Choice::P0)).unwrap();
    votes.vote(ballot("3", "cy", 0, Choice::P1)).unwrap();
    assert_eq!(set.judge("a"), Some(f64::from(2.0f32 / 3.0)));
    assert_eq!(set.judge("b"), None);
    assert_eq!(votes.summary(), Summary { votes: 3, people: 3, judged: 1, questions: 2 });
    let line: serde_json::Value = serde_json::from_str(set.log().lines().next().unwrap()).unwrap();
    for (key, value) in [("voter", "anna"), ("kind", "2afc"), ("folder", "set"), ("name", "a"), ("choice", "p1")] {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(line["ms"] == 700 && line["time"].as_f64().unwrap() > 1.7e9, "{line}");
}

#[test]
fn votes_on_pairs_become_the_fraction_for_same() {
    let root = tempfile::tempdir().unwrap();
    pictures(root.path(), &TRIPLET[1..], &["a"]);
    let questions = Arc::new(Questions::open(root.path(), None, &|_| ()).unwrap());
    let mut votes = Votes::open(questions, None).unwrap();
    votes.vote(ballot("1", "anna", 0, Choice::Same)).unwrap();
    votes.vote(ballot("2", "bo", 0, Choice::Different)).unwrap();
    let bytes = std::fs::read(root.path().join("same/a.npy")).unwrap();
    assert_eq!(npy::one_number(&bytes), Some(0.5));
    assert!(votes.vote(ballot("3", "cy", 0, Choice::P1)).is_err());
}

#[test]
fn vote_repeated_counts_once_and_new_vote_replaces_it() {
    let set = Labelled::new(&["a"]);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    assert_eq!(set.log().lines().count(), 1);
    votes.vote(ballot("2", "anna", 0, Choice::P0)).unwrap();
    assert_eq!((set.judge("a"), votes.summary().votes), (Some(0.0), 1));
    // Late, after the one that replaced it.
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    assert_eq!(set.judge("a"), Some(0.0));
    drop(votes);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    assert_eq!((set.judge("a"), votes.summary().votes), (Some(0.0), 1), "ids are known after a restart too");
}

#[test]
fn vote_undo_removes_vote_and_judgment() {
    let set = Labelled::new(&["a", "b"]);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    votes.vote(ballot("2", "anna", 1, Choice::P1)).unwrap();
    assert_eq!(votes.progress("anna").last.as_deref(), Some("2"));
    assert_eq!(votes.undo("bo", "2").unwrap(), None, "it is not his");
    assert_eq!(votes.undo("anna", "2").unwrap(), Some(1));
    assert_eq!(votes.undo("anna", "2").unwrap(), None);
    assert_eq!((set.judge("a"), set.judge("b")), (Some(1.0), None));
    assert_eq!(votes.progress("anna").last.as_deref(), Some("1"));
    assert_eq!(votes.next("anna", &[]), Some(1));
    // A vote that was taken back and comes again, late, stays taken back.
    votes.vote(ballot("2", "anna", 1, Choice::P1)).unwrap();
    assert_eq!(set.judge("b"), None);
    drop(votes);
    let votes = set.open();
    assert_eq!((votes.summary().votes, set.judge("b")), (1, None));
}

#[test]
fn votes_log_skips_torn_line_and_appends_after_it() {
    let set = Labelled::new(&["a", "b", "c"]);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    votes.vote(ballot("2", "anna", 1, Choice::P1)).unwrap();
    drop(votes);
    let whole = set.log();
    std::fs::write(set.root.path().join(LOG), &whole[..whole.len() - 20]).unwrap();
    // A judgment is written after its line.
    std::fs::remove_file(set.root.path().join("set/judge/b.npy")).unwrap();
    let mut votes = set.open();
    assert_eq!(votes.summary().votes, 1);
    votes.vote(ballot("3", "anna", 2, Choice::P0)).unwrap();
    drop(votes);
    let log = set.log();
    assert!(log.starts_with(&whole[..whole.len() - 20]), "what is there stays");
    assert_eq!(log.lines().count(), 3);
    let votes = set.open();
    assert_eq!(votes.summary().votes, 2);
    assert_eq!(votes.next("anna", &[]), Some(1));
}

#[test]
fn votes_open_restores_judgments_from_log() {
    let set = Labelled::new(&["a", "b"]);
    let mut votes = set.open();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    votes.vote(ballot("2", "anna", 1, Choice::P1)).unwrap();
    let id = votes.progress("anna").last.unwrap();
    votes.undo("anna", &id).unwrap();
    drop(votes);
    let judge = set.root.path().join("set/judge");
    std::fs::remove_file(judge.join("a.npy")).unwrap();
    std::fs::write(judge.join("b.npy"), npy::of_number(1.0)).unwrap();
    std::fs::write(judge.join(".unfinished1"), "half").unwrap();
    set.open();
    assert_eq!((set.judge("a"), set.judge("b")), (Some(1.0), None));
    assert!(!judge.join(".unfinished1").exists());
}

#[test]
fn votes_open_refuses_foreign_judgments() {
    let set = Labelled::new(&["a"]);
    let judge = set.root.path().join("set/judge");
    std::fs::create_dir(&judge).unwrap();
    std::fs::write(judge.join("a.npy"), npy::of_number(0.25)).unwrap();
    let message = Votes::open(set.questions.clone(), None).unwrap_err().to_string();
    assert!(message.contains("a.npy: is a judgment that is not from votes.jsonl"), "{message}");
    assert_eq!(set.judge("a"), Some(0.25));
}

#[test]
fn vote_retries_a_judgment_that_could_not_be_written() {
    let set = Labelled::new(&["a"]);
    let mut votes = set.open();
    // In the way of the folder.
    let judge = set.root.path().join("set/judge");
    std::fs::write(&judge, "").unwrap();
    assert!(votes.vote(ballot("1", "anna", 0, Choice::P1)).is_err());
    std::fs::remove_file(&judge).unwrap();
    votes.vote(ballot("1", "anna", 0, Choice::P1)).unwrap();
    assert_eq!((set.judge("a"), votes.summary().votes), (Some(1.0), 1));
}

#[test]
fn votes_open_by_second_process_is_refused() {
    let set = Labelled::new(&["a"]);
    let first = set.open();
    let message = Votes::open(set.questions.clone(), None).unwrap_err().to_string();
    assert!(message.contains("is being labelled"), "{message}");
    drop(first);
    set.open();
}

#[test]
fn votes_next_prefers_fewest_votes_and_respects_limit() {
    let set = Labelled::new(&["a", "b", "c", "d"]);
    let mut votes = Votes::open(set.questions.clone(), Some(2)).unwrap();
    for question in [0, 1, 3] {
        votes.vote(ballot(&format!("anna {question}"), "anna", question, Choice::P1)).unwrap();
    }
    assert_eq!(votes.next("bo", &[]), Some(2));
    assert_eq!(votes.next("anna", &[2]), None);
    votes.vote(ballot("bo 0", "bo", 0, Choice::P1)).unwrap();
    let mut seen = Vec::new();
    while let Some(question) = votes.next("cy", &seen) {
        seen.push(question);
    }
    assert_eq!(seen[0], 2, "it has no vote yet");
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3], "the first has two votes");
    let progress = votes.progress("bo");
    assert_eq!((progress.judged, progress.total), (1, 4));
    assert_eq!(votes.progress("cy").total, 3);
}

#[test]
fn voter_name_is_trimmed_and_restricted() {
    assert_eq!(name("  Anna Lena \u{e9} ").unwrap(), "Anna Lena \u{e9}");
    assert!(name(&"x".repeat(64)).is_ok());
    for bad in ["", "   ", "a\nb", "a\0b", &"x".repeat(65)] {
        assert!(name(bad).unwrap_err().to_string().contains("1 to 64 characters"), "{bad:?}");
    }
}
