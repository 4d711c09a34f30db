//! `lpips eval 2afc` and `lpips eval jnd`

use std::path::PathBuf;

use clap::Args;
use lpips_train::eval::page::Beside;
use lpips_train::eval::results::Results;
use lpips_train::eval::run::measure;
use lpips_train::eval::table::rows;

use super::report::Report;
use super::{Intervals, METRICS, Pictures, folds, metrics};
use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips eval 2afc --data bapps --metric alex,vgg,l2,ssim
  lpips eval 2afc --data bapps --metric alex,run/model.safetensors --html report.html
  lpips eval 2afc --data bapps --details scores.jsonl   (Ctrl-C, and the same command goes on)
  lpips eval 2afc --data mine --folds 5 --train tune.toml";

/// Score metrics on triplets of which people chose the picture more like the reference.
///
/// A score is the mean share of people who chose as the metric does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{METRICS}"))]
pub(crate) struct TwoAfc {
    #[command(flatten)]
    score: Score,

    /// How many votes are behind each judgment [default: as many as the judgments suggest].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    votes: Option<u32>,

    #[command(flatten)]
    folds: folds::Folds,
}

/// Score metrics on pairs that people took for the same picture or not (just noticeable differences).
///
/// A score is the mAP: the area under the precision-recall curve of the pairs that a metric calls the same.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  lpips eval jnd --data bapps --metric alex,vgg,l2 --plots curves",
    after_long_help = format!("Example:\n  lpips eval jnd --data bapps --metric alex,vgg,l2 --plots curves\n\n{METRICS}")
)]
pub(crate) struct Jnd {
    #[command(flatten)]
    score: Score,
}

#[derive(Debug, Args)]
pub(super) struct Score {
    /// BAPPS roots, folders of triplets or pairs, or lists (.csv, .jsonl).
    #[arg(long, value_name = "ROOT", num_args = 1.., required_unless_present = "details")]
    pub(super) data: Vec<PathBuf>,

    /// The metrics to score.
    #[arg(long = "metric", value_name = "NAME,...", value_delimiter = ',', default_value = "alex", requires = "data")]
    pub(super) metrics: Vec<String>,

    /// Write every distance to this file as it is measured (JSON lines); what it holds already is not measured again. Without
    /// --data it is read back.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) details: Option<PathBuf>,

    #[command(flatten)]
    pub(super) pictures: Pictures,

    #[command(flatten)]
    pub(super) intervals: Intervals,

    #[command(flatten)]
    pub(super) report: Report,
}

impl TwoAfc {
    pub(crate) fn run(&self) -> Result {
        self.score.report.check()?;
        if let Some(k) = self.folds.k {
            return self.folds.run(k.into(), &self.score, self.votes);
        }
        self.score.run::<3>(self.votes)
    }
}

impl Jnd {
    pub(crate) fn run(&self) -> Result {
        self.score.report.check()?;
        self.score.run::<2>(None)
    }
}

impl Score {
    fn run<const N: usize>(&self, votes: Option<u32>) -> Result {
        let results = match &self.details {
            Some(details) if self.data.is_empty() => Results::read(details)?,
            _ => self.measure::<N>()?,
        };
        let expected = lpips_train::data::Judged::<N>::KIND;
        if results.header.kind != expected {
            let kind = results.header.kind;
            return Err(Failure::usage(format!("the results are of {kind}, not {expected}: use `lpips eval {kind}`")));
        }
        let bootstrap = self.intervals.bootstrap();
        self.report.write(&results, &rows(&results, &bootstrap, votes)?, Beside { bootstrap, ..Beside::default() })
    }

    fn measure<const N: usize>(&self) -> Result<Results> {
        let device = self.pictures.device()?;
        let metrics = metrics(&self.metrics, &device)?;
        let set = self.pictures.open::<N>(&self.data)?;
        let stop = stop_flag("stopping after these pictures (once more: at once)")?;
        let bar = output::bar("measuring");
        bar.set_length(set.items.len() as u64);
        let results = measure(&set, &metrics, self.pictures.options(), self.details.as_deref(), &stop, &mut |count| {
            bar.set_position(count as u64);
        });
        bar.finish_and_clear();
        results?.ok_or_else(|| {
            output::note(match self.details {
                Some(_) => "stopped; the same command goes on",
                None => "stopped; with --details FILE the same command would go on",
            });
            Failure::Stopped
        })
    }
}
