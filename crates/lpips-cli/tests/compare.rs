//! `lpips compare` through the real binary, and its agreement with the commands for many pairs.
#![cfg(feature = "bundled")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::path::{Path, PathBuf};

use support::{Sandbox, stderr, stdout};

fn sample(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "assets", "pictures", name].iter().collect();
    std::fs::canonicalize(path).unwrap().to_str().unwrap().to_string()
}

fn objects(output: &std::process::Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn compare_bundled_network_prints_the_published_distances() {
    let sandbox = Sandbox::new();
    // From tests/fixtures/published.json.
    for (candidate, distance) in [("lake_blur.png", 0.24681), ("lake_jpeg.png", 0.28914), ("lake_noise.png", 0.68580)] {
        let output = sandbox.lpips(&["compare", &sample("lake.png"), &sample(candidate)]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("{distance:.5}  {}\n", sample(candidate)));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn compare_table_is_sorted_and_json_keeps_the_given_order() {
    let sandbox = Sandbox::new();
    let (lake, noise, dim) = (sample("lake.png"), sample("lake_noise.png"), sample("lake_dim.png"));
    let output = sandbox.lpips(&["compare", &lake, &noise, &dim, &lake]).output().unwrap();
    let text = stdout(&output);
    let names: Vec<_> = text.lines().map(|line| Path::new(&line[9..]).file_name().unwrap()).collect();
    assert_eq!(names, ["lake.png", "lake_dim.png", "lake_noise.png"]);
    assert!(text.starts_with("0.00000  "), "equal pictures are at 0: {text}");

    let output = sandbox.lpips(&["compare", "--json", &lake, &noise, &dim]).output().unwrap();
    let rows = objects(&output);
    assert_eq!(rows.len(), 2);
    for (row, candidate) in rows.iter().zip([&noise, &dim]) {
        let keys: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["index", "reference", "candidate", "net", "version", "lin", "distance", "layers"]);
        assert_eq!(row["reference"], *lake);
        assert_eq!(row["candidate"], **candidate);
        assert_eq!((&row["net"], &row["version"], &row["lin"]), (&"alex".into(), &"0.1".into(), &true.into()));
        let layers = row["layers"].as_array().unwrap();
        let names: Vec<_> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["conv1", "conv2", "conv3", "conv4", "conv5"]);
        let sum: f64 = layers.iter().map(|layer| layer["distance"].as_f64().unwrap()).sum();
        assert!((sum - row["distance"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn compare_version_baseline_layers_and_taps_are_applied() {
    let sandbox = Sandbox::new();
    let (lake, blur) = (sample("lake.png"), sample("lake_blur.png"));
    let run = |options: &[&str]| {
        let output = sandbox.lpips(&[&["compare"], options, &[&lake, &blur]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let old = objects(&run(&["--json", "--lpips-version", "0.0"]));
    assert_eq!(old[0]["version"], "0.0");
    let baseline = objects(&run(&["--json", "--baseline"]));
    assert_eq!(baseline[0]["lin"], false);
    let table = stdout(&run(&["--layers"]));
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["distance", "conv1", "conv2", "conv3", "conv4", "conv5"]);
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row.len(), 7);
    let tapped = objects(&run(&["--json", "--baseline", "--taps", "pool1,conv5"]));
    let names: Vec<_> = tapped[0]["layers"].as_array().unwrap().iter().map(|layer| layer["name"].clone()).collect();
    assert_eq!(names, ["pool1", "conv5"]);
}

#[test]
fn compare_numbers_are_equal_for_any_number_of_threads() {
    let sandbox = Sandbox::new();
    let run = |threads: &str| {
        let arguments = ["compare", "--json", "--threads", threads, &sample("lake.png"), &sample("lake_noise.png")];
        stdout(&sandbox.lpips(&arguments).output().unwrap())
    };
    assert_eq!(run("1"), run("3"));
}

#[test]
fn compare_resize_brings_candidates_to_the_reference_size() {
    let sandbox = Sandbox::new();
    sandbox.picture("a.png", 64, 48, 0);
    image::imageops::resize(&support::picture(64, 48, 0), 128, 96, image::imageops::FilterType::CatmullRom)
        .save(sandbox.path("large.png"))
        .unwrap();
    let output = sandbox.lpips(&["compare", "--json", "--resize", "a.png", "large.png"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(objects(&output)[0]["distance"].as_f64().unwrap() < 0.05);
}

#[test]
fn compare_broken_candidate_fails_alone() {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 0), ("b.png", 1), ("c.png", 2)] {
        sandbox.picture(name, 64, 64, seed);
    }
    sandbox.write("broken.png", "not a picture");
    let output = sandbox.lpips(&["compare", "a.png", "b.png", "broken.png", "c.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stderr(&output).contains("broken.png"));
    let output = sandbox.lpips(&["compare", "--json", "a.png", "b.png", "broken.png", "c.png"]).output().unwrap();
    let rows = objects(&output);
    assert_eq!(rows.len(), 3);
    assert!(rows[1]["error"].as_str().unwrap().contains("broken.png"));
    assert!(rows[2]["distance"].is_f64());
}

#[test]
fn compare_heat_maps_go_to_a_file_or_a_folder() {
    let sandbox = Sandbox::new();
    sandbox.picture("a.png", 64, 48, 0);
    std::fs::create_dir(sandbox.path("other")).unwrap();
    for (name, seed) in [("b.png", 1), ("other/b.png", 2)] {
        sandbox.picture(name, 64, 48, seed);
    }
    let run = |arguments: &[&str]| {
        let output = sandbox.lpips(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output).lines().count(), arguments.iter().filter(|a| a.ends_with("b.png")).count());
    };
    run(&["compare", "--map", "map.png", "a.png", "b.png"]);
    let map = image::open(sandbox.path("map.png")).unwrap();
    assert!(map.width() > 64 && map.height() >= 48, "enlarged, with a scale");
    run(&["compare", "--map", "over.png", "--map-over", "--map-max", "0.5", "a.png", "b.png"]);
    assert_ne!(std::fs::read(sandbox.path("map.png")).unwrap(), std::fs::read(sandbox.path("over.png")).unwrap());
    run(&["compare", "--map", "maps", "a.png", "b.png", "other/b.png"]);
    let mut names: Vec<_> = std::fs::read_dir(sandbox.path("maps")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["b-2.map.png", "b.map.png"]);
}

#[test]
fn broken_pipe_on_stdout_exits_zero() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .lpips(&["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = sandbox.lpips(&["completions", shell]).output().unwrap();
        assert!(output.status.success() && stdout(&output).contains("lpips-version"), "{shell}");
    }
}

#[test]
fn compare_help_has_examples_and_fits_100_columns() {
    let sandbox = Sandbox::new();
    let output = sandbox.lpips(&["compare", "--help"]).output().unwrap();
    let text = stdout(&output);
    for part in ["Exit codes", "--map-over", "nearest first", "Examples"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)"]
fn compare_equals_every_golden_row() {
    let shared = PathBuf::from(std::env::var_os("LPIPS_SHARED_DIR").expect("LPIPS_SHARED_DIR"));
    let weights = std::env::var_os("LPIPS_WEIGHTS_DIR").expect("LPIPS_WEIGHTS_DIR");
    let text = std::fs::read_to_string(shared.join("golden/distances.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let sandbox = Sandbox::new();
    let picture = |row: &serde_json::Value, key: &str| {
        shared.join("images").join(row[key].as_str().unwrap()).to_str().unwrap().to_string()
    };
    for row in &rows {
        let mut arguments = vec!["compare", "--json", "--net", row["net"].as_str().unwrap()];
        arguments.extend(["--lpips-version", row["version"].as_str().unwrap()]);
        if !row["lin"].as_bool().unwrap() {
            arguments.push("--baseline");
        }
        let (a, b) = (picture(row, "a"), picture(row, "b"));
        arguments.extend([a.as_str(), b.as_str()]);
        let output = sandbox.lpips(&arguments).env("LPIPS_WEIGHTS_DIR", &weights).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let ours = &objects(&output)[0];
        let close =
            |a: &serde_json::Value, b: &serde_json::Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5;
        assert!(close(&ours["distance"], &row["distance"]), "{row} {ours}");
        for (layer, expected) in ours["layers"].as_array().unwrap().iter().zip(row["per_layer"].as_array().unwrap()) {
            assert!(close(&layer["distance"], expected), "{row} {ours}");
        }
    }
    assert_eq!(rows.len(), 81);
}

#[test]
fn compare_little_memory_changes_no_number() {
    let sandbox = Sandbox::new();
    sandbox.picture("a.png", 300, 411, 1);
    sandbox.picture("b.png", 300, 411, 2);
    sandbox.picture("c.png", 300, 411, 5);
    let run = |more: &[&str]| {
        let arguments = [&["compare", "--json", "--map", "maps"], more, &["a.png", "b.png", "c.png", "a.png"]].concat();
        let output = sandbox.lpips(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let maps =
            ["b", "c"].map(|name| image::open(sandbox.path(format!("maps/{name}.map.png"))).unwrap().into_rgb8());
        (objects(&output), maps, stderr(&output))
    };
    let (whole, whole_maps, said) = run(&["--memory", "8GiB"]);
    assert_eq!(said, "");
    let (banded, banded_maps, said) = run(&["--memory", "1MB"]);
    // Once, not for each candidate.
    assert_eq!(said.matches("more than memory allows").count(), 1, "{said}");
    for (whole, banded) in whole.iter().zip(&banded) {
        let number = |value: &serde_json::Value| value["distance"].as_f64().unwrap();
        assert!((number(whole) - number(banded)).abs() <= 1e-5, "{whole} and {banded}");
        let parts = |value: &serde_json::Value| value["layers"].as_array().unwrap().clone();
        for (a, b) in parts(whole).iter().zip(&parts(banded)) {
            assert!((number(a) - number(b)).abs() <= 1e-5, "{whole} and {banded}");
        }
    }
    assert_eq!(banded[2]["distance"], 0.0);
    for (a, b) in whole_maps.iter().zip(&banded_maps) {
        let largest = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(largest <= Some(8), "the maps differ by {largest:?}");
    }
}

/// The rows of a command that succeeds.
fn rows(sandbox: &Sandbox, arguments: &[&str]) -> Vec<serde_json::Value> {
    let output = sandbox.lpips(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    objects(&output)
}

#[test]
fn compare_dirs_list_and_video_agree_to_the_bit() {
    let sandbox = Sandbox::new();
    let names = ["lake_blur.png", "lake_dim.png", "lake_jpeg.png", "lake_noise.png"];
    for size in [Some((40, 56)), Some((64, 64)), Some((131, 97)), Some((230, 180)), None] {
        let folder = |side: &str| size.map_or_else(|| format!("whole-{side}"), |(w, h)| format!("{w}x{h}-{side}"));
        let (a, b) = (folder("a"), folder("b"));
        let frame = |side: &str, i: usize| format!("{side}/frame_{i}.png");
        for side in [&a, &b] {
            std::fs::create_dir(sandbox.path(side)).unwrap();
        }
        let mut list = String::from("reference,candidate\n");
        for (i, name) in names.iter().enumerate() {
            for (from, to) in [("lake.png", frame(&a, i)), (*name, frame(&b, i))] {
                let picture = image::open(sample(from)).unwrap();
                let part =
                    size.map_or_else(|| picture.clone(), |(width, height)| picture.crop_imm(3, 5, width, height));
                part.save(sandbox.path(to)).unwrap();
            }
            list.extend([&frame(&a, i), ",", &frame(&b, i), "\n"]);
        }
        sandbox.write("list.csv", list);
        let shared = ["--layers", "--format", "jsonl", "--quiet"];
        let by_dirs = rows(&sandbox, &[&["dirs", &a, &b], &shared[..]].concat());
        assert_eq!(by_dirs.len(), names.len());
        assert_eq!(rows(&sandbox, &[&["list", "list.csv"], &shared[..]].concat()), by_dirs);
        assert_eq!(rows(&sandbox, &[&["video", &a, &b], &shared[..]].concat()), by_dirs);

        let candidates: Vec<String> = (0..names.len()).map(|i| frame(&b, i)).collect();
        let reference = frame(&a, 0);
        let mut arguments = vec!["compare", "--json", &reference];
        arguments.extend(candidates.iter().map(String::as_str));
        let together = rows(&sandbox, &arguments);
        for (i, row) in by_dirs.iter().enumerate() {
            let alone = rows(&sandbox, &["compare", "--json", &frame(&a, i), &candidates[i]]);
            for compared in [&alone[0], &together[i]] {
                assert_eq!(compared["distance"], row["distance"], "{compared} {row}");
                let layers = compared["layers"].as_array().unwrap();
                assert_eq!(layers.len(), 5);
                for layer in layers {
                    assert_eq!(layer["distance"], row["layers"]["alex"][layer["name"].as_str().unwrap()], "{layer}");
                }
            }
        }
    }
}

#[test]
fn compare_resize_to_a_size_equals_that_of_dirs() {
    let sandbox = Sandbox::new();
    for (folder, seed) in [("a", 0), ("b", 3)] {
        std::fs::create_dir(sandbox.path(folder)).unwrap();
        sandbox.picture(&format!("{folder}/x.png"), 90, 70 + seed, seed);
    }
    for resize in ["--resize=64x48", "--resize=reference"] {
        let by_dirs = rows(&sandbox, &["dirs", "a", "b", resize, "--format", "jsonl", "--quiet"]);
        let compared = rows(&sandbox, &["compare", "--json", resize, "a/x.png", "b/x.png"]);
        assert_eq!(compared[0]["distance"], by_dirs[0]["distance"]);
    }
    let compared = rows(&sandbox, &["compare", "--json", "--resize", "a/x.png", "b/x.png"]);
    assert_eq!(compared, rows(&sandbox, &["compare", "--json", "--resize=reference", "a/x.png", "b/x.png"]));
}

#[test]
fn compare_broken_reference_is_printed_once_and_fails_every_row() {
    let sandbox = Sandbox::new();
    for name in ["b.png", "c.png"] {
        sandbox.picture(name, 64, 64, 1);
    }
    let output = sandbox.lpips(&["compare", "--json", "none.png", "b.png", "c.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output).matches("none.png: there is no such file").count(), 1, "{}", stderr(&output));
    let found = objects(&output);
    assert!(found.len() == 2 && found.iter().all(|row| row["error"].as_str().unwrap().contains("none.png")));
}

#[test]
fn compare_json_rows_make_a_report() {
    let sandbox = Sandbox::new();
    let output = sandbox.lpips(&["compare", "--json", &sample("lake.png"), &sample("lake_dim.png")]).output().unwrap();
    sandbox.write("rows.jsonl", stdout(&output));
    let output = sandbox.lpips(&["report", "rows.jsonl", "--no-pictures", "--out", "page.html"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(std::fs::read_to_string(sandbox.path("page.html")).unwrap().contains("lake_dim"));
}
