//! `lpips-train`: a training.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lpips_core::DeviceChoice;
use lpips_core::weights::Finder;
use lpips_data::CheckDepth;
use lpips_train::{Checkpoint, Config, Event, Outcome, RunFolder, SkipReason, Splits, Trainer, run_folder};
use toml::{Table, Value};

use super::{Failure, Result, note, print};

/// Settings of a training; `lpips-train config` prints all there are.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag.
pub(crate) struct Train {
    /// What to train: lin (heads on a frozen network), tune (all weights), scratch (all, from a random network).
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,

    /// The network: alex, vgg or squeeze; others by their names in torchvision.
    #[arg(long, value_name = "NET")]
    net: Option<String>,

    /// BAPPS roots, folders of triplets (ref, p0, p1, judge), or lists (.csv, .jsonl), in this order.
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    data: Vec<PathBuf>,

    /// The same, to score after each epoch.
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    val: Vec<PathBuf>,

    /// The folder for logs, checkpoints and the model [default: lpips-training].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Go on with the run in the folder, from its latest checkpoint; or with that of this folder or checkpoint.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    resume: Option<OsString>,

    /// A settings file.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,

    /// Weights to start from: any of features.*, linN.weight, rank.model.*.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    init: Vec<PathBuf>,

    /// Layers to tap in place of the published ones, separated by commas.
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    taps: Vec<String>,

    /// ranking, mlp or logistic.
    #[arg(long, value_name = "LOSS")]
    loss: Option<String>,

    /// Triplets in a batch.
    #[arg(long, value_name = "N", help_heading = "Steps", allow_negative_numbers = true)]
    batch: Option<i64>,

    /// Batches that one step adds up.
    #[arg(long, value_name = "K", help_heading = "Steps", allow_negative_numbers = true)]
    accumulate: Option<i64>,

    /// Epochs at the full learning rate [default: 5].
    #[arg(long, value_name = "E", help_heading = "Steps", allow_negative_numbers = true)]
    epochs: Option<i64>,

    /// Epochs after those, in which the rate falls [default: 5].
    #[arg(long, value_name = "D", help_heading = "Steps", allow_negative_numbers = true)]
    decay_epochs: Option<i64>,

    /// linear, cosine or constant.
    #[arg(long, value_name = "SHAPE", help_heading = "Steps")]
    schedule: Option<String>,

    /// The learning rate.
    #[arg(long, value_name = "RATE", help_heading = "Steps", allow_negative_numbers = true)]
    lr: Option<f64>,

    /// The network's rate as a part of it.
    #[arg(long, value_name = "F", help_heading = "Steps", allow_negative_numbers = true)]
    trunk_lr_factor: Option<f64>,

    /// Adam's decay of the mean of gradients.
    #[arg(long, value_name = "B", help_heading = "Steps", allow_negative_numbers = true)]
    beta1: Option<f64>,

    /// The probability that a squared difference is left out before the lin heads.
    #[arg(long, value_name = "P", help_heading = "Steps", allow_negative_numbers = true)]
    dropout: Option<f64>,

    /// published (every 1x1 convolution stays at 0 or above, as the published trainer has it) or heads.
    #[arg(long, value_name = "WHAT", help_heading = "Steps")]
    clamp: Option<String>,

    /// Longer gradients are shortened to this norm.
    #[arg(long, value_name = "NORM", help_heading = "Steps", allow_negative_numbers = true)]
    clip_norm: Option<f64>,

    /// Take roots as given and files by name, in each epoch.
    #[arg(long, help_heading = "Data")]
    no_shuffle: bool,

    /// none, safe or aggressive.
    #[arg(long, value_name = "PRESET", help_heading = "Data")]
    augment: Option<String>,

    /// Leave out what can't be read, with a line in the log.
    #[arg(long, help_heading = "Data")]
    skip_broken: bool,

    /// Pixels along a side, to which pictures are resized.
    #[arg(long, value_name = "PIXELS", help_heading = "Data", allow_negative_numbers = true)]
    size: Option<i64>,

    /// Decides orders, augmentation, dropout and what weights start from.
    #[arg(long, value_name = "N", help_heading = "Data", allow_negative_numbers = true)]
    seed: Option<i64>,

    /// auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    device: Option<String>,

    /// Threads of the CPU [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Threads that decode pictures.
    #[arg(long, value_name = "N", help_heading = "Machine", allow_negative_numbers = true)]
    workers: Option<i64>,

