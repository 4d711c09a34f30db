//! `lpips video`

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::results::schema::Row;
use lpips_bulk::source::pair::Pair;
use lpips_bulk::video::{self, ColourMatrix, ColourRange, FrameSeeker, RawFormat, Videos};
use serde_json::{Map, Value, json};

use super::options::{EXIT, METRICS, Meetings, Options};
use super::run::{Task, Told};
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips video reference/ decoded/ --plot over-time.svg
  lpips video reference.y4m decoded.y4m --out frames.csv --report report.html
  ffmpeg -i decoded.mp4 -f yuv4mpegpipe - | lpips video reference.y4m -
  lpips video original.mp4 decoded.mp4 --every 10   (with ffmpeg installed)";

/// Compare two videos frame by frame: mean, percentiles, the worst frames, a plot over time.
///
/// A video is a folder of numbered frames, a .y4m file, - for y4m on standard input (or raw video, with --raw), or any other file, which
/// ffmpeg decodes if it is installed.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{METRICS}\n\n{}\n\n{EXIT}", crate::command::ENVIRONMENT)
)]
pub(crate) struct Video {
    /// The reference.
    reference: PathBuf,

    /// The video that is compared with it.
    candidate: PathBuf,

    /// The first frame, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,

    /// The frame to stop before.
    #[arg(long, value_name = "N")]
    to: Option<u64>,

    /// Compare only every N-th frame.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,

    /// What raw video is, as on standard input: WIDTHxHEIGHT:FORMAT, such as 1920x1080:yuv420p.
    #[arg(long, value_name = "WxH:FORMAT")]
    raw: Option<RawFormat>,

    /// How colours were taken apart: 601 or 709 [default: 709 from 720 lines or 1280 columns on, otherwise 601].
    #[arg(long, value_name = "MATRIX")]
    matrix: Option<ColourMatrix>,

    /// Which numbers are black and white: limited or full [default: what the video says, otherwise limited].
    #[arg(long, value_name = "RANGE")]
    range: Option<ColourRange>,

    /// Frames a second, for the plot [default: what the videos say].
    #[arg(long, value_name = "RATE", value_parser = super::super::positive)]
    fps: Option<f32>,

    /// Write the distances over time as a chart.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// How many of the worst frames are told.
    #[arg(long, value_name = "K", default_value_t = 5)]
    worst_frames: u16,

    #[command(flatten)]
    options: Options,
}

impl Video {
    pub(crate) fn run(&self) -> Result {
        self.options.check()?;
        if let Some(plot) = &self.plot {
            output::check_file("--plot", plot)?;
        }
        let own = video::Options::default();
        let walk = lpips_bulk::source::discover::Walk { written: self.options.written(), ..own.walk };
        let options = video::Options {
            from: self.from,
            to: self.to,
            every: self.every,
            matrix: self.matrix,
            range: self.range,
            raw: self.raw,
            rate: self.fps.map(f64::from),
            walk,
        };
        let mut videos = Videos::open(&self.reference, &self.candidate, options.clone())?;
        for note in std::mem::take(&mut videos.notes) {
            output::note(&note);
        }
        let rate = videos.rate();
        let videos = Arc::new(Mutex::new(videos));

        let mut over_time = OverTime { first: self.from, every: self.every, rate, rows: Vec::new() };
        let mut each = |row: &Row| {
            over_time.add(row);
            Ok(Told::Yes)
        };
        let task = Task {
            command: "video",
            named: self.named(),
            total: None,
            triplets: false,
            meetings: Meetings::Some,
            strip: None,
            video: Some(FrameSeeker::new(&self.reference, &self.candidate, options)),
            each: Some(&mut each),
        };
        let outcome = self.options.run(task, Frames(videos.clone()).map(Ok))?;
        // Where it was stopped early, a video may still be waited for.
        if let Some(difference) = videos.try_lock().ok().and_then(|videos| videos.difference()) {
            output::note(&difference);
        }
        if !self.options.is_for_programs() {
            over_time.tell_worst(self.worst_frames.into())?;
        }
        if let Some(plot) = &self.plot {
            over_time.plot(plot, &outcome.totals)?;
        }
        outcome.end()
    }

