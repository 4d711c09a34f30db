use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    size: usize,
    note: String,
}

impl Header for Settings {
    const HOLDS: &'static str = "results";

    fn settings(&self) -> Value {
        json!({ "size": self.size })
    }
}

fn settings(size: usize) -> Settings {
    Settings { size, note: "not compared".to_string() }
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn content(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn journal_torn_last_line_is_cut_off_by_the_next_append() {
    let (_folder, path) = file(b"1\n2\n3");
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!((journal.len(), journal.is_torn(), content(&path).as_str()), (4, true, "1\n2\n3"));
    assert_eq!(journal.read().unwrap(), b"1\n2\n");
    journal.append_record(&4).unwrap();
    assert_eq!((journal.len(), journal.is_torn(), content(&path).as_str()), (6, false, "1\n2\n4\n"));
}

#[test]
fn journal_torn_last_line_can_be_ended_instead() {
    let (_folder, path) = file(b"1\n2");
    let mut journal = Journal::open(&path).unwrap();
    journal.end_torn_line().unwrap();
    journal.end_torn_line().unwrap();
    journal.append_record(&3).unwrap();
    assert_eq!(read_records::<u32>(&path).unwrap(), [1, 2, 3]);
}

#[test]
fn journal_last_line_break_is_found_in_any_block() {
    for long in [1, 4094, 4095, 4096, 4097, 10_000] {
        let (_folder, path) = file(format!("first\n{}", "x".repeat(long)).as_bytes());
        assert_eq!(Journal::open(&path).unwrap().len(), 6, "{long}");
        let (_folder, path) = file("x".repeat(long).as_bytes());
        assert!(Journal::open(&path).unwrap().is_empty(), "{long}");
    }
}

#[test]
fn journal_resume_gives_the_lines_after_an_equal_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    check_file(&path, &settings(64)).unwrap();
    let mut journal = Journal::open_exclusive(&path, "in use").unwrap();
    assert!(journal.resume(&settings(64)).unwrap().is_empty());
    journal.append(b"1\n2\n").unwrap();
    assert!(Journal::open_exclusive(&path, "in use").unwrap_err().to_string().ends_with(": in use"));
    drop(journal);
    let before = content(&path);
    let mut journal = Journal::open_exclusive(&path, "in use").unwrap();
    let other = Settings { note: "other".to_string(), ..settings(64) };
    assert_eq!(journal.resume(&other).unwrap(), b"1\n2\n");
    assert_eq!(content(&path), before);
    journal.truncate(journal.len() - 2).unwrap();
    assert_eq!(journal.resume(&settings(64)).unwrap(), b"1\n");
}

#[test]
fn journal_header_of_other_settings_is_refused_and_the_file_untouched() {
    let (_folder, path) = file(b"{\"size\":32,\"note\":\"\"}\n1\n");
    let error = Journal::open(&path).unwrap().resume(&settings(64)).unwrap_err().to_string();
    assert!(error.contains("holds results of other settings (size was 32 and is 64): name another file"), "{error}");
    assert_eq!(check_file(&path, &settings(64)).unwrap_err().to_string(), error);
    for other in ["a poem\n", "a poem"] {
        let (_folder, path) = file(other.as_bytes());
        let error = Journal::open(&path).unwrap().resume(&settings(64)).unwrap_err().to_string();
        assert!(error.contains("holds something else than results"), "{error}");
        assert_eq!(content(&path), other);
    }
    // A header that lacks nothing but its line break is written once more.
    let (_folder, path) = file(b"{\"size\":64,\"note\":\"\"}");
    assert!(Journal::open(&path).unwrap().resume(&settings(64)).unwrap().is_empty());
    assert_eq!(content(&path), "{\"size\":64,\"note\":\"not compared\"}\n");
}

#[test]
fn journal_replaced_holds_these_records_only() {
    let (_folder, path) = file(b"1\n2\n3\n{\"half");
    assert_eq!(read_records::<u32>(&path).unwrap(), [1, 2, 3]);
    replace(&path, [2, 3]).unwrap();
    assert_eq!(content(&path), "2\n3\n");
    replace(&path, [0u32; 0]).unwrap();
    assert_eq!(content(&path), "");
}

#[test]
fn journal_and_lock_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Journal>();
    check::<crate::lock::Lock>();
}
