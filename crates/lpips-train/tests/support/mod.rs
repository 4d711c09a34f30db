//! Helpers of the tests of the binary.
#![allow(dead_code)] // Each test takes what it needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use serde_json::Value;

/// The binary, alone on two threads.
pub(crate) fn train(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lpips-train"));
    command.args(arguments).env("HF_HUB_OFFLINE", "1");
    command
}

/// Runs it to a good end.
pub(crate) fn trained(arguments: &[&str]) -> Output {
    let output = train(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    output
}

/// Runs it to an end with one sentence.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let output = train(arguments).output().unwrap();
    let error = stderr(&output);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    assert!(!error.contains("panicked") && !error.contains("   0:"), "{error}");
    error
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines of a run's log.
pub(crate) fn log(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn losses(out: &Path) -> Vec<f64> {
    log(out).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
}

/// The tensors of a safetensors file, by name.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

/// Bit for bit, by name.
pub(crate) fn bits(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let of = |tensor: Tensor| -> Vec<u32> {
        let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap();
        tensor.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    tensors(path).into_iter().map(|(name, tensor)| (name, of(tensor))).collect()
}

/// One number as `NumPy` writes it.
pub(crate) fn npy(path: &Path, value: f32) {
    let mut header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header);
    bytes.extend(value.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

/// A folder of triplets as in BAPPS: scenes and their distortions from the built-in samples.
pub(crate) fn bapps(folder: &Path, count: u64, size: usize) -> PathBuf {
    use lpips_data::builtin_samples;
    for part in ["ref", "p0", "p1", "judge"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    for index in 0..count {
        for (part, picture) in ["ref", "p0", "p1"].iter().zip(builtin_samples::draw(11, index, size)) {
            let picture = lpips_core::Picture::from_rgb8(size, size, picture.to_rgb8()).unwrap();
            picture.save_png(folder.join(part).join(format!("{index:06}.png"))).unwrap();
        }
        npy(&folder.join("judge").join(format!("{index:06}.npy")), builtin_samples::judge(11, index));
    }
    folder.to_path_buf()
}