    /// The network in 16 bits: off, f16 or bf16.
    #[arg(long, value_name = "TYPE", help_heading = "Machine")]
    amp: Option<String>,

    /// Recompute activations in the backward pass rather than keep them.
    #[arg(long, help_heading = "Machine")]
    checkpoint_activations: bool,

    /// Keep what a frozen network sees on disk, so that it works in the first epoch only.
    #[arg(long, help_heading = "Machine")]
    cache_features: bool,

    /// Steps between checkpoints, beside those at the end of each epoch.
    #[arg(long, value_name = "N", help_heading = "Machine", allow_negative_numbers = true)]
    checkpoint_steps: Option<i64>,
}

impl Train {
    pub(crate) fn run(&self, quiet: bool) -> Result<()> {
        let start = self.start()?;
        let config = self.settings(&start)?;
        start_threads(self.threads)?;
        if config.data.train.is_empty() && !quiet {
            print(
                "This is a demonstration on built-in samples, which says nothing about people: \
                 give --data ROOT (BAPPS folders, or a list of ref, p0, p1, judge) to train on judgments.",
            )?;
        }
        if config.augment.values.independent && !config.augment.values.is_off() {
            tracing::warn!("each picture of a triplet is changed in its own way: judgments need not hold any more");
        }
        if !start.is_own && run_folder::holds_run(&start.out) {
            return Err(Failure::Error(format!(
                "{} holds a training already: go on with it by --resume, or name another folder with --out",
                start.out.display()
            )));
        }
        // Before there is anything to save, a signal ends the command at once.
        let (stop, saves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (asked, begun) = (stop.clone(), saves.clone());
        ctrlc::set_handler(move || {
            if !begun.load(Ordering::Relaxed) || asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            note("stopping after this step (once more: at once, without saving)");
        })
        .map_err(|error| Failure::Error(format!("signals can't be caught: {error}")))?;
        let device = &config.run.device;
        let choice: DeviceChoice =
            device.parse().map_err(|error| Failure::Error(format!("run.device is '{device}': {error}")))?;
        // A run that goes on has looked at every pixel before.
        let look = if start.resumes { CheckDepth::Headers } else { CheckDepth::Pixels };
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = "looking at the pictures {bar:24} {pos}/{len} triplets";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let splits = Splits::open(&config, look, &|count| match count {
            Some(count) => bar.inc_length(count as u64),
            None => bar.inc(1),
        });
        bar.finish_and_clear();
        let splits = splits?;
        let device = choice.open()?;
        let will_restore = start.checkpoint.is_some();
        let mut trainer = Trainer::new(config.clone(), splits, &Finder::default(), &device, will_restore)?;
        let cached = restore(&mut trainer, &start)?;
        let mut folder = RunFolder::open(&start.out, &config)?;
        if !quiet {
            plan(&trainer, &config);
        }
        saves.store(true, Ordering::Relaxed);

        let bar = progress(&trainer, quiet);
        let ended = trainer.run(&mut folder, &cached, &stop, &mut |event| tell(event, &bar, quiet));
        bar.finish_and_clear();
        match ended? {
            Outcome::Stopped => {
                note(&format!("stopped; go on with: lpips-train --resume --out {}", start.out.display()));
                Err(Failure::Stopped)
            }
            Outcome::Complete => summary(&folder, &trainer),
        }
    }

    /// Where the run is or is to be, and what it goes on from.
    fn start(&self) -> Result<Start> {
        let named = |out: &Path| self.out.clone().unwrap_or_else(|| out.to_path_buf());
        let default = Path::new("lpips-training");
        let Some(resume) = &self.resume else {
            return Ok(Start { out: named(default), settings: None, checkpoint: None, resumes: false, is_own: false });
        };
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| Failure::Error(format!("{}: {error}", path.display())))
        };
        let given = Path::new(resume);
        let resume = if resume.is_empty() { given.to_path_buf() } else { absolute(given)? };
        // A checkpoint lies in a folder of the run's.
        let (run, checkpoint) = if resume.is_file() {
            (resume.parent().and_then(Path::parent).map(Path::to_path_buf), Some(resume.clone()))
        } else {
            let run = if resume.as_os_str().is_empty() { named(default) } else { resume };
            let latest = run_folder::latest_checkpoint(&run);
            (Some(run), Some(latest).filter(|latest| latest.exists()))
        };
        let run = run.unwrap_or_default();
        let settings = Some(run.join(run_folder::CONFIG)).filter(|settings| settings.is_file());
        let says_what = !self.data.is_empty() || self.config.is_some();
        if settings.is_none() && !says_what {
            return Err(Failure::Error(format!(
                "{} holds no training to go on with: expected the {} that a run writes; name the run's folder, or start one \
                 without --resume",
                run.display(),
                run_folder::CONFIG
            )));
        }
        let out = named(&run);
        let is_own = absolute(&out)? == absolute(&run)?;
        Ok(Start { out, settings, checkpoint, resumes: true, is_own })
    }

    /// The defaults, under what the run was started with where it goes on, under a settings file, under flags.
    fn settings(&self, start: &Start) -> Result<Config> {
        let mut layers = Vec::new();
        if let Some(earlier) = &start.settings {
            layers.push((earlier.display().to_string(), lpips_train::config::read(earlier)?));
        }
        let before = layers.clone();
        if let Some(file) = &self.config {
            layers.push((file.display().to_string(), lpips_train::config::read(file)?));
        }
        let flags = toml::to_string(&self.flags()).map_err(|error| Failure::Error(error.to_string()))?;
        layers.push(("the command line".to_string(), flags));
        let merged = |layers: &[(String, String)]| {
            let mut config = Config::merged(layers.iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
            config.make_absolute().map(|()| config)
        };
        let config = merged(&layers)?;
        if !before.is_empty() {
            for difference in lpips_train::config::differences(&merged(&before)?, &config)? {
                tracing::warn!("other than when the run began: {difference}");
            }
        }
        Ok(config)
    }

    /// The flags that were given, as settings.
    fn flags(&self) -> Table {
        let mut table = Table::new();
        let mut set = |group: &str, key: &str, value: Option<Value>| {
            if let Some(value) = value {
                let group = table.entry(group).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(group) = group {
                    group.insert(key.to_string(), value);
                }
            }
        };
        let paths = |paths: &[PathBuf]| {
            let path = |path: &PathBuf| Value::String(path.display().to_string());
            (!paths.is_empty()).then(|| Value::Array(paths.iter().map(path).collect()))
        };
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let yes = |given: bool, value: bool| given.then_some(Value::Boolean(value));
        let integer = |value: Option<i64>| value.map(Value::Integer);
        let float = |value: Option<f64>| value.map(Value::Float);
        set("data", "train", paths(&self.data));
        set("data", "val", paths(&self.val));
        set("data", "size", integer(self.size));
        set("data", "shuffle", yes(self.no_shuffle, false));
        set("data", "skip_broken", yes(self.skip_broken, true));
        set("data", "workers", integer(self.workers));
        set("augment", "preset", text(&self.augment));
        set("model", "net", text(&self.net));
        set("model", "phase", text(&self.phase));
        let taps = self.taps.iter().cloned().map(Value::String).collect();
        set("model", "taps", (!self.taps.is_empty()).then_some(Value::Array(taps)));
        set("model", "init", paths(&self.init));
        set("model", "loss", text(&self.loss));
        set("model", "dropout", float(self.dropout));
        set("model", "clamp", text(&self.clamp));
        set("optimizer", "lr", float(self.lr));
        set("optimizer", "trunk_lr_factor", float(self.trunk_lr_factor));
        set("optimizer", "beta1", float(self.beta1));
        set("optimizer", "accumulate", integer(self.accumulate));
        set("optimizer", "clip_norm", float(self.clip_norm));
        set("optimizer", "schedule", text(&self.schedule));
        set("optimizer", "epochs", integer(self.epochs));
        set("optimizer", "decay_epochs", integer(self.decay_epochs));
        set("run", "batch", integer(self.batch));
        set("run", "seed", integer(self.seed));
        set("run", "device", text(&self.device));
        set("run", "amp", text(&self.amp));
        set("run", "checkpoint_activations", yes(self.checkpoint_activations, true));
        set("run", "cache_features", yes(self.cache_features, true));
        set("run", "checkpoint_steps", integer(self.checkpoint_steps));
        table
    }
}

