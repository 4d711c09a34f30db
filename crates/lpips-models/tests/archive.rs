//! Files that PyTorch itself saved (2.15), read without running them. How they were made: `fixtures/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use lpips_models::weights::Archive;

fn fixture(name: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

fn eighths(count: u16) -> Vec<f32> {
    (0..count).map(|i| f32::from(i) / 8.0).collect()
}

#[test]
fn reads_what_torch_saves() {
    for name in ["small.pth", "nested.pth", "protocol4.pth"] {
        let archive = Archive::open(fixture(name)).unwrap();
        assert_eq!(archive.tensor("features.0.weight", &[2, 3, 2, 2]).unwrap(), eighths(24), "{name}");
        assert_eq!(archive.tensor("features.0.bias", &[2]).unwrap(), eighths(2), "{name}: f16");
        assert_eq!(archive.tensor("lin0.weight", &[1, 2, 1, 1]).unwrap(), eighths(2), "{name}: bf16");
        assert_eq!(archive.tensor("double", &[3]).unwrap(), eighths(3), "{name}: f64");
        assert_eq!(archive.tensor("parameter", &[2, 2]).unwrap(), eighths(4), "{name}: a Parameter");
        assert!(archive.shape("counter").is_none(), "{name}: integers are passed over");
        assert_eq!(archive.names().count(), 5, "{name}");
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    for (name, expected) in [
        ("legacy.pth", "before version 1.6"),
        ("turned.pth", "not contiguous"),
        ("list.pth", "no state_dict"),
        ("no-such-file", "no such file"),
        ("", "is a folder"),
        ("README.md", "not a weights file"),
    ] {
        let error = Archive::open(fixture(name)).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let archive = Archive::open(fixture("small.pth")).unwrap();
    assert!(archive.tensor("absent", &[1]).unwrap_err().to_string().contains("no tensor absent"));
    let error = archive.tensor("double", &[4]).unwrap_err().to_string();
    assert!(error.contains("[3]") && error.contains("[4]"), "{error}");
}

#[test]
fn a_damaged_zip_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let whole = std::fs::read(fixture("small.pth")).unwrap();
    for cut in (4..whole.len()).step_by(17) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(Archive::open(&path).is_err(), "cut at {cut}");
    }
    for at in (4..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(archive) = Archive::open(&path) {
            let _ = archive.tensor("features.0.weight", &[2, 3, 2, 2]);
        }
    }
}
