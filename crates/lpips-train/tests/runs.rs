//! Whole runs through the binary.
#![cfg(all(feature = "bundled", not(any(feature = "cuda", feature = "metal"))))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lpips_core::{Lpips, ModelMetadata, Network, Version};
use support::{bapps, bits, log, losses, refused, stderr, stdout, tensors, text, train, trained};

/// A small run: 24 triplets in batches of 4, two epochs.
fn small<'a>(data: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments =
        vec!["--data", text(data), "--out", text(out), "--batch", "4", "--epochs", "2", "--decay-epochs", "0"];
    arguments.extend(["--lr", "0.001"]);
    arguments.extend(more);
    arguments
}

/// The number of logged steps.
fn lines(out: &Path) -> usize {
    std::fs::read_to_string(out.join("log.jsonl")).map_or(0, |text| text.lines().count())
}

/// Waits until a condition holds, for up to 30 seconds.
fn wait(until: impl Fn() -> bool) {
    for _ in 0..6000 {
        if until() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the condition did not hold within 30 seconds");
}

#[test]
fn demo_run_phase_lin_raises_2afc() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = trained(&["--phase", "lin", "--lr", "0.01", "--seed", "3", "--out", text(&out)]);
    let said = stdout(&output);
    let first = said.lines().next().unwrap();
    assert!(first.contains("demonstration") && first.contains("--data"), "{first}");
    for file in
        ["log.jsonl", "model.safetensors", "config.toml", "loss.svg", "accuracy.svg", "lins.svg", "validation.jsonl"]
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    let scores = std::fs::read_to_string(out.join("validation.jsonl")).unwrap();
    let scores: Vec<f64> = scores
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["2afc"].as_f64().unwrap())
        .collect();
    assert_eq!(scores.len(), 11);
    // From chance, by clamping the first weights, to more than that.
    assert!(scores[0] < 0.5 && scores[10] > scores[1] + 0.02 && scores[10] > 0.76, "{scores:?}");
    // The model is one that the metric takes.
    Lpips::builder(Network::AlexNet).weights(out.join("model.safetensors")).build().unwrap();
    let names: Vec<String> = tensors(&out.join("model.safetensors")).into_keys().collect();
    assert_eq!(names, (0..5).map(|i| format!("lin{i}.model.1.weight")).collect::<Vec<_>>());
}

#[test]
fn run_phases_tune_and_scratch_write_backbone_and_lins() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 6, 64);
    for (net, phase) in [("alex", "tune"), ("squeeze", "scratch")] {
        let out = folder.path().join(net);
        trained(&small(&data, &out, &["--net", net, "--phase", phase, "--loss", "mlp", "--accumulate", "2"]));
        assert_eq!(log(&out).len(), 2);
        let names: Vec<String> = tensors(&out.join("model.safetensors")).into_keys().collect();
        assert!(names.contains(&"net.slice1.0.weight".to_string()), "{names:?}");
        let network: Network = net.parse().unwrap();
        Lpips::builder(network).weights(out.join("model.safetensors")).build().unwrap();
    }
}

#[test]
fn model_file_metadata_names_network_version_and_taps() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 4, 64);
    let out = folder.path().join("run");
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, "[model]\nversion = \"0.0\"").unwrap();
    let more = ["--config", text(&settings), "--net", "squeeze", "--phase", "scratch", "--taps", "conv1,fire4"];
    trained(&small(&data, &out, &more));
    let model = out.join("model.safetensors");
    let about = ModelMetadata::read(&model).unwrap();
    assert_eq!((about.network, about.version), (Network::SqueezeNet1_1, Version::V0_0));
    assert_eq!(about.taps, ["conv1", "fire4"]);
    assert_eq!(about.builder().weights(&model).build().unwrap().tap_names(), ["conv1", "fire4"]);
}

