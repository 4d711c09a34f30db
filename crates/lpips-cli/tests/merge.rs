//! `lpips merge` through the real binary, with shards written by hand in the form of `--shard`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use serde_json::{Value, json};
use support::{Sandbox, stderr, stdout};

const ROWS: u64 = 7;

/// A row whose name has a comma, quotes and a line break; row 3 has failed.
fn line(index: u64) -> String {
    let mut row =
        json!({"index": index, "reference": format!("r{}/a, \"{index}\"\n.png", index % 2), "candidate": "c.png"});
    match index {
        3 => row["error"] = json!("c.png: is 0 bytes"),
        _ => row["distance"] = json!(0.1 + index as f64 / 7.0),
    }
    format!("{row}\n")
}

fn rows(indices: impl Iterator<Item = u64>) -> String {
    indices.map(line).collect()
}

fn run_file(shard: &str, complete: &Value) -> Value {
    json!({
        "command": "dirs", "work": {"A": "renders", "--crop": 64}, "metrics": ["alex"], "layers": [[]], "triplets": false,
        "identities": ["abc"], "format": "jsonl", "shard": shard, "total": ROWS, "complete": complete
    })
}

fn put(sandbox: &Sandbox, name: &str, rows: &str, run: &Value) {
    sandbox.write(name, rows);
    sandbox.write(&format!("{name}.run"), format!("{run:#}\n"));
}

/// The results of one run, and of its three shards.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    put(&sandbox, "whole.jsonl", &rows(0..ROWS), &run_file("1/1", &json!({"rows": ROWS, "failures": 1})));
    for number in 1..=3 {
        let own = || (0..ROWS).filter(|index| index % 3 == number - 1);
        let complete = json!({"rows": own().count(), "failures": u8::from(number == 1)});
        put(&sandbox, &format!("{number}.jsonl"), &rows(own()), &run_file(&format!("{number}/3"), &complete));
    }
    sandbox
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap()
}

/// Runs a merge that fails with one sentence and this exit code.
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let output = sandbox.lpips(&[&["merge"], arguments].concat()).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked") && text.lines().count() == 1 && text.starts_with("error: "), "{text}");
    text
}