    fn named(&self) -> Map<String, Value> {
        let mut named = Map::new();
        named.insert("REFERENCE".to_string(), json!(output::text(&self.reference)));
        named.insert("CANDIDATE".to_string(), json!(output::text(&self.candidate)));
        named.insert("--from".to_string(), json!(self.from));
        named.insert("--to".to_string(), json!(self.to));
        named.insert("--every".to_string(), json!(self.every));
        named.insert("--raw".to_string(), json!(self.raw.map(|raw| raw.to_string())));
        named.insert("--matrix".to_string(), json!(self.matrix.map(|matrix| matrix.to_string())));
        named.insert("--range".to_string(), json!(self.range.map(|range| range.to_string())));
        named
    }
}

/// The videos that results are of, as [`Video::named`] has said in their run file.
pub(super) fn seeker(run: &RunFile, root: Option<&Path>, damaged: impl Fn(&str) -> Failure) -> Result<FrameSeeker> {
    let of = |name: &str| run.work.get(name).filter(|value| !value.is_null());
    let number = |name: &str| of(name).map(|value| value.as_u64().ok_or_else(|| damaged(name))).transpose();
    let text = |name: &str| of(name).map(|value| value.as_str().ok_or_else(|| damaged(name))).transpose();
    let named = |name: &str| -> Result<PathBuf> {
        let name = text(name)?.ok_or_else(|| damaged(name))?;
        // Standard input is at no place.
        Ok(root.filter(|_| name != "-").map_or_else(|| PathBuf::from(name), |root| root.join(name)))
    };
    let own = video::Options::default();
    let options = video::Options {
        from: number("--from")?.unwrap_or(own.from),
        to: number("--to")?,
        every: number("--every")?.unwrap_or(own.every),
        raw: text("--raw")?.map(|raw| raw.parse().map_err(|_| damaged("--raw"))).transpose()?,
        matrix: text("--matrix")?.map(|matrix| matrix.parse().map_err(|_| damaged("--matrix"))).transpose()?,
        range: text("--range")?.map(|range| range.parse().map_err(|_| damaged("--range"))).transpose()?,
        ..own
    };
    Ok(FrameSeeker::new(&named("REFERENCE")?, &named("CANDIDATE")?, options))
}

/// The frames' pairs; what is known of the videos in the end can be asked then.
struct Frames(Arc<Mutex<Videos>>);

impl Iterator for Frames {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// The first metric's distances by frame.
struct OverTime {
    first: u64,
    every: u64,
    rate: Option<f64>,
    rows: Vec<(u64, f64)>,
}

impl OverTime {
    fn add(&mut self, row: &Row) {
        if let Some(first) = row.outcome.as_ref().ok().and_then(|measured| measured.first()) {
            self.rows.push((self.first + row.index * self.every, first.distance));
        }
    }

    fn tell_worst(&self, count: usize) -> Result {
        let mut worst = self.rows.clone();
        worst.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        worst.truncate(count);
        if worst.is_empty() {
            return Ok(());
        }
        output::line("")?;
        let time = if self.rate.is_some() { "time" } else { "" };
        let mut rows = vec![["worst", "frame", time].map(String::from).to_vec()];
        for (frame, distance) in worst {
            let time = self.rate.map_or_else(String::new, |rate| clock(frame as f64 / rate));
            rows.push(vec![format!("{distance:.5}"), frame.to_string(), time]);
        }
        output::table(&rows).iter().try_for_each(|line| output::line(line.trim_end()))
    }

    fn plot(&self, path: &Path, totals: &lpips_bulk::results::summary::Totals) -> Result {
        let name = totals.metrics.first().map_or("distance", |figures| figures.name.as_str());
        let at = |frame: u64| self.rate.map_or(frame as f64, |rate| frame as f64 / rate);
        let points: Vec<(f64, f64)> = self.rows.iter().map(|(frame, distance)| (at(*frame), *distance)).collect();
        let x = if self.rate.is_some() { "seconds" } else { "frame" };
        Ok(video::plot(path, name, x, points)?)
    }
}

/// A time as people write it.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    format!("{minutes:.0}:{:06.3}", seconds - 60.0 * minutes)
}
