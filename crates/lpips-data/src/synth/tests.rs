use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lpips_core::Picture;

use super::part::Part;
use super::recipe::{self, Recipe};
use super::write::MANIFEST;
use super::{Event, Made, Synth};
use crate::distort::Distortion;
use crate::error::Result;
use crate::float_image::FloatImage;
use crate::sets::{CheckDepth, Dataset, Source, Split, Triplet};
use crate::{builtin_samples, npy};

/// Folder with this many pictures in its subfolder `from`.
fn pictures(count: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    std::fs::create_dir_all(from.join("deeper")).unwrap();
    for i in 0..count {
        let name = if i % 2 == 0 { format!("{i}.png") } else { format!("deeper/{i}.png") };
        save(&from.join(name), i, 80);
    }
    folder
}

fn save(path: &Path, number: u64, size: usize) {
    let [picture, ..] = builtin_samples::draw(9, number, size);
    Picture::from_rgb8(size, size, picture.to_rgb8()).unwrap().save_png(path).unwrap();
}

fn synth(folder: &tempfile::TempDir) -> Synth {
    Synth {
        from: folder.path().join("from"),
        train: 8,
        val: 4,
        jnd: 0,
        size: 32,
        seed: 1,
        labelled: true,
        distortions: Distortion::all(),
        skip_broken: false,
    }
}

fn write(synth: &Synth, out: &Path) -> Result<Made> {
    synth.write(out, &|_| {}, &AtomicBool::new(false))
}

fn notes(synth: &Synth, out: &Path) -> Vec<String> {
    let notes = Mutex::new(Vec::new());
    let note = |event| {
        if let Event::Note(note) = event {
            notes.lock().unwrap().push(note);
        }
    };
    synth.write(out, &note, &AtomicBool::new(false)).unwrap();
    notes.into_inner().unwrap()
}

