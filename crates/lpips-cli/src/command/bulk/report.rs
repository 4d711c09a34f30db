//! `lpips report`

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use clap::Args;
use lpips_bulk::pipeline;
use lpips_bulk::report::{self, Map, Options, Pictures};
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::results::schema::Row;
use lpips_bulk::source::pair::Input;
use lpips_bulk::video::FrameSeeker;
use lpips_core::device::{self, DeviceChoice};
use lpips_core::weights::Finder;
use lpips_core::{Images, Lpips, Picture};
use lpips_eval::metric::Metric;
use lpips_terminal::Background;

use super::read::{Results, UNNAMED};
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips report results.jsonl
  lpips report results.csv --out page.html --worst 50 --metric vgg
  lpips report frames.jsonl --timeline --no-pictures";

/// Make a page to look at from earlier results: summary, charts, all rows, and the worst pairs with heat maps.
///
/// The page is one file that needs no network. Its pictures are opened again, where the results say that they are, and videos are read
/// again, if the run file beside the results names them; of those that are no longer there it shows names and numbers.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}\n\nExit codes: 0 fine; 1 results that can't be read or a page that can't be \
        written; 2 wrong usage.", crate::command::ENVIRONMENT)
)]
pub(crate) struct Report {
    /// Results of another command: a .csv file, or JSON, a line or an element for each row.
    results: PathBuf,

    /// The page to write [default: the results' name with .html].
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,

    /// How many of the worst pairs are shown with pictures.
    #[arg(long, value_name = "K", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=500))]
    worst: u16,

    /// How many of the others, evenly spaced from far to near.
    #[arg(long, value_name = "K", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=500))]
    sample: u16,

    /// The page's title.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Leave pictures and heat maps out.
    #[arg(long)]
    no_pictures: bool,

    /// The metric that says which pairs are worst, if the results have it, and that draws the heat maps [default: the results'
    /// first; for the heat maps the first that has any, or alex].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,

    /// The folder that pictures' names start from [default: the current one].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Draw the distances over the rows' numbers, as of a video's frames.
    #[arg(long)]
    timeline: bool,

    /// Where to compute heat maps: auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,

    /// Threads on the CPU [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl Report {
    pub(crate) fn run(&self) -> Result {
        let out = self.out.clone().unwrap_or_else(|| self.results.with_extension("html"));
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if real(&out).is_some_and(|out| Some(out) == real(&self.results)) {
            let message = format!("the page would be written over the results {}: name another --out", out.display());
            return Err(Failure::usage(message));
        }
        let Results { columns, rows } = Results::open(&self.results)?;
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
        for row in rows {
            report.add(&row?);
            count += 1;
        }
        if count == 0 {
            return Err(Failure::Work(Some(format!("{}: holds no rows of results", self.results.display()))));
        }
        if self.no_pictures {
            report.write(&out, None)?;
        } else {
            self.write(&report, &metrics, &out)?;
        }
        output::line(&output::text(&out))
    }

    fn write(&self, report: &report::Report, metrics: &[String], out: &Path) -> Result {
        device::start_threads(self.threads.map(usize::from))?;
        let metric = self.heat(metrics)?;
        if metric.is_none() {
            output::note("none of the metrics has heat maps: --metric alex draws them");
        }
        write(report, out, metric.as_ref(), Source::of(&self.results, self.root.clone())?)
    }

    /// What draws the heat maps: the metric asked for, or the first of the results' that has any.
    fn heat(&self, metrics: &[String]) -> Result<Option<Metric>> {
        let named: Vec<&str> = match &self.metric {
            Some(name) => vec![name],
            None => metrics.iter().map(|name| if name == UNNAMED { "alex" } else { name }).collect(),
        };
        let device = self.device.open()?;
        for name in named {
            let metric = Metric::open(name, &Finder::default(), &device)?;
            if metric.lpips().is_some() {
                return Ok(Some(metric));
            }
        }
        Ok(None)
    }
}

