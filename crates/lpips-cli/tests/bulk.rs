//! Commands for many pairs through the real binary: published numbers, resume, shards, caches, failures.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.
#![cfg(feature = "bundled")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Sandbox, picture, stderr, stdout};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.lpips(arguments).output().unwrap()
}

fn done(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = run(sandbox, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap()
}

/// The sample pictures, and beside them the reference under each one's name.
fn samples(sandbox: &Sandbox) {
    let pictures = root().join("assets/pictures");
    for name in ["pictures", "references"] {
        std::fs::create_dir(sandbox.path(name)).unwrap();
    }
    for entry in std::fs::read_dir(&pictures).unwrap() {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
        std::fs::copy(&path, sandbox.path("pictures").join(&name)).unwrap();
        if name != "lake.png" {
            std::fs::copy(pictures.join("lake.png"), sandbox.path("references").join(&name)).unwrap();
        }
    }
}

/// Two folders, a and b, of so many small pictures.
fn folders(sandbox: &Sandbox, count: u32) {
    for side in ["a", "b"] {
        std::fs::create_dir_all(sandbox.path(side)).unwrap();
    }
    for i in 0..count {
        sandbox.picture(&format!("a/{i:04}.png"), 40, 36, i % 17);
        sandbox.picture(&format!("b/{i:04}.png"), 40, 36, i % 13 + 1);
    }
}

#[test]
fn folders_equal_the_published_scripts() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    let published: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(root().join("tests/fixtures/folders.json")).unwrap()).unwrap();
    assert_eq!(published.len(), 2);
    for (version, said) in &published {
        let metric = if version == "0.1" { "alex" } else { "alex-0.0" };
        let near = |ours: &Value, theirs: &str| {
            let theirs: f64 = theirs.parse().unwrap();
            assert!((ours.as_f64().unwrap() - theirs).abs() < 1e-5, "{ours} {theirs}");
        };
        let found = rows(&done(
            &sandbox,
            &["dirs", "references", "pictures", "--metric", metric, "--format", "jsonl", "--quiet"],
        ));
        let dirs = said["dirs"].as_object().unwrap();
        assert_eq!(found.len(), dirs.len());
        for row in &found {
            let name = row["candidate"].as_str().unwrap().rsplit('/').next().unwrap();
            assert_eq!(row["reference"], format!("references/{name}"));
            near(&row["distance"], dirs[name].as_str().unwrap());
        }
        for (which, flags) in [("all", &[][..]), ("consecutive", &["--consecutive"])] {
            let arguments =
                [&["pairs", "pictures", "--metric", metric, "--out", "found.jsonl", "--overwrite"], flags].concat();
            let printed = done(&sandbox, &arguments);
            let lines: Vec<&str> = said[which].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            let (average, pairs) = lines.split_last().unwrap();
            let found = rows(&read(&sandbox, "found.jsonl"));
            assert_eq!(found.len(), pairs.len());
            for (row, line) in found.iter().zip(pairs) {
                let (names, distance) = line.split_once(": ").unwrap();
                let own = |side: &str| row[side].as_str().unwrap().strip_prefix("pictures/").unwrap().to_string();
                assert_eq!(format!("({},{})", own("reference"), own("candidate")), names);
                near(&row["distance"], distance);
            }
            let figures = printed.lines().find(|line| line.starts_with(metric)).unwrap();
            let figures: Vec<&str> = figures.split_whitespace().collect();
            let expected: Vec<&str> = average.trim_start_matches("Avg: ").split(" +/- ").collect();
            for (own, published) in figures[2..4].iter().zip(expected) {
                let apart = own.parse::<f64>().unwrap() - published.parse::<f64>().unwrap();
                assert!(apart.abs() < 2e-5, "{printed} {average}");
            }
        }
    }
}

