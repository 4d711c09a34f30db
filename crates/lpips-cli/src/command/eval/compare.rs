//! `lpips eval compare`: paired significance tests between metrics.

use std::path::{Path, PathBuf};

use clap::Args;
use lpips_eval::compare::{ScoreDifference, differences};
use lpips_eval::page::{PageContext, effect_size, p_value};
use lpips_eval::results::Results;
use lpips_eval::table;

use super::report::{self, Report};
use super::{Intervals, METRICS, Pictures};
use crate::command::metrics;
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips eval compare alex run/model.safetensors --data bapps
  lpips eval compare alex.jsonl mine.jsonl --alpha 0.01   (results of lpips eval 2afc --details)";

/// Test whether metrics differ significantly in their agreement with human judgments.
///
/// The first metric is compared with each other one on the 2AFC scores of the same triplets: the difference with its
/// bootstrap interval, the effect (the mean difference in standard deviations), Student's paired t and Wilcoxon's
/// signed-rank test, two-sided and with Holm's correction for all comparisons.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{METRICS}"))]
pub(crate) struct Compare {
    /// Metrics, measured on --data, or files that `lpips eval 2afc --details` has written.
    #[arg(required = true, value_name = "METRIC")]
    metrics: Vec<String>,

    /// BAPPS roots, folders of triplets, or lists (.csv, .jsonl).
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    data: Vec<PathBuf>,

    /// The significance level: a metric is called better where p (t) is below it.
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = probability)]
    alpha: f64,

    /// Write every distance to this file as it is measured (JSON lines); distances that it holds already are not
    /// measured again.
    #[arg(long, value_name = "FILE.jsonl", requires = "data")]
    details: Option<PathBuf>,

    #[command(flatten)]
    pictures: Pictures,

    #[command(flatten)]
    intervals: Intervals,

    #[command(flatten)]
    report: Report,
}

fn probability(given: &str) -> std::result::Result<f64, String> {
    let value = given.parse().ok().filter(|value: &f64| *value > 0.0 && *value < 1.0);
    value.ok_or_else(|| "expected a number between 0 and 1".into())
}

impl Compare {
    pub(crate) fn run(&self) -> Result {
        self.report.check()?;
        let results = if self.data.is_empty() { self.read()? } else { self.measure()? };
        let bootstrap = self.intervals.bootstrap();
        let found = differences(&results, &bootstrap)?;
        match (self.report.json, self.report.csv) {
            (true, _) => output::json(&found)?,
            (_, true) => report::csv(&found)?,
            _ => self.print(&found)?,
        }
        let rows = table::rows(&results, &bootstrap, None)?;
        self.report.files(&results, &rows, PageContext { bootstrap, differences: &found, alpha: self.alpha, note: "" })
    }

    fn read(&self) -> Result<Results> {
        let is_file = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "jsonl");
        if let Some(name) = self.metrics.iter().find(|name| !is_file(name)) {
            return Err(Failure::usage(format!(
                "{name} is no file of results (.jsonl): give --data ROOT to measure metrics, or files that `lpips eval 2afc --details` \
                 has written"
            )));
        }
        let mut all: Vec<Results> =
            self.metrics.iter().map(|name| Results::read(Path::new(name))).collect::<lpips_eval::Result<_>>()?;
        // Metrics of one name are distinguished by their files.
        let identities: Vec<(String, String)> = all
            .iter()
            .flat_map(|results| results.header.metrics.iter().cloned().zip(results.header.identities.iter().cloned()))
            .collect();
        for (results, file) in all.iter_mut().zip(&self.metrics) {
            let header = &mut results.header;
            for (metric, identity) in header.metrics.iter_mut().zip(&header.identities) {
                if identities.iter().any(|(name, other)| name == metric && other != identity) {
                    *metric = format!("{metric} ({file})");
                }
            }
        }
        let (first, others) = all.split_first().ok_or_else(|| Failure::usage("no results were given"))?;
        Ok(others.iter().try_fold(first.clone(), Results::joined)?)
    }

    fn measure(&self) -> Result<Results> {
        let metrics = metrics(&self.metrics, &self.pictures.device()?, None)?;
        if metrics.len() < 2 {
            return Err(Failure::usage(format!("{} was given alone: name another metric", metrics[0].name())));
        }
        self.pictures.measure::<3>(&self.data, &metrics, self.details.as_deref())
    }

    fn print(&self, found: &[ScoreDifference]) -> Result {
        let head = ["dataset", "n", "A", "B", "B - A", "interval", "effect", "p (t)", "p (Wilcoxon)", ""];
        let mut lines = vec![head.map(String::from).to_vec()];
        for d in found {
            let verdict = match d.better(self.alpha) {
                Some(better) => format!("{better} is better"),
                None => "no difference is shown".to_string(),
            };
            lines.push(vec![
                d.dataset.clone(),
                d.n.to_string(),
                format!("{:.4}", d.score_a),
                format!("{:.4}", d.score_b),
                format!("{:+.4}", d.difference),
                format!("{:+.4} to {:+.4}", d.low, d.high),
                effect_size(d.effect),
                p_value(Some(d.t_p_holm).filter(|_| d.t.is_finite())),
                p_value(d.wilcoxon_p_holm),
                format!("A {}, B {}: {verdict}", d.a, d.b),
            ]);
        }
        report::table_lines(lines)?;
        let count = match found.len() {
            1 => "1 comparison".to_string(),
            count => format!("{count} comparisons"),
        };
        let alpha = self.alpha;
        output::line(&format!(
            "Two-sided paired tests; p with Holm's correction for {count}; called better at p (t) < {alpha}."
        ))
    }
}
