//! `lpips eval` through the real binary, on sets drawn here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use lpips_data::npy;
use serde_json::Value;
use support::browser::Browser;
use support::{Sandbox, picture, stderr, stdout};

/// Triplets in BAPPS's layout: p0 is the reference with more noise or less than p1, and people mostly see it.
fn triplets(sandbox: &Sandbox, root: &str, dataset: &str, count: u32) {
    for part in ["ref", "p0", "p1"] {
        std::fs::create_dir_all(sandbox.path(format!("{root}/2afc/val/{dataset}/{part}"))).unwrap();
    }
    for i in 0..count {
        let file = |part: &str| sandbox.path(format!("{root}/2afc/val/{dataset}/{part}/{i:06}.png"));
        let reference = picture(64, 64, i + 40 * dataset.len() as u32);
        let (weak, strong) = (noisy(&reference, 6 + i % 5, i), noisy(&reference, 25 + i % 20, i + 7));
        let (p0, p1) = if i % 2 == 0 { (weak, strong) } else { (strong, weak) };
        reference.save(file("ref")).unwrap();
        p0.save(file("p0")).unwrap();
        p1.save(file("p1")).unwrap();
        let judge = [0.2, 0.8, 0.0, 1.0, 0.4, 0.6][i as usize % 6];
        sandbox.write(&format!("{root}/2afc/val/{dataset}/judge/{i:06}.npy"), npy::of_number(judge));
    }
}

/// Pairs in BAPPS's layout: those with little noise are mostly taken for the same.
fn pairs(sandbox: &Sandbox, root: &str, count: u32) {
    for part in ["p0", "p1"] {
        std::fs::create_dir_all(sandbox.path(format!("{root}/jnd/val/traditional/{part}"))).unwrap();
    }
    for i in 0..count {
        let file = |part: &str| sandbox.path(format!("{root}/jnd/val/traditional/{part}/{i:06}.png"));
        let first = picture(64, 64, i);
        noisy(&first, 2 * i, i).save(file("p1")).unwrap();
        first.save(file("p0")).unwrap();
        let same = if i < count / 3 {
            1.0
        } else if i < count / 2 {
            1.0 / 3.0
        } else {
            0.0
        };
        sandbox.write(&format!("{root}/jnd/val/traditional/same/{i:06}.npy"), npy::of_number(same));
    }
}

fn noisy(picture: &image::RgbImage, strength: u32, seed: u32) -> image::RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut copy = picture.clone();
    for value in copy.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let offset = (state >> 16) as i32 % (2 * strength as i32 + 1) - strength as i32;
        *value = (i32::from(*value) + offset).clamp(0, 255) as u8;
    }
    copy
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.lpips(arguments).output().unwrap()
}

