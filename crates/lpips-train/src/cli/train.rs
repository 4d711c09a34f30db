//! `lpips-train`: a training.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use lpips_core::DeviceChoice;
use lpips_data::CheckDepth;
use lpips_terminal::progress::{ProgressBar, finder, styled};
use lpips_terminal::signal::{STOPPED, on_signal};
use lpips_terminal::{Failure, Result, ThreadArgs, line, note, plain};
use lpips_train::config::{Layer, differences};
use lpips_train::{Checkpoint, Config, Event, Outcome, RunFolder, SkipReason, Splits, Trainer, run_folder};

use super::OrFail;
use super::flags::Flags;

/// A training: settings, the run's folder, and the machine.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    flags: Flags,

    /// Folder of the run: logs, checkpoints and the model [default: lpips-training].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Resume a run from its latest checkpoint: that in the folder --out, in this folder, or of this checkpoint.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    resume: Option<OsString>,

    /// File of settings.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Machine")]
    threads: ThreadArgs,
}

impl Train {
    pub(crate) fn run(&self, quiet: bool) -> Result {
        let start = self.start()?;
        let config = self.settings(&start)?;
        self.threads.start()?;
        if config.data.train.is_empty() && !quiet {
            line(
                "This is a demonstration on built-in samples, which says nothing about people: \
                 give --data ROOT (BAPPS folders, or a list of ref, p0, p1, judge) to train on judgments.",
            )?;
        }
        if config.augment.independent && !config.augment.values().is_off() {
            tracing::warn!("each picture of a triplet is changed by a draw of its own: judgments need not hold then");
        }
        if !start.is_own && run_folder::holds_run(&start.out) {
            return Err(Failure::work(format!(
                "{} holds a training already: resume it with --resume, or name another folder with --out",
                start.out.display()
            )));
        }
        let (stop, saves) = signals()?;
        let device = &config.run.device;
        let choice: DeviceChoice =
            device.parse().map_err(|error| Failure::usage(format!("run.device is '{device}': {error}")))?;
        // A run that is resumed has decoded every picture before.
        let depth = if start.resumes { CheckDepth::Headers } else { CheckDepth::Pixels };
        let bar = styled("checking the pictures", "{msg} {bar:24} {pos}/{len} triplets");
        let splits = Splits::open(&config, depth, &|count| match count {
            Some(count) => bar.inc_length(count as u64),
            None => bar.inc(1),
        });
        bar.finish_and_clear();
        let splits = splits.or_fail()?;
        let device = choice.open()?;
        let will_restore = start.checkpoint.is_some();
        let mut trainer = Trainer::new(config.clone(), splits, &finder(), &device, will_restore).or_fail()?;
        let cached = restore(&mut trainer, &start)?;
        let mut folder = RunFolder::open(&start.out, &config).or_fail()?;
        if !quiet {
            print_plan(&trainer, &config);
        }
        saves.store(true, Ordering::Relaxed);

        let bar = progress(&trainer);
        let outcome = trainer.run(&mut folder, &cached, &stop, &mut |event| report(event, &bar, quiet));
        bar.finish_and_clear();
        match outcome.or_fail()? {
            Outcome::Stopped => {
                note(&format!("stopped; resume with: lpips-train --resume --out {}", start.out.display()));
                Err(Failure::Stopped)
            }
            Outcome::Complete => print_summary(&folder, &trainer),
        }
    }

    /// Finds the run's folder, and the settings and the checkpoint of a run that is resumed.
    fn start(&self) -> Result<Start> {
        let named = |out: &Path| self.out.clone().unwrap_or_else(|| out.to_path_buf());
        let default = Path::new("lpips-training");
        let Some(resume) = &self.resume else {
            return Ok(Start { out: named(default), settings: None, checkpoint: None, resumes: false, is_own: false });
        };
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| Failure::work(format!("{}: {error}", path.display())))
        };
        let given = Path::new(resume);
        let resume = if resume.is_empty() { given.to_path_buf() } else { absolute(given)? };
        // A checkpoint is two levels below the run's folder.
        let (run, checkpoint) = if resume.is_file() {
            (resume.parent().and_then(Path::parent).map(Path::to_path_buf), Some(resume.clone()))
        } else {
            let run = if resume.as_os_str().is_empty() { named(default) } else { resume };
            let latest = run_folder::latest_checkpoint(&run);
            (Some(run), Some(latest).filter(|latest| latest.exists()))
        };
        let run = run.unwrap_or_default();
        let settings = Some(run.join(run_folder::CONFIG)).filter(|settings| settings.is_file());
        let has_settings = self.flags.names_data() || self.config.is_some();
        if settings.is_none() && !has_settings {
            return Err(Failure::work(format!(
                "{} holds no training to resume: expected the {} that a run writes; name the run's folder, or start a run \
                 without --resume",
                run.display(),
                run_folder::CONFIG
            )));
        }
        let out = named(&run);
        let is_own = absolute(&out)? == absolute(&run)?;
        Ok(Start { out, settings, checkpoint, resumes: true, is_own })
    }

    /// Merges the settings of a run that is resumed, of a file and of flags over the defaults.
    fn settings(&self, start: &Start) -> Result<Config> {
        let merged = |layers: &[Layer]| {
            let mut config = Config::merged(layers.iter().cloned()).or_fail()?;
            config.make_absolute().or_fail().map(|()| config)
        };
        let mut layers = Vec::new();
        if let Some(earlier) = &start.settings {
            layers.push(Layer::read(earlier).or_fail()?);
        }
        let earlier = if layers.is_empty() { None } else { Some(merged(&layers)?) };
        if let Some(file) = &self.config {
            layers.push(Layer::read(file).or_fail()?);
        }
        layers.push(Layer::of("the command line", &self.flags).or_fail()?);
        let config = merged(&layers)?;
        if let Some(earlier) = earlier {
            for difference in differences(&earlier, &config).or_fail()? {
                tracing::warn!("other than when the run began: {difference}");
            }
        }
        Ok(config)
    }
}

