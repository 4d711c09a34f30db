//! `lpips eval`: scores metrics against human judgments.

mod compare;
mod folds;
mod report;
mod score;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use clap::{Args, Subcommand, ValueEnum};
use lpips_core::device::{self, DeviceChoice};
use lpips_data::{JudgmentSet, Split, synth};
use lpips_eval::measure::{MeasureOptions, measure};
use lpips_eval::metric::Metric;
use lpips_eval::results::Results;
use lpips_eval::statistics::Bootstrap;

use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

/// Score metrics against human judgments, and test which metric agrees better with them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    #[command(name = "2afc")]
    TwoAfc(Box<score::TwoAfc>),
    Jnd(Box<score::Jnd>),
    Compare(Box<compare::Compare>),
}

impl Eval {
    pub(crate) fn run(&self) -> Result {
        match &self.action {
            Action::TwoAfc(command) => command.run(),
            Action::Jnd(command) => command.run(),
            Action::Compare(command) => command.run(),
        }
    }
}

const EXAMPLES: &str = "Examples:
  lpips eval 2afc --data bapps --metric alex,vgg,l2
  lpips eval jnd --data bapps --metric alex,vgg,l2
  lpips eval compare alex vgg --data bapps";

/// The names of metrics, for help.
const METRICS: &str = "Metrics: alex, vgg, squeeze, with -0.0 (the first version) or -baseline (no lin heads) after them; l2, psnr, \
    dssim (or ssim), l2-lab, dssim-lab (or ssim-lab); a model.safetensors that lpips-train has written; or NET=FILE for weights from elsewhere.";

/// Flags of pictures and of the measurement.
#[derive(Debug, Args)]
struct Pictures {
    /// The half of BAPPS roots to score.
    #[arg(long, value_name = "HALF", default_value = "val", requires = "data")]
    split: Half,

    /// Pixels along a side that pictures are resized to.
    #[arg(long, value_name = "PIXELS", default_value_t = 64, requires = "data",
        value_parser = clap::value_parser!(u16).range(1..=2048))]
    size: u16,

    /// Skip pictures that can't be read, with a warning for each.
    #[arg(long, requires = "data")]
    skip_broken: bool,

    /// Triplets or pairs in a batch [default: 50, and fewer of large pictures].
    #[arg(long, value_name = "N", requires = "data", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,

    /// The device: auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "auto", requires = "data")]
    device: DeviceChoice,

    /// Threads on the CPU [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// The halves of BAPPS.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Half {
    /// The validation half, on which scores are published.
    Val,
    /// The training half, on which the published heads were trained.
    Train,
}

impl Pictures {
    fn open<const N: usize>(&self, roots: &[PathBuf]) -> Result<Arc<JudgmentSet<N>>> {
        let split = match self.split {
            Half::Val => Split::Val,
            Half::Train => Split::Train,
        };
        for root in roots.iter().filter(|root| synth::is_labelled(root)) {
            let root = root.display();
            output::note(&format!("the labels of {root} are synthetic: scores on them say nothing about people"));
        }
        let bar = output::bar("checking pictures");
        let set = JudgmentSet::open_usable(roots, split, self.skip_broken, &|count| match count {
            Some(count) => bar.inc_length(count as u64),
            None => bar.inc(1),
        });
        bar.finish_and_clear();
        Ok(Arc::new(set?))
    }

    /// Measures all distances with a progress bar, until they are complete or Ctrl-C stops the run.
    fn measure<const N: usize>(
        &self,
        roots: &[PathBuf],
        metrics: &[Metric],
        details: Option<&Path>,
    ) -> Result<Results> {
        let set = self.open::<N>(roots)?;
        let stop = stop_flag("stopping after these pictures (once more: at once)")?;
        let bar = output::bar("measuring");
        bar.set_length(set.items.len() as u64);
        let results =
            measure(&set, metrics, self.options(), details, &stop, &mut |count| bar.set_position(count as u64));
        bar.finish_and_clear();
        results?.ok_or_else(|| {
            output::note(match details {
                Some(_) => "stopped; the same command resumes",
                None => "stopped; with --details FILE the same command would resume",
            });
            Failure::Stopped
        })
    }

    fn options(&self) -> MeasureOptions {
        let (own, size) = (MeasureOptions::default(), usize::from(self.size));
        // As many pixels in a batch as at the default size.
        let usual = (own.batch * own.size * own.size / (size * size)).clamp(1, own.batch);
        MeasureOptions { size, batch: self.batch.map_or(usual, usize::from), ..own }
    }

    fn device(&self) -> Result<Device> {
        device::start_threads(self.threads.map(usize::from))?;
        Ok(self.device.open()?)
    }
}

/// Flags of bootstrap intervals.
#[derive(Debug, Args)]
struct Intervals {
    /// The confidence level of intervals.
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0, value_parser = percent)]
    level: f64,

    /// Bootstrap resamples of an interval.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    resamples: u32,

    /// The seed of the resamples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl Intervals {
    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { level: self.level / 100.0, resamples: self.resamples as usize, seed: self.seed }
    }
}

fn percent(given: &str) -> std::result::Result<f64, String> {
    let value = given.parse().ok().filter(|value: &f64| *value > 0.0 && *value < 100.0);
    value.ok_or_else(|| "expected a number between 0 and 100".into())
}
