use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::results::format::tests::{any_columns, any_rows, columns, run};
use crate::results::run_file::Complete;
use crate::results::schema::MetricResult;
use crate::source::pair::Input;

fn row(index: u64) -> Row {
    let measured = MetricResult { distance: index as f64 / 8.0, ..MetricResult::default() };
    let (reference, candidate) = (format!("a/{index}.png").into(), format!("b,\n{index}.png").into());
    Row { index, reference, candidate, second: None, outcome: Ok(vec![measured]) }
}

fn message<T>(result: Result<T>) -> String {
    result.err().map(|error| error.to_string()).unwrap()
}

/// A finished file of the rows 0 to `count` in a temporary folder.
fn file(format: Format, count: u64) -> (tempfile::TempDir, PathBuf, RunFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("rows.{format}"));
    let run = run(&columns(1, false, false), format);
    let mut output = ResultsWriter::create(&path, run.clone(), false).unwrap();
    (0..count).for_each(|index| output.add(&row(index)).unwrap());
    output.finish(0, count).unwrap();
    (folder, path, run)
}

#[test]
fn row_added_is_in_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let mut output = ResultsWriter::create(&path, run(&columns(1, false, false), Format::Jsonl), false).unwrap();
    assert_eq!(RunFile::read(&path).unwrap().complete, None, "the run file is written before the first row");
    for index in 0..3 {
        output.add(&row(index)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count() as u64, index + 1);
    }
    output.finish(0, 3).unwrap();
    assert_eq!(RunFile::read(&path).unwrap().complete, Some(Complete { rows: 3, failures: 0 }));
}

#[test]
fn file_torn_anywhere_is_resumed_to_the_same_bytes() {
    for format in [Format::Jsonl, Format::Csv] {
        let (_folder, path, run) = file(format, 5);
        let (whole, whole_run) = (std::fs::read(&path).unwrap(), std::fs::read(RunFile::path(&path)).unwrap());
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut output, held) = ResultsWriter::resume(&path, run.clone()).unwrap();
            assert_eq!(RunFile::read(&path).unwrap().complete, None);
            let left = held.left();
            let held: Vec<Row> = held.map(Result::unwrap).collect();
            assert_eq!((held.len() as u64, &held), (left, &(0..left).map(row).collect()), "{format} torn at {length}");
            // What is left is whole rows.
            assert!(whole.starts_with(&std::fs::read(&path).unwrap()));
            (left..5).for_each(|index| output.add(&row(index)).unwrap());
            output.finish(0, 5).unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "{format} torn at {length}");
            assert!(std::fs::read(RunFile::path(&path)).unwrap() == whole_run);
        }
    }
}

#[test]
fn resume_of_an_empty_file_begins_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let mut own = run(&columns(1, false, false), Format::Csv);
    // As after a kill between the creation of the file and of its run file, even of other work.
    std::fs::write(&path, "").unwrap();
    own.command = "pairs".to_string();
    own.write(&path).unwrap();
    own.command = "dirs".to_string();
    for _ in 0..2 {
        let (output, held) = ResultsWriter::resume(&path, own.clone()).unwrap();
        assert_eq!(held.count(), 0);
        drop(output);
        assert_eq!(RunFile::read(&path).unwrap(), own);
    }
}

#[test]
fn resume_of_other_work_is_refused_and_leaves_the_file() {
    let (folder, path, run) = file(Format::Jsonl, 3);
    let before = std::fs::read(&path).unwrap();
    let refused = |change: &dyn Fn(&mut RunFile)| {
        let mut other = run.clone();
        change(&mut other);
        message(ResultsWriter::resume(&path, other))
    };
    let crop = refused(&|run| drop(run.work.insert("--crop".to_string(), 32.into())));
    assert!(crop.contains("rows.jsonl: holds results of other settings (--crop was 64 and is 32)"), "{crop}");
    let shard = refused(&|run| run.shard = "1/2".parse().unwrap());
    assert!(shard.contains("number of shards was 1 and is 2"), "{shard}");
    let format = refused(&|run| run.format = Format::Csv);
    assert!(format.contains("format was jsonl and is csv"), "{format}");
    for format in [Format::Json, Format::Parquet] {
        let text = refused(&|run| run.format = format);
        assert!(text.contains("--format jsonl") && text.contains(&format!("--out FILE.{format}")), "{text}");
    }
    assert!(message(ResultsWriter::create(&path, run.clone(), false)).contains("--resume"));
    assert!(std::fs::read(&path).unwrap() == before);

    // A picture, named by mistake.
    let picture = folder.path().join("photo.png");
    std::fs::write(&picture, [0x89, b'P', b'N', b'G', 0, 1, 2]).unwrap();
    assert!(message(ResultsWriter::resume(&picture, run.clone())).contains("photo.png.run beside it"));
    assert_eq!(std::fs::read(&picture).unwrap().len(), 7);
    assert!(message(ResultsWriter::create(&picture, run.clone(), false)).contains("is there already"));
    assert!(message(ResultsWriter::create(folder.path(), run.clone(), true)).contains("is a folder"));
    assert!(message(ResultsWriter::resume(folder.path(), run.clone())).contains("is a folder"));

    // A whole line that is no row.
    std::fs::write(&path, [&before[..], b"{}\n"].concat()).unwrap();
    let (output, mut held) = ResultsWriter::resume(&path, run.clone()).unwrap();
    assert!(held.by_ref().take(3).all(|row| row.is_ok()));
    assert!(message(held.next().unwrap()).contains("line 4 is no readable row"));

    drop(output);
    ResultsWriter::create(&path, run, true).unwrap().finish(0, 0).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"", "with overwrite it is emptied");
}

