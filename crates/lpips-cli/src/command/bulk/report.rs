//! The command `lpips report`: writes a page from results.

use std::path::{Path, PathBuf};

use clap::Args;
use lpips_bulk::report::picture_source::heat_map;
use lpips_bulk::report::{self, HeatMaps, Options, PictureSource, Pictures};
use lpips_bulk::results::UNNAMED_METRIC;
use lpips_bulk::results::reader::ResultsReader;
use lpips_bulk::results::schema::Row;
use lpips_core::Picture;
use lpips_eval::metric::Metric;
use lpips_terminal::ComputeArgs;
use lpips_terminal::progress::finder;

use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips report results.jsonl
  lpips report results.csv --out page.html --worst 50 --metric vgg
  lpips report frames.jsonl --timeline --no-pictures";

/// Write an HTML page from results: summary, charts, all rows, and the worst pairs with heat maps.
///
/// The page is one file that needs no network. Pictures are opened again at the paths in the results, and videos are
/// decoded again if the run file beside the results names them; of pictures that are missing the page shows names and
/// numbers.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}\n\nExit codes: 0 success; 1 results that can't be read or a page that can't be \
        written; 2 wrong usage.", crate::command::ENVIRONMENT)
)]
pub(crate) struct Report {
    /// The results: a .csv file, or JSON with an object per line or an array of objects.
    results: PathBuf,

    /// The page to write [default: the results' name with .html].
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,

    /// Number of the worst pairs shown with pictures.
    #[arg(long, value_name = "K", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=500))]
    worst: u16,

    /// Number of the other pairs shown with pictures, evenly spaced from the largest distance to the smallest.
    #[arg(long, value_name = "K", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=500))]
    sample: u16,

    /// The page's title.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Write names and numbers only, without pictures and heat maps.
    #[arg(long)]
    no_pictures: bool,

    /// The metric that ranks pairs, if the results have it, and of the heat maps [default: the first of the results;
    /// for the heat maps the first that has any, or alex].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,

    /// The folder that relative paths in the results start from [default: the current one].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Draw distances over row numbers too, as for the frames of a video.
    #[arg(long)]
    timeline: bool,

    #[command(flatten)]
    compute: ComputeArgs,
}

impl Report {
    pub(crate) fn run(&self) -> Result {
        let out = self.out.clone().unwrap_or_else(|| self.results.with_extension("html"));
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if real(&out).is_some_and(|out| Some(out) == real(&self.results)) {
            let message = format!("the page would be written over the results {}: name another --out", out.display());
            return Err(Failure::usage(message));
        }
        let reader = ResultsReader::open(&self.results)?;
        let columns = reader.columns().clone();
        let by = columns.metrics.iter().position(|name| Some(name) == self.metric.as_ref()).unwrap_or(0);
        let own = Options::default();
        let options = Options {
            title: self.title.clone().unwrap_or(own.title),
            about: format!("Made from {}", output::text(&self.results)),
            by,
            worst: self.worst.into(),
            sample: self.sample.into(),
            timeline: self.timeline,
            ..own
        };
        let metrics = columns.metrics.clone();
        let mut report = report::Report::new(columns, options);
        let mut count = 0;
        for row in reader {
            report.add(&row?);
            count += 1;
        }
        if count == 0 {
            return Err(Failure::work(format!("{}: holds no rows of results", self.results.display())));
        }
        if self.no_pictures {
            report.write(&out, None)?;
        } else {
            self.write(&report, &metrics, &out)?;
        }
        output::line(&output::text(&out))
    }

    fn write(&self, report: &report::Report, metrics: &[String], out: &Path) -> Result {
        self.compute.start_threads()?;
        let metric = self.heat(metrics)?;
        if metric.is_none() {
            output::note("none of the metrics has heat maps: add --metric alex for them");
        }
        write(report, out, metric.as_ref(), PictureSource::of_results(&self.results, self.root.clone())?)
    }

    /// The metric of the heat maps: the one given, or the first of the results that has any.
    fn heat(&self, metrics: &[String]) -> Result<Option<Metric>> {
        let named: Vec<&str> = match &self.metric {
            Some(name) => vec![name],
            None => metrics.iter().map(|name| if name == UNNAMED_METRIC { "alex" } else { name }).collect(),
        };
        let device = self.compute.open_device()?;
        for name in named {
            let metric = Metric::open_within(name, &finder(), &device, self.compute.memory)?;
            if metric.lpips().is_some() {
                return Ok(Some(metric));
            }
        }
        Ok(None)
    }
}

/// Writes a page, with the pictures of the shown pairs and their heat maps by `metric`.
pub(super) fn write(report: &report::Report, out: &Path, metric: Option<&Metric>, mut source: PictureSource) -> Result {
    let bar = output::bar("loading pictures");
    bar.set_length(report.shown() as u64);
    let mut failed = Vec::new();
    let mut load = |row: &Row| {
        bar.inc(1);
        let pictures = source.pictures(row).map(|[reference, candidate]| (reference, candidate));
        failed.extend(pictures.as_ref().err().cloned());
        pictures
    };
    let lpips = metric.and_then(Metric::lpips);
    let mut compute = |reference: &Picture, candidate: &Picture| match lpips {
        Some(lpips) => heat_map(lpips, reference, candidate).map_err(|error| error.to_string()),
        None => Err("the metric has no heat maps".to_string()),
    };
    let maps = metric.map(|metric| HeatMaps { metric: metric.name(), compute: &mut compute });
    let written = report.write(out, Some(&mut Pictures { load: &mut load, maps }));
    bar.finish_and_clear();
    written?;
    if let Some(first) = failed.first() {
        let shown = report.shown();
        output::note(&format!("the pictures of {} of {shown} pairs can't be shown: {first}", failed.len()));
    }
    Ok(())
}