fn succeeded(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = run(sandbox, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// One sentence on standard error.
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = run(sandbox, arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {}", stdout(&output));
    let text = stderr(&output);
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn eval_prints_scores_as_table_json_and_csv() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 12);
    triplets(&sandbox, "set", "three", 6);
    let with = |format: &str| {
        let all = ["eval", "2afc", "--data", "set", "--metric", "alex,l2", "--resamples", "50", format];
        succeeded(&sandbox, &all[..if format.is_empty() { 8 } else { 9 }])
    };
    let rows = rows(&with("--json"));
    let found: Vec<(String, String, u64)> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_string();
            (text("dataset"), text("metric"), row["n"].as_u64().unwrap())
        })
        .collect();
    let expected = [("one", 12), ("three", 6), ("all", 18)];
    let expected = expected.iter().flat_map(|(dataset, n)| {
        ["alex", "l2", "human"].map(|metric| ((*dataset).to_string(), metric.to_string(), *n))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    for row in &rows {
        assert_eq!(row["kind"], "2afc");
        let (low, score, high) = (number(row, "low"), number(row, "score"), number(row, "high"));
        assert!(0.0 <= low && low <= score && score <= high && high <= 1.0, "{row}");
    }
    let score = |dataset: &str, metric: &str| {
        number(rows.iter().find(|row| row["dataset"] == dataset && row["metric"] == metric).unwrap(), "score")
    };
    // The weaker noise is nearer by any metric: of six judgments the shares on that side are 0.8, 0.8, 1, 1, 0.6 and 0.6.
    for metric in ["alex", "l2"] {
        assert!((score("one", metric) - 0.8).abs() < 1e-6);
        assert!((score("all", metric) - 0.8).abs() < 1e-6);
    }
    // Of five votes 4, 4, 5, 5, 3 and 3 are on one side: (4 * 3 * 2 + 20 * 2 + (6 + 2) * 2) / (6 * 20).
    assert!((score("three", "human") - 80.0 / 120.0).abs() < 1e-6);
    let table = with("");
    assert!(table.starts_with("dataset") && table.contains("0.8000 ("), "{table}");
    let csv = with("--csv");
    assert!(csv.starts_with("kind,dataset,metric,score,low,high,n\n2afc,one,alex,0.79999"), "{csv}");
}

#[test]
fn eval_of_several_metrics_equals_each_alone() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 5);
    let details = |metrics: &str, file: &str| {
        succeeded(&sandbox, &["eval", "2afc", "--data", "set", "--metric", metrics, "--details", file]);
        let text = std::fs::read_to_string(sandbox.path(file)).unwrap();
        text.lines().skip(1).map(String::from).collect::<Vec<_>>()
    };
    let names = ["alex", "alex-baseline", "alex-0.0", "psnr", "ssim-lab"];
    let together = details(&names.join(","), "all.jsonl");
    for (at, name) in names.into_iter().enumerate() {
        let alone = details(name, &format!("{name}.jsonl"));
        assert_eq!(alone, together.iter().skip(at).step_by(5).cloned().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn eval_details_cut_anywhere_resume_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 11);
    let command = ["eval", "2afc", "--data", "set", "--metric", "alex,l2", "--batch", "3", "--details", "d.jsonl"];
    let table = succeeded(&sandbox, &command);
    let path = sandbox.path("d.jsonl");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::write(&path, &whole[..length]).unwrap();
        if length == 1 {
            let error = refused(&sandbox, &command);
            assert!(error.contains("something else than results"), "{error}");
            continue;
        }
        if 0 < length && length < whole.len() {
            let error = refused(&sandbox, &["eval", "2afc", "--details", "d.jsonl"]);
            assert!(error.contains("of 11 triplets: run the command"), "{error}");
        }
        assert_eq!(succeeded(&sandbox, &command), table);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "from {length} bytes");
    }
    // Without the pictures.
    std::fs::remove_dir_all(sandbox.path("set")).unwrap();
    assert_eq!(succeeded(&sandbox, &["eval", "2afc", "--details", "d.jsonl"]), table);
    let error = refused(&sandbox, &["eval", "jnd", "--details", "d.jsonl"]);
    assert!(error.contains("are of 2afc, not jnd"), "{error}");
}