#[test]
fn rows_equal_compare_with_a_cache_and_with_other_metrics() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    let dirs = ["dirs", "references", "pictures", "--format", "jsonl", "--quiet", "--layers"];
    let found = rows(&done(&sandbox, &dirs));
    for row in &found {
        let (a, b) = (row["reference"].as_str().unwrap(), row["candidate"].as_str().unwrap());
        let compared = rows(&done(&sandbox, &["compare", "--json", a, b]));
        assert_eq!(row["distance"], compared[0]["distance"]);
        for layer in compared[0]["layers"].as_array().unwrap() {
            assert_eq!(row["layers"]["alex"][layer["name"].as_str().unwrap()], layer["distance"]);
        }
    }
    // With a cache, cold and warm, and with several metrics beside.
    let distances = |rows: &[Value]| rows.iter().map(|row| row["distance"].clone()).collect::<Vec<_>>();
    for _ in 0..2 {
        assert_eq!(rows(&done(&sandbox, &[&dirs[..], &["--cache", "kept"]].concat())), found);
    }
    let several = done(&sandbox, &[&dirs[..6], &["--metric", "alex,l2,psnr,ssim,dssim"]].concat());
    let several = rows(&several);
    assert_eq!(distances(&several), distances(&found));
    for row in &several {
        let of = |name: &str| row["distances"][name].as_f64().unwrap();
        assert!((of("ssim") - (1.0 - 2.0 * of("dssim"))).abs() < 1e-12);
        assert!((of("psnr") - 10.0 * (4.0 / of("l2")).log10()).abs() < 1e-9);
    }
}

#[test]
fn run_killed_twenty_times_resumes_to_the_same_file() {
    let sandbox = Sandbox::new();
    folders(&sandbox, 120);
    sandbox.write("a/0050.png", b"");
    let arguments = |out: &str| {
        let own = ["dirs", "a", "b", "--metric", "alex,alex-baseline,l2", "--threads", "1", "--out", out];
        own.map(String::from).to_vec()
    };
    let undisturbed = arguments("whole.jsonl");
    let undisturbed: Vec<&str> = undisturbed.iter().map(String::as_str).collect();
    let begun = std::time::Instant::now();
    assert_eq!(run(&sandbox, &undisturbed).status.code(), Some(1), "one picture is empty");
    let whole = begun.elapsed();
    let broken = [arguments("broken.jsonl"), vec!["--resume".to_string()]].concat();
    let broken: Vec<&str> = broken.iter().map(String::as_str).collect();
    let mut kills = 0;
    // Different moments: each time the run gets a little farther, and none gets through.
    for round in 0..20 {
        let mut child = sandbox.lpips(&broken).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(0.02 + 0.01 * f64::from(round * 7 % 20)));
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 5, "only {kills} of 20 runs were still there to be killed");
    let last = run(&sandbox, &broken);
    assert_eq!(last.status.code(), Some(1), "{}", stderr(&last));
    assert_eq!(read(&sandbox, "broken.jsonl"), read(&sandbox, "whole.jsonl"));
    assert_eq!(read(&sandbox, "broken.jsonl.run"), read(&sandbox, "whole.jsonl.run"));
    assert_eq!(rows(&read(&sandbox, "whole.jsonl")).len(), 120);
    // The summary of the last part is that of all.
    let again = run(&sandbox, &[&undisturbed[..], &["--resume"]].concat());
    assert_eq!(stdout(&again), stdout(&last));
}

#[test]
fn shards_merge_to_the_results_of_one_run() {
    let sandbox = Sandbox::new();
    folders(&sandbox, 23);
    sandbox.write("b/0007.png", b"no picture");
    assert_eq!(run(&sandbox, &["dirs", "a", "b", "--out", "whole.csv"]).status.code(), Some(1));
    let parts: Vec<String> = (1..=3).map(|i| format!("part{i}.csv")).collect();
    for (i, part) in (1..).zip(&parts) {
        let shard = format!("{i}/3");
        let output = run(&sandbox, &["dirs", "a", "b", "--out", part, "--shard", &shard]);
        assert_eq!(output.status.code(), Some(i32::from(i == 2)), "{}", stderr(&output));
    }
    let merged = done(&sandbox, &["merge", "part3.csv", "part1.csv", "part2.csv", "--out", "merged.csv"]);
    assert_eq!(read(&sandbox, "merged.csv"), read(&sandbox, "whole.csv"));
    assert_eq!(read(&sandbox, "merged.csv.run"), read(&sandbox, "whole.csv.run"));
    let whole = run(&sandbox, &["dirs", "a", "b", "--out", "whole.csv", "--resume"]);
    assert_eq!(merged, stdout(&whole));
}