fn merged(sandbox: &Sandbox, arguments: &[&str]) -> (String, String) {
    let output = sandbox.lpips(&[&["merge"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    (stdout(&output), stderr(&output))
}

const SUMMARY: &str = "\
7 rows, 1 failed
      n     mean      +/-   median      min      max
alex  6  0.52857  0.12599  0.52857  0.10000  0.95714

alex min  row 0  r0/a, \"0\"\\n.png, c.png
alex max  row 6  r0/a, \"6\"\\n.png, c.png

folder  n     alex
r0      4  0.52857
r1      2  0.52857
";

#[test]
fn merged_shards_equal_the_results_of_one_run() {
    let sandbox = sandbox();
    let (out, err) = merged(&sandbox, &["2.jsonl", "3.jsonl", "1.jsonl", "--out", "all.jsonl"]);
    assert_eq!((out.as_str(), err.as_str()), (SUMMARY, ""));
    assert!(read(&sandbox, "all.jsonl") == read(&sandbox, "whole.jsonl"));
    assert_eq!(read(&sandbox, "all.jsonl.run"), read(&sandbox, "whole.jsonl.run"));
    let left = std::fs::read_dir(sandbox.path(".")).unwrap().count();
    assert_eq!(left, 10, "four parts, the whole, and their run files");

    let (out, err) = merged(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl"]);
    assert!(out == read(&sandbox, "whole.jsonl"));
    assert_eq!(err, SUMMARY, "results only on standard output");
    let (_, err) = merged(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl", "--quiet"]);
    assert_eq!(err, "");
}

#[test]
fn merge_converts_formats_back_and_forth() {
    let sandbox = sandbox();
    merged(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl", "--out", "all.csv"]);
    assert!(
        read(&sandbox, "all.csv")
            .starts_with("index,reference,candidate,distance,error\n0,\"r0/a, \"\"0\"\"\n.png\",c.png,0.1,\n")
    );
    merged(&sandbox, &["all.csv", "--out", "back.jsonl"]);
    assert!(read(&sandbox, "back.jsonl") == read(&sandbox, "whole.jsonl"));
    assert_eq!(read(&sandbox, "back.jsonl.run"), read(&sandbox, "whole.jsonl.run"));
    merged(&sandbox, &["all.csv", "--out", "all", "--format", "json"]);
    let all: Vec<Value> = serde_json::from_str(&read(&sandbox, "all")).unwrap();
    let lines = read(&sandbox, "whole.jsonl");
    assert_eq!(all, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>());
    let output = sandbox.lpips(&["merge", "all.csv", "--format", "xml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("expected jsonl, csv, json or parquet"), "{}", stderr(&output));
}

#[cfg(feature = "parquet")]
#[test]
fn merge_writes_parquet() {
    let sandbox = sandbox();
    merged(&sandbox, &["whole.jsonl", "--out", "all.parquet"]);
    let bytes = std::fs::read(sandbox.path("all.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    assert!(refused(&sandbox, &["whole.jsonl", "--format", "parquet"], 2).contains("--out"));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn merge_to_parquet_without_the_feature_names_it() {
    let sandbox = sandbox();
    let text = refused(&sandbox, &["whole.jsonl", "--out", "all.parquet"], 2);
    assert!(text.contains("--features parquet"), "{text}");
    assert!(!sandbox.path("all.parquet").exists());
}

#[test]
fn merge_refuses_parts_that_do_not_fit_together() {
    let sandbox = sandbox();
    let text = refused(&sandbox, &["1.jsonl", "3.jsonl"], 2);
    assert!(text.contains("shard 2 of 3 is missing"), "{text}");
    let text = refused(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl", "./2.jsonl"], 1);
    assert!(text.contains("./2.jsonl: is shard 2/3, as 2.jsonl is"), "{text}");
    let text = refused(&sandbox, &["1.jsonl", "whole.jsonl", "2.jsonl"], 1);
    assert!(
        text.contains("whole.jsonl: is of another run: number of shards is 1 in whole.jsonl and 3 in 1.jsonl"),
        "{text}"
    );
    let mut other = run_file("2/3", &json!({"rows": 2, "failures": 0}));
    other["work"]["--crop"] = json!(32);
    put(&sandbox, "other.jsonl", &rows([1, 4].into_iter()), &other);
    let text = refused(&sandbox, &["1.jsonl", "other.jsonl", "3.jsonl"], 1);
    assert!(text.contains("other.jsonl: is of another run: --crop is 32 in other.jsonl and 64 in 1.jsonl"), "{text}");
    sandbox.write("alone.jsonl", rows(0..3));
    sandbox.write("alone.json", "[\n]\n");
    sandbox.write("alone.json.run", read(&sandbox, "1.jsonl.run").replace("\"jsonl\"", "\"json\""));
    assert!(refused(&sandbox, &["alone.json"], 1).contains("alone.json: is json: expected parts in jsonl or csv"));
    assert!(refused(&sandbox, &["alone.jsonl"], 1).contains("has no run file alone.jsonl.run beside it"));
    assert!(refused(&sandbox, &["nothing.jsonl"], 1).contains("nothing.jsonl"));
    put(&sandbox, "2.jsonl", &rows([1].into_iter()), &run_file("2/3", &json!({"rows": 2, "failures": 0})));
    let text = refused(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl", "--out", "all.jsonl"], 1);
    assert!(text.contains("2.jsonl: has 1 whole rows, and its run file says 2"), "{text}");
    sandbox.write("3.jsonl", "{\"index\":2,\n");
    let text = refused(&sandbox, &["1.jsonl", "2.jsonl", "3.jsonl", "--out", "all.jsonl"], 1);
    assert!(text.contains("3.jsonl: line 1 is no readable row"), "{text}");
    assert!(!sandbox.path("all.jsonl").exists() && !sandbox.path("all.jsonl.run").exists());
}

#[test]
fn merge_does_not_overwrite_files_or_its_parts() {
    let sandbox = sandbox();
    let whole = read(&sandbox, "whole.jsonl");
    let parts = ["1.jsonl", "2.jsonl", "3.jsonl"];
    let into = |out: &'static str, more: &[&'static str]| [&parts[..], &["--out", out], more].concat();
    assert!(refused(&sandbox, &into("whole.jsonl", &[]), 1).contains("--overwrite"));
    assert!(refused(&sandbox, &into("2.jsonl", &["--overwrite"]), 2).contains("is one of the parts"));
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    assert!(refused(&sandbox, &into("folder", &["--overwrite"]), 1).contains("is a folder"));
    assert!(refused(&sandbox, &into("none/all.jsonl", &[]), 1).contains("no such file or folder"));
    assert!(read(&sandbox, "whole.jsonl") == whole);
    sandbox.write("old.jsonl", "old");
    merged(&sandbox, &into("old.jsonl", &["--overwrite"]));
    assert!(read(&sandbox, "old.jsonl") == whole);
}

#[test]
fn merge_with_partial_takes_incomplete_parts() {
    let sandbox = sandbox();
    let torn = rows([1, 4].into_iter());
    put(&sandbox, "2.jsonl", &torn[..torn.len() - 9], &run_file("2/3", &Value::Null));
    let parts = ["1.jsonl", "2.jsonl", "--out", "all.jsonl"];
    assert!(refused(&sandbox, &parts, 1).contains("2.jsonl: is not complete"));
    let (_, err) = merged(&sandbox, &[&parts[..], &["--partial"]].concat());
    assert_eq!(err, "note: merged 4 of 7 rows\n");
    assert!(read(&sandbox, "all.jsonl") == rows([0, 1, 3, 6].into_iter()));
    let run: Value = serde_json::from_str(&read(&sandbox, "all.jsonl.run")).unwrap();
    assert_eq!(run, run_file("1/1", &Value::Null));
    assert!(refused(&sandbox, &["all.jsonl"], 1).contains("is not complete"));
}

#[cfg(unix)]
#[test]
fn merge_on_a_full_disk_leaves_nothing() {
    let sandbox = Sandbox::new();
    let row = |index| format!("{{\"index\":{index},\"reference\":\"a\",\"candidate\":\"b\",\"error\":\"e\"}}\n");
    let rows: String = (0..5000).map(row).collect();
    let mut run = run_file("1/1", &json!({"rows": 5000, "failures": 5000}));
    run["total"] = json!(5000);
    put(&sandbox, "part.jsonl", &rows, &run);
    // No file may grow beyond 64 KiB in this shell: writing fails as it does on a full disk.
    let mut command = std::process::Command::new("sh");
    sandbox.isolate(&mut command);
    let script =
        format!("trap '' XFSZ; ulimit -f 128; exec {} merge part.jsonl --out all.jsonl", env!("CARGO_BIN_EXE_lpips"));
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("all.jsonl: can't be written: ") && stderr(&output).contains("make room"),
        "{}",
        stderr(&output)
    );
    let names: Vec<_> = std::fs::read_dir(sandbox.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else {
        println!("skipped: there is no /dev/full here");
        return;
    };
    let output = sandbox.lpips(&["merge", "part.jsonl"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't write to standard output"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn merge_into_a_closed_pipe_is_no_error() {
    let sandbox = sandbox();
    let script = format!("{} merge whole.jsonl | true", env!("CARGO_BIN_EXE_lpips"));
    let mut command = std::process::Command::new("sh");
    sandbox.isolate(&mut command);
    let output = command.args(["-c", &script]).output().unwrap();
    assert!(!stderr(&output).contains("error") && !stderr(&output).contains("panicked"), "{}", stderr(&output));
}
