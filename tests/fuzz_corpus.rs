//! Smoke runs of the fuzz targets: each takes its seeds, its corpus in `fuzz/corpus` and deterministic mutations of both.
//!
//! `LPIPS_BLESS=1 cargo test --test fuzz_corpus` writes the seeds anew; other files of the corpus stay.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

#[path = "support/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use lpips_workspace::fuzz::TARGETS;
use lpips_workspace::{SplitMix64, here};

/// Mutations of each target's corpus, unless `LPIPS_FUZZ_MUTATIONS` is set.
const MUTATIONS: usize = 2000;
/// The longest mutation in bytes.
const LONGEST: usize = 1 << 15;

/// A target's seeds, and the files of its folder in `fuzz/corpus`, by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder: PathBuf = here("fuzz/corpus").join(target);
    let mut corpus: BTreeMap<_, _> = seeds::of(target).into_iter().collect();
    if std::env::var_os("LPIPS_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in &corpus {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        corpus.insert(path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
    }
    corpus
}

/// Changes a few bytes, numbers or ranges of an input, or continues it with the end of another.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut SplitMix64) {
    const NUMBERS: [&[u8]; 8] =
        [b"0", b"-1", b"255", b"65536", b"4294967296", b"99999999999999999999", b"1e999", b"nan"];
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b' '][random.below(8)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let range = bytes[at..end].to_vec();
                bytes.splice(at..at, range);
            }
            5 => {
                let fresh: Vec<u8> = (0..=random.below(8)).map(|_| random.next_u64() as u8).collect();
                bytes.splice(at..at, fresh);
            }
            6 => {
                bytes.truncate(at);
                bytes.extend(&other[random.below(other.len() + 1)..]);
            }
            // A number in text.
            7 => {
                let Some(start) = (at..bytes.len()).find(|at| bytes[*at].is_ascii_digit()) else { continue };
                let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(start..start + digits, NUMBERS[random.below(NUMBERS.len())].iter().copied());
            }
            // A number in binary, of either byte order.
            _ if at + 4 <= bytes.len() => {
                let number = [0, 1, u32::MAX, 1 << 31, 1 << 16, bytes.len() as u32][random.below(6)];
                let number = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                bytes[at..at + 4].copy_from_slice(&number);
            }
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
}

fn run(target: &str) {
    let (_, function) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let corpus: Vec<(String, Vec<u8>)> = corpus(target).into_iter().collect();
    let check = |input: &[u8], what: &str| {
        if catch_unwind(|| function(input)).is_err() {
            let file = std::env::temp_dir().join(format!("fuzz-{target}-failure"));
            fs::write(&file, input).unwrap();
            panic!("{target} panics on {what}, written to {}", file.display());
        }
    };
    for (name, bytes) in &corpus {
        check(bytes, name);
    }
    let mut random = SplitMix64::new(1);
    let mutations = std::env::var("LPIPS_FUZZ_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    for number in 0..mutations {
        let (name, seed) = &corpus[number % corpus.len()];
        let mut bytes = seed.clone();
        let other = &corpus[random.below(corpus.len())].1;
        mutate(&mut bytes, other, &mut random);
        check(&bytes, &format!("mutation {number}, of {name}"));
    }
}

#[test]
fn every_fuzz_target_has_a_smoke_run() {
    let tested = include_str!("fuzz_corpus.rs");
    for (target, _) in TARGETS {
        assert!(tested.contains(&format!("fn {target}_reader_never_panics()")), "{target}");
    }
}

#[test]
fn pickle_reader_never_panics() {
    run("pickle");
}

#[test]
fn safetensors_reader_never_panics() {
    run("safetensors");
}

#[test]
fn zip_reader_never_panics() {
    run("zip");
}

#[test]
fn npy_reader_never_panics() {
    run("npy");
}

#[test]
fn y4m_reader_never_panics() {
    run("y4m");
}

#[test]
fn ppm_reader_never_panics() {
    run("ppm");
}

#[test]
fn lists_reader_never_panics() {
    run("lists");
}

#[test]
fn judgments_reader_never_panics() {
    run("judgments");
}

#[test]
fn results_reader_never_panics() {
    run("results");
}

#[test]
fn http_reader_never_panics() {
    run("http");
}

#[test]
fn tar_reader_never_panics() {
    run("tar");
}

#[test]
fn pictures_reader_never_panics() {
    run("pictures");
}
