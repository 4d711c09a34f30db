//! `lpips bench` through the real binary: what it prints, never how fast it is.
#![cfg(all(feature = "bundled", not(any(feature = "cuda", feature = "metal"))))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use serde_json::Value;
use support::{Sandbox, stderr, stdout};

/// What `lpips bench` prints on standard output and standard error.
fn bench(options: &str) -> (String, String) {
    let arguments: Vec<&str> = ["bench", "--seconds", "0.01"].into_iter().chain(options.split_whitespace()).collect();
    let output = Sandbox::new().lpips(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    (stdout(&output), stderr(&output))
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key} of {object}"))
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn bench_json_has_one_line_a_case() {
    let (text, notes) = bench("--net alex,squeeze --size 64x64,48x40 --batch 2 --threads 1 --json");
    let cases = objects(&text);
    let named: Vec<_> = cases.iter().map(|case| (case["net"].as_str().unwrap(), number(case, "width"))).collect();
    assert_eq!(named, [("alex", 64.0), ("alex", 48.0), ("squeeze", 64.0), ("squeeze", 48.0)]);
    let mut flops = Vec::new();
    for case in &cases {
        let expected = [
            "engine",
            "net",
            "batch",
            "height",
            "width",
            "threads",
            "device",
            "median_ms",
            "min_ms",
            "pairs_per_s",
            "gflops",
            "gflops_effective",
            "peak_rss_mb",
        ];
        assert_eq!(keys(case), expected);
        assert_eq!((&case["engine"], &case["device"]), (&"lpips".into(), &"cpu".into()));
        assert_eq!((number(case, "batch"), number(case, "threads")), (2.0, 1.0));
        let median = number(case, "median_ms");
        assert!(0.0 < number(case, "min_ms") && number(case, "min_ms") <= median);
        let rate = number(case, "pairs_per_s");
        assert!((rate * median / 2000.0 - 1.0).abs() < 0.01, "{rate} pairs a second at {median} ms");
        let effective = number(case, "gflops_effective");
        assert!(0.0 < number(case, "gflops") && number(case, "gflops") <= effective * 1.0001);
        if cfg!(target_os = "linux") {
            assert!(number(case, "peak_rss_mb") > 1.0);
        }
        flops.push(effective * median * 1e6);
    }
    // Counted by hand for AlexNet at 64x64: output pixels x channels x k k in, four pictures, two operations each.
    let macs = 15 * 15 * 64 * 363 + 7 * 7 * 192 * 1600 + 3 * 3 * (384 * 1728 + 256 * 3456 + 256 * 2304);
    let expected = f64::from(8 * macs);
    assert!((flops[0] / expected - 1.0).abs() < 0.01, "{} operations, not {expected}", flops[0]);
    // SqueezeNet's weights are nowhere, and nothing was downloaded.
    assert_eq!(notes.lines().count(), 1, "{notes}");
    assert!(notes.contains("note: squeeze is measured with random weights"), "{notes}");
}

#[test]
fn bench_json_default_is_one_case() {
    let (text, notes) = bench("--json");
    let cases = objects(&text);
    assert_eq!(cases.len(), 1);
    let case = &cases[0];
    assert_eq!((&case["net"], &case["batch"]), (&"alex".into(), &1.into()));
    assert_eq!((number(case, "height"), number(case, "width")), (256.0, 256.0));
    assert!(number(case, "threads") >= 1.0);
    assert_eq!(notes, "");
}

#[test]
fn bench_without_options_prints_a_table() {
    let (text, notes) = bench("--size 64x64,96x64 --threads 2");
    let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["cpu,", "2", "threads"]);
    assert_eq!(lines[1].join(" "), "net size batch median ms pairs/s GFLOP/s effective peak MB");
    let cases: Vec<_> = lines[2..].iter().map(|line| (line[0], line[1], line[2], line.len())).collect();
    assert_eq!(cases, [("alex", "64x64", "1", 7), ("alex", "96x64", "1", 7)]);
    assert_eq!(notes, "");
}

#[test]
fn bench_operators_names_every_layer() {
    let (text, _) = bench("--net squeeze --size 64x64 --operators --threads 1");
    let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let arch = lpips_core::Network::SqueezeNet1_1.architecture();
    let last = arch.positions(arch.taps).unwrap().into_iter().max().unwrap();
    let layers: Vec<_> = arch.layer_names().take(last + 1).collect();
    let expected = [&["layer", "input"][..], &layers, &["head", "total"]].concat();
    assert!(text.lines().next().unwrap().contains("sgemm of 1024x1024x1024: "), "{text}");
    let names: Vec<_> = lines[1..].iter().map(|line| line[0]).collect();
    assert_eq!(names, expected);
    assert_eq!(lines[3][..3], ["conv1", "31x31x64", "direct"]);

    let (text, _) = bench("--net alex --size 64x64 --operators --json");
    let rows = objects(&text);
    let arch = lpips_core::Network::AlexNet.architecture();
    let layers: Vec<_> = arch.layer_names().take(rows.len() - 3).collect();
    let names: Vec<_> = rows.iter().map(|row| row["layer"].as_str().unwrap()).collect();
    assert_eq!(names, [&["input"][..], &layers, &["head", "total"]].concat());
    assert_eq!(layers.last(), Some(&"conv5"));
    for row in &rows {
        assert_eq!(keys(row), keys(&rows[0]));
        assert!(number(row, "median_ms") > 0.0 && number(row, "sgemm_gflops") > 0.0);
        if row["layer"].as_str().unwrap().starts_with("conv") {
            assert!(row["algorithm"].is_string() && number(row, "output_height") >= 3.0);
            assert!(number(row, "gflops") <= number(row, "gflops_effective") * 1.0001);
        } else {
            assert!(row["algorithm"].is_null());
        }
    }
    assert!(number(&rows[rows.len() - 1], "gflops_effective") > 0.0, "the total has a rate");
}

#[test]
fn bench_bad_arguments_are_refused_before_any_work() {
    let sandbox = Sandbox::new();
    for (arguments, said) in [
        ("--size 256x", "such as 256x256"),
        ("--size axb", "such as 256x256"),
        ("--size 0x0", "such as 256x256"),
        ("--size 64x-64", "such as 256x256"),
        ("--size 64x64,16x15 --net vgg", "--size 16x15 is too small for vgg: its pictures need at least 16x16"),
        ("--net resnet", "choose from alex, vgg, squeeze"),
        ("--batch 0", "--batch"),
        ("--seconds 0", "above 0"),
        ("--seconds -1", "above 0"),
        ("--seconds nan", "above 0"),
        ("--threads 0", "--threads"),
        ("--operators --size 64x64,65x65", "one network at one size"),
        ("surprise", "surprise"),
    ] {
        let arguments: Vec<&str> = ["bench"].into_iter().chain(arguments.split_whitespace()).collect();
        let output = sandbox.lpips(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}
