//! Measures many pairs and tells what comes out: rows, a summary, a report.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lpips_bulk::pipeline::{self, Ended, Work};
use lpips_bulk::report::{self, PictureSource};
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::results::schema::{Columns, Row};
use lpips_bulk::results::summary::{Summary, Totals};
use lpips_bulk::results::threshold::Threshold;
use lpips_bulk::results::writer::{self as rows, ResultsWriter};
use lpips_bulk::source::pair::Pair;
use lpips_bulk::source::shard::Shard;
use lpips_bulk::video::FrameSeeker;
use lpips_terminal::progress::ProgressBar;
use serde_json::{Map, Value};

use super::options::{Form, Meetings, Options};
use super::{lines, summary};
use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

/// Errors of rows that are told one by one.
const TOLD: u64 = 10;

/// What a command does with each row.
pub(super) type Each<'a> = &'a mut (dyn FnMut(&Row) -> Result<Told> + 'a);

/// What a command measures.
pub(super) struct Task<'a> {
    pub(super) command: &'static str,
    /// What names its pairs, as run files have it.
    pub(super) named: Map<String, Value>,
    /// How many pairs there are, if that is known.
    pub(super) total: Option<u64>,
    pub(super) triplets: bool,
    pub(super) meetings: Meetings,
    /// What heat maps' names leave out, if candidates' names are unique.
    pub(super) strip: Option<&'a Path>,
    /// If the pairs are frames, which follow each other in time: where they can be had again.
    pub(super) video: Option<FrameSeeker>,
    /// What else is done with each row.
    pub(super) each: Option<Each<'a>>,
}

impl Task<'_> {
    /// What was compared, as people read it.
    fn about(&self) -> String {
        let of = |name: &str| self.named.get(name).and_then(Value::as_str);
        ["REFERENCE", "CANDIDATE", "DIR", "LIST"].into_iter().filter_map(of).collect::<Vec<_>>().join(" and ")
    }
}

/// Whether a row is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    No,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) totals: Totals,
    failed: bool,
    above: bool,
}

impl Outcome {
    /// Ends the command as its rows ask for.
    pub(super) fn end(&self) -> Result {
        match (self.above, self.failed) {
            (true, _) => Err(Failure::Above),
            (_, true) => Err(Failure::Work(None)),
            _ => Ok(()),
        }
    }
}

impl Options {
    /// Measures pairs, in their order, and tells rows and summary.
    pub(super) fn run<'a>(
        &'a self,
        task: Task<'a>,
        pairs: impl Iterator<Item = lpips_bulk::Result<Pair>> + Send + 'static,
    ) -> Result<Outcome> {
        let work = Arc::new(self.work(task.meetings, task.strip)?);
        let columns = work.columns(task.triplets);
        let shard = self.shard.unwrap_or_default();
        let seen = Arc::new(AtomicU64::new(0));
        let mut pairs = of_shard(pairs, shard, seen.clone());

        let mut desk = Desk {
            options: self,
            columns: columns.clone(),
            summary: Summary::new(&columns),
            threshold: self.fail_above.map(Threshold::new),
            report: self.report.as_ref().map(|_| {
                let title = format!("lpips {}", task.command);
                let about = task.about();
                let own = report::Options::default();
                report::Report::new(
                    columns.clone(),
                    report::Options { title, about, timeline: task.video.is_some(), ..own },
                )
            }),
            output: None,
            each: task.each,
            bar: output::pairs_bar("measuring", task.total.map(|total| shard.rows_of(total))),
            fresh: 0,
            video: task.video,
        };
        if let Form::Rows(format) = self.form() {
            let run = RunFile {
                command: task.command.to_string(),
                work: self.deciding(task.named),
                columns: columns.clone(),
                identities: work.metrics().iter().map(|metric| metric.identity().to_string()).collect(),
                format,
                shard,
                total: task.total,
                complete: None,
            };
            desk.output = Some(match &self.out {
                None => ResultsWriter::stream(Box::new(std::io::stdout()), format, &columns)?,
                Some(out) if self.resume => {
                    let (output, held) = ResultsWriter::resume(out, run)?;
                    desk.take_over(held, &mut pairs)?;
                    output
                }
                Some(out) => ResultsWriter::create(out, run, self.overwrite)?,
            });
        }

        let stop = stop_flag(match &self.out {
            Some(_) => "stopping after these pictures; --resume goes on (once more: at once)",
            None => "stopping after these pictures (once more: at once)",
        })?;
        let mut failure = None;
        let mut tell = |row: Row| {
            Ok(match desk.tell(&row) {
                Ok(()) if self.strict && row.outcome.is_err() => ControlFlow::Break(()),
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            })
        };
        let ended = pipeline::run(pairs, &work, &stop, &mut tell);
        desk.bar.finish_and_clear();
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (rows, failures) = desk.summary.counts();
        let strict = self.strict && failures > 0;
        match (desk.output.take(), &ended) {
            (Some(output), Ok(Ended::Done)) => output.finish(failures, seen.load(Ordering::Relaxed))?,
            (Some(output), _) => output.finish_incomplete()?,
            _ => {}
        }
        if ended? == Ended::Stopped && !strict {
            output::note(if self.out.is_some() { "stopped; --resume goes on" } else { "stopped" });
            return Err(Failure::Stopped);
        }
        if rows == 0 && shard.shards() == 1 {
            let message = "nothing was compared: there is no pair in what was asked for";
            return Err(Failure::Work(Some(message.to_string())));
        }
        desk.end(&work)
    }
}