#[cfg(unix)]
#[test]
fn eval_stopped_or_killed_resumes_to_the_same_bytes() {
    use std::process::{Command, Stdio};

    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 120);
    let arguments = |file| ["eval", "2afc", "--data", "set", "--batch", "1", "--threads", "1", "--details", file];
    let table = succeeded(&sandbox, &arguments("whole.jsonl"));
    let whole = std::fs::read(sandbox.path("whole.jsonl")).unwrap();
    let path = sandbox.path("d.jsonl");
    let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    for (signal, least) in [("-INT", 1), ("-KILL", 2000), ("-INT", 4000), ("-KILL", 6000)] {
        let mut child = sandbox.lpips(&arguments("d.jsonl"));
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while length() < least {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
            std::thread::yield_now();
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        if signal == "-INT" {
            assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
            assert!(stderr(&output).contains("the same command resumes"), "{}", stderr(&output));
        }
        assert!(length() < whole.len() as u64);
    }
    assert_eq!(succeeded(&sandbox, &arguments("d.jsonl")), table);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn eval_details_of_other_settings_are_refused_and_untouched() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 3);
    triplets(&sandbox, "other", "one", 4);
    succeeded(&sandbox, &["eval", "2afc", "--data", "set", "--metric", "l2", "--details", "d.jsonl"]);
    let before = std::fs::read(sandbox.path("d.jsonl")).unwrap();
    for (arguments, expected) in [
        (["--data", "set", "--metric", "psnr", "--size", "64"], "the list of metrics was l2 and is psnr"),
        (["--data", "set", "--metric", "l2", "--size", "32"], "the size of pictures was 64 and is 32"),
        (["--data", "other", "--metric", "l2", "--size", "64"], "the number of items was 3 and is 4"),
    ] {
        let error = refused(&sandbox, &[&["eval", "2afc", "--details", "d.jsonl"][..], &arguments].concat());
        assert!(error.contains(expected), "{error}");
    }
    sandbox.write("notes.txt", "not mine to change\n");
    let error = refused(&sandbox, &["eval", "2afc", "--data", "set", "--details", "notes.txt"]);
    assert!(error.contains("something else than results"), "{error}");
    assert_eq!(std::fs::read(sandbox.path("d.jsonl")).unwrap(), before);
    assert_eq!(std::fs::read_to_string(sandbox.path("notes.txt")).unwrap(), "not mine to change\n");
}

#[test]
fn eval_jnd_reports_map_thresholds_and_curves() {
    let sandbox = Sandbox::new();
    pairs(&sandbox, "set", 12);
    let text = succeeded(&sandbox, &["eval", "jnd", "--data", "set", "--metric", "alex,l2", "--plots", "plots"]);
    // Noise rises from pair to pair: the first four are the same to all, and the next two to a third of people.
    assert!(text.contains("l2: pairs up to") && text.contains("in agreement on 94.4 % of pairs"), "{text}");
    let row = &rows(&succeeded(&sandbox, &["eval", "jnd", "--data", "set", "--metric", "l2", "--json"]))[0];
    // Four hits, then a third of a hit at a time: precision falls to (4 + 1/3) / 5 and (4 + 2/3) / 6.
    let all = 4.0 + 2.0 / 3.0;
    let expected = (4.0 + (4.0 + 1.0 / 3.0) / 5.0 / 3.0 + (4.0 + 2.0 / 3.0) / 6.0 / 3.0) / all;
    assert!((row["score"].as_f64().unwrap() - expected).abs() < 1e-6, "{row} for {expected}");
    for file in ["scores.svg", "precision-recall.svg", "threshold-1.svg"] {
        let svg = std::fs::read_to_string(sandbox.path(format!("plots/{file}"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("alex"), "{file}");
    }
    let curves = std::fs::read_to_string(sandbox.path("plots/curves.csv")).unwrap();
    assert_eq!(curves.lines().count(), 1 + 2 * 13);
    assert!(curves.starts_with("metric,threshold,share,precision,recall,accuracy\nalex,"), "{curves}");
}

#[test]
fn eval_details_of_other_pictures_and_impossible_votes_are_refused() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 6);
    let command = ["eval", "2afc", "--data", "set", "--metric", "l2", "--details", "d.jsonl"];
    succeeded(&sandbox, &command);
    let text = std::fs::read_to_string(sandbox.path("d.jsonl")).unwrap();
    sandbox.write("odd.jsonl", text.replacen("\"judge\":0.2", "\"judge\":7.0", 1));
    let error = refused(&sandbox, &["eval", "2afc", "--details", "odd.jsonl"]);
    assert!(error.contains("line 2: the judgment is 7: expected a fraction"), "{error}");
    sandbox.write("none.jsonl", text.lines().next().unwrap().replace("\"items\":6", "\"items\":0") + "\n");
    let error = refused(&sandbox, &["eval", "2afc", "--details", "none.jsonl"]);
    assert!(error.contains("holds 0 of 0"), "{error}");
    for (arguments, expected) in [
        (["--data", "set", "--votes", "3"], "is no fraction of 3 votes"),
        (["--data", "set", "set", "--json"], "named twice"),
        (["--details", "d.jsonl", "--metric", "vgg"], "--data"),
    ] {
        let error = refused(&sandbox, &[&["eval", "2afc"][..], &arguments].concat());
        assert!(error.contains(expected), "{error}");
    }
    // How many have voted on each is not known where votes come one by one.
    assert!(succeeded(&sandbox, &["eval", "2afc", "--data", "set"]).contains("human"));
    sandbox.write("set/votes.jsonl", "");
    assert!(!succeeded(&sandbox, &["eval", "2afc", "--data", "set"]).contains("human"));
    std::fs::remove_file(sandbox.path("set/votes.jsonl")).unwrap();
    let file = |part: &str| sandbox.path(format!("set/2afc/val/one/{part}/000003.png"));
    std::fs::copy(file("ref"), file("p1")).unwrap();
    let error = refused(&sandbox, &command);
    assert!(error.contains("the set of pictures and judgments was "), "{error}");
}

