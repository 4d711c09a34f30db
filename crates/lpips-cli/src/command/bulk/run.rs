//! Runs over many pairs on a terminal: rows, failures, summary and report as they are printed.

use std::path::Path;
use std::sync::Arc;

use lpips_bulk::report::{Options as ReportOptions, PictureSource};
use lpips_bulk::results::schema::{Columns, Row};
use lpips_bulk::results::summary::Totals;
use lpips_bulk::run::{Destination, Emit, Existing, RowEvent, RunPlan, RunSummary};
use lpips_bulk::source::pair::Pair;
use lpips_bulk::video::FrameSeeker;
use lpips_terminal::progress::ProgressBar;
use serde_json::{Map, Value};

use super::options::{Form, Options, PairPattern};
use super::report;
use super::{lines, summary};
use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

/// Failed rows that are printed one by one.
const PRINTED_FAILURES: u64 = 10;

/// Callback of a command for each row.
pub(super) type Each<'a> = &'a mut (dyn FnMut(&Row) -> Result<Emit> + 'a);

/// The pairs of a command and what they have in common.
pub(super) struct Task<'a> {
    pub(super) command: &'static str,
    /// Settings that name the pairs, for the run file.
    pub(super) settings: Map<String, Value>,
    /// Number of pairs, if it is known.
    pub(super) total: Option<u64>,
    pub(super) triplets: bool,
    pub(super) pattern: PairPattern,
    /// The folder that heat maps' names leave out, if candidates' names are unique.
    pub(super) map_prefix: Option<&'a Path>,
    /// Of pairs that are frames of two videos, a way back to them.
    pub(super) video: Option<FrameSeeker>,
    pub(super) each: Option<Each<'a>>,
}

impl Task<'_> {
    /// Names of the compared files and folders, for the report's subtitle.
    fn about(&self) -> String {
        let of = |name: &str| self.settings.get(name).and_then(Value::as_str);
        ["REFERENCE", "CANDIDATE", "DIR", "LIST"].into_iter().filter_map(of).collect::<Vec<_>>().join(" and ")
    }
}

/// The end of a run: its statistics, and what decides the exit code.
pub(super) struct Ending {
    pub(super) totals: Totals,
    failed: bool,
    above: bool,
}

impl Ending {
    /// The command's result, which decides its exit code.
    pub(super) fn result(&self) -> Result {
        match (self.above, self.failed) {
            (true, _) => Err(Failure::Above),
            (_, true) => Err(Failure::Work(None)),
            _ => Ok(()),
        }
    }
}

impl Options {
    /// Measures pairs and prints rows, failures and the summary; writes the report.
    pub(super) fn run(
        &self,
        task: Task<'_>,
        pairs: impl Iterator<Item = lpips_bulk::Result<Pair>> + Send + 'static,
    ) -> Result<Ending> {
        let pipeline = Arc::new(self.pipeline(task.pattern, task.map_prefix)?);
        let plan = self.plan(&task);
        let stop = stop_flag(match &self.out {
            Some(_) => "stopping after these pictures; --resume continues (once more: at once)",
            None => "stopping after these pictures (once more: at once)",
        })?;
        let mut printer = Printer {
            columns: pipeline.columns(task.triplets),
            prints_rows: self.form() == Form::Text,
            each: task.each,
            bar: output::pairs_bar("measuring", task.total.map(|total| plan.shard.rows_of(total))),
            failures: 0,
            is_resuming: false,
        };
        let run = plan.execute(&pipeline, pairs, &stop, &mut |event| printer.row(event));
        printer.bar.finish_and_clear();
        let run = run?;
        if run.is_stopped {
            output::note(if self.out.is_some() { "stopped; --resume continues" } else { "stopped" });
            return Err(Failure::Stopped);
        }
        self.print_end(&run, task.video.is_some())?;
        if let (Some(report), Some(path)) = (&run.report, &self.report) {
            let metric = pipeline.metrics().iter().find(|metric| metric.lpips().is_some());
            let source = PictureSource { options: pipeline.options().clone(), video: task.video, root: None };
            report::write(report, path, metric, source)?;
        }
        Ok(Ending { failed: run.has_failures(), above: run.is_above(), totals: run.totals })
    }

    /// The plan of a run over the pairs of a command.
    fn plan(&self, task: &Task<'_>) -> RunPlan {
        let existing = match (self.resume, self.overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        };
        let mut plan = RunPlan {
            settings: task.settings.clone(),
            total: task.total,
            triplets: task.triplets,
            shard: self.shard.unwrap_or_default(),
            destination: match (self.form(), &self.out) {
                (Form::Text, _) => Destination::Caller,
                (Form::Rows(format), None) => Destination::StandardOutput(format),
                (Form::Rows(format), Some(path)) => Destination::File { path: path.clone(), format, existing },
            },
            strict: self.strict,
            fail_above: self.fail_above,
            report: self.report.as_ref().map(|_| ReportOptions {
                title: format!("lpips {}", task.command),
                about: task.about(),
                timeline: task.video.is_some(),
                ..ReportOptions::default()
            }),
            ..RunPlan::new(task.command)
        };
        self.add_settings(|name, value| drop(plan.settings.insert(name.to_string(), value)));
        plan
    }

    /// Prints the summary, the rows above the threshold and the failures that were not printed before.
    fn print_end(&self, run: &RunSummary, is_video: bool) -> Result {
        let more = run.new_failures.saturating_sub(PRINTED_FAILURES);
        if more > 0 {
            let reasons = if self.form() == Form::Text { "" } else { "; their rows give the reasons" };
            output::error(&format!("{more} more pairs failed{reasons}"));
        }
        summary::print(&run.totals, self.is_for_programs(), is_video)?;
        if let Some(threshold) = run.threshold.as_ref().filter(|_| run.is_above()) {
            lines::print_violations(threshold);
        }
        let maps = &run.map_failures;
        if let Some(first) = maps.reasons.first() {
            output::error(&format!("{} heat maps could not be written; the first: {first}", maps.count));
        }
        Ok(())
    }
}

/// Prints rows and failures as they come.
struct Printer<'a> {
    columns: Columns,
    /// Whether rows are printed as text.
    prints_rows: bool,
    each: Option<Each<'a>>,
    bar: ProgressBar,
    failures: u64,
    is_resuming: bool,
}

impl Printer<'_> {
    fn row(&mut self, RowEvent { row, is_resumed }: RowEvent<'_>) -> Result<Emit> {
        if self.is_resuming && !is_resumed {
            // Resumed rows say nothing about the time that the others take.
            self.bar.reset_eta();
        }
        self.is_resuming = is_resumed;
        self.bar.inc(1);
        let emit = self.each.as_mut().map_or(Ok(Emit::Write), |each| each(row))?;
        if is_resumed {
            return Ok(emit);
        }
        if let Err(reason) = &row.outcome {
            self.failures += 1;
            if self.failures <= PRINTED_FAILURES {
                self.bar.suspend(|| output::error(reason));
            }
        }
        if emit == Emit::Write
            && self.prints_rows
            && let Some(line) = lines::row(&self.columns, row)
        {
            self.bar.suspend(|| output::line(&line))?;
        }
        Ok(emit)
    }
}