#[test]
fn accumulated_batches_equal_one_large_batch() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 14, 64);
    let run = |name: &str, batch: &str, accumulate: &str| {
        let out = folder.path().join(name);
        #[rustfmt::skip]
        trained(&small(&data, &out, &[
            "--batch", batch, "--accumulate", accumulate, "--dropout", "0", "--phase", "tune", "--lr", "0.0001",
        ]));
        (losses(&out), tensors(&out.join("model.safetensors")))
    };
    // Two steps an epoch: of 10 and of 4 triplets, the latter in a shorter window, with a last batch of 1.
    let ((whole, a), (parts, b)) = (run("whole", "10", "1"), run("parts", "2", "5"));
    assert_eq!((whole.len(), parts.len()), (4, 4));
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {parts:?}");
    for (name, a) in &a {
        let difference = (a - &b[name]).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let difference = difference.to_scalar::<f32>().unwrap();
        // Adam takes the sign of a gradient that is almost nothing: a rate each step at the worst, and hardly ever.
        assert!(difference < 4e-4, "{name}: {difference}");
    }
}

#[test]
fn checkpoint_activations_give_equal_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 8, 64);
    for net in ["alex", "squeeze"] {
        let run = |name: &str, more: &[&str]| {
            let out = folder.path().join(format!("{net}-{name}"));
            let phase = if net == "alex" { "tune" } else { "scratch" };
            let mut arguments = vec!["--net", net, "--phase", phase, "--lr", "0.0001"];
            arguments.extend(more);
            trained(&small(&data, &out, &arguments));
            (losses(&out), bits(&out.join("model.safetensors")))
        };
        assert!(run("plain", &[]) == run("recomputed", &["--checkpoint-activations"]), "{net}");
    }
}

#[test]
fn amp_losses_stay_near_f32() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 8, 64);
    let run = |amp: &str, phase: &str| {
        let out = folder.path().join(format!("{amp}-{phase}"));
        trained(&small(&data, &out, &["--amp", amp, "--phase", phase, "--dropout", "0", "--lr", "0.0001"]));
        losses(&out)
    };
    for phase in ["lin", "tune"] {
        let exact = run("off", phase);
        for (amp, tolerance) in [("f16", 2e-3), ("bf16", 2e-2)] {
            let rough = run(amp, phase);
            assert!(
                exact.iter().zip(&rough).all(|(a, b)| (a - b).abs() < tolerance),
                "{amp} {phase}: {exact:?} {rough:?}"
            );
        }
    }
}

#[test]
fn cached_features_leave_losses_equal() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 14, 64);
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        trained(&small(&data, &out, more));
        assert!(!out.join("features.cache").exists());
        losses(&out)
    };
    let (plain, cached) = (run("plain", &[]), run("cached", &["--cache-features"]));
    // A last batch of two is computed by itself in one, and comes out of batches of four in the other.
    assert!(plain.iter().zip(&cached).all(|(a, b)| (a - b).abs() < 1e-6), "{plain:?} {cached:?}");
    // A run that is complete has removed its cache, and can be resumed all the same.
    let out = folder.path().join("cached");
    trained(&["--resume", text(&out), "--epochs", "3", "-q"]);
    assert_eq!(losses(&out).len(), 12);
    assert_eq!(losses(&out)[..8], cached);
}

/// The log, the latest checkpoint and the model, which must be equal however often a run was stopped.
fn traces(out: &Path) -> (String, impl PartialEq + use<>, impl PartialEq + use<>) {
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    (log, bits(&out.join("checkpoints/latest.safetensors")), bits(&out.join("model.safetensors")))
}

#[test]
fn resume_after_twenty_kills_gives_equal_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 22, 64);
    let options =
        ["--augment", "safe", "--checkpoint-steps", "2", "--threads", "1", "--loss", "ranking", "--epochs", "8"];
    let whole = folder.path().join("whole");
    let start = std::time::Instant::now();
    trained(&small(&data, &whole, &options));
    let full = start.elapsed();
    let killed = folder.path().join("killed");
    let mut kills = 0;
    for attempt in 0u32.. {
        assert!(attempt < 400, "the run makes no progress");
        let mut arguments = small(&data, &killed, &options);
        arguments.push("--resume");
        let mut child = train(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // At moments spread over start, steps and checkpoints; later ones come further.
        let part = f64::from(attempt.wrapping_mul(2_654_435_761) % 1000) / 1000.0;
        let wait = full.mul_f64(part * if kills < 20 { 0.6 } else { 3.0 });
        std::thread::sleep(wait.max(Duration::from_millis(5)));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            if kills >= 20 {
                break;
            }
            // Complete too early: again from the start.
            std::fs::remove_dir_all(&killed).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // The checkpoint, if any, can be read.
        let checkpoint = killed.join("checkpoints/latest.safetensors");
        if checkpoint.exists() {
            assert!(!tensors(&checkpoint).is_empty());
        }
    }
    assert!(traces(&whole) == traces(&killed));
}