/// Where the pictures of rows are to be had.
pub(super) struct Source {
    /// How they are brought to what was measured.
    pub(super) how: pipeline::Options,
    /// If they are a video's frames.
    pub(super) video: Option<FrameSeeker>,
    /// The folder that their names start from.
    pub(super) root: Option<PathBuf>,
}

impl Source {
    /// As the run file beside results says; files as they are if there is none.
    fn of(results: &Path, root: Option<PathBuf>) -> Result<Self> {
        if !RunFile::path(results).exists() {
            return Ok(Self { how: pipeline::Options::default(), video: None, root });
        }
        let run = RunFile::read(results)?;
        let damaged =
            |name: &str| Failure::Work(Some(format!("{}: {name} can't be read", RunFile::path(results).display())));
        let is_video = run.command == "video";
        let video = is_video.then(|| super::video::seeker(&run, root.as_deref(), damaged)).transpose()?;
        Ok(Self { how: how(&run, damaged)?, video, root })
    }

    fn pictures(&mut self, row: &Row) -> std::result::Result<[Picture; 2], String> {
        let rooted = |name: &PathBuf| self.root.as_ref().map_or_else(|| name.clone(), |root| root.join(name));
        let names = [&row.reference, &row.candidate].map(rooted);
        let mut inputs = names.clone().map(|name| Input::File(name.into()));
        if let Some(video) = &mut self.video
            && names.iter().any(|name| !name.is_file())
        {
            let pair = video.pair(row.index)?;
            for ((input, name), frame) in inputs.iter_mut().zip(&names).zip([pair.reference, pair.candidate]) {
                if name.is_file() {
                    continue;
                }
                if frame.name() != name {
                    return Err(format!("{}: is not in the video any more", name.display()));
                }
                *input = frame;
            }
        }
        let [reference, candidate] = inputs;
        self.how.pictures(&reference, &candidate)
    }
}

/// How pictures were brought to what was measured.
fn how(run: &RunFile, damaged: impl Fn(&str) -> Failure) -> Result<pipeline::Options> {
    let mut options = pipeline::Options::default();
    let text = |name: &str| run.work.get(name).and_then(serde_json::Value::as_str);
    if let Some(resize) = text("--resize") {
        options.prepare.resize = Some(resize.parse().map_err(|_| damaged("--resize"))?);
    }
    if let Some(crop) = text("--crop") {
        options.prepare.crop = Some(crop.parse().map_err(|_| damaged("--crop"))?);
    }
    if let Some(colour) = text("--background") {
        let Background(colour) = colour.parse().map_err(|_| damaged("--background"))?;
        options.decoder.background = colour;
    }
    Ok(options)
}

/// Writes a page, with the pictures of the pairs that it shows and their heat maps by `metric`.
pub(super) fn write(report: &report::Report, out: &Path, metric: Option<&Metric>, mut source: Source) -> Result {
    let bar = output::bar("looking at the pictures");
    bar.set_length(report.shown() as u64);
    let mut failed = Vec::new();
    let mut load = |row: &Row| {
        bar.inc(1);
        let pictures = source.pictures(row).map(|[reference, candidate]| (reference, candidate));
        failed.extend(pictures.as_ref().err().cloned());
        pictures
    };
    let lpips = metric.and_then(Metric::lpips);
    let mut of = |a: &Picture, b: &Picture| match lpips {
        Some(lpips) => map(lpips, a, b).map_err(|error| error.to_string()),
        None => Err("there is no metric".to_string()),
    };
    let map = metric.map(|metric| Map { name: metric.name(), of: &mut of });
    let written = report.write(out, Some(&mut Pictures { load: &mut load, map }));
    bar.finish_and_clear();
    written?;
    if let Some(first) = failed.first() {
        let shown = report.shown();
        output::note(&format!("the pictures of {} of {shown} pairs can't be shown: {first}", failed.len()));
    }
    Ok(())
}

fn map(lpips: &Lpips, a: &Picture, b: &Picture) -> lpips_core::Result<Tensor> {
    let ((a, a_range), (b, b_range)) = (a.to_values(lpips.device())?, b.to_values(lpips.device())?);
    lpips.compare(Images::new(&a, a_range), Images::new(&b, b_range))?.map()
}