/// Contents of every file by its path in the folder.
fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, all);
            } else {
                all.insert(path.strip_prefix(root).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(folder, folder, &mut all);
    all
}

fn recipes(out: &Path) -> Vec<Recipe> {
    let text = std::fs::read_to_string(out.join(MANIFEST)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn triplets(out: &Path, split: Split) -> Vec<Triplet> {
    let (dataset, problems) = Dataset::open(&[out.to_path_buf()], split).unwrap();
    assert_eq!(problems, []);
    assert_eq!(dataset.check_pictures(CheckDepth::Pixels, || {}), (Vec::new(), 0));
    dataset.items
}

fn error(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
}

fn rgb(path: &Path) -> Vec<u8> {
    let picture = Picture::open(path).unwrap();
    assert_eq!((picture.width(), picture.height()), (32, 32));
    picture.to_rgb8().into_owned()
}

#[test]
fn synth_judgment_names_the_weaker_strength() {
    let folder = pictures(5);
    let out = folder.path().join("set");
    let made = write(&Synth { train: 60, ..synth(&folder) }, &out).unwrap();
    assert_eq!((made.done, made.resumed, made.wanted), (64, 0, 64));
    let found: Vec<Triplet> = triplets(&out, Split::Train).into_iter().chain(triplets(&out, Split::Val)).collect();
    let recipes = recipes(&out);
    assert_eq!((found.len(), recipes.len()), (64, 64));
    assert!((10..50).contains(&found.iter().filter(|triplet| triplet.judge == 0.0).count()), "either side can win");
    let visible = |gray_levels: u64| gray_levels.pow(2) * 32 * 32 * 3;
    let (mut weaker, mut stronger) = (0, 0);
    for (triplet, recipe) in found.iter().zip(&recipes) {
        let Source::Files(files) = &triplet.source else { panic!("no files") };
        let [reference, p0, p1] = files.each_ref().map(|path| rgb(path));
        let (e0, e1, between) = (error(&reference, &p0), error(&reference, &p1), error(&p0, &p1));
        let ([p0], [p1]) = (&recipe.p0[..], &recipe.p1[..]) else { panic!("one distortion a side: {recipe:?}") };
        assert!((p0.distortion, p0.seed) == (p1.distortion, p1.seed) && (p0.strength - p1.strength).abs() > 0.2499);
        let expected = if p0.strength < p1.strength { 0.0 } else { 1.0 };
        assert_eq!((triplet.judge, recipe.judge), (expected, Some(expected)), "{recipe:?}");
        let (weak, strong) = if expected == 0.0 { (e0, e1) } else { (e1, e0) };
        assert!(strong >= visible(4) && between >= visible(2), "{recipe:?}: {strong} and {between}");
        (weaker, stronger) = (weaker + weak, stronger + strong);
        assert_eq!(recipe.label.as_deref(), Some("synthetic"));
    }
    assert!(weaker < stronger, "what is stronger differs more on the whole: {weaker} and {stronger}");
}

#[test]
fn synth_labels_follow_strength_not_l2() {
    let picture = FloatImage { size: 32, values: vec![0.5; 32 * 32 * 3] };
    let moved =
        |by: f32| FloatImage { values: picture.values.iter().map(|value| value + by).collect(), ..picture.clone() };
    let shows = |p0: f32, p1: f32| recipe::shows(Part::Val, Some(0.0), [&picture, &moved(p0), &moved(p1)]);
    assert!(shows(0.05, 0.1) && shows(0.1, 0.05), "the side with the larger error may be the weaker one");
    assert!(shows(0.05, -0.05), "equal errors");
    assert!(!shows(0.1, 0.0) && !shows(0.1, 0.1), "the stronger one does not show, and the sides are equal");
}

#[test]
fn synth_train_and_val_share_no_picture() {
    for count in [2, 3, 7] {
        let folder = pictures(count);
        let out = folder.path().join("set");
        let made = write(&Synth { jnd: 2, train: 12, ..synth(&folder) }, &out).unwrap();
        assert_eq!(made.train_pictures + made.val_pictures, count as usize);
        let recipes = recipes(&out);
        let of = |train: bool| {
            let side = recipes.iter().filter(|recipe| (recipe.split == Part::Train) == train);
            side.map(|recipe| recipe.source.as_str()).collect::<BTreeSet<_>>()
        };
        assert!(!of(true).is_empty() && !of(false).is_empty() && of(true).is_disjoint(&of(false)));
        assert_eq!(of(true).len(), made.train_pictures, "every picture is used");
        assert!(of(true).union(&of(false)).all(|name| folder.path().join("from").join(name).is_file()));
    }
}

#[test]
fn synth_bytes_depend_on_seed_and_not_on_threads() {
    let folder = pictures(5);
    let on = |threads: usize, seed: u64| {
        let out = folder.path().join(format!("{threads}-{seed}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write(&Synth { seed, jnd: 2, ..synth(&folder) }, &out)).unwrap();
        bytes(&out)
    };
    let one = on(1, 1);
    assert_eq!(one.len(), 12 * 4 + 2 * 3 + 3);
    assert_eq!(one, on(4, 1));
    let other = on(4, 2);
    let reference = Path::new("2afc/train/synthetic/ref/000000.png");
    assert_ne!(one[reference], other[reference]);
}

#[test]
fn synth_rerun_restores_missing_files_to_the_same_bytes() {
    let folder = pictures(5);
    let out = folder.path().join("set");
    let synth = synth(&folder);
    write(&synth, &out).unwrap();
    let whole = bytes(&out);
    for path in whole.keys().filter(|path| path.starts_with("2afc")).step_by(2) {
        std::fs::remove_file(out.join(path)).unwrap();
    }
    // The manifest of a killed run: out of order, with a torn last line.
    let lines = String::from_utf8(whole[Path::new(MANIFEST)].clone()).unwrap();
    let torn: Vec<&str> = lines.lines().rev().take(7).collect();
    std::fs::write(out.join(MANIFEST), format!("{}\n{}", torn.join("\n"), &torn[0][..40])).unwrap();
    std::fs::write(out.join("2afc/val/synthetic/p0/.unfinished1"), "half").unwrap();
    write(&synth, &out).unwrap();
    assert!(bytes(&out) == whole);
    let made = write(&synth, &out).unwrap();
    assert_eq!((made.done, made.resumed), (12, 12), "the third time all is there");
}

#[test]
fn synth_stopped_run_resumes() {
    let folder = pictures(5);
    let (stopped, whole) = (folder.path().join("stopped"), folder.path().join("whole"));
    let synth = Synth { train: 30, ..synth(&folder) };
    write(&synth, &whole).unwrap();
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let count = |event| {
        if event == Event::Made && made.fetch_add(1, Ordering::Relaxed) == 5 {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let first = synth.write(&stopped, &count, &stop).unwrap();
    assert!((6..34).contains(&first.done) && first.done < first.wanted, "{first:?}");
    let second = write(&synth, &stopped).unwrap();
    assert_eq!((second.resumed, second.done), (first.done, 34));
    assert!(bytes(&stopped) == bytes(&whole));
}

#[test]
fn synth_unlabelled_sides_differ_in_distortion_and_have_no_judgment() {
    let folder = pictures(3);
    let out = folder.path().join("set");
    write(&Synth { labelled: false, train: 40, jnd: 5, ..synth(&folder) }, &out).unwrap();
    assert!(bytes(&out).keys().all(|path| path.extension().is_none_or(|extension| extension != "npy")));
    let recipes = recipes(&out);
    for recipe in &recipes {
        assert_eq!((recipe.judge, &recipe.label), (None, &None));
        if recipe.split != Part::Jnd {
            assert_ne!(recipe.p0[0].distortion, recipe.p1[0].distortion, "{recipe:?}");
        }
    }
    assert!(recipes.iter().any(|recipe| recipe.p0.len() == 2) && recipes.iter().any(|recipe| recipe.p0.len() == 1));
    for column in ["ref/000000.png", "p0/000039.png", "p1/000003.png"] {
        rgb(&out.join("2afc/train/synthetic").join(column));
    }
    assert!(!out.join("jnd/val/synthetic/same").exists() && !out.join("2afc/val/synthetic/judge").exists());
}

#[test]
fn synth_pair_is_equal_or_visibly_different() {
    let folder = pictures(3);
    let out = folder.path().join("set");
    write(&Synth { train: 0, val: 0, jnd: 30, ..synth(&folder) }, &out).unwrap();
    let pairs = out.join("jnd/val/synthetic");
    let mut same = 0;
    for recipe in recipes(&out) {
        let [p0, p1] = ["p0", "p1"].map(|column| rgb(&pairs.join(column).join(format!("{}.png", recipe.name))));
        let label = std::fs::read(pairs.join("same").join(format!("{}.npy", recipe.name))).unwrap();
        let label = npy::one_number(&label).unwrap();
        assert!([0.0, 1.0].contains(&label) && (label > 0.5) == (p0 == p1), "{recipe:?}");
        assert!(label > 0.5 || error(&p0, &p1) >= 144 * p0.len() as u64, "{recipe:?}");
        same += usize::from(label > 0.5);
    }
    assert!((5..25).contains(&same), "{same} of 30");
}

#[test]
fn synth_names_unusable_pictures() {
    let folder = pictures(2);
    let from = folder.path().join("from");
    std::fs::copy(from.join("0.png"), from.join("again.png")).unwrap();
    save(&from.join("small.png"), 20, 24);
    Picture::from_rgb8(64, 64, vec![90; 64 * 64 * 3]).unwrap().save_png(from.join("plain.png")).unwrap();
    std::fs::write(from.join("words.txt"), "no picture").unwrap();
    let synth = synth(&folder);
    let found = notes(&synth, &folder.path().join("set"));
    let has = |parts: &[&str]| found.iter().any(|note| parts.iter().all(|part| note.contains(part)));
    assert!(has(&["small.png", "24x24"]) && has(&["plain.png", "one colour"]), "{found:?}");
    assert!(has(&["again.png", "0.png"]) && found.len() == 3, "{found:?}");

    std::fs::write(from.join("broken.png"), "no picture").unwrap();
    let whole = std::fs::read(from.join("0.png")).unwrap();
    std::fs::write(from.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    let out = folder.path().join("other");
    let message = write(&synth, &out).unwrap_err().to_string();
    assert!(message.contains("broken.png") && message.contains("cut.png") && message.contains("--skip-broken"));
    assert!(!out.exists());
    let found = notes(&Synth { skip_broken: true, ..synth }, &out);
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn synth_invalid_options_are_refused() {
    let folder = pictures(1);
    let out = folder.path().join("set");
    let refused = |synth: Synth| {
        let message = write(&synth, &out).unwrap_err().to_string();
        assert!(!out.exists(), "{message}");
        message
    };
    let fine = || synth(&folder);
    assert!(refused(fine()).contains("add pictures"));
    assert!(refused(Synth { train: 0, val: 0, ..fine() }).contains("at least one"));
    assert!(refused(Synth { train: 2_000_000, ..fine() }).contains("at most"));
    assert!(refused(Synth { size: 8, ..fine() }).contains("16 to 1024"));
    assert!(refused(Synth { size: 512, val: 0, ..fine() }).contains("512x512"));
    assert!(refused(Synth { seed: u64::MAX, ..fine() }).contains("too large"));
    assert!(refused(Synth { from: folder.path().join("from/deeper"), ..fine() }).contains("holds no pictures"));
    assert!(refused(Synth { from: folder.path().join("nowhere"), ..fine() }).contains("no such"));
}

#[test]
fn synth_gray_picture_with_colour_distortions_is_an_error() {
    let folder = pictures(0);
    let ramp = (0..64 * 64).flat_map(|at| [(at % 64 * 4) as u8; 3]).collect();
    Picture::from_rgb8(64, 64, ramp).unwrap().save_png(folder.path().join("from/gray.png")).unwrap();
    let synth = Synth { val: 0, distortions: vec![Distortion::Saturation], ..synth(&folder) };
    let message = write(&synth, &folder.path().join("set")).unwrap_err().to_string();
    assert!(message.contains("gray.png") && message.contains("more distortions"), "{message}");
}

#[test]
fn synth_refuses_folder_of_other_settings_or_files() {
    let folder = pictures(3);
    let out = folder.path().join("set");
    let synth = synth(&folder);
    write(&synth, &out).unwrap();
    let whole = bytes(&out);
    for (other, part) in [
        (Synth { size: 48, ..synth.clone() }, "size = 32, and size is 48 now"),
        (Synth { labelled: false, ..synth.clone() }, "labels = \"synthetic\""),
        (Synth { distortions: vec![Distortion::Jpeg], ..synth.clone() }, "other distortions"),
        (Synth { from: folder.path().join("from/deeper"), val: 0, ..synth.clone() }, "val = 4"),
    ] {
        let message = write(&other, &out).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("another folder"), "{message}");
    }
    save(&folder.path().join("from/more.png"), 77, 80);
    assert!(write(&synth, &out).unwrap_err().to_string().contains("from other pictures"));
    assert!(bytes(&out) == whole);

    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let message = write(&synth, &other).unwrap_err().to_string();
    assert!(message.contains("thesis.txt") && message.contains("empty"), "{message}");
    assert_eq!(bytes(&other).len(), 1);
}

#[test]
fn synth_ignores_its_own_output_below_the_pictures() {
    let folder = pictures(3);
    let out = folder.path().join("from/set");
    let synth = synth(&folder);
    write(&synth, &out).unwrap();
    let whole = bytes(&out);
    std::fs::remove_file(out.join("2afc/train/synthetic/p0/000001.png")).unwrap();
    let made = write(&synth, &out).unwrap();
    assert_eq!(made.resumed, 11);
    assert!(bytes(&out) == whole);
}

#[test]
fn synth_second_run_on_a_locked_set_is_refused() {
    let folder = pictures(3);
    let out = folder.path().join("set");
    let synth = synth(&folder);
    let second = Mutex::new(None);
    let during = |event| {
        if event == Event::Made {
            second.lock().unwrap().get_or_insert_with(|| write(&synth, &out).unwrap_err().to_string());
        }
    };
    synth.write(&out, &during, &AtomicBool::new(false)).unwrap();
    assert!(second.into_inner().unwrap().unwrap().contains("another run"));
}