#[cfg(unix)]
#[test]
fn resume_after_signals_gives_equal_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 40, 64);
    let options = ["--epochs", "20", "--cache-features", "--net", "alex"];
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    trained(&small(&data, &whole, &options));
    for signal in ["-INT", "-TERM"] {
        let mut arguments = small(&data, &stopped, &options);
        if stopped.exists() {
            arguments = vec!["--resume", "--out", text(&stopped)];
        }
        let before = lines(&stopped);
        let child = train(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        wait(|| lines(&stopped) >= before + 5);
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    }
    trained(&["--resume", "--out", text(&stopped)]);
    assert!(traces(&whole) == traces(&stopped));
}

#[test]
fn wrong_inputs_are_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = bapps(&at("data"), 6, 64);
    let out = at("out");
    let says = |arguments: &[&str], expected: &[&str]| {
        let error = refused(arguments);
        assert!(expected.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    };
    std::fs::create_dir(at("empty")).unwrap();
    says(&small(&at("empty"), &out, &[]), &["holds no triplets", "ref, p0, p1"]);
    says(&small(&at("nowhere"), &out, &[]), &["there is no such file or folder"]);
    says(&small(&data, &out, &["--phase", "turbo"]), &["turbo"]);
    says(&small(&data, &out, &["--lr", "-1"]), &["optimizer.lr is -1"]);
    says(&small(&data, &out, &["--batch", "0"]), &["run.batch is 0"]);
    says(&small(&data, &out, &["--net", "resnet"]), &["resnet"]);
    says(&small(&data, &out, &["--init", text(&data.join("judge/000000.npy"))]), &["000000.npy"]);
    let missing = bapps(&at("missing"), 3, 64);
    std::fs::remove_file(missing.join("judge/000001.npy")).unwrap();
    says(&small(&missing, &out, &[]), &["000001.png", "has no file of the same name in judge", "--skip-broken"]);
    let three = bapps(&at("three"), 3, 64);
    support::npy(&three.join("judge/000002.npy"), 3.0);
    says(&small(&three, &out, &[]), &["000002.npy", "the judgment is 3"]);
    let broken = bapps(&at("broken"), 6, 64);
    std::fs::write(broken.join("p1/000003.png"), b"no picture").unwrap();
    says(&small(&broken, &out, &[]), &["000003.png", "not a picture"]);
    assert!(!out.exists(), "no folder was created");
    trained(&small(&broken, &out, &["--skip-broken", "-q"]));
    says(&small(&data, &out, &[]), &["holds a training already", "--resume"]);
    let error = refused(&small(&data, &out, &["--resume", "--net", "squeeze", "--phase", "scratch"]));
    assert!(error.contains("network was alex and is squeeze"), "{error}");
    let error = refused(&["--resume", text(&out), "--data", text(&three.join("..").join("data"))]);
    assert!(error.contains("set of triplets") && error.contains("data.train was"), "{error}");
    let fresh = at("fresh");
    let judged = bapps(&at("judged"), 3, 64);
    std::fs::write(judged.join("judge/000001.npy"), std::fs::read(judged.join("ref/000001.png")).unwrap()).unwrap();
    says(&small(&judged, &fresh, &[]), &["000001.npy", "one real number"]);
    let uneven = bapps(&at("uneven"), 3, 64);
    std::fs::copy(bapps(&at("other"), 1, 80).join("p1/000000.png"), uneven.join("p1/000002.png")).unwrap();
    says(&small(&uneven, &fresh, &[]), &["000002.png", "80x80", "64x64", "one size"]);
    let twice = bapps(&at("twice"), 3, 64);
    std::fs::copy(twice.join("ref/000001.png"), twice.join("ref/000001.bmp")).unwrap();
    says(&small(&twice, &fresh, &[]), &["has the name of", "000001."]);
    says(&["--val", text(&data), "--out", text(&at("val"))], &["without data.train"]);
    says(&["--resume", "--out", text(&at("typo"))], &["typo holds no training to resume"]);
    says(&small(&data, &fresh, &["--seed", "-1"]), &["seed"]);
    assert!(!fresh.exists(), "no folder was created");
    // Cut off after its header: found when the pictures are checked.
    let whole = std::fs::read(data.join("p0/000004.png")).unwrap();
    let cut = || std::fs::write(data.join("p0/000004.png"), &whole[..whole.len() / 2]).unwrap();
    let mid = at("mid");
    let steps = ["--checkpoint-steps", "1", "--no-shuffle", "--epochs", "1", "-q"];
    trained(&small(&data, &mid, &steps));
    let alone = at("alone");
    trained(&small(&data, &alone, &["--batch", "1", "--epochs", "1", "--no-shuffle", "-q"]));
    cut();
    says(&small(&data, &at("begins"), &[]), &["000004.png"]);
    says(&["check", "-q", "--data", text(&data)], &["1 file can't be used"]);
    assert!(refused(&["check", "--data", text(&data)]).contains("`lpips data check ROOT` replaces this command"));
    // Cut off later: an error in the middle of the run, which names it, or a step that is noted as left out.
    let more = ["--resume", text(&mid), "--epochs", "2"];
    let error = refused(&more);
    assert!(error.contains("000004.png") && error.contains("optimizer.epochs was 1 and is 2"), "{error}");
    let skips = [&more[..], &["--skip-broken"]].concat();
    trained(&skips);
    assert_eq!(log(&mid).len(), 4);
    let around = at("around");
    trained(&small(&data, &around, &["--epochs", "1", "--skip-broken", "-q"]));
    trained(&["--resume", text(&around), "--epochs", "2", "-q"]);
    says(&["--resume", text(&around), "--out", text(&mid), "-q"], &["mid holds a training already"]);
    let output = trained(&["--resume", text(&alone), "--epochs", "2", "--skip-broken"]);
    assert!(stdout(&output).contains("1 step was skipped"), "{}", stdout(&output));
    let steps = log(&alone);
    assert_eq!(steps.len(), 12);
    assert!(steps[10]["skipped"] == "broken" && steps[10]["step"] == 11, "{}", steps[10]);
    std::fs::write(data.join("p0/000004.png"), &whole).unwrap();
    // A checkpoint that was cut short.
    let latest = out.join("checkpoints/latest.safetensors");
    let bytes = std::fs::read(&latest).unwrap();
    std::fs::write(&latest, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&["--resume", "--out", text(&out)]).contains("cut short"));
}

