//! `lpips eval 2afc` and `lpips eval jnd`: scores by dataset and metric.

use std::path::PathBuf;

use clap::Args;
use lpips_eval::page::PageContext;
use lpips_eval::results::Results;
use lpips_eval::table::rows;

use super::report::Report;
use super::{Intervals, METRICS, Pictures, folds};
use crate::command::metrics;
use crate::output::{Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips eval 2afc --data bapps --metric alex,vgg,l2,ssim
  lpips eval 2afc --data bapps --metric alex,run/model.safetensors --html report.html
  lpips eval 2afc --data bapps --details scores.jsonl   (after Ctrl-C the same command resumes)
  lpips eval 2afc --data mine --folds 5 --train tune.toml";

/// Score metrics on triplets, of which people chose the picture that is more similar to the reference (2AFC).
///
/// The score is the mean fraction of people who chose as the metric does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{METRICS}"))]
pub(crate) struct TwoAfc {
    #[command(flatten)]
    score: Score,

    /// The number of votes behind each judgment [default: as many as the judgments suggest].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    votes: Option<u32>,

    #[command(flatten)]
    folds: folds::Folds,
}

/// Score metrics on pairs, which people judged the same or not (just noticeable differences, JND).
///
/// The score is the mAP: the area under the precision-recall curve of the pairs that a metric calls the same.
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

    /// Write every distance to this file as it is measured (JSON lines); distances that it holds already are not
    /// measured again. Without --data the scores are of this file.
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
            details => {
                let metrics = metrics(&self.metrics, &self.pictures.device()?, None)?;
                self.pictures.measure::<N>(&self.data, &metrics, details.as_deref())?
            }
        };
        let expected = lpips_data::JudgmentSet::<N>::TASK;
        if results.header.kind != expected {
            let kind = results.header.kind;
            return Err(Failure::usage(format!("the results are of {kind}, not {expected}: use `lpips eval {kind}`")));
        }
        let bootstrap = self.intervals.bootstrap();
        self.report.write(
            &results,
            &rows(&results, &bootstrap, votes)?,
            PageContext { bootstrap, ..PageContext::default() },
        )
    }
}