/// Where a run starts.
struct Start {
    /// Its folder.
    out: PathBuf,
    /// The settings of a run that is gone on with.
    settings: Option<PathBuf>,
    checkpoint: Option<PathBuf>,
    resumes: bool,
    /// Whether the folder is that of the run that is gone on with.
    is_own: bool,
}

/// Goes on where `--resume` says; the triplets whose features are kept.
fn restore(trainer: &mut Trainer, start: &Start) -> Result<Vec<u32>> {
    let Some(path) = &start.checkpoint else {
        if start.resumes {
            note("there is no checkpoint yet: starting from the beginning");
        }
        return Ok(Vec::new());
    };
    let checkpoint = Checkpoint::load(path)?;
    // They lie in the folder of the run that the checkpoint is of.
    let cached = if start.is_own { checkpoint.cached.clone() } else { Vec::new() };
    trainer.restore(checkpoint, path)?;
    Ok(cached)
}

/// Says what is going to be done.
fn plan(trainer: &Trainer, config: &Config) {
    let counts = trainer.judgments().counts();
    for (folder, count) in counts.iter().filter(|_| !config.data.train.is_empty()) {
        note(&format!("{count:>8} triplets  {folder}"));
    }
    let triplets: usize = counts.iter().map(|(_, count)| count).sum();
    let (position, steps) = (trainer.position(), trainer.total_steps());
    let from = match position.step {
        0 => String::new(),
        taken => format!(", of which {taken} are taken"),
    };
    note(&format!(
        "training {} in the phase {} on {triplets} triplets: {} epochs, {steps} steps{from}",
        config.model.net,
        config.model.phase,
        config.schedule().total_epochs()
    ));
}