#[test]
fn diverged_step_saves_checkpoint_and_names_triplets() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 8, 64);
    let out = folder.path().join("run");
    let huge = |(name, tensor): (String, candle_core::Tensor)| (name, (tensor * 1e12).unwrap());
    let network = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/backbones/alexnet.safetensors");
    let network: std::collections::HashMap<_, _> = tensors(Path::new(network)).into_iter().map(huge).collect();
    let init = folder.path().join("huge.safetensors");
    candle_core::safetensors::save(&network, &init).unwrap();
    let error = refused(&small(&data, &out, &["--phase", "tune", "--init", text(&init), "--no-shuffle"]));
    assert!(error.contains("not a finite number") && error.contains("00000") && error.contains("step "), "{error}");
    assert!(!tensors(&out.join("checkpoints/diverged.safetensors")).is_empty());
}

/// On a file system of its own, so small that the second checkpoint has no room beside the first.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_keeps_earlier_files_and_run_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 12, 64);
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = r#"
        mount -t tmpfs -o size=45m none "$1" || exit 77
        "$2" --phase tune --data "$3" --out "$1/run" --batch 4 --epochs 2 --decay-epochs 0 --checkpoint-steps 1 -q
        echo "exit $?"; ls -A "$1/run" "$1/run/checkpoints"
        mount -o remount,size=400m "$1" && "$2" --resume --out "$1/run" -q && echo "resumed" && wc -l < "$1/run/log.jsonl"
    "#;
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", text(&disk)])
        .args([env!("CARGO_BIN_EXE_lpips-train"), text(&data)])
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && !stderr(&output).starts_with("unshare:") => output,
        _ => return eprintln!("skipped: a file system can't be mounted here"),
    };
    let (said, error) = (stdout(&output), stderr(&output));
    assert!(said.contains("exit 1") && !said.contains(".unfinished"), "{said}{error}");
    assert!(error.contains("the disk is full; make room") && error.trim().lines().count() == 1, "{error}");
    assert!(said.contains("latest.safetensors") && said.contains("resumed\n6"), "{said}{error}");
}

