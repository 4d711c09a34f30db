//! Scores context those of the published package.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use lpips_core::Picture;
use lpips_core::weights::Finder;
use lpips_data::{JudgmentSet, Split};
use lpips_eval::measure::{MeasureOptions, measure};
use lpips_eval::metric::Metric;
use lpips_eval::metric::{Baseline, Pixels};
use lpips_eval::results::Results;
use lpips_eval::score::{average_precision, precision_recall, two_afc_score};
use lpips_eval::statistics::Bootstrap;
use lpips_eval::table;
use serde_json::Value;

fn shared(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("LPIPS_SHARED_DIR").expect("LPIPS_SHARED_DIR names the reference data")).join(path)
}

fn rows(kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(shared("golden/evaluation.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let rows: Vec<Value> = rows.into_iter().filter(|row| row["kind"] == kind).collect();
    assert!(!rows.is_empty());
    rows
}

fn numbers(row: &Value, key: &str) -> Vec<f64> {
    row[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// The numbers of a folder's `.npy` files, by name.
fn votes(folder: &str) -> Vec<f64> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(shared(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let tensor = candle_core::Tensor::read_npy(path).unwrap().to_dtype(candle_core::DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0]
    };
    files.iter().map(read).collect()
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data)"]
fn pixel_baselines_are_the_published_ones() {
    for row in rows("pixel") {
        let open = |key: &str| {
            let picture = Picture::open(shared("images").join(row[key].as_str().unwrap())).unwrap();
            Pixels::from_rgb8(picture.width(), picture.height(), &picture.to_rgb8()).unwrap()
        };
        let (a, b) = (open("a"), open("b"));
        for (baseline, key, tolerance) in [
            (Baseline::L2, "l2_rgb", 1e-6),
            (Baseline::L2Lab, "l2_lab", 1e-6),
            (Baseline::Psnr, "psnr", 1e-5),
            (Baseline::Dssim, "dssim_rgb", 1e-5),
            (Baseline::DssimLab, "dssim_lab", 1e-5),
        ] {
            let (ours, theirs) = (baseline.value(&a, &b).unwrap(), row[key].as_f64().unwrap());
            assert!((ours - theirs).abs() <= tolerance, "{} {key}: {ours} for {theirs}", row["a"]);
        }
    }
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (the networks' weights)"]
fn whole_evaluations_are_the_published_ones() {
    fn measured<const N: usize>(root: &str, nets: &[&str]) -> Results {
        let set = JudgmentSet::<N>::open_usable(&[shared(root)], Split::Val, false, &|_| ()).unwrap();
        let metrics: Vec<Metric> =
            nets.iter().map(|net| Metric::open(net, &Finder::default(), &Device::Cpu).unwrap()).collect();
        let stop = AtomicBool::new(false);
        measure(&Arc::new(set), &metrics, MeasureOptions::default(), None, &stop, &mut |_| ()).unwrap().unwrap()
    }
    let nets = ["alex", "vgg", "squeeze"];
    let both = [("2afc", measured::<3>("bapps-mini", &nets)), ("jnd", measured::<2>("bapps-mini", &nets))];
    for (kind, results) in both {
        let table = table::rows(&results, &Bootstrap { resamples: 10, ..Bootstrap::default() }, None).unwrap();
        for row in rows(kind) {
            let (net, split) = (row["net"].as_str().unwrap(), row["split"].as_str().unwrap());
            let dataset = split.strip_prefix("val/").unwrap();
            let metric = nets.iter().position(|name| *name == net).unwrap();
            let at = results.datasets.iter().position(|name| name == dataset).unwrap();
            let records: Vec<_> = results.records.iter().filter(|record| record.dataset == at).collect();
            for (i, key) in if kind == "2afc" { vec!["d0", "d1"] } else { vec!["d"] }.into_iter().enumerate() {
                let theirs = numbers(&row, key);
                assert_eq!(records.len(), theirs.len());
                for (record, theirs) in records.iter().zip(theirs) {
                    let ours = record.distances[metric][i];
                    assert!((ours - theirs).abs() <= 1e-5, "{net} {split} {key}: {ours} for {theirs}");
                }
            }
            let ours = table.iter().find(|row| row.dataset == dataset && row.metric == net).unwrap().score;
            let theirs = row["score"].as_f64().unwrap();
            assert!((ours - theirs).abs() <= 1e-6, "{net} {split}: {ours} for {theirs}");
        }
    }
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data)"]
fn scores_of_the_same_distances_are_the_published_ones() {
    for row in rows("2afc") {
        let judges = votes(&format!("bapps-mini/2afc/{}/judge", row["split"].as_str().unwrap()));
        let (d0, d1) = (numbers(&row, "d0"), numbers(&row, "d1"));
        assert_eq!(d0.len(), judges.len());
        let sum: f64 =
            judges.iter().zip(d0.iter().zip(&d1)).map(|(judge, (d0, d1))| two_afc_score(*d0, *d1, *judge)).sum();
        let (ours, theirs) = (sum / judges.len() as f64, row["score"].as_f64().unwrap());
        assert!((ours - theirs).abs() <= 1e-6, "{} {}: {ours} for {theirs}", row["net"], row["split"]);
    }
    for row in rows("jnd") {
        let same = votes(&format!("bapps-mini/jnd/{}/same", row["split"].as_str().unwrap()));
        let pairs: Vec<(f64, f64)> = numbers(&row, "d").into_iter().zip(same).collect();
        let (ours, theirs) = (average_precision(&precision_recall(&pairs)), row["score"].as_f64().unwrap());
        assert!((ours - theirs).abs() <= 1e-6, "{}: {ours} for {theirs}", row["net"]);
    }
}