fn progress(trainer: &Trainer, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(trainer.total_steps());
    let style = "{bar:24} {pos}/{len} {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(trainer.position().step);
    bar.reset_eta();
    bar
}

/// Lines that a run prints about its steps where there is no terminal.
const LINES: u64 = 20;

fn tell(event: &Event<'_>, bar: &ProgressBar, quiet: bool) {
    match event {
        Event::Step(step, triplets) => {
            bar.set_position(step.step);
            let rate = bar.per_sec() * *triplets as f64;
            let line = format!(
                "epoch {}, loss {:.4}, accuracy {:.3}, {rate:.0} triplets/s",
                step.epoch, step.loss, step.accuracy
            );
            // Where nobody sees the bar, a line now and then.
            let total = bar.length().unwrap_or_default();
            if !quiet && bar.is_hidden() && step.step.is_multiple_of((total / LINES).max(1)) {
                note(&format!("step {} of {total}: {line}", step.step));
            }
            bar.set_message(line);
        }
        Event::Skipped(skip) => {
            let why = match skip.skipped {
                SkipReason::Overflow => "a gradient did not fit into 16 bits, and the loss is scaled less from now on",
                SkipReason::Broken => "no picture of it could be read",
            };
            bar.suspend(|| tracing::warn!("step {} was left out: {why}", skip.step));
        }
        Event::Scored(_) if quiet => {}
        Event::Scored(score) => {
            let line = format!("after epoch {}: 2AFC {:.4} on the held-out triplets", score.epoch, score.score);
            bar.suspend(|| note(&line));
        }
        Event::Saved(path) => tracing::debug!("saved {}", path.display()),
    }
}

/// Prints how it went.
fn summary(folder: &RunFolder, trainer: &Trainer) -> Result<()> {
    if let Some(last) = folder.steps()?.last() {
        print(&format!("loss {:.4} and accuracy {:.3} in the last of {} steps", last.loss, last.accuracy, last.step))?;
    }
    match trainer.position().skipped {
        0 => {}
        1 => print("1 step was left out: the log says why")?,
        skipped => print(&format!("{skipped} steps were left out: the log says why"))?,
    }
    let scores = folder.validations()?;
    if let (Some(first), Some(last)) = (scores.first(), scores.last()) {
        let (first, last, most) = (first.score, last.score, last.ceiling);
        let most = if most < 1.0 { format!("; {most:.4} is the most, as judgments differ") } else { String::new() };
        print(&format!("2AFC on the held-out triplets: {first:.4} at first, {last:.4} now{most}"))?;
    }
    let model = folder.path().join(run_folder::MODEL);
    print(&format!("wrote {}: lpips compare --weights {} A.png B.png", model.display(), model.display()))
}

/// Starts the threads that the CPU's operators share; says how many there are.
pub(crate) fn start_threads(threads: Option<u16>) -> Result<usize> {
    Ok(lpips_core::device::start_threads(threads.map(usize::from))?)
}
