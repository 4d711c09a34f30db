//! Wrong inputs through the real binary: what each prints, and how it ends.
//!
//! `docs/errors.md` is this table, written out; `LPIPS_BLESS=1 cargo test -p lpips-cli --test errors` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.
#![cfg(all(feature = "bundled", feature = "hub", feature = "label", not(any(feature = "cuda", feature = "metal"))))]

#[path = "errors/bulk.rs"]
mod bulk;
mod support;

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageFormat};
use lpips_data::npy;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use support::{Sandbox, picture, stderr, stdout};

/// A wrong input: what it is, the arguments (after a variable of the environment, if there is one), the exit code, and parts
/// of what is printed.
struct Case(&'static str, &'static str, i32, &'static [&'static str]);

const USAGE: &[Case] = &[
    Case("No arguments", "", 2, &["Usage: lpips", "compare"]),
    Case("An unknown command", "compere a.png b.png", 2, &["unrecognized subcommand", "compare"]),
    Case("One picture only", "compare a.png", 2, &["<CANDIDATES>..."]),
    Case("An unknown option", "compare --nett vgg a.png b.png", 2, &["--nett", "--net"]),
    Case("An unknown network", "compare --net resnet a.png b.png", 2, &["resnet", "alex", "squeeze"]),
    Case("A network without published lin heads", "compare --net vgg11 a.png b.png", 2, &["vgg11", "lin heads"]),
    Case("An unknown version", "compare --lpips-version 0.2 a.png b.png", 2, &["0.2", "0.1 or 0.0"]),
    Case("An unknown layer", "compare --baseline --taps conv1,conv9 a.png b.png", 2, &["conv9", "conv5"]),
    Case("A layer named twice", "compare --baseline --taps conv1,conv1 a.png b.png", 2, &["conv1", "twice"]),
    Case("Other layers without lin heads for them", "compare --taps conv1 a.png b.png", 2, &["lin heads", "baseline"]),
    Case("An unknown device", "compare --device tpu a.png b.png", 2, &["tpu", "cuda:N"]),
    Case("A device that this build does not have", "compare --device cuda a.png b.png", 2, &["--features cuda"]),
    Case("No threads", "compare --threads 0 a.png b.png", 2, &["--threads", "1..=256"]),
    Case("Unknown vector instructions", "LPIPS_SIMD=mmx compare a.png b.png", 2, &["'mmx'", "portable", "avx512"]),
    Case("An unknown colour", "compare --background mauve a.png b.png", 2, &["mauve", "#rrggbb"]),
    Case("No size of memory", "compare --memory lots a.png b.png", 2, &["lots", "600MB"]),
    Case("A heat map's option without a heat map", "compare --map-over a.png b.png", 2, &["--map <OUT.png>"]),
    Case("A heat map that is no PNG", "compare --map map.jpg a.png b.png", 2, &["map.jpg", ".png"]),
    Case("A heat map over an input", "compare --map b.png a.png b.png", 2, &["b.png", "another file"]),
    Case("A heat map over an input, by another path", "compare --map sub/../b.png a.png b.png", 2, &["another file"]),
    Case("A folder of heat maps over an input", "compare --map . a.png b.png b.map.png", 2, &["over a picture"]),
    Case("One heat map for two candidates", "compare --map a.txt a.png b.png c.png", 2, &["a.txt", "folder"]),
    Case("A size without a height", "bench --size 256x", 2, &["'256x'", "256x256"]),
    Case("A size that is no number", "bench --size axb", 2, &["'axb'", "256x256"]),
    Case("A size of nothing", "bench --size 0x64", 2, &["'0x64'", "256x256"]),
    Case("A size below the network's smallest", "bench --size 64x30", 2, &["64x30", "alex", "31x31"]),
    Case("A network that can't be measured", "bench --net vgg11", 2, &["vgg11", "alex, vgg, squeeze"]),
    Case("No pairs", "bench --batch 0", 2, &["--batch", "1..=4096"]),
    Case("No time", "bench --seconds 0", 2, &["--seconds", "above 0"]),
    Case("Operators of several networks", "bench --net alex,vgg --operators", 2, &["--operators", "one network"]),
    Case(
        "Two networks for one file to verify",
        "weights verify --file model.safetensors alex vgg",
        2,
        &["one network"],
    ),
];