/// Details of two metrics, a and b, with these judgments where both agree with people and where only a or b does.
fn details(datasets: &[(&str, &[(f64, f64)])]) -> String {
    let items: usize = datasets.iter().map(|(_, triplets)| triplets.len()).sum();
    let head = format!("\"kind\":\"2afc\",\"set\":\"x\",\"size\":64,\"items\":{items},\"labelled_here\":false");
    let mut text = format!("{{{head},\"metrics\":[\"a\",\"b\"],\"identities\":[\"a\",\"b\"]}}\n");
    for (dataset, triplets) in datasets {
        for (of_a, of_b) in *triplets {
            // With a judgment of 0 a metric earns 1 where p0 is nearer, and otherwise 0.
            for (metric, score) in [("a", of_a), ("b", of_b)] {
                let pictures = "\"ref\":\"r\",\"p0\":\"p\",\"p1\":\"q\"";
                let (d0, d1) = if *score > 0.5 { (0.1, 0.2) } else { (0.2, 0.1) };
                let of = format!("\"dataset\":\"{dataset}\",\"metric\":\"{metric}\",{pictures}");
                writeln!(text, "{{{of},\"d0\":{d0},\"d1\":{d1},\"judge\":0.0,\"score\":{score}}}").unwrap();
            }
        }
    }
    text
}

#[test]
fn eval_compare_over_all_datasets_goes_by_the_mean_of_their_scores() {
    let sandbox = Sandbox::new();
    // In a large dataset a is a little better, in a small one b is by far.
    let large: Vec<(f64, f64)> = (0..200).map(|i| (1.0, f64::from(u8::from(i % 10 != 0)))).collect();
    let small: Vec<(f64, f64)> = (0..10).map(|i| (f64::from(u8::from(i == 0)), 1.0)).collect();
    sandbox.write("s.jsonl", details(&[("large", &large), ("small", &small)]));
    let found = rows(&succeeded(&sandbox, &["eval", "compare", "s.jsonl", "--json"]));
    let number = |at: usize, key: &str| found[at][key].as_f64().unwrap();
    assert!(number(0, "t") < -4.0 && number(1, "t") > 4.0);
    assert!((number(2, "difference") - 0.4).abs() < 1e-9 && number(2, "t") > 4.0 && number(2, "effect") > 0.0);
    assert!(found[2]["wilcoxon_p"].is_null());
    let text = succeeded(&sandbox, &["eval", "compare", "s.jsonl"]);
    let verdicts: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(": ").map(|(_, verdict)| verdict)).collect();
    assert_eq!(verdicts[..3], ["a is better", "b is better", "b is better"], "{text}");
    // Two triplets on which all is the same show nothing.
    sandbox.write("two.jsonl", details(&[("two", &[(0.0, 1.0), (0.0, 1.0)])]));
    let text = succeeded(&sandbox, &["eval", "compare", "two.jsonl"]);
    assert!(text.contains("no difference is shown"), "{text}");
}