#[test]
fn run_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 30, 64);
    let out = folder.path().join("run");
    let mut first = train(&small(&data, &out, &["--epochs", "2000"])).stderr(Stdio::null()).spawn().unwrap();
    wait(|| lines(&out) > 0);
    let error = refused(&small(&data, &out, &["--resume"]));
    assert!(error.contains("another training is writing"), "{error}");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn lists_and_folders_give_equal_losses() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bapps");
    let data = bapps(&root.join("2afc/train/traditional"), 9, 64);
    let (mut csv, mut jsonl) = (vec!["judge,ref,p1,p0".to_string()], Vec::new());
    for index in 0..9 {
        let [reference, p0, p1] = ["ref", "p0", "p1"].map(|part| format!("traditional/{part}/{index:06}.png"));
        let judge = lpips_data::builtin_samples::judge(11, index);
        csv.push(format!("{judge},{reference},{p1},{p0}"));
        jsonl.push(serde_json::json!({"ref": reference, "p0": p0, "p1": p1, "judge": judge}).to_string());
    }
    let lists = ["list.csv", "list.jsonl"].map(|name| root.join("2afc/train").join(name));
    std::fs::write(&lists[0], csv.join("\n")).unwrap();
    std::fs::write(&lists[1], jsonl.join("\n")).unwrap();
    let run = |name: &str, from: &Path| {
        let out = folder.path().join(name);
        trained(&small(from, &out, &["--no-shuffle", "--epochs", "1"]));
        losses(&out)
    };
    let expected = run("leaf", &data);
    for (name, from) in [("root", &root), ("csv", &lists[0]), ("jsonl", &lists[1])] {
        assert_eq!(run(name, from), expected, "{name}");
    }
}

#[test]
fn augment_preview_of_resized_pictures_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 4, 80);
    let out = folder.path().join("run");
    trained(&small(&data, &out, &["--epochs", "1"]));
    let sheet = folder.path().join("sheet.png");
    trained(&["augment", "--preview", text(&sheet), "--augment", "aggressive", "--data", text(&data), "--rows", "2"]);
    let sheet = lpips_core::Picture::open(&sheet).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (5 * (3 * 66 + 10) - 12, 2 * 66 - 2));
}

#[test]
fn config_output_is_a_settings_file_and_bench_prints_json() {
    let printed = stdout(&trained(&["config"]));
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), &printed).unwrap();
    assert!(printed.contains("[optimizer]") && stdout(&trained(&["config", "tune"])).contains("phase = \"tune\""));
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 4, 64);
    trained(&small(&data, &folder.path().join("out"), &["--config", text(file.path())]));
    let bench = stdout(&trained(&["bench", "--batch", "2", "--steps", "1"]));
    let bench: serde_json::Value = serde_json::from_str(&bench).unwrap();
    let keys: Vec<&str> = bench.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["engine", "net", "phase", "batch", "size", "threads", "median_ms", "triplets_per_s"]);
}

#[test]
fn settings_of_earlier_versions_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let data = bapps(&folder.path().join("data"), 8, 64);
    let (whole, out) = (folder.path().join("whole"), folder.path().join("run"));
    trained(&small(&data, &whole, &["--phase", "tune", "--trunk-lr-factor", "0.5", "--epochs", "3"]));
    trained(&small(&data, &out, &["--phase", "tune", "--backbone-lr-factor", "0.5"]));
    let config = out.join("config.toml");
    let earlier = std::fs::read_to_string(&config).unwrap().replace("backbone_lr_factor", "trunk_lr_factor");
    assert!(earlier.contains("trunk_lr_factor = 0.5"));
    std::fs::write(&config, earlier).unwrap();
    trained(&["--resume", text(&out), "--epochs", "3", "-q"]);
    assert!(traces(&whole) == traces(&out));
}

#[test]
fn help_of_every_command_has_an_example() {
    for command in [&[][..], &["augment"], &["config"], &["bench"], &["check"]] {
        let help = stdout(&trained(&[command, &["--help"]].concat()));
        assert!(help.contains("Example"), "{command:?}: {help}");
    }
}