const PICTURES: &[Case] = &[
    Case("A reference that is not there", "compare nosuch.png b.png", 1, &["nosuch.png", "no such file"]),
    Case(
        "A candidate that is not there",
        "compare a.png nosuch.png b.png",
        1,
        &["nosuch.png", "no such file", "b.png"],
    ),
    Case("A folder", "compare a.png sub", 1, &["sub", "folder"]),
    Case("An empty file", "compare a.png empty.png", 1, &["empty.png", "is empty"]),
    Case("Text named .png", "compare a.png text.png", 1, &["text.png", "not a picture"]),
    Case("A PNG cut short", "compare a.png cut.png", 1, &["cut.png", "not a picture"]),
    Case("A JPEG cut short", "compare a.png cut.jpg", 1, &["cut.jpg", "cut short"]),
    Case("Floating-point pixels", "compare a.png float.tiff", 1, &["float.tiff", "8 or 16 bits"]),
    Case("One pixel", "compare one.png one.png", 1, &["one.png", "1x1", "31x31"]),
    Case("Too small for the network", "compare tiny.png tiny.png", 1, &["30x30", "31x31"]),
    Case("Too flat for the network", "compare flat.png flat.png", 1, &["20000x1", "31x31"]),
    Case("Sizes that differ", "compare a.png large.png", 1, &["large.png", "80x64", "64x64", "--resize"]),
    Case("More pixels than allowed", "compare --max-pixels 1000 a.png b.png", 1, &["64x64", "1000"]),
    Case("A header that claims billions of pixels", "compare bomb.png bomb.png", 1, &["65536x65536", "268435456"]),
];

const WEIGHTS: &[Case] = &[
    Case("Weights that are not there", "compare --weights nosuch.pth a.png b.png", 1, &["nosuch.pth", "no such file"]),
    Case("An empty weights file", "compare --weights empty.png a.png b.png", 1, &["empty.png", "is empty"]),
    Case("A folder for weights", "compare --weights sub a.png b.png", 1, &["sub", "folder"]),
    Case("A picture for weights", "compare --weights b.png a.png b.png", 1, &["b.png", "not a weights file"]),
    Case("Safetensors cut short", "compare --weights cut.safetensors a.png b.png", 1, &["cut short"]),
    Case(
        "Safetensors with an oversized header",
        "compare --weights header.safetensors a.png b.png",
        1,
        &["not a weights file"],
    ),
    Case(
        "A tensor missing",
        "compare --weights missing.safetensors a.png b.png",
        1,
        &["lacks features.10.bias", "alexnet"],
    ),
    Case(
        "A tensor of another shape",
        "compare --weights shape.safetensors a.png b.png",
        1,
        &["features.0.bias", "[64]"],
    ),
    Case("NaN among the weights", "compare --weights nan.safetensors a.png b.png", 1, &["features.0.bias", "NaN"]),
    Case(
        "Another network's weights",
        "compare --net squeeze --weights model.safetensors a.png b.png",
        1,
        &["squeezenet1_1"],
    ),
    Case(
        "Lin heads for other layers",
        "compare --weights heads.safetensors a.png b.png",
        1,
        &["lin0.weight", "[1, 64, 1, 1]"],
    ),
    Case("A file without a network or lin heads", "compare --weights other.safetensors a.png b.png", 1, &["neither"]),
    Case(
        "The same part twice",
        "compare --weights model.safetensors --weights model.safetensors a.png b.png",
        1,
        &["once"],
    ),
    Case("A zip that PyTorch did not write", "compare --weights plain.zip a.png b.png", 1, &["data.pkl"]),
    Case("A pickle that is no model", "compare --weights list.pth a.png b.png", 1, &["no state_dict"]),
    Case(
        "A pickle that would run a command",
        "compare --weights evil.pth a.png b.png",
        1,
        &["posix.system", "without running"],
    ),
    Case(
        "A file from before PyTorch 1.6",
        "compare --weights legacy.pth a.png b.png",
        1,
        &["1.6", "torch.save(torch.load("],
    ),
    Case(
        "Weights that are nowhere, and no network",
        "compare --net vgg a.png b.png",
        1,
        &["vgg16.safetensors", "LPIPS_WEIGHTS_DIR"],
    ),
    Case(
        "Numbers that are not the official ones",
        "weights verify --file model.safetensors alex",
        1,
        &["not the official"],
    ),
    Case("The path of weights that are no file", "weights path alex", 1, &["part of this program"]),
];