#[test]
fn eval_of_a_list_equals_eval_of_its_folder() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 4);
    let lines: Vec<String> = (0..4)
        .map(|i| {
            let file = |part: &str| format!("2afc/val/one/{part}/{i:06}.png");
            let judge = ["0.2", "0.8", "0.0", "1.0"][i];
            format!("{},{},{},{judge}", file("ref"), file("p0"), file("p1"))
        })
        .collect();
    sandbox.write("set/list.csv", format!("ref,p0,p1,judge\n{}\n", lines.join("\n")));
    let score =
        |root: &str| rows(&succeeded(&sandbox, &["eval", "2afc", "--data", root, "--json"]))[0]["score"].clone();
    assert_eq!(score("set"), score("set/list.csv"));
}

#[test]
fn eval_compare_is_the_same_from_pictures_and_details() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 9);
    let direct = succeeded(&sandbox, &["eval", "compare", "l2", "alex-baseline", "--data", "set", "--json"]);
    let row = &rows(&direct)[0];
    assert_eq!((row["a"].as_str(), row["b"].as_str(), row["n"].as_u64()), (Some("l2"), Some("alex-baseline"), Some(9)));
    for metric in ["l2", "alex-baseline"] {
        let file = format!("{metric}.jsonl");
        succeeded(&sandbox, &["eval", "2afc", "--data", "set", "--metric", metric, "--details", &file]);
    }
    let read = succeeded(&sandbox, &["eval", "compare", "l2.jsonl", "alex-baseline.jsonl", "--json"]);
    for key in ["n", "score_a", "score_b", "difference", "low", "high", "effect", "t_p", "wilcoxon_p"] {
        assert_eq!(rows(&read)[0][key], row[key], "{key}");
    }
    let table = succeeded(&sandbox, &["eval", "compare", "l2", "psnr", "--data", "set", "--alpha", "0.01"]);
    assert!(table.contains("no difference is shown") && table.contains("p (t) < 0.01"), "{table}");
    triplets(&sandbox, "other", "one", 8);
    succeeded(&sandbox, &["eval", "2afc", "--data", "other", "--metric", "l2", "--details", "o.jsonl"]);
    let error = refused(&sandbox, &["eval", "compare", "l2.jsonl", "o.jsonl"]);
    assert!(error.contains("of different sets: 9 triplets") && error.contains("and 8 triplets"), "{error}");
}

#[test]
fn eval_folds_train_score_and_resume() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 12);
    sandbox.write("train.toml", "[optimizer]\nlr = 0.01\nepochs = 1\ndecay_epochs = 0\n[run]\nbatch = 4\n");
    let command = ["eval", "2afc", "--data", "set", "--folds", "3", "--train", "train.toml", "--details", "d.jsonl"];
    let text = succeeded(&sandbox, &command);
    assert_eq!(text.lines().filter(|line| line.starts_with("fold ")).count(), 3, "{text}");
    assert!(text.contains("Of 3 folds the mean is 0.") && text.contains("trained"), "{text}");
    let objects = rows(&succeeded(&sandbox, &[&command[..], &["--json"]].concat()));
    let folds = objects.last().unwrap();
    assert_eq!((folds["dataset"].as_str(), folds["n"].as_u64()), (Some("folds"), Some(3)));
    let each: Vec<f64> = objects
        .iter()
        .filter(|row| row["dataset"].as_str().unwrap().starts_with("fold "))
        .map(|row| row["score"].as_f64().unwrap())
        .collect();
    assert!(each.len() == 3 && (each.iter().sum::<f64>() / 3.0 - folds["score"].as_f64().unwrap()).abs() < 1e-9);
    let details = std::fs::read_to_string(sandbox.path("d.jsonl")).unwrap();
    assert_eq!(details.lines().count(), 1 + 2 * 12);
    // What was trained is not trained again, and comes to the same.
    let log = || std::fs::read(sandbox.path("lpips-folds/fold-1/log.jsonl")).unwrap();
    let before = log();
    assert_eq!(succeeded(&sandbox, &command), text);
    assert_eq!(log(), before);
    sandbox.write("precious.txt", "not mine to change\n");
    let precious = ["eval", "2afc", "--data", "set", "--folds", "3", "--out", "other", "--details", "precious.txt"];
    let error = refused(&sandbox, &precious);
    assert!(error.contains("something else than results") && !sandbox.path("other").exists(), "{error}");
    let error = refused(&sandbox, &["eval", "2afc", "--data", "set", "--folds", "13"]);
    assert!(error.contains("13 folds") && error.contains("12 references"), "{error}");
    let error = refused(&sandbox, &["eval", "2afc", "--data", "set", "--folds", "3", "--seed", "1"]);
    assert!(error.contains("lpips-folds"), "{error}");
}

