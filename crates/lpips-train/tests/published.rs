//! Step-for-step comparison with recorded runs of the published trainer, on its data and from its weights.
#![cfg(all(feature = "bundled", not(any(feature = "cuda", feature = "metal"))))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{log, tensors, text, trained};

fn shared(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("LPIPS_SHARED_DIR").expect("needs LPIPS_SHARED_DIR")).join(path)
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)"]
fn published_trajectories_are_matched_step_for_step() {
    let runs: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(shared("golden/training.json")).unwrap()).unwrap();
    assert_eq!(runs.len(), 6);
    for run in &runs {
        let (net, phase) = (run["net"].as_str().unwrap(), run["phase"].as_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let data = ["train/traditional", "train/cnn"].map(|part| shared(&format!("bapps-mini/2afc/{part}")));
        let init = shared(&format!("golden/train-init-{net}-{phase}.safetensors"));
        let (lr, batch) = (run["lr"].to_string(), run["batch"].to_string());
        #[rustfmt::skip]
        trained(&[
            "--net", net, "--phase", phase, "--init", text(&init), "--data", text(&data[0]), text(&data[1]), "--no-shuffle",
            "--dropout", "0", "--epochs", "0", "--decay-epochs", "2", "--batch", &batch, "--lr", &lr, "--out", text(&out),
        ]);
        let tolerance = if phase == "lin" { 1e-4 } else { 5e-4 };
        let (steps, expected) = (log(&out), run["steps"].as_array().unwrap());
        assert_eq!(steps.len(), expected.len());
        let mut worst = 0f64;
        for (ours, theirs) in steps.iter().zip(expected) {
            let difference = (ours["loss"].as_f64().unwrap() - theirs["loss"].as_f64().unwrap()).abs();
            worst = worst.max(difference);
            assert!(difference < tolerance, "{net} {phase}, step {}: off by {difference}", ours["step"]);
            let accuracy = (ours["accuracy"].as_f64().unwrap() - theirs["acc"].as_f64().unwrap()).abs();
            assert!(accuracy < 1e-6, "{net} {phase}, step {}: accuracy off by {accuracy}", ours["step"]);
        }
        let ours = tensors(&out.join("checkpoints/latest.safetensors"));
        let theirs = tensors(&shared(&format!("golden/train-final-{net}-{phase}.safetensors")));
        let mut farthest = 0f32;
        for (name, theirs) in &theirs {
            let ours = ours.get(&format!("model.{name}")).unwrap_or_else(|| panic!("{net} {phase}: no {name}"));
            let difference = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            farthest = farthest.max(difference.to_scalar::<f32>().unwrap());
        }
        println!("{net} {phase}: losses within {worst:.1e}, final weights within {farthest:.1e}");
        // Twenty steps of Adam move a weight by twenty rates at most: a hundredth of that.
        let rate = run["lr"].as_f64().unwrap() as f32;
        assert!(farthest < 0.2 * rate, "{net} {phase}: final weights off by {farthest}");
    }
}