const OUTPUT: &[Case] = &[
    Case("A heat map in a folder that is not there", "compare --map no/map.png a.png b.png", 1, &["no folder no"]),
    Case(
        "A folder of heat maps where a file is in the way",
        "compare --map a.png/maps a.png b.png c.png",
        1,
        &["can't be made"],
    ),
];

const READ_ONLY: &str = "error: readonly/map.png: can't be written: permission denied\n";
const READ_ONLY_FOLDER: &str = "error: the folder readonly/maps can't be made";
const UNREADABLE: &str = "error: c.png: can't be read: ";
const FULL: &str = "error: map.png: can't be written: it would be larger than files may be here";

const JUDGMENTS: &[Case] = &[
    Case("Pairs where triplets are expected", "eval 2afc --data pairs", 1, &["holds no triplets", "pairs of jnd"]),
    Case("Triplets where pairs are expected", "eval jnd --data set", 1, &["holds no pairs", "triplets of 2afc"]),
    Case(
        "A judgment that is missing",
        "eval 2afc --data unjudged",
        1,
        &["1.png", "no file of the same name in judge", "--skip-broken"],
    ),
    Case("A judgment that is no number", "eval 2afc --data notanumber", 1, &["1.npy", "NaN", "from 0 to 1"]),
    Case("A list without judgments", "eval 2afc --data list.csv", 1, &["list.csv", "column judge"]),
    Case("A metric that does not exist", "eval 2afc --data set --metric alexx", 2, &["'alexx'", "did you mean alex?"]),
    Case("A metric named twice", "eval 2afc --data set --metric l2,l2", 2, &["l2", "twice"]),
    Case("Weights that do not say of what", "eval 2afc --data set --metric heads.safetensors", 1, &["vgg=heads"]),
    Case("Details that are something else", "eval 2afc --data set --details a.txt", 1, &["a.txt", "another file"]),
    Case("A page in no folder", "eval 2afc --data set --html no/page.html", 2, &["no/page.html", "no folder no"]),
    Case("More folds than references", "eval 2afc --data set --folds 4", 2, &["4 folds", "3 references"]),
    Case("A comparison with nothing", "eval compare alex --data set", 2, &["alex", "another metric"]),
    Case("A comparison of names without data", "eval compare alex vgg", 2, &["--data ROOT"]),
    Case("No level", "eval 2afc --data set --level 100", 2, &["--level", "between 0 and 100"]),
    Case("Nothing to label", "data label sub", 1, &["sub", "no pictures to judge"]),
    Case("A set to label that has judgments", "data label set", 1, &["judge", "not from votes"]),
    Case("Pictures to make a set from that are none", "data synth --from sub --out new", 1, &["sub"]),
    Case("A distortion that does not exist", "data synth --from set --out new --distortions jpg", 2, &["jpeg"]),
    Case("A set to fetch over an open line", "data fetch bapps --out new --from http://example.org", 2, &["https://"]),
];

