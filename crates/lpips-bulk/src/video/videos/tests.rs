use std::path::PathBuf;

use lpips_core::Picture;

use super::*;
use crate::source::pair::Input;

struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Gray y4m of one pixel per frame, whose value is the frame's number, without the last `cut` bytes.
    fn y4m(&self, name: &str, frames: u8, rate: &str, cut: usize) {
        let mut bytes = format!("YUV4MPEG2 W1 H1 F{rate} Cmono\n").into_bytes();
        (0..frames).for_each(|value| bytes.extend([b"FRAME\n".as_slice(), &[value]].concat()));
        bytes.truncate(bytes.len() - cut);
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn frames(&self, name: &str, numbers: impl IntoIterator<Item = u64>) {
        std::fs::create_dir_all(self.path(name)).unwrap();
        for number in numbers {
            let picture = Picture::from_rgb8(1, 1, vec![number as u8; 3]).unwrap();
            picture.save_png(self.path(name).join(format!("f{number}.png"))).unwrap();
        }
    }

    fn open(&self, a: &str, b: &str, options: Options) -> Result<Videos> {
        let at = |name: &str| if name == "-" { PathBuf::from(name) } else { self.path(name) };
        Videos::open_with(OsStr::new("no-ffmpeg-here"), &at(a), &at(b), options)
    }

    fn error(&self, a: &str, b: &str, options: Options) -> String {
        self.open(a, b, options).map(|_| ()).unwrap_err().to_string()
    }

    /// A picture's path in the folder and the value of its pixel, or the error.
    fn show(&self, input: &Input) -> String {
        let value = |picture: &Picture| picture.to_rgb8()[0].to_string();
        let name = input.name().strip_prefix(self.0.path()).unwrap_or(input.name()).display().to_string();
        match input {
            Input::File(path) => {
                Picture::open(path).map_or(name.clone(), |picture| format!("{name}={}", value(&picture)))
            }
            Input::Frame(_, Ok(picture)) => format!("{name}={}", value(picture)),
            Input::Frame(_, Err(reason)) => format!("{name}: {reason}"),
        }
    }

    fn pairs(&self, videos: &mut Videos) -> Vec<String> {
        let show = |pair: Pair| format!("{} {} {}", pair.index, self.show(&pair.reference), self.show(&pair.candidate));
        videos.map(show).collect()
    }
}

#[test]
fn videos_of_different_lengths_are_compared_to_the_end_of_the_shorter() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 3, "25:1", 0);
    sandbox.y4m("b.y4m", 2, "25:1", 0);
    let mut videos = sandbox.open("a.y4m", "b.y4m", Options::default()).unwrap();
    assert_eq!(videos.rate(), Some(25.0));
    assert_eq!(sandbox.pairs(&mut videos), ["0 a.y4m#0=0 b.y4m#0=0", "1 a.y4m#1=1 b.y4m#1=1"]);
    assert_eq!(videos.ended(), Some(VideoEnd::CandidateFirst(2)));
    let difference = videos.length_difference().unwrap();
    assert!(
        difference.contains("b.y4m ends after 2 frames, and ")
            && difference.ends_with("a.y4m is longer: its later frames were not compared")
    );
    let mut same = sandbox.open("a.y4m", "a.y4m", Options::default()).unwrap();
    assert_eq!(
        (sandbox.pairs(&mut same).len(), same.ended(), same.length_difference()),
        (3, Some(VideoEnd::Together), None)
    );
    assert!(same.next().is_none());
}

#[test]
fn videos_with_from_to_and_every_compare_the_chosen_frames() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 10, "25:1", 0);
    sandbox.frames("b", 1..=10);
    let options = Options { from: 2, to: Some(9), every: 3, ..Options::default() };
    let mut videos = sandbox.open("a.y4m", "b", options.clone()).unwrap();
    assert_eq!(videos.size_hint(), (0, Some(3)));
    assert_eq!(
        sandbox.pairs(&mut videos),
        ["0 a.y4m#2=2 b/f3.png=3", "1 a.y4m#5=5 b/f6.png=6", "2 a.y4m#8=8 b/f9.png=9"]
    );
    assert_eq!((videos.ended(), videos.frame(2), videos.size_hint().1), (Some(VideoEnd::Limit), 8, Some(0)));
    let mut later = sandbox.open("a.y4m", "b", options).unwrap();
    assert_eq!(
        later.by_ref().nth(1).map(|pair| (pair.index, sandbox.show(&pair.reference))),
        Some((1, "a.y4m#5=5".to_string()))
    );
    assert_eq!(later.next().map(|pair| pair.index), Some(2));
    let mut beyond = sandbox.open("a.y4m", "b", Options { from: 10, ..Options::default() }).unwrap();
    assert_eq!((sandbox.pairs(&mut beyond).len(), beyond.ended()), (0, Some(VideoEnd::Together)));
}