#[test]
fn threshold_strict_and_failures_decide_the_exit_code() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    let output = run(&sandbox, &["dirs", "references", "pictures", "--fail-above", "0.28"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(
        said.contains("2 pairs are above 0.28") && said.contains("lake_noise.png") && !said.contains("lake_dim.png")
    );
    assert_eq!(run(&sandbox, &["dirs", "references", "pictures", "--fail-above", "0.7"]).status.code(), Some(0));
    // One broken picture among many costs its own row; with --strict it is the last.
    sandbox.write("pictures/lake_dim.png", b"");
    let output = run(&sandbox, &["dirs", "references", "pictures", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let found = rows(&stdout(&output));
    let failed: Vec<bool> =
        found.iter().map(|row| row["error"].as_str().is_some_and(|e| e.contains("is empty"))).collect();
    assert_eq!(failed, [false, true, false, false, false]);
    let output = run(&sandbox, &["dirs", "references", "pictures", "--format", "jsonl", "--strict"]);
    assert_eq!((output.status.code(), rows(&stdout(&output)).len()), (Some(1), 2));
}

#[test]
fn dirs_unmatched_files_are_named_and_stems_can_be_paired() {
    let sandbox = Sandbox::new();
    folders(&sandbox, 3);
    std::fs::remove_file(sandbox.path("b/0000.png")).unwrap();
    picture(40, 36, 3).save(sandbox.path("b/0000.bmp")).unwrap();
    let output = run(&sandbox, &["dirs", "a", "b"]);
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(said.contains("only in a") && said.contains("0000.png") && said.contains("0000.bmp"), "{said}");
    assert_eq!(run(&sandbox, &["dirs", "a", "b", "--all-matched"]).status.code(), Some(1));
    let stems = done(&sandbox, &["dirs", "a", "b", "--by", "stem", "--format", "jsonl"]);
    assert_eq!(rows(&stems).len(), 3);
}

#[test]
fn pairs_writes_matrix_neighbours_and_duplicates() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    std::fs::copy(sandbox.path("pictures/lake.png"), sandbox.path("pictures/zcopy.png")).unwrap();
    done(&sandbox, &["pairs", "pictures", "--matrix", "m.csv", "--out", "rows.jsonl"]);
    let matrix = read(&sandbox, "m.csv");
    assert_eq!(matrix.lines().count(), 8);
    let first: Vec<&str> = matrix.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((first[0], first[1], *first.last().unwrap()), ("lake.png", "0", "0"));
    let nearest = done(&sandbox, &["pairs", "pictures", "--nearest", "1"]);
    assert!(nearest.contains("pictures/lake.png\n  0.00000  pictures/zcopy.png"), "{nearest}");
    let below = done(&sandbox, &["pairs", "pictures", "--below", "0.03"]);
    assert!(below.contains("pictures/lake.png  pictures/lake_smudge.png  pictures/zcopy.png"), "{below}");
    assert!(!below.contains("lake_noise.png  pictures"), "{below}");
}

#[test]
fn list_rows_stream_in_order_with_triplets() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    sandbox.write(
        "triplets.csv",
        "ref,p0,p1\nlake.png,lake_dim.png,lake_blur.png\nlake.png,none.png,lake_blur.png\nlake.png,lake_jpeg.png,lake.png\n",
    );
    let output = run(&sandbox, &["list", "triplets.csv", "--root", "pictures", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let found = rows(&stdout(&output));
    assert_eq!(found.len(), 3);
    assert!(found[1]["error"].as_str().unwrap().contains("none.png"));
    assert_eq!(found[2]["second_distance"], 0.0);
    assert!((found[0]["distance"].as_f64().unwrap() - 0.040433).abs() < 1e-5);
    assert!((found[0]["second_distance"].as_f64().unwrap() - 0.246808).abs() < 1e-5);

    // A row comes while the list is still being written.
    let mut child = sandbox
        .lpips(&["list", "-", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    for name in ["lake_dim", "lake_blur"] {
        let line = format!("{{\"reference\":\"pictures/lake.png\",\"candidate\":\"pictures/{name}.png\"}}\n");
        std::io::Write::write_all(&mut input, line.as_bytes()).unwrap();
        let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(row["candidate"], format!("pictures/{name}.png"));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn video_frames_are_compared_in_numeric_order() {
    let sandbox = Sandbox::new();
    for side in ["a", "b"] {
        std::fs::create_dir(sandbox.path(side)).unwrap();
    }
    // Numbered without leading zeros; the ninth differs most.
    for i in 1..=12 {
        sandbox.picture(&format!("a/frame_{i}.png"), 48, 40, i);
        sandbox.picture(&format!("b/frame_{i}.png"), 48, 40, if i == 9 { 40 } else { i });
    }
    let printed = done(&sandbox, &["video", "a", "b", "--fps", "2", "--plot", "plot.svg", "--worst-frames", "1"]);
    let order: Vec<&str> = printed.lines().filter_map(|line| line.split_whitespace().nth(1)).take(12).collect();
    let expected: Vec<String> = (1..=12).map(|i| format!("a/frame_{i}.png")).collect();
    assert_eq!(order, expected);
    let worst = printed.lines().last().unwrap();
    assert!(worst.ends_with("8  0:04.000"), "{worst}");
    assert!(printed.contains("95 %") && read(&sandbox, "plot.svg").contains("seconds"));
}

#[test]
fn report_shows_frames_of_videos_that_can_be_read_again() {
    let sandbox = Sandbox::new();
    for (name, differs) in [("a.rgb", 100), ("b.rgb", 7)] {
        let frame = |i: u32| (0..48 * 40 * 3).map(move |at: u32| (if i == differs { at * 7 } else { at + i }) as u8);
        std::fs::write(sandbox.path(name), (0..12).flat_map(frame).collect::<Vec<u8>>()).unwrap();
    }
    let video = |reference: &'static str, out: &'static str| {
        let raw = ["--raw", "48x40:rgb24", "--from", "1", "--every", "2"];
        [&["video", reference, "b.rgb", "--out", out, "--overwrite", "--report", "page.html"], &raw[..]].concat()
    };
    let shown = |page: &str| read(&sandbox, page).matches("data:image/png").count();
    done(&sandbox, &video("a.rgb", "rows.jsonl"));
    // Six frames, three pictures each.
    assert_eq!(shown("page.html"), 18);
    done(&sandbox, &["report", "rows.jsonl", "--timeline", "--out", "later.html"]);
    assert_eq!(shown("later.html"), 18);
    let root = ["report", "rows.jsonl", "--root", "elsewhere", "--out", "later.html"];
    let printed = stderr(&run(&sandbox, &root));
    assert!(printed.contains("the pictures of 6 of 6 pairs can't be shown: elsewhere/a.rgb"), "{printed}");

    // A folder's frames are known by their names, not by their places.
    std::fs::create_dir(sandbox.path("a")).unwrap();
    std::fs::create_dir(sandbox.path("b")).unwrap();
    for i in 0..6 {
        sandbox.picture(&format!("a/f{i}.png"), 48, 40, i);
        sandbox.picture(&format!("b/f{i}.png"), 48, 40, i + 1);
    }
    done(&sandbox, &["video", "a", "b", "--out", "frames.jsonl"]);
    for side in ["a", "b"] {
        std::fs::remove_file(sandbox.path(format!("{side}/f2.png"))).unwrap();
    }
    let printed = stderr(&run(&sandbox, &["report", "frames.jsonl", "--out", "later.html"]));
    assert!(
        printed.contains("the pictures of 1 of 6 pairs can't be shown: a/f2.png: is not in the video any more"),
        "{printed}"
    );
    assert_eq!(shown("later.html"), 15);

    let mut piped = sandbox.lpips(&video("-", "piped.jsonl"));
    piped.stdin(std::fs::File::open(sandbox.path("a.rgb")).unwrap());
    let printed = stderr(&piped.output().unwrap());
    assert!(printed.contains("6 of 6 pairs can't be shown: standard input can't be read a second time"), "{printed}");
    assert_eq!(shown("page.html"), 0);
}

#[test]
fn heat_maps_and_report_are_written() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    done(&sandbox, &["dirs", "references", "pictures", "--maps", "maps", "--report", "page.html", "--out", "rows.csv"]);
    assert!(sandbox.path("maps/lake_smudge.png.map.png").is_file());
    let page = read(&sandbox, "page.html");
    assert!(page.contains("smudge") && page.contains("data:image/"), "{}", &page[..2000]);
    // The same page content from the results.
    done(&sandbox, &["report", "rows.csv", "--out", "later.html"]);
    assert!(read(&sandbox, "later.html").contains("data:image/"));
    let small = ["--metric", "alex-baseline,l2", "--crop", "64x48", "--out", "rows.json"];
    done(&sandbox, &[&["dirs", "references", "pictures"], &small[..]].concat());
    done(&sandbox, &["report", "rows.json", "--out", "later.html"]);
    let page = read(&sandbox, "later.html");
    assert!(["smudge", "alex-baseline", "l2", "[64,48]"].iter().all(|part| page.contains(part)));
    sandbox.write("wrong.json", "[\n{\"reference\":\"a\",\"candidate\":\"b\"}]");
    let printed = stderr(&run(&sandbox, &["report", "wrong.json"]));
    assert!(printed.contains("wrong.json: element 1 lacks its distance"), "{printed}");
    sandbox.write("wrong.json", "[\n{\"reference\":1}]");
    let printed = stderr(&run(&sandbox, &["report", "wrong.json"]));
    assert!(printed.contains("wrong.json:2: is no array of results"), "{printed}");
    // What the run writes into a folder that it reads is no input of the next run.
    done(&sandbox, &["pairs", "pictures", "--consecutive", "--maps", "pictures/maps", "--out", "pictures/rows.jsonl"]);
    let again = [
        "pairs",
        "pictures",
        "--consecutive",
        "--maps",
        "pictures/maps",
        "--out",
        "pictures/rows.jsonl",
        "--overwrite",
    ];
    done(&sandbox, &again);
    assert_eq!(rows(&read(&sandbox, "pictures/rows.jsonl")).len(), 5);
}

#[test]
fn interrupted_run_exits_130_and_resumes() {
    let sandbox = Sandbox::new();
    folders(&sandbox, 200);
    let arguments = ["dirs", "a", "b", "--metric", "alex,dssim-lab", "--threads", "1", "--out", "rows.jsonl"];
    let child = sandbox.lpips(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !std::fs::metadata(sandbox.path("rows.jsonl")).is_ok_and(|file| file.len() > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    // A fast machine may have been done before.
    if !output.status.success() {
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    }
    done(&sandbox, &[&arguments[..], &["--resume"]].concat());
    assert_eq!(rows(&read(&sandbox, "rows.jsonl")).len(), 200);
}

#[test]
fn unwritable_heat_map_costs_no_distance() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    std::fs::create_dir_all(sandbox.path("maps/lake_dim.png.map.png")).unwrap();
    let output = run(&sandbox, &["dirs", "references", "pictures", "--maps", "maps", "--format", "jsonl", "--quiet"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 heat maps could not be written"), "{}", stderr(&output));
    assert!(rows(&stdout(&output)).iter().all(|row| row["distance"].is_number()));
}

#[test]
fn run_without_pairs_exits_1() {
    let sandbox = Sandbox::new();
    folders(&sandbox, 2);
    let output = run(&sandbox, &["video", "a", "b", "--from", "100", "--fail-above", "0.1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing was compared"), "{}", stderr(&output));
}

#[test]
fn strict_run_ends_while_its_list_is_still_open() {
    let sandbox = Sandbox::new();
    samples(&sandbox);
    let mut child = sandbox
        .lpips(&["list", "-", "--strict", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"none.png,pictures/lake.png\n").unwrap();
    // The list stays open until the run has ended.
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(input);
}

#[cfg(target_os = "linux")]
#[test]
fn results_non_utf8_names_roundtrip() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    folders(&sandbox, 1);
    for side in ["a", "b"] {
        let odd = sandbox.path(side).join(std::ffi::OsStr::from_bytes(b"odd-\xff, \"x\"\n.png"));
        std::fs::rename(sandbox.path(format!("{side}/0000.png")), odd).unwrap();
    }
    for out in ["rows.jsonl", "rows.csv"] {
        done(&sandbox, &["dirs", "a", "b", "--out", out]);
        let output = run(&sandbox, &["report", out, "--out", "page.html"]);
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
        assert!(read(&sandbox, "page.html").contains("data:image/"));
    }
}