const GROUPS: &[(&str, &[Case])] = &[
    ("Usage", USAGE),
    ("Pictures", PICTURES),
    ("Weights", WEIGHTS),
    ("Output", OUTPUT),
    ("Judgments", JUDGMENTS),
    ("Many pairs", bulk::CASES),
];

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture(64, 64, 1).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// `AlexNet`'s tensors with small made-up numbers, after `change`.
fn model(change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool) -> Vec<u8> {
    let arch = lpips_core::Network::AlexNet.architecture();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = arch
        .tensors(arch.features.len() - 1)
        .into_iter()
        .filter_map(|(name, mut shape)| {
            let mut data: Vec<f32> =
                (0..shape.iter().product()).map(|i: usize| (i % 17) as f32 * 1e-3 - 0.008).collect();
            change(&name, &mut shape, &mut data)
                .then(|| (name, shape, data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, data)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn one_tensor(name: &str, shape: Vec<usize>) -> Vec<u8> {
    let data = vec![0u8; 4 * shape.iter().product::<usize>()];
    safetensors::serialize([(name, TensorView::new(Dtype::F32, shape, &data).unwrap())], None).unwrap()
}

/// A zip file with one stored file in it.
fn zip(name: &str, data: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(data).to_le_bytes();
    let (size, length) = ((data.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
    let shared = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &crc, &size, &size, &length, &[0, 0]].concat();
    let local = [b"PK\x03\x04", &shared[..], name.as_bytes(), data].concat();
    let central = [b"PK\x01\x02\x14\x00", &shared[..], &[0; 14], name.as_bytes()].concat();
    let (at, length) = ((local.len() as u32).to_le_bytes(), (central.len() as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &length, &at, &[0, 0]].concat();
    [local, central, end].concat()
}

/// A folder with every right and wrong file that the cases name.
fn files() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 0), ("b.png", 1), ("c.png", 2)] {
        sandbox.picture(name, 64, 64, seed);
    }
    bulk::files(&sandbox);
    sandbox.picture("b.map.png", 64, 64, 3);
    sandbox.picture("large.png", 80, 64, 0);
    sandbox.picture("one.png", 1, 1, 0);
    sandbox.picture("tiny.png", 30, 30, 0);
    sandbox.picture("flat.png", 20000, 1, 0);
    std::fs::create_dir(sandbox.path("sub")).unwrap();
    sandbox.write("empty.png", "");
    sandbox.write("a.txt", "text");
    sandbox.write("text.png", "This is a letter, not a picture.\n");
    let (png, jpeg) = (encoded(ImageFormat::Png), encoded(ImageFormat::Jpeg));
    sandbox.write("cut.png", &png[..png.len() / 2]);
    sandbox.write("cut.jpg", &jpeg[..jpeg.len() * 3 / 4]);
    let float = image::Rgb32FImage::new(64, 64);
    image::DynamicImage::ImageRgb32F(float).save(sandbox.path("float.tiff")).unwrap();
    let mut bomb = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bomb);
    image::ImageEncoder::write_image(encoder, &[0; 3], 1, 1, ExtendedColorType::Rgb8).unwrap();
    bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32fast::hash(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&crc);
    sandbox.write("bomb.png", bomb);

    let whole = model(|_, _, _| true);
    sandbox.write("model.safetensors", &whole);
    sandbox.write("cut.safetensors", &whole[..whole.len() / 2]);
    let header = [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat();
    sandbox.write("header.safetensors", header);
    sandbox.write("missing.safetensors", model(|name, _, _| name != "features.10.bias"));
    let shape = |name: &str, shape: &mut Vec<usize>, _: &mut Vec<f32>| {
        if name == "features.0.bias" {
            *shape = vec![8, 8];
        }
        true
    };
    sandbox.write("shape.safetensors", model(shape));
    let nan = |name: &str, _: &mut Vec<usize>, data: &mut Vec<f32>| {
        if name == "features.0.bias" {
            data[5] = f32::NAN;
        }
        true
    };
    sandbox.write("nan.safetensors", model(nan));
    let huge = |_: &str, _: &mut Vec<usize>, data: &mut Vec<f32>| {
        for value in data {
            *value *= 1e18;
        }
        true
    };
    sandbox.write("huge.safetensors", model(huge));
    let negative: Vec<u8> = [-1f32; 64].iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![1, 64, 1, 1], &negative).unwrap();
    sandbox.write("negative.safetensors", safetensors::serialize([("lin0.weight", view)], None).unwrap());
    sandbox.write("heads.safetensors", one_tensor("lin0.weight", vec![1, 128, 1, 1]));
    sandbox.write("other.safetensors", one_tensor("embedding.weight", vec![2, 2]));
    sandbox.write("plain.zip", zip("letter.txt", b"text"));
    sandbox.write("list.pth", zip("list/data.pkl", b"\x80\x02]q\x00(K\x01K\x02e."));
    sandbox.write("evil.pth", zip("evil/data.pkl", b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R."));
    for root in ["set", "unjudged", "notanumber"] {
        for (part, seed) in [("ref", 0), ("p0", 1), ("p1", 2)] {
            std::fs::create_dir_all(sandbox.path(format!("{root}/{part}"))).unwrap();
            (0..3).for_each(|i| sandbox.picture(&format!("{root}/{part}/{i}.png"), 64, 64, seed + 3 * i));
        }
        let count = if root == "unjudged" { 1 } else { 3 };
        (0..count).for_each(|i| sandbox.write(&format!("{root}/judge/{i}.npy"), npy::of_number(0.5)));
    }
    sandbox.write("unjudged/judge/2.npy", npy::of_number(1.0));
    sandbox.write("notanumber/judge/1.npy", npy::of_number(f32::NAN));
    for part in ["p0", "p1"] {
        std::fs::create_dir_all(sandbox.path(format!("pairs/{part}"))).unwrap();
        sandbox.picture(&format!("pairs/{part}/0.png"), 64, 64, 0);
    }
    sandbox.write("pairs/same/0.npy", npy::of_number(1.0));
    sandbox.write("list.csv", "ref,p0,p1\na.png,b.png,c.png\n");
    sandbox.write("legacy.pth", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.");
    sandbox
}

#[test]
fn every_wrong_input_gets_a_sentence_and_an_exit_code() {
    let sandbox = files();
    let mut page = String::from(
        "# What goes wrong, and what is said\n\nEvery wrong input here was tried through the binary; this page is written by \
         the test that does so\n(`LPIPS_BLESS=1 cargo test -p lpips-cli --test errors`).\n\nExit codes: 0 success; 1 a picture, a \
         weight or a file failed (the other pictures are still compared); 2 wrong usage.\n",
    );
    let mut count = 0;
    for (title, cases) in GROUPS {
        writeln!(page, "\n## {title}").unwrap();
        for Case(what, arguments, code, parts) in *cases {
            let words: Vec<&str> = arguments.split_whitespace().collect();
            let variable = words.first().and_then(|word| word.split_once('='));
            let (variables, arguments) = words.split_at(usize::from(variable.is_some()));
            let output = sandbox.lpips(arguments).envs(variable).output().unwrap();
            let printed = stdout(&output) + &stderr(&output);
            let home = sandbox.path("").to_string_lossy().trim_end_matches('/').to_string();
            let printed = printed.replace(&home, "~");
            assert_eq!(output.status.code(), Some(*code), "{what}: {printed}");
            for part in *parts {
                assert!(printed.contains(part), "{what}: no '{part}' in: {printed}");
            }
            for never in ["panicked", "stack backtrace", "RUST_BACKTRACE", "Os {", "Error(", "  0: "] {
                assert!(!printed.contains(never), "{what}: {printed}");
            }
            if *code == 1 {
                let errors: Vec<_> = printed.lines().filter(|line| line.starts_with("error: ")).collect();
                assert_eq!(errors.len(), 1, "{what}: one sentence, not {printed}");
            }
            let mut shown: Vec<&str> = printed.lines().map(str::trim_end).collect();
            if shown.len() > 8 {
                shown.truncate(3);
                shown.push("...");
            }
            let shown = shown.join("\n");
            let command = [variables, &["lpips"], arguments].concat().join(" ");
            writeln!(page, "\n{what} (exit code {code}):\n\n```text\n$ {command}\n{shown}\n```").unwrap();
            count += 1;
        }
    }
    assert!(count >= 25);
    writeln!(
        page,
        "\n## What may not be written or read\n\nTried in tests of their own, as a user who is not root; all end with exit code 1, \
         and nothing half written is left:\n\n```text\n{READ_ONLY}{READ_ONLY_FOLDER}: Permission denied (os error 13)\n{UNREADABLE}Permission \
         denied (os error 13)\n{FULL}\n```"
    )
    .unwrap();
    let leftovers: Vec<_> = names(&sandbox.path("")).into_iter().filter(|name| name.starts_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", "errors.md"].iter().collect();
    if std::env::var_os("LPIPS_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, page, "docs/errors.md is out of date: run this test with LPIPS_BLESS=1");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// As somebody who may not do everything: root may write to a read-only folder.
#[cfg(unix)]
fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> std::process::Command {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    std::fs::set_permissions(sandbox.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = sandbox.lpips(arguments);
    if std::fs::write(sandbox.path("readonly/probe"), "").is_ok() {
        std::fs::remove_file(sandbox.path("readonly/probe")).unwrap();
        // The binary may lie where only root can go. Copied by another process: a file that this one has open for writing
        // can't be run while any other test starts a process of its own.
        let copy = sandbox.path("lpips");
        if !copy.exists() {
            let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_lpips")).arg(&copy).status().unwrap();
            assert!(copied.success());
        }
        command = std::process::Command::new(copy);
        sandbox.isolate(&mut command);
        command.args(arguments).uid(65534);
    }
    command
}

#[cfg(unix)]
#[test]
fn what_may_not_be_written_or_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = files();
    std::fs::create_dir(sandbox.path("readonly")).unwrap();
    let mode =
        |name: &str, mode| std::fs::set_permissions(sandbox.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    mode("readonly", 0o555);
    mode("c.png", 0o000);
    let run = |arguments: &[&str]| as_nobody(&sandbox, arguments).output().unwrap();

    let output = run(&["compare", "--map", "readonly/map.png", "a.png", "b.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("b.png"), "the distance is still printed: {}", stderr(&output));
    assert_eq!(stderr(&output), READ_ONLY);
    assert!(names(&sandbox.path("readonly")).is_empty());

    let output = run(&["compare", "--map", "readonly/maps", "a.png", "b.png", "large.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with(READ_ONLY_FOLDER), "{}", stderr(&output));

    let output = run(&["compare", "a.png", "c.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with(UNREADABLE), "{}", stderr(&output));

    let output = as_nobody(&sandbox, &["weights", "fetch", "vgg"])
        .env_remove("HF_HUB_OFFLINE")
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("HF_HUB_CACHE", "readonly/cache")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't write to the Hugging Face cache readonly/cache"), "{}", stderr(&output));
    mode("readonly", 0o755);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_map() {
    let sandbox = files();
    sandbox.picture("d.png", 300, 300, 0);
    sandbox.picture("e.png", 300, 300, 5);
    // No file may grow beyond 4 KiB in this shell: writing fails as it does on a full disk.
    let mut command = std::process::Command::new("sh");
    sandbox.isolate(&mut command);
    let script =
        format!("trap '' XFSZ; ulimit -f 8; exec {} compare --map map.png d.png e.png", env!("CARGO_BIN_EXE_lpips"));
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with(FULL), "{}", stderr(&output));
    let left: Vec<_> =
        names(&sandbox.path("")).into_iter().filter(|n| n == "map.png" || n.starts_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn instructions_that_a_machine_lacks_are_refused_before_any_work() {
    let sandbox = files();
    let lacking = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    for command in ["compare a.png nosuch.png", "bench"] {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let output = sandbox.lpips(&arguments).env("LPIPS_SIMD", lacking).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{command}");
        let said = format!("error: LPIPS_SIMD is '{lacking}', which this machine does not have: it has portable");
        assert!(stderr(&output).starts_with(&said) && stderr(&output).lines().count() == 1, "{}", stderr(&output));
    }
    let run = |level: &str| {
        let output = sandbox.lpips(&["compare", "a.png", "b.png"]).env("LPIPS_SIMD", level).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).split_whitespace().next().unwrap().parse::<f32>().unwrap()
    };
    assert!((run("portable") - run("")).abs() < 2e-5);
}

#[test]
fn a_named_folder_of_weights_is_taken_at_its_word() {
    let sandbox = files();
    let run = |folder: &str| {
        let output = sandbox.lpips(&["compare", "a.png", "b.png"]).env("LPIPS_WEIGHTS_DIR", folder).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, text) = run("nowhere");
    assert_eq!(code, Some(1));
    assert!(text.contains("nowhere: is no folder") && text.contains("LPIPS_WEIGHTS_DIR"), "{text}");
    let (code, text) = run("sub");
    assert_eq!((code, text.as_str()), (Some(0), ""), "an empty folder: the bundled weights");
    std::fs::copy(sandbox.path("model.safetensors"), sandbox.path("sub/alexnet.safetensors")).unwrap();
    let (code, text) = run("sub");
    assert_eq!(code, Some(1));
    assert!(text.contains("other numbers than alexnet's official weights") && text.contains("by path"), "{text}");
    let output =
        sandbox.lpips(&["compare", "--weights", "sub/alexnet.safetensors", "a.png", "b.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("using weights that are not alexnet's published ones"), "{}", stderr(&output));
}
