//! `lpips data synth` through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::path::Path;

use support::{Sandbox, stderr, stdout};

/// A folder `pictures` with so many in it.
fn sandbox(count: u32) -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("pictures")).unwrap();
    for i in 0..count {
        sandbox.picture(&format!("pictures/{i}.png"), 100 + 10 * i, 90, i);
    }
    sandbox
}

const SMALL: [&str; 6] = ["--train", "6", "--val", "3", "--size", "32"];

fn synth<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["data", "synth", "--from", "pictures"], more].concat()
}

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&synth(&["--out", "set"])[..], &SMALL, more].concat()
}

/// Runs it to an end with one sentence and this exit code.
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let output = sandbox.lpips(arguments).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn synth_makes_reports_and_reads_back_a_set() {
    let sandbox = sandbox(4);
    let output = sandbox.lpips(&small(&["--jnd", "2"])).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = "       6 triplets  set/2afc/train/synthetic, from 2 pictures
       3 triplets  set/2afc/val/synthetic, from 2 pictures
       2 pairs     set/jnd/val/synthetic, from 2 pictures\n";
    assert_eq!(stdout(&output), lines);
    assert!(stderr(&output).contains("next: `lpips-train --data set --val set`"), "{}", stderr(&output));
    let output = sandbox.lpips(&["data", "check", "set"]).output().unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
    let readme = std::fs::read_to_string(sandbox.path("set/README.txt")).unwrap();
    assert!(readme.starts_with("The labels of this set are synthetic: no person was asked."), "{readme}");
    let manifest = std::fs::read_to_string(sandbox.path("set/manifest.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(manifest.lines().next().unwrap()).unwrap();
    assert_eq!((line["split"].as_str(), line["name"].as_str()), (Some("train"), Some("000000")));
    assert_eq!(line["crop"].as_array().unwrap().len(), 3);
    assert!(line["p0"][0]["distortion"].is_string() && line["p0"][0]["strength"].is_number());
    assert_eq!(line["label"], "synthetic");

    let output = sandbox.lpips(&small(&["--jnd", "2", "--quiet"])).output().unwrap();
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), (lines, ""));
}

#[test]
fn synth_unlabelled_set_points_to_label_command() {
    let sandbox = sandbox(3);
    let output = sandbox.lpips(&small(&["--unlabelled", "--threads", "1"])).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("next: `lpips data label set`"), "{}", stderr(&output));
    let val = sandbox.path("set/2afc/val/synthetic");
    assert_eq!(["ref", "p0", "p1"].map(|column| count(&val.join(column))), [3; 3]);
    assert!(!val.join("judge").exists());
}

#[test]
fn synth_preview_draws_contact_sheet() {
    let sandbox = sandbox(1);
    let output = sandbox.lpips(&synth(&["--preview", "sheet.png", "--distortions", "blur,jpeg"])).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "drew sheet.png\n");
    let (width, height) = image::image_dimensions(sandbox.path("sheet.png")).unwrap();
    assert!(width > 5 * 128 && (3 * 128..4 * 128).contains(&height), "{width}x{height}");
    assert!(refused(&sandbox, &synth(&["--preview", "sheet.jpg"]), 2).contains(".png"));
}

#[test]
fn synth_invalid_arguments_give_one_sentence() {
    let sandbox = sandbox(1);
    let text = refused(&sandbox, &small(&["--distortions", "color-shift"]), 2);
    assert!(text.contains("did you mean colour-shift?"), "{text}");
    assert!(refused(&sandbox, &small(&[]), 1).contains("holds one picture"), "validation needs another");
    assert!(refused(&sandbox, &synth(&[]), 2).contains("--out"));
    assert!(refused(&sandbox, &synth(&["--out", "set", "--size", "8"]), 2).contains("16 to 1024"));
    assert!(!sandbox.path("set").exists());

    sandbox.write("pictures/notes.png", "these are words");
    let text = refused(&sandbox, &small(&["--val", "0"]), 2);
    assert!(text.contains("--val"), "given twice: {text}");
    let train_only = synth(&["--out", "set", "--train", "2", "--val", "0", "--size", "32"]);
    let text = refused(&sandbox, &train_only, 1);
    assert!(text.contains("notes.png") && text.contains("--skip-broken"), "{text}");
    let output = sandbox.lpips(&[&train_only[..], &["--skip-broken"]].concat()).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("notes.png"), "{}", stderr(&output));

    let text = refused(&sandbox, &[&train_only[..], &["--skip-broken", "--seed", "5"]].concat(), 1);
    assert!(text.contains("seed = 0, and seed is 5 now"), "{text}");
    sandbox.write("mine/letter.txt", "dear reader");
    let text = refused(&sandbox, &synth(&["--out", "mine", "--val", "0", "--skip-broken"]), 1);
    assert!(text.contains("holds letter.txt"), "{text}");
    std::fs::create_dir(sandbox.path("nothing")).unwrap();
    let text = refused(&sandbox, &["data", "synth", "--from", "nothing", "--out", "other"], 1);
    assert!(text.contains("holds no pictures"), "{text}");
}

#[cfg(unix)]
#[test]
fn synth_signal_stops_and_same_command_resumes() {
    use std::process::{Command, Stdio};

    let sandbox = sandbox(3);
    let arguments = synth(&["--out", "set", "--train", "400", "--val", "0", "--threads", "1"]);
    let mut child = sandbox.lpips(&arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let made = sandbox.path("set/2afc/train/synthetic/judge");
    while !made.is_dir() || count(&made) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::yield_now();
    }
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("of 400; the same command resumes the set"), "{}", stderr(&output));
    let kept = count(&made);
    assert!((3..400).contains(&kept), "{kept}");
    let output = sandbox.lpips(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("{kept} of 400 were there already")), "{kept}: {}", stderr(&output));
    assert_eq!(count(&made), 400);
}