/// The folder of a run, and the run that it resumes.
struct Start {
    out: PathBuf,
    /// The settings of the run that is resumed.
    settings: Option<PathBuf>,
    checkpoint: Option<PathBuf>,
    resumes: bool,
    /// Whether `out` is the folder of the run that is resumed.
    is_own: bool,
}

/// Installs the signal handler. Returns the flag that a signal sets, and the flag to set once there is anything to
/// save: a signal before that, and a second one after it, ends the command at once.
fn signals() -> Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    let (stop, saves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (stops, has_begun) = (stop.clone(), saves.clone());
    on_signal(move || {
        if !has_begun.load(Ordering::Relaxed) || stops.swap(true, Ordering::Relaxed) {
            std::process::exit(STOPPED);
        }
        note("stopping after this step (once more: at once, without saving)");
    })?;
    Ok((stop, saves))
}

/// Resumes the run that `--resume` names. Returns the numbers of the triplets whose features are cached.
fn restore(trainer: &mut Trainer, start: &Start) -> Result<Vec<u32>> {
    let Some(path) = &start.checkpoint else {
        if start.resumes {
            note("there is no checkpoint yet: starting from the beginning");
        }
        return Ok(Vec::new());
    };
    let checkpoint = Checkpoint::load(path).or_fail()?;
    // The cache is in the folder of the run that the checkpoint belongs to.
    let cached = if start.is_own { checkpoint.cached.clone() } else { Vec::new() };
    trainer.restore(checkpoint, path).or_fail()?;
    Ok(cached)
}

/// Prints the triplets and the steps of the run before it starts.
fn print_plan(trainer: &Trainer, config: &Config) {
    let counts = trainer.train_set().counts();
    for (folder, count) in counts.iter().filter(|_| !config.data.train.is_empty()) {
        plain(&format!("{count:>8} triplets  {folder}"));
    }
    let triplets: usize = counts.iter().map(|(_, count)| count).sum();
    let (position, steps) = (trainer.position(), trainer.total_steps());
    let taken = match position.step {
        0 => String::new(),
        taken => format!(", of which {taken} are done"),
    };
    plain(&format!(
        "training {} in the phase {} on {triplets} triplets: {} epochs, {steps} steps{taken}",
        config.model.net,
        config.model.phase,
        config.schedule().total_epochs()
    ));
}

fn progress(trainer: &Trainer) -> ProgressBar {
    let bar = styled("", "{bar:24} {pos}/{len} {msg}, {eta} left");
    bar.set_length(trainer.total_steps());
    bar.set_position(trainer.position().step);
    bar.reset_eta();
    bar
}

/// The number of lines about steps that a run prints where no progress bar is drawn.
const LINES: u64 = 20;

/// Prints an event of the run.
fn report(event: &Event<'_>, bar: &ProgressBar, quiet: bool) {
    match event {
        Event::Step(step, triplets) => {
            bar.set_position(step.step);
            let rate = bar.per_sec() * *triplets as f64;
            let line = format!(
                "epoch {}, loss {:.4}, accuracy {:.3}, {rate:.0} triplets/s",
                step.epoch, step.loss, step.accuracy
            );
            let total = bar.length().unwrap_or_default();
            if !quiet && bar.is_hidden() && step.step.is_multiple_of((total / LINES).max(1)) {
                plain(&format!("step {} of {total}: {line}", step.step));
            }
            bar.set_message(line);
        }
        Event::Skipped(skip) => {
            let reason = match skip.skipped {
                SkipReason::Overflow => "a gradient did not fit into 16 bits, and the loss is scaled less from now on",
                SkipReason::Broken => "no picture of it could be read",
            };
            bar.suspend(|| tracing::warn!("step {} was skipped: {reason}", skip.step));
        }
        Event::Scored(score) if !quiet => {
            let line = format!("after epoch {}: 2AFC {:.4} on the held-out triplets", score.epoch, score.score);
            bar.suspend(|| plain(&line));
        }
        Event::Saved(path) => tracing::debug!("saved {}", path.display()),
        _ => {}
    }
}

/// Prints the last loss, the scores and the model's file.
fn print_summary(folder: &RunFolder, trainer: &Trainer) -> Result {
    if let Some(last) = folder.steps().or_fail()?.last() {
        line(&format!("loss {:.4} and accuracy {:.3} in the last of {} steps", last.loss, last.accuracy, last.step))?;
    }
    match trainer.position().skipped {
        0 => {}
        1 => line("1 step was skipped: the log says why")?,
        skipped => line(&format!("{skipped} steps were skipped: the log says why"))?,
    }
    let scores = folder.validations().or_fail()?;
    if let (Some(first), Some(last)) = (scores.first(), scores.last()) {
        let (first, last, ceiling) = (first.score, last.score, last.ceiling);
        let ceiling =
            if ceiling < 1.0 { format!("; {ceiling:.4} is the ceiling, as people disagree") } else { String::new() };
        line(&format!("2AFC on the held-out triplets: {first:.4} at first, {last:.4} now{ceiling}"))?;
    }
    let model = folder.path().join(run_folder::MODEL);
    line(&format!("wrote {}: lpips compare --weights {} A.png B.png", model.display(), model.display()))
}