/// The pairs of a shard, all of which are counted.
fn of_shard(
    pairs: impl Iterator<Item = lpips_bulk::Result<Pair>> + Send + 'static,
    shard: Shard,
    seen: Arc<AtomicU64>,
) -> impl Iterator<Item = lpips_bulk::Result<Pair>> + Send + 'static {
    pairs.filter(move |pair| match pair {
        Ok(pair) => {
            seen.fetch_add(1, Ordering::Relaxed);
            shard.contains(pair.index)
        }
        Err(_) => true,
    })
}

/// Where rows arrive.
struct Desk<'a> {
    options: &'a Options,
    columns: Columns,
    summary: Summary,
    threshold: Option<Threshold>,
    report: Option<report::Report>,
    output: Option<ResultsWriter>,
    each: Option<Each<'a>>,
    bar: ProgressBar,
    /// Failures of this run, not of those that it went on from.
    fresh: u64,
    video: Option<FrameSeeker>,
}

impl Desk<'_> {
    /// Takes over the rows of results that are gone on with.
    fn take_over(
        &mut self,
        held: rows::ExistingRows,
        pairs: &mut impl Iterator<Item = lpips_bulk::Result<Pair>>,
    ) -> Result {
        for row in held {
            let row = row?;
            let Some(pair) = pairs.next() else {
                let message = "the results hold more rows than there are pairs: start anew, in another file";
                return Err(Failure::Work(Some(message.to_string())));
            };
            rows::check_matches(&row, &pair?)?;
            self.count(&row)?;
        }
        self.bar.reset_eta();
        Ok(())
    }

    /// All that is done with a row but for writing it.
    fn count(&mut self, row: &Row) -> Result<Told> {
        self.bar.inc(1);
        self.summary.add(row);
        if let Some(threshold) = &mut self.threshold {
            threshold.add(row);
        }
        if let Some(report) = &mut self.report {
            report.add(row);
        }
        self.each.as_mut().map_or(Ok(Told::Yes), |each| each(row))
    }

    fn tell(&mut self, row: &Row) -> Result {
        let told = self.count(row)?;
        if let Err(error) = &row.outcome {
            self.fresh += 1;
            if self.fresh <= TOLD {
                self.bar.suspend(|| output::error(error));
            }
        }
        if told == Told::No {
            return Ok(());
        }
        if let Some(output) = &mut self.output {
            output.add(row)?;
        } else if let Some(line) = lines::row(&self.columns, row) {
            self.bar.suspend(|| output::line(&line))?;
        }
        Ok(())
    }

    /// Tells the summary, and what is above the threshold; writes the report.
    fn end(self, work: &Work) -> Result<Outcome> {
        let more = self.fresh.saturating_sub(TOLD);
        if more > 0 {
            let where_to = if self.options.form() == Form::Text { "" } else { "; their rows say why" };
            output::error(&format!("{more} more pairs failed{where_to}"));
        }
        let totals = self.summary.totals();
        summary::print(&totals, self.options.is_for_programs(), self.video.is_some())?;
        let mut above = false;
        if let Some(threshold) = self.threshold.filter(|threshold| threshold.count() > 0) {
            above = true;
            lines::violations(&threshold);
        }
        let (unwritten, first) = work.unwritten_maps();
        if let Some(first) = first {
            output::error(&format!("{unwritten} heat maps could not be written; the first: {first}"));
        }
        if let (Some(report), Some(path)) = (&self.report, &self.options.report) {
            let metric = work.metrics().iter().find(|metric| metric.lpips().is_some());
            let source = PictureSource { options: work.options().clone(), video: self.video, root: None };
            super::report::write(report, path, metric, source)?;
        }
        Ok(Outcome { failed: totals.failures + unwritten > 0, totals, above })
    }
}
