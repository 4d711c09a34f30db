//! Whole runs: measures the pairs of a source, and writes, summarises and checks their rows.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lpips_data::Outcome;
use serde_json::{Map, Value};

use crate::pipeline::Pipeline;
use crate::pipeline::heat_maps::MapFailures;
use crate::report::{self, Report};
use crate::results::format::Format;
use crate::results::run_file::RunFile;
use crate::results::schema::{Columns, Row};
use crate::results::summary::{Summary, Totals};
use crate::results::threshold::Threshold;
use crate::results::writer::{ExistingRows, ResultsWriter, check_matches};
use crate::source::pair::Pair;
use crate::source::shard::Shard;
use crate::{Error, Result};

/// A run of the pipeline over a source: which part of it is measured, where rows go, and what is made of them.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicBool;
///
/// use candle_core::Device;
/// use lpips_bulk::pipeline::{Options, Pipeline};
/// use lpips_bulk::results::format::Format;
/// use lpips_bulk::run::{Destination, Emit, Existing, RunPlan};
/// use lpips_bulk::source::pair::Pair;
/// use lpips_core::{Picture, weights::Finder};
/// use lpips_eval::metric::Metric;
///
/// let folder = tempfile::tempdir()?;
/// let [a, b, out] = ["a.png", "b.png", "rows.csv"].map(|name| folder.path().join(name));
/// for (level, file) in [(90, &a), (120, &b)] {
///     Picture::from_rgb8(8, 8, vec![level; 8 * 8 * 3])?.save_png(file)?;
/// }
/// let metrics = vec![Metric::open("l2", &Finder::default(), &Device::Cpu)?];
/// let pipeline = Arc::new(Pipeline::new(metrics, Options::default())?);
///
/// let plan = RunPlan {
///     destination: Destination::File { path: out.clone(), format: Format::Csv, existing: Existing::Refuse },
///     ..RunPlan::new("example")
/// };
/// let pairs = vec![Ok(Pair::of_files(0, &a, &b))];
/// let summary = plan.execute(&pipeline, pairs.into_iter(), &AtomicBool::new(false), &mut |event| {
///     println!("{}", event.row.candidate.display());
///     Ok::<_, lpips_bulk::Error>(Emit::Write)
/// })?;
/// assert_eq!((summary.totals.rows, summary.totals.failures), (1, 0));
/// assert_eq!(std::fs::read_to_string(out)?.lines().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The command's name, for the run file.
    pub command: String,
    /// Settings that decide pairs and numbers, for the run file, by their flags: `"--crop": "64x64"`.
    pub settings: Map<String, Value>,
    /// Number of pairs of all shards together, if it is known.
    pub total: Option<u64>,
    /// Whether the pairs are triplets.
    pub triplets: bool,
    /// The part of the pairs that is measured.
    pub shard: Shard,
    /// Destination of the rows.
    pub destination: Destination,
    /// Whether the run ends with the first row that failed.
    pub strict: bool,
    /// The distance by the first metric that no row may exceed.
    pub fail_above: Option<f64>,
    /// The page that is made of the rows.
    pub report: Option<report::Options>,
}

/// Destination of the rows of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Destination {
    /// Nowhere: the caller prints them.
    Caller,
    /// Standard output.
    StandardOutput(Format),
    /// A file, with a run file beside it.
    File {
        /// The file of rows.
        path: PathBuf,
        /// Format of the rows.
        format: Format,
        /// Treatment of results that it holds already.
        existing: Existing,
    },
}

/// Treatment of results that a file holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They are an error.
    Refuse,
    /// They are overwritten.
    Overwrite,
    /// The run is resumed after them.
    Resume,
}

/// A row on its way, in the order of the pairs.
#[derive(Debug, Clone, Copy)]
pub struct RowEvent<'a> {
    /// The row.
    pub row: &'a Row,
    /// Whether it was read from the results that are resumed, and is written already.
    pub is_resumed: bool,
}

/// Whether a row is emitted to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// It is written.
    Write,
    /// It is counted only.
    Skip,
}

/// Outcome of a run: statistics, failures, rows above the limit.
#[derive(Debug)]
pub struct RunSummary {
    /// Whether it was stopped before all pairs were measured. A strict run that ends with a failed row was not stopped.
    pub is_stopped: bool,
    /// Counts and statistics of all rows, those of resumed results included.
    pub totals: Totals,
    /// Failed rows without those of resumed results.
    pub new_failures: u64,
    /// The rows above [`RunPlan::fail_above`], if it is given.
    pub threshold: Option<Threshold>,
    /// The page's content, if it is wanted.
    pub report: Option<Report>,
    /// Heat maps that could not be written.
    pub map_failures: MapFailures,
}

impl RunSummary {
    /// Whether a row or a heat map failed.
    pub fn has_failures(&self) -> bool {
        self.totals.failures + self.map_failures.count > 0
    }

    /// Whether a distance is above [`RunPlan::fail_above`].
    pub fn is_above(&self) -> bool {
        self.threshold.as_ref().is_some_and(|threshold| threshold.count() > 0)
    }
}