#[test]
fn folders_with_a_missing_frame_fail_that_pair_only() {
    let sandbox = Sandbox::new();
    sandbox.frames("a", [0, 1, 2, 3, 10]);
    sandbox.frames("b", [1, 2, 4, 11, 12, 13]);
    let mut videos = sandbox.open("a", "b", Options::default()).unwrap();
    assert!(videos.notes.iter().any(|note| note.contains("a begins with frame 0 and ")), "{:?}", videos.notes);
    assert!(videos.notes.iter().any(|note| note.contains("b: after frame 2 comes frame 4")), "{:?}", videos.notes);
    let pairs = sandbox.pairs(&mut videos);
    assert_eq!(pairs[..2], ["0 a/f0.png=0 b/f1.png=1", "1 a/f1.png=1 b/f2.png=2"]);
    assert!(pairs[2].starts_with("2 a/f2.png=2 b#3: frame 3 is missing in "), "{}", pairs[2]);
    assert_eq!(pairs[3..], ["3 a/f3.png=3 b/f4.png=4", "4 a/f10.png=10 b/f11.png=11"]);
    assert_eq!(videos.ended(), Some(VideoEnd::ReferenceFirst(5)));
}

#[test]
fn stream_cut_short_names_the_frame_and_ends_the_comparison() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 5, "25:1", 0);
    sandbox.y4m("cut.y4m", 3, "25:1", 1);
    let mut videos = sandbox.open("a.y4m", "cut.y4m", Options::default()).unwrap();
    let pairs = sandbox.pairs(&mut videos);
    assert_eq!((pairs.len(), videos.ended()), (3, Some(VideoEnd::Broken)));
    assert_eq!(pairs[2], "2 a.y4m#2=2 cut.y4m#2: frame 2 is cut short: the video ends after 0 of the frame's 1 bytes");
    // Also where the damaged frame would have been skipped.
    let mut sparse = sandbox.open("a.y4m", "cut.y4m", Options { every: 4, ..Options::default() }).unwrap();
    assert!(sandbox.pairs(&mut sparse)[1].starts_with("1 a.y4m#2=2 cut.y4m#2: frame 2 is cut short"));
    sandbox.y4m("first.y4m", 1, "25:1", 1);
    assert!(sandbox.error("first.y4m", "a.y4m", Options::default()).contains("first.y4m: frame 0 is cut short"));
}

#[test]
fn raw_files_are_decoded_with_the_format_given() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 2, "0:0", 0);
    std::fs::write(sandbox.path("b.YUV"), [7, 8]).unwrap();
    let raw = Some("1x1:gray".parse().unwrap());
    let mut videos = sandbox.open("a.y4m", "b.YUV", Options { raw, rate: Some(50.0), ..Options::default() }).unwrap();
    assert_eq!((videos.rate(), sandbox.pairs(&mut videos)[1].as_str()), (Some(50.0), "1 a.y4m#1=1 b.YUV#1=8"));
    assert!(sandbox.error("a.y4m", "b.YUV", Options::default()).contains("add --raw WIDTHxHEIGHT:FORMAT"));
    assert!(sandbox.error("a.y4m", "a.y4m", Options { raw, ..Options::default() }).contains("neither video is one"));
}

#[test]
fn videos_of_different_rates_give_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 2, "25:1", 0);
    sandbox.y4m("b.y4m", 2, "30000:1001", 0);
    let notes = sandbox.open("a.y4m", "b.y4m", Options::default()).unwrap().notes;
    assert!(
        notes.len() == 1 && notes[0].contains("has 25.000 frames per second and ") && notes[0].contains("29.970"),
        "{notes:?}"
    );
}

#[test]
fn videos_that_cannot_be_compared_give_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.y4m("a.y4m", 2, "25:1", 0);
    sandbox.y4m("none.y4m", 0, "25:1", 0);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    std::fs::write(sandbox.path("v.mp4"), "").unwrap();
    let error = |a: &str, b: &str| sandbox.error(a, b, Options::default());
    assert!(error("-", "-").contains("both videos are standard input"));
    assert!(error("a.y4m", "missing.y4m").contains("missing.y4m: there is no such file"));
    assert!(error("a.y4m", "none.y4m").contains("none.y4m: holds no frames"));
    assert!(error("a.y4m", "empty").contains("empty: holds no pictures"));
    assert!(error("a.y4m", "v.mp4").contains("`ffmpeg`, which is not installed"));
    for (options, expected) in [
        (Options { every: 0, ..Options::default() }, "expected 1 or more"),
        (Options { from: 3, to: Some(3), ..Options::default() }, "an end after its beginning"),
        (Options { rate: Some(0.0), ..Options::default() }, "a number above 0"),
    ] {
        assert!(sandbox.error("a.y4m", "a.y4m", options).contains(expected), "{expected}");
    }
}
