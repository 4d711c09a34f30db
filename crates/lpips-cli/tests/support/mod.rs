//! The binary in a folder of its own, with nothing of the machine's environment that could lend it weights.
#![allow(dead_code)] // Each test binary uses its part.

pub(crate) mod browser;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A smooth picture that depends on `seed`.
    pub(crate) fn picture(&self, name: &str, width: u32, height: u32, seed: u32) {
        picture(width, height, seed).save(self.path(name)).unwrap();
    }

    /// The binary, to be run in this folder.
    pub(crate) fn lpips(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lpips"));
        self.isolate(&mut command);
        command.args(arguments);
        command
    }

    pub(crate) fn isolate(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["HF_", "TORCH_", "XDG_", "LPIPS_", "CLICOLOR", "COLUMNS", "RUST_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || name.to_lowercase().ends_with("_proxy")
            {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.0.path()).env("HF_HUB_OFFLINE", "1").env("RUST_BACKTRACE", "1");
        command.current_dir(self.0.path());
    }
}

pub(crate) fn picture(width: u32, height: u32, seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let wave = |k: u32| {
            (((x * (k + 3 + seed)) as f32 * 0.11).sin() * ((y * (k + 2)) as f32 * 0.07).cos() * 100.0 + 128.0) as u8
        };
        image::Rgb([wave(0), wave(1), wave(2)])
    })
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