#[test]
fn file_of_a_running_writer_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let run = run(&columns(1, false, false), Format::Jsonl);
    let mut output = ResultsWriter::create(&path, run.clone(), false).unwrap();
    let busy = "is being written by another run";
    assert!(message(ResultsWriter::create(&path, run.clone(), true)).contains(busy));
    output.add(&row(0)).unwrap();
    assert!(message(ResultsWriter::resume(&path, run.clone())).contains(busy));
    drop(output);
    assert_eq!(ResultsWriter::resume(&path, run).unwrap().1.left(), 1);
}

#[test]
fn json_file_appears_when_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.json");
    let run = run(&columns(1, false, false), Format::Json);
    let mut output = ResultsWriter::create(&path, run.clone(), false).unwrap();
    output.add(&row(0)).unwrap();
    assert!(!path.exists());
    drop(output);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "an unfinished file leaves nothing");
    let mut output = ResultsWriter::create(&path, run.clone(), false).unwrap();
    output.add(&row(0)).unwrap();
    output.finish(0, 1).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(rows[0]["reference"], "a/0.png");
    assert_eq!(RunFile::read(&path).unwrap().complete, Some(Complete { rows: 1, failures: 0 }));
    assert!(!message(ResultsWriter::create(&path, run, false)).contains("--resume"));
}

#[cfg(unix)]
#[test]
fn full_disk_leaves_whole_rows_that_can_be_resumed() {
    for format in [Format::Jsonl, Format::Csv] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("rows.{format}"));
        // No file may grow beyond 32 KiB under this shell: writing fails as it does on a full disk.
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --ignored --nocapture writes_until_it_fails"]);
        let output = command.arg(std::env::current_exe().unwrap()).env(ROWS, &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("rows.{format}: can't be written: ")), "{text}");
        assert!(text.contains("what it holds is whole: make room and resume (--resume)"), "{text}");
        let full = std::fs::read(&path).unwrap();
        assert!(full.ends_with(b"\n") && full.len() > 32_000, "{} bytes", full.len());

        let (mut output, held) = ResultsWriter::resume(&path, run(&columns(1, false, false), format)).unwrap();
        let rows = held.left();
        assert_eq!(std::fs::read(&path).unwrap().len(), full.len(), "nothing is cut off");
        held.for_each(|row| drop(row.unwrap()));
        (rows..rows + 5).for_each(|index| output.add(&row(index)).unwrap());
        output.finish(0, rows + 5).unwrap();
        let (_folder, whole, _) = file(format, rows + 5);
        assert!(std::fs::read(&path).unwrap() == std::fs::read(whole).unwrap());
    }
}

/// Names the file for the test below.
#[cfg(unix)]
const ROWS: &str = "LPIPS_TEST_ROWS";

#[cfg(unix)]
#[test]
#[ignore = "the test above runs it"]
fn writes_until_it_fails() {
    let Some(path) = std::env::var_os(ROWS).map(PathBuf::from) else {
        println!("skipped: the test above runs it");
        return;
    };
    let format = Format::of_path(&path).unwrap();
    let mut output = ResultsWriter::create(&path, run(&columns(1, false, false), format), false).unwrap();
    let error = (0..10_000).find_map(|index| output.add(&row(index)).err());
    println!("{}", error.unwrap());
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn stream_gets_the_bytes_of_a_file() {
    for format in [Format::Jsonl, Format::Csv, Format::Json] {
        let (_folder, path, run) = file(format, 3);
        let shared = Shared::default();
        let mut output = ResultsWriter::stream(Box::new(shared.clone()), format, &run.columns).unwrap();
        (0..3).for_each(|index| output.add(&row(index)).unwrap());
        output.finish(0, 3).unwrap();
        assert_eq!(*shared.0.lock().unwrap(), std::fs::read(path).unwrap());
    }
    let to = Box::new(Shared::default());
    assert!(message(ResultsWriter::stream(to, Format::Parquet, &columns(1, false, false))).contains("Parquet"));
}

#[test]
fn existing_row_must_match_its_pair() {
    let input = |name: &str| Input::File(Path::new(name).into());
    let held = row(3);
    let pair = Pair { index: 3, reference: input("a/3.png"), candidate: input("b,\n3.png"), second: None };
    check_matches(&held, &pair).unwrap();
    for other in [
        Pair { index: 4, ..pair.clone() },
        Pair { reference: input("a/4.png"), ..pair.clone() },
        Pair { candidate: input("c.png"), ..pair.clone() },
        Pair { second: Some(input("c.png")), ..pair.clone() },
    ] {
        let text = message(check_matches(&held, &other));
        assert!(text.contains("row 3 of a/3.png") && text.contains("start anew"), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_rows_resume_to_the_same_bytes(
        (columns, rows) in any_columns().prop_flat_map(|columns| (Just(columns.clone()), any_rows(&columns, false, 12))),
        part in 0.0..1.0f64,
    ) {
        for format in [Format::Jsonl, Format::Csv] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rows");
            let run = run(&columns, format);
            let mut output = ResultsWriter::create(&path, run.clone(), false).unwrap();
            for row in &rows {
                output.add(row).unwrap();
            }
            output.finish(0, rows.len() as u64).unwrap();
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..(whole.len() as f64 * part) as usize]).unwrap();
            let (mut output, held) = ResultsWriter::resume(&path, run).unwrap();
            let held: Vec<Row> = held.map(Result::unwrap).collect();
            prop_assert_eq!(&held[..], &rows[..held.len()]);
            rows[held.len()..].iter().for_each(|row| output.add(row).unwrap());
            output.finish(0, rows.len() as u64).unwrap();
            prop_assert!(std::fs::read(&path).unwrap() == whole);
        }
    }
}
