//! `lpips weights` and the places that weights come from, through the real binary; the hub is a server on the loopback
//! interface, named by `HF_ENDPOINT`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.
#![cfg(feature = "hub")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use support::{Sandbox, stderr, stdout};

const ALEX_HASH: &str = "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc";

/// Answers every request for a path that ends in `ending` with `body`, and all others with 404. Returns the paths asked for.
fn serve(ending: &'static str, body: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let path = first.split(' ').nth(1).unwrap().to_string();
            let found = path.ends_with(ending);
            seen.lock().unwrap().push(path);
            let (status, body) = if found { ("200 OK", &body[..]) } else { ("404 Not Found", &[][..]) };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    (address, asked)
}

fn fetch(sandbox: &Sandbox, endpoint: &str) -> std::process::Command {
    let mut command = sandbox.lpips(&["weights", "fetch", "squeeze"]);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", endpoint).env("HF_HUB_DOWNLOAD_TIMEOUT", "2");
    command
}

#[test]
fn weights_list_and_verify_include_the_bundled() {
    let sandbox = Sandbox::new();
    let text = stdout(&sandbox.lpips(&["weights", "list"]).output().unwrap());
    assert!(text.contains("bundled") && text.contains("lpips weights fetch vgg"), "{text}");
    let output = sandbox.lpips(&["weights", "verify"]).output().unwrap();
    assert_eq!(stdout(&output), format!("alex: official, SHA-256 {ALEX_HASH}, bundled\n"));
    assert!(output.status.success());
}

#[test]
fn weights_verify_accepts_any_container_of_the_official() {
    let sandbox = Sandbox::new();
    let bundled: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "..", "assets/backbones/alexnet.safetensors"].iter().collect();
    let bytes = std::fs::read(bundled).unwrap();
    // The same tensors under the published package's names, with a classifier's beside them.
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let more = vec![0u8; 8];
    let more = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &more).unwrap();
    let mut renamed: Vec<_> =
        tensors.iter().map(|(name, view)| (name.replace("features.", "net.slice1."), view)).collect();
    renamed.push(("classifier.6.bias".to_string(), more));
    sandbox.write("dir/alexnet.safetensors", safetensors::serialize(renamed, None).unwrap());
    let output = sandbox.lpips(&["weights", "verify", "alex"]).env("LPIPS_WEIGHTS_DIR", "dir").output().unwrap();
    assert!(
        stdout(&output).contains(ALEX_HASH) && stdout(&output).contains("LPIPS_WEIGHTS_DIR"),
        "{}",
        stderr(&output)
    );
    let output = sandbox.lpips(&["weights", "path", "alex"]).env("LPIPS_WEIGHTS_DIR", "dir").output().unwrap();
    assert_eq!(stdout(&output).trim(), "dir/alexnet.safetensors");
    let output = sandbox.lpips(&["weights", "verify", "--file", "dir/alexnet.safetensors", "alex"]).output().unwrap();
    assert!(stdout(&output).starts_with("alex: official"), "{}", stderr(&output));
}

#[test]
fn weights_broken_are_reported_not_skipped() {
    let sandbox = Sandbox::new();
    sandbox.write(".cache/torch/hub/checkpoints/squeezenet1_1-b8a52dc0.pth", "garbage");
    let output = sandbox.lpips(&["weights", "verify", "--quiet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("squeezenet1_1-b8a52dc0.pth: is not a weights file"), "{}", stderr(&output));
    let text = stdout(&sandbox.lpips(&["weights", "list"]).output().unwrap());
    assert!(text.contains("unusable"), "{text}");
    let output = sandbox.lpips(&["weights", "verify"]).env("LPIPS_WEIGHTS_DIR", "nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere: is no folder"), "{}", stderr(&output));
}

#[test]
fn weights_fetch_tries_every_source_on_the_hub() {
    let sandbox = Sandbox::new();
    let (endpoint, asked) = serve("nothing", Vec::new());
    let output = fetch(&sandbox, &endpoint).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("404") && stderr(&output).contains("LPIPS_WEIGHTS_DIR"), "{}", stderr(&output));
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "/achiru/DiffSynth-Studio-ImageMetrics/resolve/main/LPIPS/squeezenet.safetensors",
            "/theunnecessarythings/vision_models/resolve/main/squeezenet1_1.safetensors"
        ]
    );
}

