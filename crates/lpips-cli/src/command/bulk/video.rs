//! The command `lpips video`: compares two videos frame by frame.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use lpips_bulk::results::UNNAMED_METRIC;
use lpips_bulk::results::schema::Row;
use lpips_bulk::run::Emit;
use lpips_bulk::source::pair::Pair;
use lpips_bulk::video::over_time::FrameDistance;
use lpips_bulk::video::{self, ColourMatrix, ColourRange, DistancesOverTime, FrameSeeker, RawFormat, Videos};
use serde_json::{Map, Value, json};

use super::options::{EXIT, METRICS, Options, PairPattern};
use super::run::Task;
use crate::output::{self, Result};

const EXAMPLES: &str = "Examples:
  lpips video reference/ decoded/ --plot over-time.svg
  lpips video reference.y4m decoded.y4m --out frames.csv --report report.html
  ffmpeg -i decoded.mp4 -f yuv4mpegpipe - | lpips video reference.y4m -
  lpips video original.mp4 decoded.mp4 --every 10   (with ffmpeg installed)";

/// Compare two videos frame by frame: mean, percentiles, the worst frames, a chart over time.
///
/// A video is a folder of numbered pictures, a .y4m file, - for y4m on standard input (raw video with --raw), or any
/// other file, which ffmpeg decodes if it is installed.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{METRICS}\n\n{}\n\n{EXIT}", crate::command::ENVIRONMENT)
)]
pub(crate) struct Video {
    /// The reference video.
    reference: PathBuf,

    /// The video that is compared with the reference.
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

    /// The size and pixel format of raw video, such as 1920x1080:yuv420p.
    #[arg(long, value_name = "WxH:FORMAT")]
    raw: Option<RawFormat>,

    /// The colour matrix of luma and chroma: 601 or 709 [default: 709 from 720 lines or 1280 columns on, otherwise
    /// 601].
    #[arg(long, value_name = "MATRIX")]
    matrix: Option<ColourMatrix>,

    /// The range of luma and chroma: limited or full [default: as the video states, otherwise limited].
    #[arg(long, value_name = "RANGE")]
    range: Option<ColourRange>,

    /// Frames per second, for times [default: as the videos state].
    #[arg(long, value_name = "RATE", value_parser = super::super::positive)]
    fps: Option<f32>,

    /// Write the distances over time as a chart.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Number of the worst frames printed.
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
        let walk = lpips_data::discover::Walk { written: self.options.written(), ..own.walk };
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

        let mut over_time = DistancesOverTime::new(self.from, self.every, rate);
        let mut each = |row: &Row| {
            over_time.add(row);
            Ok(Emit::Write)
        };
        let task = Task {
            command: "video",
            settings: self.named(),
            total: None,
            triplets: false,
            pattern: PairPattern::Sparse,
            map_prefix: None,
            video: Some(FrameSeeker::new(&self.reference, &self.candidate, options)),
            each: Some(&mut each),
        };
        let ending = self.options.run(task, Frames(videos.clone()).map(Ok))?;
        // After an early stop the reading thread may still hold the videos.
        if let Some(difference) = videos.try_lock().ok().and_then(|videos| videos.length_difference()) {
            output::note(&difference);
        }
        if !self.options.is_for_programs() {
            print_worst(&over_time, self.worst_frames.into())?;
        }
        if let Some(plot) = &self.plot {
            let metric = ending.totals.metrics.first().map_or(UNNAMED_METRIC, |metric| metric.name.as_str());
            over_time.write_chart(plot, metric)?;
        }
        ending.result()
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

/// An iterator over the pairs of frames, whose videos stay accessible after its end.
struct Frames(Arc<Mutex<Videos>>);

impl Iterator for Frames {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Prints the worst frames, with their times where the rate is known.
fn print_worst(over_time: &DistancesOverTime, count: usize) -> Result {
    let worst = over_time.worst(count);
    let Some(first) = worst.first() else { return Ok(()) };
    output::line("")?;
    let time = if first.seconds.is_some() { "time" } else { "" };
    let mut rows = vec![["worst", "frame", time].map(String::from).to_vec()];
    for FrameDistance { frame, seconds, distance } in worst {
        rows.push(vec![format!("{distance:.5}"), frame.to_string(), seconds.map_or_else(String::new, clock)]);
    }
    output::table(&rows).iter().try_for_each(|line| output::line(line.trim_end()))
}

/// A time as minutes and seconds: 1:02.500.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    format!("{minutes:.0}:{:06.3}", seconds - 60.0 * minutes)
}