impl RunPlan {
    /// A run over all pairs of a source, whose rows go to the caller.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            settings: Map::new(),
            total: None,
            triplets: false,
            shard: Shard::default(),
            destination: Destination::Caller,
            strict: false,
            fail_above: None,
            report: None,
        }
    }

    /// Measures the pairs, until they end or `stop` is set. `emit` is called with each row in the order of the pairs,
    /// before it is written.
    ///
    /// # Errors
    /// A destination that can't be written or holds other results; the first error of the pairs; those of `emit`; a
    /// source without pairs. Rows that were emitted before are written.
    pub fn execute<E: From<Error>>(
        &self,
        pipeline: &Arc<Pipeline>,
        pairs: impl Iterator<Item = Result<Pair>> + Send + 'static,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(RowEvent<'_>) -> Result<Emit, E>,
    ) -> Result<RunSummary, E> {
        let columns = pipeline.columns(self.triplets);
        let seen = Arc::new(AtomicU64::new(0));
        let mut pairs = of_shard(pairs, self.shard, seen.clone());
        let mut rows = Rows::new(self, &columns);
        let (mut writer, existing) = self.open(pipeline, columns)?;
        for row in existing {
            let row = row?;
            let Some(pair) = pairs.next() else {
                let message = "the results hold more rows than there are pairs: start anew, in another file";
                return Err(Error::invalid(message).into());
            };
            check_matches(&row, &pair?)?;
            rows.add(&row);
            emit(RowEvent { row: &row, is_resumed: true })?;
        }

        let (mut failure, mut new_failures) = (None, 0);
        let mut emit_row = |row: Row| {
            rows.add(&row);
            let is_failed = row.outcome.is_err();
            new_failures += u64::from(is_failed);
            match emit(RowEvent { row: &row, is_resumed: false }) {
                Ok(Emit::Write) => writer.as_mut().map_or(Ok(()), |writer| writer.add(&row))?,
                Ok(Emit::Skip) => {}
                Err(error) => {
                    failure = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(if self.strict && is_failed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let ended = pipeline.run(pairs, stop, &mut emit_row);
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (count, failures) = rows.summary.counts();
        match (writer, &ended) {
            (Some(writer), Ok(Outcome::Complete)) => writer.finish(failures, seen.load(Ordering::Relaxed))?,
            (Some(writer), _) => writer.finish_incomplete()?,
            (None, _) => {}
        }
        let is_stopped = ended? == Outcome::Stopped && !(self.strict && new_failures > 0);
        if count == 0 && self.shard.shards() == 1 && !is_stopped {
            return Err(Error::NoPairs.into());
        }
        let Rows { summary, threshold, report } = rows;
        let map_failures = pipeline.map_failures();
        Ok(RunSummary { is_stopped, totals: summary.totals(), new_failures, threshold, report, map_failures })
    }

    /// Opens the destination, and the rows that it holds already.
    fn open(&self, pipeline: &Pipeline, columns: Columns) -> Result<(Option<ResultsWriter>, ExistingRows)> {
        let none = ExistingRows::default();
        let (path, format, existing) = match &self.destination {
            Destination::Caller => return Ok((None, none)),
            Destination::StandardOutput(format) => {
                let writer = ResultsWriter::stream(Box::new(std::io::stdout()), *format, &columns)?;
                return Ok((Some(writer), none));
            }
            Destination::File { path, format, existing } => (path, *format, *existing),
        };
        let run = RunFile {
            command: self.command.clone(),
            work: self.settings.clone(),
            columns,
            identities: pipeline.metrics().iter().map(|metric| metric.identity().to_string()).collect(),
            format,
            shard: self.shard,
            total: self.total,
            complete: None,
        };
        if existing == Existing::Resume {
            let (writer, rows) = ResultsWriter::resume(path, run)?;
            return Ok((Some(writer), rows));
        }
        Ok((Some(ResultsWriter::create(path, run, existing == Existing::Overwrite)?), none))
    }
}

/// Statistics, threshold and report of the rows so far.
struct Rows {
    summary: Summary,
    threshold: Option<Threshold>,
    report: Option<Report>,
}

impl Rows {
    fn new(plan: &RunPlan, columns: &Columns) -> Self {
        Self {
            summary: Summary::new(columns),
            threshold: plan.fail_above.map(Threshold::new),
            report: plan.report.clone().map(|options| Report::new(columns.clone(), options)),
        }
    }

    fn add(&mut self, row: &Row) {
        self.summary.add(row);
        if let Some(threshold) = &mut self.threshold {
            threshold.add(row);
        }
        if let Some(report) = &mut self.report {
            report.add(row);
        }
    }
}

/// The pairs of a shard; `seen` counts those of all shards.
fn of_shard(
    pairs: impl Iterator<Item = Result<Pair>> + Send + 'static,
    shard: Shard,
    seen: Arc<AtomicU64>,
) -> impl Iterator<Item = Result<Pair>> + Send + 'static {
    pairs.filter(move |pair| match pair {
        Ok(pair) => {
            seen.fetch_add(1, Ordering::Relaxed);
            shard.contains(pair.index)
        }
        Err(_) => true,
    })
}
