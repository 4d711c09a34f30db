//! Wrong inputs of the commands for many pairs.

use crate::Case;
use crate::support::Sandbox;

pub(crate) const CASES: &[Case] = &[
    Case("A folder that is not there", "dirs nosuch many/a", 1, &["nosuch", "no such"]),
    Case("A file in place of a folder", "dirs a.png many/a", 1, &["a.png", "folder"]),
    Case("Folders with nothing in common", "dirs many/a many/other", 1, &["in common", "1.png", "x.png"]),
    Case("Folders that have only stems in common", "dirs many/a many/jpegs", 1, &["--by stem"]),
    Case("A folder without pictures", "dirs many/a many/empty", 1, &["many/empty", "no pictures"]),
    Case("A folder and itself", "dirs many/a many/../many/a", 2, &["many/a", "one folder"]),
    Case("A folder inside the other", "dirs many many/a", 2, &["many/a", "inside"]),
    Case("Two files with one stem", "dirs many/a many/twice --by stem", 1, &["1.jpg", "1.png"]),
    Case(
        "A partner that is missing, where all are asked for",
        "dirs many/a many/b --all-matched",
        1,
        &["--all-matched"],
    ),
    Case("A map that is not there", "dirs many/a many/b --map nosuch.csv", 1, &["nosuch.csv", "no such"]),
    Case("A broken glob", "dirs many/a many/b --include [", 2, &["["]),
    Case("A folder of one picture", "pairs many/one", 1, &["many/one", "at least two"]),
    Case("A matrix of no known kind", "pairs many/a --matrix m.txt", 1, &["m.txt", ".npy"]),
    Case("A matrix of consecutive pairs", "pairs many/a --matrix m.npy --consecutive", 2, &["--consecutive"]),
    Case("A list that is not there", "list nosuch.csv", 1, &["nosuch.csv", "no such"]),
    Case("A list of one column", "list many/short.csv", 1, &["many/short.csv"]),
    Case("A line that is no JSON", "list many/torn.jsonl", 1, &["many/torn.jsonl:2"]),
    Case("Two videos on standard input", "video - -", 2, &["standard input"]),
    Case("A folder without frames", "video many/empty many/a", 1, &["many/empty"]),
    Case("Raw video without a size", "video many/a - --raw yuv420p", 2, &["yuv420p", "1920x1080"]),
    Case("A shard beyond the last", "dirs many/a many/b --shard 5/4", 2, &["5/4", "I from 1 to N"]),
    Case("A shard that is none", "dirs many/a many/b --shard half", 2, &["half"]),
    Case(
        "Results that are there already",
        "dirs many/a many/b --out many/there.jsonl",
        1,
        &["--resume", "--overwrite"],
    ),
    Case(
        "Going on with what is no result",
        "dirs many/a many/b --out b.png --resume --format jsonl",
        1,
        &["b.png", "run file"],
    ),
    Case(
        "Going on in a format that can't be",
        "dirs many/a many/b --out x.json --resume",
        2,
        &["jsonl", "lpips merge"],
    ),
    Case("Results in a folder that is not there", "dirs many/a many/b --out nowhere/x.jsonl", 2, &["nowhere"]),
    Case("A folder for results", "dirs many/a many/b --out many", 2, &["many", "folder"]),
    Case("Text into a file", "dirs many/a many/b --out x.txt --format text", 2, &["--format text", "jsonl"]),
    Case("A format that is not known", "dirs many/a many/b --format xml", 2, &["xml", "jsonl"]),
    Case("A similarity that comes first", "dirs many/a many/b --metric psnr,alex", 2, &["psnr", "first"]),
    Case("A metric named twice", "dirs many/a many/b --metric alex,alex", 2, &["alex", "twice"]),
    Case("A file as a cache", "dirs many/a many/b --cache a.png", 1, &["a.png: is a file", "expected a folder"]),
    Case("A size that is none", "dirs many/a many/b --resize big", 2, &["big", "256x256"]),
    Case("A part larger than the pictures", "dirs many/a many/b --crop 500x500", 1, &["500x500", "64x64"]),
    Case("Tiles larger than the pictures", "dirs many/a many/b --tile 500", 1, &["500x500", "smaller tiles"]),
    Case("A threshold below 0", "dirs many/a many/b --fail-above -1", 2, &["-1", "0 or above"]),
    Case("A distance above the threshold", "dirs many/a many/b --fail-above 0.001", 3, &["above 0.001", "1.png"]),
    Case("Parts without their run files", "merge many/part.jsonl", 1, &["many/part.jsonl", "run file"]),
    Case("A report of what is no result", "report a.png", 1, &["a.png"]),
];

/// What they need beside the others' files.
pub(crate) fn files(sandbox: &Sandbox) {
    for name in ["a", "b", "other", "jpegs", "empty", "twice", "one"] {
        std::fs::create_dir_all(sandbox.path("many").join(name)).unwrap();
    }
    for (name, seed) in [("a/1.png", 0), ("b/1.png", 5), ("b/2.png", 3), ("other/x.png", 1), ("one/1.png", 2)] {
        sandbox.picture(&format!("many/{name}"), 64, 64, seed);
    }
    sandbox.picture("many/jpegs/1.jpg", 64, 64, 5);
    sandbox.picture("many/twice/1.png", 64, 64, 5);
    sandbox.picture("many/twice/1.jpg", 64, 64, 5);
    sandbox.write("many/short.csv", "reference\na.png\n");
    sandbox.write("many/torn.jsonl", "{\"reference\":\"a.png\",\"candidate\":\"b.png\"}\n{\"reference\":\n");
    sandbox.write("many/there.jsonl", "{}\n");
    sandbox.write("many/part.jsonl", "{\"index\":0,\"reference\":\"a\",\"candidate\":\"b\",\"distance\":0.5}\n");
}