#[test]
fn eval_page_neutralises_script_tags_in_names() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "<script>alert(1)<%2Fscript>", 3);
    // People prefer what has more noise.
    sandbox.write("set/2afc/val/<script>alert(1)<%2Fscript>/judge/000000.npy", npy::of_number(1.0));
    succeeded(&sandbox, &["eval", "2afc", "--data", "set", "--html", "page.html", "--plots", "plots"]);
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{}", &page[..2000]);
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org/").count());
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 3);
    let svg = std::fs::read_to_string(sandbox.path("plots/scores.svg")).unwrap();
    assert!(!svg.contains("<script"));
}

#[test]
fn eval_page_renders_in_a_browser_without_network_or_scripts() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 12);
    triplets(&sandbox, "set", "<script>alert(1)<%2Fscript>", 6);
    // People prefer what has more noise, twice, and take what has the most for the same.
    sandbox.write("set/2afc/val/one/judge/000000.npy", npy::of_number(1.0));
    sandbox.write("set/2afc/val/one/judge/000002.npy", npy::of_number(0.8));
    let metrics = "alex,alex-baseline,l2,ssim";
    let scored = ["eval", "2afc", "--data", "set", "--metric", metrics, "--html", "2afc.html", "--json"];
    let scores = rows(&succeeded(&sandbox, &scored));
    pairs(&sandbox, "set", 12);
    sandbox.write("set/jnd/val/traditional/same/000011.npy", npy::of_number(1.0));
    let scored = ["eval", "jnd", "--data", "set", "--metric", metrics, "--html", "jnd.html", "--json"];
    let maps = rows(&succeeded(&sandbox, &scored));
    succeeded(&sandbox, &["eval", "compare", "alex", "l2", "--data", "set", "--html", "compare.html"]);
    for (page, rows, charts, pictures) in [("2afc", &scores, 2, 24), ("jnd", &maps, 6, 8)] {
        browser.open(&format!("file://{}", sandbox.path(format!("{page}.html")).display()));
        let text = browser.text("table");
        for row in rows {
            let (score, dataset) = (row["score"].as_f64().unwrap(), row["dataset"].as_str().unwrap());
            assert!(text.contains(&format!("{score:.4}")) && text.contains(dataset), "{row} in {text}");
        }
        assert_eq!(browser.run("return document.querySelectorAll('figure svg').length"), charts);
        let seen =
            "return [...document.images].every(i => i.complete && i.naturalWidth === 64) && document.images.length";
        assert_eq!(browser.run(seen), pictures);
        let outside = "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length";
        assert_eq!((browser.run(outside), browser.run("return document.scripts.length")), (0.into(), 0.into()));
        assert_eq!(browser.console(), Vec::<String>::new());
        browser.screenshot(&format!("eval-{page}"));
    }
    browser.open(&format!("file://{}", sandbox.path("compare.html").display()));
    assert!(browser.text("body").contains("l2 \u{2212} alex"));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn data_check_and_stats_describe_a_set() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 6);
    pairs(&sandbox, "set", 12);
    let copied = |from: &str, to: &str| std::fs::copy(sandbox.path(from), sandbox.path(to)).unwrap();
    copied("set/2afc/val/one/ref/000000.png", "set/2afc/val/one/ref/000001.png");
    let text = succeeded(&sandbox, &["data", "stats", "set", "--json"]);
    let found = rows(&text);
    let of = |at: usize, key: &str| found[at][key].clone();
    assert_eq!((of(0, "kind"), of(0, "items"), of(0, "references")), ("2afc".into(), 6.into(), 5.into()));
    assert_eq!((of(0, "votes"), of(0, "sizes")), (5.into(), serde_json::json!({ "64x64": 18 })));
    assert!((found[0]["mean"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    assert_eq!((of(1, "kind"), of(1, "items"), of(1, "votes")), ("jnd".into(), 12.into(), 3.into()));
    let text = succeeded(&sandbox, &["data", "check", "set"]);
    assert!(text.contains("6 triplets  set/2afc/val/one") && text.contains("12 pairs "), "{text}");
    sandbox.write("set/jnd/val/traditional/p1/000003.png", b"no picture");
    std::fs::remove_file(sandbox.path("set/2afc/val/one/p0/000002.png")).unwrap();
    let output = run(&sandbox, &["data", "check", "set", "nowhere"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    for expected in
        ["p1/000003.png: ", "000002.png: has no file of the same name in p0", "nowhere: there is no such file"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(stderr(&output).contains("3 files can't be used"));
}

#[test]
fn eval_wrong_inputs_are_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    triplets(&sandbox, "set", "one", 3);
    pairs(&sandbox, "jnd", 3);
    let leaf = |file: &str| format!("set/2afc/val/one/{file}");
    let check = |arguments: &[&str], expected: &str| {
        let error = refused(&sandbox, &[&["eval"], arguments].concat());
        assert!(error.contains(expected), "{arguments:?}: {error}");
    };
    check(&["2afc", "--data", "jnd"], "holds no triplets");
    check(&["2afc", "--data", "jnd"], "it holds pairs of jnd");
    check(&["jnd", "--data", "set"], "it holds triplets of 2afc");
    check(&["2afc", "--data", "nowhere"], "there is no such file or folder");
    check(&["2afc", "--data", "set", "--metric", "alexx"], "did you mean alex?");
    check(&["2afc", "--data", "set", "--metric", "l2,l2"], "named twice");
    check(&["2afc", "--data", "set", "--html", "no/where.html"], "there is no folder no");
    check(&["2afc"], "--data");
    check(&["compare", "alex", "--data", "set"], "name another metric");
    check(&["compare", "alex", "vgg"], "give --data ROOT");
    check(&["compare", "alex", "l2", "--data", "jnd"], "holds no triplets");
    sandbox.write("weights.safetensors", b"not weights");
    check(&["2afc", "--data", "set", "--metric", "weights.safetensors"], "name that too, as in vgg=");
    std::fs::rename(sandbox.path(leaf("judge/000001.npy")), sandbox.path("kept.npy")).unwrap();
    check(&["2afc", "--data", "set"], "has no file of the same name in judge");
    let text = succeeded(&sandbox, &["eval", "2afc", "--data", "set", "--skip-broken", "--json"]);
    assert_eq!(rows(&text)[0]["n"], 2);
    sandbox.write(&leaf("judge/000001.npy"), npy::of_number(f32::NAN));
    check(&["2afc", "--data", "set"], "the judgment is NaN");
    sandbox.write(&leaf("judge/000001.npy"), npy::of_number(0.5));
    let bytes = std::fs::read(sandbox.path(leaf("p1/000002.png"))).unwrap();
    sandbox.write(&leaf("p1/000002.png"), &bytes[..bytes.len() / 2]);
    check(&["2afc", "--data", "set"], "p1/000002.png");
    std::fs::remove_dir_all(sandbox.path(leaf("judge"))).unwrap();
    check(&["2afc", "--data", "set"], "lacks the folder judge");
    assert!(!Path::new(&sandbox.path("lpips-folds")).exists());
}
