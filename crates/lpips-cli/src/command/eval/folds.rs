//! `lpips eval 2afc --folds`: cross-validation.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lpips_core::weights::Finder;
use lpips_data::Task;
use lpips_eval::folds::{folds, split};
use lpips_eval::measure::measure;
use lpips_eval::metric::Metric;
use lpips_eval::page::PageContext;
use lpips_eval::results::{Header, Results};
use lpips_eval::statistics::moments;
use lpips_eval::table::{ScoreRow, rows};
use lpips_train::config::Layer;
use lpips_train::cross_validation::train;
use lpips_train::{Config, Event};

use super::score::Score;
use crate::command::metrics;
use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

/// Flags of cross-validation.
#[derive(Debug, Args)]
pub(super) struct Folds {
    /// Train on all but one of K folds of the data and score that one, for each fold in turn; triplets of a reference
    /// share a fold.
    #[arg(id = "folds", long, value_name = "K", requires = "data", help_heading = "Cross-validation",
        value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(super) k: Option<u16>,

    /// The settings of the trainings: a file of lpips-train.
    #[arg(long, value_name = "FILE.toml", requires = "folds", help_heading = "Cross-validation")]
    train: Option<PathBuf>,

    /// The folder of the trainings; an interrupted run in it is resumed.
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "folds",
        default_value = "lpips-folds",
        help_heading = "Cross-validation"
    )]
    out: PathBuf,
}

/// The name of the trained metric.
const TRAINED: &str = "trained";

impl Folds {
    pub(super) fn run(&self, k: usize, score: &Score, votes: Option<u32>) -> Result {
        let device = score.pictures.device()?;
        let others = metrics(&score.metrics, &device, None)?;
        let set = score.pictures.open::<3>(&score.data)?;
        let (config, options) = (self.config(score)?, score.pictures.options());
        let folds = folds(&set, k, score.intervals.seed)?;
        let mut header = Header::new(&set, &others, options.size, score.details.is_some())?;
        header.metrics.insert(0, TRAINED.to_string());
        let by = (config.digest().map_err(failure)?, score.intervals.seed);
        header.identities.insert(0, format!("{TRAINED} in {k} folds by {}, seed {}", by.0, by.1));
        if let Some(details) = &score.details {
            header.check_file(details)?;
        }
        let stop = stop_flag("stopping after this step (once more: at once)")?;
        let stopped = || {
            output::note("stopped; the same command resumes");
            Failure::Stopped
        };
        let (finder, bootstrap) = (Finder::default(), score.intervals.bootstrap());
        let mut whole = Results::empty(&set, header);
        let mut scores = Vec::new();
        for (number, fold) in (1..).zip(&folds) {
            let (held, rest) = split(&set, fold);
            let bar = output::bar(&format!("fold {number} of {k}: training"));
            let out = self.out.join(format!("fold-{number}"));
            let lpips = train(&config, rest, &out, (&finder, &device), &stop, &mut |event, steps| {
                bar.set_length(steps);
                if let Event::Step(step, _) = event {
                    bar.set_position(step.step);
                }
            });
            bar.finish_and_clear();
            let own = [&[Metric::trained(TRAINED, lpips.map_err(failure)?.ok_or_else(stopped)?)], &others[..]].concat();
            let results = measure(&Arc::new(held), &own, options, None, &stop, &mut |_| ())?;
            let results = results.ok_or_else(stopped)?;
            // The last row is over all datasets where there are several.
            let row = rows(&results, &bootstrap, votes)?.into_iter().rev().find(|row| row.metric == TRAINED);
            scores.extend(row.map(|row| ScoreRow { dataset: format!("fold {number}"), ..row }));
            for (at, record) in fold.iter().zip(results.records) {
                whole.records[*at].distances = record.distances;
            }
        }
        if let Some(details) = &score.details {
            whole.write(details)?;
        }
        let (mean, deviation) = moments(&scores.iter().map(|row| row.score).collect::<Vec<_>>())?;
        let note = format!("Of {k} folds the mean is {mean:.4} and the standard deviation {deviation:.4}.");
        let rows = [rows(&whole, &bootstrap, votes)?, scores].concat();
        score.report.write(&whole, &rows, PageContext { bootstrap, note: &note, ..PageContext::default() })?;
        if score.report.json {
            let row = serde_json::json!({
                "kind": Task::TwoAfc, "dataset": "folds", "metric": TRAINED, "score": mean, "deviation": deviation, "n": k,
            });
            output::line(&row.to_string())
        } else if score.report.csv {
            output::note(&note);
            Ok(())
        } else {
            output::line(&note)
        }
    }

    fn config(&self, score: &Score) -> Result<Config> {
        let size = score.pictures.options().size;
        let mut layers = vec![Layer::of("--size", &serde_json::json!({"data": {"size": size}})).map_err(failure)?];
        if let Some(file) = &self.train {
            layers.push(Layer::read(file).map_err(failure)?);
        }
        let name = self.train.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let mut config = Config::merged(layers).map_err(failure)?;
        if config.data.size != size {
            let own = config.data.size;
            let message = format!("{name} trains at {own} pixels a side, and --size {size} scores: expected one size");
            return Err(Failure::usage(message));
        }
        config.data.train.clone_from(&score.data);
        config.data.val.clear();
        config.make_absolute().map_err(failure)?;
        Ok(config)
    }
}

/// A training's error as the command's.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failure(error: lpips_train::Error) -> Failure {
    Failure::of(&error, error.is_usage())
}
