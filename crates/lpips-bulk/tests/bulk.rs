//! Pipeline of many pairs: numbers, order and failures equal those of one pair after the other.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.
#![allow(clippy::float_cmp)] // To the last bit.
#![cfg(feature = "bundled")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use lpips_bulk::pipeline::preprocess::Preprocess;
use lpips_bulk::pipeline::{CachePolicy, Options, Pipeline};
use lpips_bulk::results::schema::Row;
use lpips_bulk::source::pair::{Input, Pair};
use lpips_core::weights::Finder;
use lpips_core::{Images, Lpips, Network, Picture};
use lpips_data::Outcome;
use lpips_eval::metric::Metric;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A smooth picture that depends on `seed`.
    fn picture(&self, name: &str, (width, height): (usize, usize), seed: usize) -> PathBuf {
        let rgb = (0..3 * width * height).map(|at| {
            let (x, y, c) = (at / 3 % width, at / 3 / width, at % 3);
            let wave = ((x * (seed + 2 + c)) as f32 * 0.07).sin() + ((y * (seed % 7 + 3)) as f32 * 0.05).cos();
            (wave * 60.0 + 128.0) as u8
        });
        let path = self.0.path().join(name);
        Picture::from_rgb8(width, height, rgb.collect()).unwrap().save_png(&path).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn pair(index: usize, reference: &Path, candidate: &Path) -> Pair {
    Pair::of_files(index as u64, reference, candidate)
}

fn metric(name: &str) -> Metric {
    Metric::open(name, &Finder::default().offline(), &Device::Cpu).unwrap()
}

fn pipeline(metrics: Vec<Metric>, options: Options) -> Arc<Pipeline> {
    Arc::new(Pipeline::new(metrics, options).unwrap())
}

fn rows(pipeline: &Arc<Pipeline>, pairs: Vec<Pair>) -> Vec<Row> {
    let mut rows = Vec::new();
    let ended = pipeline.run(pairs.into_iter().map(Ok), &AtomicBool::new(false), &mut |row| {
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(ended.unwrap(), Outcome::Complete);
    rows
}

fn distance(row: &Row) -> f64 {
    row.outcome.as_ref().unwrap()[0].distance
}

/// By the metric itself, one pair.
fn alone(lpips: &Lpips, a: &Path, b: &Path) -> (f64, Vec<f64>) {
    let values = |path: &Path| Picture::open(path).unwrap().to_values(&Device::Cpu).unwrap();
    let ((a, a_range), (b, b_range)) = (values(a), values(b));
    let comparison = lpips.compare(Images::new(&a, a_range), Images::new(&b, b_range)).unwrap();
    let scalar = |tensor: &candle_core::Tensor| f64::from(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]);
    let layers = comparison.layers().unwrap().iter().map(|layer| scalar(&layer.distance)).collect();
    (scalar(&comparison.distance().unwrap()), layers)
}

#[test]
fn batched_pairs_of_mixed_sizes_equal_single_pairs_to_the_bit() {
    let folder = Folder::new();
    let sizes = [(64, 64), (40, 33), (130, 97), (64, 64), (31, 200)];
    let pairs: Vec<(PathBuf, PathBuf)> = (0..40)
        .map(|i| {
            let of = |side: usize| folder.picture(&format!("{side}-{i}.png"), sizes[i % 5], 2 * i + side);
            (of(0), of(1))
        })
        .collect();
    let pipeline =
        pipeline(["alex", "alex-baseline", "l2"].map(metric).to_vec(), Options { layers: true, ..Options::default() });
    let rows = rows(&pipeline, pairs.iter().enumerate().map(|(i, (a, b))| pair(i, a, b)).collect());
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let baseline = Lpips::builder(Network::AlexNet).lins(false).batch_invariant(true).build().unwrap();
    assert_eq!(rows.len(), pairs.len());
    for (i, (row, (a, b))) in rows.iter().zip(&pairs).enumerate() {
        assert_eq!((row.index, &row.reference, &row.candidate), (i as u64, a, b));
        let measured = row.outcome.as_ref().unwrap();
        let (expected, layers) = alone(&lpips, a, b);
        assert_eq!((measured[0].distance, &measured[0].layers), (expected, &layers), "row {i}");
        assert_eq!(measured[1].distance, alone(&baseline, a, b).0);
        assert!(measured[2].distance > 0.0 && measured[2].layers.is_empty());
    }
}

#[test]
fn unreadable_picture_fails_its_own_rows_only() {
    let folder = Folder::new();
    let good: Vec<PathBuf> = (0..6).map(|i| folder.picture(&format!("{i}.png"), (48, 48), i)).collect();
    let small = folder.picture("small.png", (20, 20), 0);
    let other = folder.picture("other.png", (50, 48), 0);
    let (empty, missing) = (folder.path("empty.png"), folder.path("missing.png"));
    std::fs::write(&empty, b"").unwrap();
    let pairs = [
        (&good[0], &good[1], ""),
        (&good[0], &empty, "empty.png: is empty"),
        (&missing, &good[1], "missing.png: there is no such file"),
        (&good[0], &other, "50x48"),
        (&small, &small, "31x31"),
        (&good[4], &good[5], ""),
        (&empty, &good[1], "empty.png: is empty"),
    ];
    let rows = rows(
        &pipeline(vec![metric("alex")], Options::default()),
        pairs.iter().enumerate().map(|(i, (a, b, _))| pair(i, a, b)).collect(),
    );
    for (row, (.., expected)) in rows.iter().zip(&pairs) {
        match &row.outcome {
            Ok(_) => assert_eq!(*expected, "", "{row:?}"),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{error}"),
        }
    }
    assert_eq!(rows.len(), pairs.len());
}

#[test]
fn cache_policy_changes_no_number() {
    let folder = Folder::new();
    let files: Vec<PathBuf> = (0..9).map(|i| folder.picture(&format!("{i}.png"), (40 + i % 2, 40), i)).collect();
    let all = || -> Vec<Pair> {
        let places = (0..9).flat_map(|i| (0..9).map(move |j| (i, j))).filter(|(i, j)| (i + j) % 2 == 0);
        places.enumerate().map(|(at, (i, j))| pair(at, &files[i], &files[j])).collect()
    };
    let with = |cache_policy| {
        rows(&pipeline(["alex", "psnr"].map(metric).to_vec(), Options { cache_policy, ..Options::default() }), all())
    };
    let none = with(CachePolicy::Repeated(0));
    assert!(none.iter().filter(|row| row.reference == row.candidate).all(|row| distance(row) == 0.0));
    assert_eq!(none, with(CachePolicy::All(1 << 30)));
    assert_eq!(none, with(CachePolicy::Repeated(1 << 30)));
    // So little that something goes at every pair.
    assert_eq!(none, with(CachePolicy::All(200_000)));
}

#[test]
fn pair_of_16_and_8_bits_equals_the_metric_alone() {
    let folder = Folder::new();
    let a = folder.picture("a.png", (40, 40), 1);
    let wide = folder.path("wide.png");
    let values = (0..3 * 40 * 40).map(|at| ((at * 7919) % 65_536) as u16).collect::<Vec<_>>();
    image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(40, 40, values).unwrap().save(&wide).unwrap();
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let pairs = [(&wide, &a), (&a, &wide), (&wide, &wide), (&a, &a)];
    let rows = rows(
        &pipeline(vec![metric("alex")], Options { cache_policy: CachePolicy::All(1 << 20), ..Options::default() }),
        pairs.iter().enumerate().map(|(i, (a, b))| pair(i, a, b)).collect(),
    );
    for (row, (a, b)) in rows.iter().zip(&pairs) {
        assert_eq!(distance(row), alone(&lpips, a, b).0);
    }
}

#[test]
fn triplet_is_one_row_and_its_tiles_are_averaged() {
    let folder = Folder::new();
    let [a, b, c] = [0, 1, 2].map(|i| folder.picture(&format!("{i}.png"), (64, 40), i));
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let triplet = Pair { second: Some(Input::File(Arc::from(c.as_path()))), ..pair(5, &a, &b) };
    let found = rows(&pipeline(vec![metric("alex")], Options::default()), vec![triplet.clone()]);
    let measured = &found[0].outcome.as_ref().unwrap()[0];
    assert_eq!((measured.distance, measured.second), (alone(&lpips, &a, &b).0, Some(alone(&lpips, &a, &c).0)));
    assert_eq!((found[0].index, &found[0].second), (5, &Some(c.clone())));

    let preprocess = Preprocess { tile: "32x40".parse().ok(), ..Preprocess::default() };
    let tiled = rows(&pipeline(vec![metric("alex")], Options { preprocess, ..Options::default() }), vec![triplet]);
    let measured = &tiled[0].outcome.as_ref().unwrap()[0];
    let half = |path: &Path, left: usize| {
        let part = Picture::open(path).unwrap().crop(left, 0, 32, 40).unwrap();
        let to = folder.path(&format!("{left}-{}", path.file_name().unwrap().to_string_lossy()));
        part.save_png(&to).unwrap();
        to
    };
    let expected = [0, 32].map(|left| alone(&lpips, &half(&a, left), &half(&b, left)).0);
    assert_eq!(measured.tiles, expected);
    assert_eq!(measured.distance, f64::midpoint(expected[0], expected[1]));
    assert_eq!(
        measured.second.unwrap(),
        [0, 32].map(|left| alone(&lpips, &half(&a, left), &half(&c, left)).0).iter().sum::<f64>() / 2.0
    );
}

#[test]
fn run_ends_at_the_stop_flag_a_break_or_an_error_of_the_source() {
    let folder = Folder::new();
    let files: Vec<PathBuf> = (0..2).map(|i| folder.picture(&format!("{i}.png"), (40, 40), i)).collect();
    let pipeline = pipeline(vec![metric("alex")], Options::default());
    let endless = || {
        let files = files.clone();
        (0..).map(move |i| Ok(pair(i, &files[0], &files[1])))
    };

    let stop = AtomicBool::new(false);
    let mut emitted = 0;
    let ended = pipeline.run(endless(), &stop, &mut |row| {
        assert_eq!(row.index, emitted);
        emitted += 1;
        stop.fetch_or(emitted == 300, Ordering::Relaxed);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(ended.unwrap(), Outcome::Stopped);

    let mut emitted = 0;
    let ended = pipeline.run(endless(), &AtomicBool::new(false), &mut |_| {
        emitted += 1;
        Ok(if emitted == 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    assert_eq!((ended.unwrap(), emitted), (Outcome::Stopped, 200));

    let broken = endless().take(150).chain([Err(lpips_bulk::Error::invalid("the list is torn"))]);
    let mut emitted = 0;
    let ended = pipeline.run(broken, &AtomicBool::new(false), &mut |_| {
        emitted += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert!(ended.unwrap_err().to_string().contains("torn"));
    assert_eq!(emitted, 150);
}

#[test]
fn reference_is_decoded_once_for_all_its_candidates() {
    let folder = Folder::new();
    let reference = folder.picture("reference.png", (64, 48), 0);
    let candidates: Vec<PathBuf> = (0..9).map(|i| folder.picture(&format!("{i}.png"), (70 + i, 50), i + 1)).collect();
    let preprocess =
        Preprocess { resize: "reference".parse().ok(), crop: "40x40".parse().ok(), ..Preprocess::default() };
    for limit in [0, 1 << 30] {
        let options = Options { preprocess, cache_policy: CachePolicy::Repeated(limit), ..Options::default() };
        let pair_of = |(i, candidate): (usize, &PathBuf)| pair(i, &reference, candidate);
        let pairs = || -> Vec<Pair> { candidates.iter().enumerate().map(pair_of).collect() };
        let (running, listed) =
            (pipeline(vec![metric("alex")], options.clone()), pipeline(vec![metric("alex")], options));
        let found = rows(&running, pairs());
        assert_eq!(running.decoded_files(), 10, "one reference and nine candidates, with a cache of {limit} bytes");
        assert_eq!(listed.measure(pairs()).unwrap(), found);
        assert_eq!(listed.decoded_files(), 10);
        // As by the public steps on their own.
        let [a, b] =
            preprocess.pair(Picture::open(&reference).unwrap(), Picture::open(&candidates[3]).unwrap()).unwrap();
        let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
        let alone = lpips.compare_pictures(&[&a, &b], &[(0, 1)]).unwrap().distance().unwrap();
        let alone = alone.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        assert_eq!(distance(&found[3]), f64::from(alone));
    }
}
