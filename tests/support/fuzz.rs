//! Fuzz targets: functions of any bytes that must not panic, one for each reader of untrusted input.
//!
//! `fuzz/` runs them under `libFuzzer`, and `tests/fuzz_corpus.rs` on their corpora. A target asserts what must hold of
//! a result.

use std::io::{Cursor, Write};
use std::path::Path;

use lpips_core::image::Decoder;
use lpips_core::weights::Archive;

/// A target: its name, which is that of its corpus in `fuzz/corpus`, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("pickle", pickle),
    ("safetensors", safetensors),
    ("zip", zip),
    ("npy", npy),
    ("y4m", y4m),
    ("ppm", ppm),
    ("lists", lists),
    ("judgments", judgments),
    ("results", results),
    ("http", http),
    ("tar", tar),
    ("pictures", pictures),
];

/// PyTorch's `data.pkl`, in a zip file with one storage.
pub fn pickle(data: &[u8]) {
    zip(&in_zip(data));
}

/// A zip file as PyTorch writes it with this `data.pkl` and a storage of 64 bytes.
fn in_zip(data: &[u8]) -> Vec<u8> {
    let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
    for (name, bytes) in [("archive/data.pkl", data), ("archive/data/0", &[0; 64][..])] {
        let written = zip.start_file(name, stored).map(|()| zip.write_all(bytes));
        if !matches!(written, Ok(Ok(()))) {
            return Vec::new();
        }
    }
    zip.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// A PyTorch zip file.
pub fn zip(data: &[u8]) {
    safetensors(data);
}

/// A safetensors file. Each tensor that it has is read.
///
/// # Panics
/// If a tensor has another number of values than its shape, or one that is not finite.
pub fn safetensors(data: &[u8]) {
    let Ok(archive) = Archive::from_bytes("fuzz", data.to_vec()) else { return };
    for name in archive.names() {
        let shape = archive.shape(name).unwrap_or_default();
        if let Ok(values) = archive.tensor(name, shape) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}

/// A `.npy` file of one number, as BAPPS has its judgments.
pub fn npy(data: &[u8]) {
    let _ = lpips_data::npy::one_number(data);
}

/// A y4m video.
pub fn y4m(data: &[u8]) {
    let _ = lpips_bulk::video::fuzz::y4m(data);
}

/// PPM pictures one after the other, as `ffmpeg` writes them.
pub fn ppm(data: &[u8]) {
    let _ = lpips_bulk::video::fuzz::ppm(data);
}

/// A list of pairs or triplets, as CSV and as JSON lines.
pub fn lists(data: &[u8]) {
    use lpips_bulk::source::list::{Format, List, Options};
    for format in [None, Some(Format::Csv), Some(Format::Jsonl)] {
        let options = Options { format, root: None };
        let Ok(list) = List::read(Path::new("fuzz"), Cursor::new(data.to_vec()), options) else { continue };
        list.for_each(drop);
    }
}

/// A list of judgments, 2AFC and JND, as CSV and as JSON lines.
pub fn judgments(data: &[u8]) {
    use lpips_data::{JudgmentSet, Split};
    for ending in [".csv", ".jsonl"] {
        with_file(ending, data, |path| {
            let roots = [path.to_path_buf()];
            let _ = JudgmentSet::<3>::open(&roots, Split::Val);
            let _ = JudgmentSet::<2>::open(&roots, Split::Val);
        });
    }
}

/// Rows of results, as CSV and as JSON lines.
pub fn results(data: &[u8]) {
    use lpips_bulk::results::format::Format;
    use lpips_bulk::results::schema::Columns;
    for triplets in [false, true] {
        let metrics = vec!["alex".to_string(), "psnr".to_string()];
        let columns = Columns { metrics, layers: vec![vec!["conv1".to_string()], Vec::new()], triplets };
        for format in [Format::Csv, Format::Jsonl] {
            let _ = format.parse(&columns, data);
        }
    }
}

/// The head of a request to the labelling server.
///
/// # Panics
/// If the head is longer than the request.
pub fn http(data: &[u8]) {
    if let Some(length) = lpips_data::label::head_length(data) {
        assert!(length <= data.len());
    }
}

/// A tar file, compressed or not, unpacked into an empty folder. Nothing may be written beside that folder.
///
/// # Panics
/// If something is written beside that folder.
pub fn tar(data: &[u8]) {
    with_file(".tar", data, |path| {
        let Ok(folder) = tempfile::tempdir() else { return };
        let _ = lpips_data::fetch::unpack_archive(path, &folder.path().join("into"), 1 << 20);
        let beside = std::fs::read_dir(folder.path()).map_or(0, Iterator::count);
        assert!(beside <= 1, "something was written beside the folder");
    });
}

/// A picture file.
///
/// # Panics
/// If a picture has another number of values than its size.
pub fn pictures(data: &[u8]) {
    let decoder = Decoder::default().max_pixels(1 << 16);
    with_file("", data, |path| {
        let _ = decoder.size(path);
        if let Ok(picture) = decoder.open(path) {
            assert_eq!(picture.to_rgb8().len(), picture.width() * picture.height() * 3);
        }
    });
}

/// Calls `f` with a file of these bytes.
fn with_file(ending: &str, data: &[u8], f: impl FnOnce(&Path)) {
    let Ok(mut file) = tempfile::Builder::new().suffix(ending).tempfile() else { return };
    if file.write_all(data).and_then(|()| file.flush()).is_ok() {
        f(file.path());
    }
}
