//! Many pairs at once: the numbers, the order and the failures are those of one pair after the other.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.
#![allow(clippy::float_cmp)] // To the last bit.
#![cfg(feature = "bundled")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use lpips_bulk::pipeline::preprocess::Prepare;
use lpips_bulk::pipeline::{Ended, Keep, Options, Work, run};
use lpips_bulk::results::schema::Row;
use lpips_bulk::source::pair::{Input, Pair};
use lpips_core::weights::Finder;
use lpips_core::{Images, Lpips, Network, Picture};
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
    let file = |path: &Path| Input::File(Arc::from(path));
    Pair { index: index as u64, reference: file(reference), candidate: file(candidate), second: None }
}

fn metric(name: &str) -> Metric {
    Metric::open(name, &Finder::default().offline(), &Device::Cpu).unwrap()
}

fn work(metrics: Vec<Metric>, options: Options) -> Work {
    Work::new(metrics, options).unwrap()
}

fn rows(work: Work, pairs: Vec<Pair>) -> Vec<Row> {
    let mut rows = Vec::new();
    let ended = run(pairs.into_iter().map(Ok), &Arc::new(work), &AtomicBool::new(false), &mut |row| {
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(ended.unwrap(), Ended::Done);
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
fn in_batches_of_mixed_sizes_numbers_are_those_of_single_pairs_to_the_last_bit() {
    let folder = Folder::new();
    let sizes = [(64, 64), (40, 33), (130, 97), (64, 64), (31, 200)];
    let pairs: Vec<(PathBuf, PathBuf)> = (0..40)
        .map(|i| {
            let of = |side: usize| folder.picture(&format!("{side}-{i}.png"), sizes[i % 5], 2 * i + side);
            (of(0), of(1))
        })
        .collect();
    let work =
        work(["alex", "alex-baseline", "l2"].map(metric).to_vec(), Options { layers: true, ..Options::default() });
    let rows = rows(work, pairs.iter().enumerate().map(|(i, (a, b))| pair(i, a, b)).collect());
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
fn a_picture_that_fails_costs_its_own_rows() {
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
        work(vec![metric("alex")], Options::default()),
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
fn what_is_kept_changes_no_number() {
    let folder = Folder::new();
    let files: Vec<PathBuf> = (0..9).map(|i| folder.picture(&format!("{i}.png"), (40 + i % 2, 40), i)).collect();
    let all = || -> Vec<Pair> {
        let places = (0..9).flat_map(|i| (0..9).map(move |j| (i, j))).filter(|(i, j)| (i + j) % 2 == 0);
        places.enumerate().map(|(at, (i, j))| pair(at, &files[i], &files[j])).collect()
    };
    let with = |keep| rows(work(["alex", "psnr"].map(metric).to_vec(), Options { keep, ..Options::default() }), all());
    let none = with(Keep::Repeated(0));
    assert!(none.iter().filter(|row| row.reference == row.candidate).all(|row| distance(row) == 0.0));
    assert_eq!(none, with(Keep::All(1 << 30)));
    assert_eq!(none, with(Keep::Repeated(1 << 30)));
    // So little that something goes at every pair.
    assert_eq!(none, with(Keep::All(200_000)));
}

#[test]
fn pictures_of_16_bits_meet_those_of_8() {
    let folder = Folder::new();
    let a = folder.picture("a.png", (40, 40), 1);
    let wide = folder.path("wide.png");
    let values = (0..3 * 40 * 40).map(|at| ((at * 7919) % 65_536) as u16).collect::<Vec<_>>();
    image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(40, 40, values).unwrap().save(&wide).unwrap();
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let pairs = [(&wide, &a), (&a, &wide), (&wide, &wide), (&a, &a)];
    let rows = rows(
        work(vec![metric("alex")], Options { keep: Keep::All(1 << 20), ..Options::default() }),
        pairs.iter().enumerate().map(|(i, (a, b))| pair(i, a, b)).collect(),
    );
    for (row, (a, b)) in rows.iter().zip(&pairs) {
        assert_eq!(distance(row), alone(&lpips, a, b).0);
    }
}

#[test]
fn a_triplet_is_one_row_and_tiles_are_averaged() {
    let folder = Folder::new();
    let [a, b, c] = [0, 1, 2].map(|i| folder.picture(&format!("{i}.png"), (64, 40), i));
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let triplet = Pair { second: Some(Input::File(Arc::from(c.as_path()))), ..pair(5, &a, &b) };
    let found = rows(work(vec![metric("alex")], Options::default()), vec![triplet.clone()]);
    let measured = &found[0].outcome.as_ref().unwrap()[0];
    assert_eq!((measured.distance, measured.second), (alone(&lpips, &a, &b).0, Some(alone(&lpips, &a, &c).0)));
    assert_eq!((found[0].index, &found[0].second), (5, &Some(c.clone())));

    let prepare = Prepare { tile: "32x40".parse().ok(), ..Prepare::default() };
    let tiled = rows(work(vec![metric("alex")], Options { prepare, ..Options::default() }), vec![triplet]);
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
fn it_stops_when_it_is_asked_and_at_an_error_among_the_pairs() {
    let folder = Folder::new();
    let files: Vec<PathBuf> = (0..2).map(|i| folder.picture(&format!("{i}.png"), (40, 40), i)).collect();
    let work = Arc::new(work(vec![metric("alex")], Options::default()));
    let endless = || {
        let files = files.clone();
        (0..).map(move |i| Ok(pair(i, &files[0], &files[1])))
    };

    let stop = AtomicBool::new(false);
    let mut told = 0;
    let ended = run(endless(), &work, &stop, &mut |row| {
        assert_eq!(row.index, told);
        told += 1;
        stop.fetch_or(told == 300, Ordering::Relaxed);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(ended.unwrap(), Ended::Stopped);

    let mut told = 0;
    let ended = run(endless(), &work, &AtomicBool::new(false), &mut |_| {
        told += 1;
        Ok(if told == 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    assert_eq!((ended.unwrap(), told), (Ended::Stopped, 200));

    let broken = endless().take(150).chain([Err(lpips_bulk::Error::invalid("the list is torn"))]);
    let mut told = 0;
    let ended = run(broken, &work, &AtomicBool::new(false), &mut |_| {
        told += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert!(ended.unwrap_err().to_string().contains("torn"));
    assert_eq!(told, 150);
}