#[test]
fn weights_wrong_content_is_refused_and_removed() {
    let sandbox = Sandbox::new();
    for body in [b"<html>a page about weights</html>".to_vec(), tiny_model()] {
        let (endpoint, _) = serve(".safetensors", body);
        let output = fetch(&sandbox, &endpoint).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("it was not kept"), "{}", stderr(&output));
        let cache = sandbox.path(".cache/huggingface/hub");
        let kept = walk(&cache).into_iter().filter(|path| path.extension().is_none_or(|e| e != "lock"));
        assert_eq!(kept.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    }
}

/// A safetensors file, but of no network.
fn tiny_model() -> Vec<u8> {
    let data = vec![0u8; 16];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4], &data).unwrap();
    safetensors::serialize([("features.0.bias", view)], None).unwrap()
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] }).collect()
}

#[test]
fn weights_without_network_message_names_file_and_folder() {
    let sandbox = Sandbox::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = fetch(&sandbox, &format!("http://127.0.0.1:{port}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in ["no connection", "squeezenet1_1.safetensors", "LPIPS_WEIGHTS_DIR", "squeezenet1_1-b8a52dc0.pth"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn weights_offline_sends_no_request() {
    let sandbox = Sandbox::new();
    let (endpoint, asked) = serve(".safetensors", tiny_model());
    let output = fetch(&sandbox, &endpoint).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("switched off"), "{}", stderr(&output));
    assert!(asked.lock().unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn weights_fetch_on_full_disk_names_it_and_leaves_no_file() {
    let sandbox = Sandbox::new();
    let (endpoint, _) = serve(".safetensors", vec![0; 3_000_000]);
    // No file may grow beyond 64 KiB in this shell: writing fails as it does on a full disk.
    let mut command = std::process::Command::new("sh");
    sandbox.isolate(&mut command);
    let script = format!("trap '' XFSZ; ulimit -f 128; exec {} weights fetch squeeze", env!("CARGO_BIN_EXE_lpips"));
    command.args(["-c", &script]).env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", endpoint);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("make room"), "{}", stderr(&output));
    let snapshots =
        walk(&sandbox.path(".cache/huggingface/hub")).into_iter().any(|p| p.to_string_lossy().contains("snapshots"));
    assert!(!snapshots);
}

#[test]
#[ignore = "needs LPIPS_WEIGHTS_DIR (SqueezeNet)"]
fn weights_in_pytorch_cache_are_used() {
    let weights = PathBuf::from(std::env::var_os("LPIPS_WEIGHTS_DIR").expect("LPIPS_WEIGHTS_DIR"));
    let sandbox = Sandbox::new();
    // What a file is, its first bytes tell, not its name.
    let body = std::fs::read(weights.join("squeezenet1_1.safetensors")).unwrap();
    sandbox.write("torch/hub/checkpoints/squeezenet1_1-b8a52dc0.pth", body);
    let output = sandbox.lpips(&["weights", "verify", "squeeze"]).env("TORCH_HOME", "torch").output().unwrap();
    assert!(stdout(&output).contains("PyTorch's cache"), "{}", stderr(&output));
}

#[test]
#[ignore = "needs LPIPS_WEIGHTS_DIR (SqueezeNet)"]
fn official_weights_are_fetched_once_and_used() {
    let weights = PathBuf::from(std::env::var_os("LPIPS_WEIGHTS_DIR").expect("LPIPS_WEIGHTS_DIR"));
    let body = std::fs::read(weights.join("squeezenet1_1.safetensors")).unwrap();
    let sandbox = Sandbox::new();
    let (endpoint, asked) = serve("vision_models/resolve/main/squeezenet1_1.safetensors", body);
    let output = fetch(&sandbox, &endpoint).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("downloaded"), "{}", stdout(&output));
    let before = asked.lock().unwrap().len();
    let output = fetch(&sandbox, &endpoint).output().unwrap();
    assert!(stdout(&output).contains("Hugging Face cache"), "{}", stdout(&output));
    assert_eq!(asked.lock().unwrap().len(), before, "the second time nothing is asked for");
    sandbox.picture("a.png", 64, 64, 0);
    sandbox.picture("b.png", 64, 64, 1);
    let output = sandbox.lpips(&["compare", "--net", "squeeze", "a.png", "b.png"]).output().unwrap();
    assert!(output.status.success(), "offline, from the cache: {}", stderr(&output));
}
