//! What the commands for many pairs have in common on the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lpips_bulk::pipeline::heat_maps::Maps;
use lpips_bulk::pipeline::preprocess::{Crop, Prepare, Resize};
use lpips_bulk::pipeline::{self, Keep, Work};
use lpips_bulk::results::format::Format;
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::source::shard::Shard;
use lpips_core::Size;
use lpips_core::cache::{FeatureCache, Precision};
use lpips_core::device::{self, DeviceChoice};
use lpips_core::image::Decoder;
use lpips_terminal::Background;
use serde_json::{Map, Value, json};

use crate::command::metrics;
use crate::output::{self, Failure, Result};

pub(super) const METRICS: &str = "Metrics: alex, vgg, squeeze, each with -0.0 for the first version and -baseline for no lin heads (alex-0.0, \
    vgg-0.1-baseline); l2, dssim, l2-lab, dssim-lab, and psnr and ssim, which grow with likeness and can't come first; a file that \
    lpips-train has written; vgg=FILE for lin heads or a network from elsewhere. Pictures are decoded once for all.";

pub(super) const EXIT: &str = "Exit codes: 0 fine; 1 a picture failed (its row says why, the others are measured), or a file could not be \
    written; 2 wrong usage; 3 something is above --fail-above; 130 stopped.";

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub(crate) struct Options {
    /// The metrics, all in one pass: alex, vgg, squeeze, l2, psnr, ssim, files of one's own and more (see --help). The first one decides
    /// what is near and far.
    #[arg(
        long = "metric",
        visible_alias = "net",
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "alex"
    )]
    metrics: Vec<String>,

    /// Tell the distances' parts by layer too.
    #[arg(long)]
    layers: bool,

    /// Bring pictures to a size first, bilinear as Pillow does: 256x192 (width first) for both of a pair, or `reference`, the candidate to
    /// that of its reference.
    #[arg(long, value_name = "SIZE")]
    resize: Option<Resize>,

    /// Measure a part of both pictures: 256x192 from the middle, or 256x192+10+20 from column 10 and row 20 on; after
    /// --resize.
    #[arg(long, value_name = "PART")]
    crop: Option<Crop>,

    /// Cut both pictures into tiles of this size and measure each by itself: the distance is their mean.
    #[arg(long, value_name = "SIZE")]
    tile: Option<Size>,

    /// What shows through where a picture is transparent: white, black or #rrggbb.
    #[arg(long, value_name = "COLOUR", default_value = "white")]
    background: Background,

    /// Refuse pictures that claim more pixels than this.
    #[arg(long, value_name = "N", default_value_t = Decoder::default().max_pixels)]
    max_pixels: u64,

    /// Write the results to this file as they come; the summary then goes to standard output.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(super) out: Option<PathBuf>,

    /// How results are written: text (on standard output only), jsonl, csv, json, or parquet where this build has it [default: by
    /// the file's name, or text].
    #[arg(long, value_name = "FORMAT", help_heading = "Results")]
    format: Option<Form>,

    /// Go on with the results in --out (jsonl or csv) where they stop.
    #[arg(long, requires = "out", conflicts_with = "overwrite", help_heading = "Results")]
    pub(super) resume: bool,

    /// Replace the results that --out holds.
    #[arg(long, requires = "out", help_heading = "Results")]
    pub(super) overwrite: bool,

    /// Write where pictures differ as heat maps to this folder, under the candidates' names; of the first network.
    #[arg(long, value_name = "FOLDER", conflicts_with = "tile", help_heading = "Results")]
    pub(super) maps: Option<PathBuf>,

    /// The difference that gets the heat maps' brightest colour [default: each map's largest].
    #[arg(long, value_name = "D", requires = "maps", value_parser = super::super::positive, help_heading = "Results")]
    map_max: Option<f32>,

    /// Write a page with a summary, charts, a table of all rows, and the worst pairs side by side with heat maps.
    #[arg(long, value_name = "FILE.html", help_heading = "Results")]
    pub(super) report: Option<PathBuf>,

    /// Exit with 3 and name the offenders if a distance by the first metric is above this.
    #[arg(long, value_name = "D", value_parser = not_negative, allow_negative_numbers = true, help_heading = "Results")]
    pub(super) fail_above: Option<f64>,

    /// Stop at the first pair that fails.
    #[arg(long, help_heading = "Results")]
    pub(super) strict: bool,

    /// Do one part of the work: the I-th of N. `lpips merge` joins the results.
    #[arg(long, value_name = "I/N", help_heading = "How it runs")]
    pub(super) shard: Option<Shard>,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = "How it runs")]
    device: DeviceChoice,

    /// Threads on the CPU, for decoding and computing [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "How it runs")]
    threads: Option<u16>,

    /// Memory that networks may take, e.g. 600MB or 2GiB; features that are kept for later pairs take at most a quarter of it
    /// [default: half of what is free].
    #[arg(long, value_name = "SIZE", value_parser = super::super::bytes, help_heading = "How it runs")]
    memory: Option<usize>,

    #[command(flatten)]
    cache: Cache,
}

/// Features kept on disk.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// Keep what networks see in pictures in this folder, for other runs on the same pictures (2.6 MB of one of 256x256 for alex,
    /// 32 MB for vgg). Several runs may share it.
    #[arg(id = "cache", long = "cache", value_name = "FOLDER", conflicts_with = "tile", help_heading = "How it runs")]
    folder: Option<PathBuf>,

    /// How large that folder may become: then what was not used for longest goes.
    #[arg(id = "cache_size", long = "cache-size", value_name = "SIZE", default_value = "10GB", requires = "cache",
        value_parser = super::super::bytes, help_heading = "How it runs")]
    size: usize,

    /// Keep it in 16 bits: half as large; distances change by less than 4e-5.
    #[arg(id = "cache_f16", long = "cache-f16", requires = "cache", help_heading = "How it runs")]
    f16: bool,
}

impl Cache {
    fn open(&self) -> Result<Option<Arc<FeatureCache>>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let precision = if self.f16 { Precision::F16 } else { Precision::F32 };
        Ok(Some(Arc::new(FeatureCache::open(folder, self.size as u64, precision)?)))
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines for people.
    Text,
    /// A format for programs.
    Rows(Format),
}

impl std::str::FromStr for Form {
    type Err = String;

    fn from_str(given: &str) -> std::result::Result<Self, String> {
        let names = || Format::ALL.iter().map(|format| format.name());
        if given == "text" {
            return Ok(Self::Text);
        }
        let format = Format::ALL.into_iter().find(|format| format.name() == given).map(Self::Rows);
        format.ok_or_else(|| format!("choose from text, {}", names().collect::<Vec<_>>().join(", ")))
    }
}

fn not_negative(given: &str) -> std::result::Result<f64, String> {
    let value = given.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "expected a distance, 0 or above".into())
}

/// What is kept of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meetings {
    /// Each picture meets all others.
    All,
    /// Some may meet several.
    Some,
}

impl Options {
    /// What can be told to be wrong before any work.
    pub(super) fn check(&self) -> Result {
        for (flag, file) in [("--out", &self.out), ("--report", &self.report)] {
            if let Some(file) = file {
                output::check_file(flag, file)?;
            }
        }
        if let Some(folder) = self.maps.as_ref().filter(|folder| folder.exists() && !folder.is_dir()) {
            return Err(Failure::usage(format!("--maps {}: expected a folder, and it is a file", folder.display())));
        }
        if self.out.is_some() && self.format == Some(Form::Text) {
            return Err(Failure::usage("--format text is for standard output: choose jsonl or csv for a file"));
        }
        Ok(())
    }

    /// Files and folders that the run itself writes.
    pub(super) fn written(&self) -> Vec<PathBuf> {
        let run = self.out.as_deref().map(RunFile::path);
        [&self.out, &self.report, &self.maps, &self.cache.folder, &run].into_iter().flatten().cloned().collect()
    }

    pub(super) fn form(&self) -> Form {
        let by_name = || match &self.out {
            Some(out) => Form::Rows(Format::of_path(out).unwrap_or(Format::Jsonl)),
            None => Form::Text,
        };
        self.format.unwrap_or_else(by_name)
    }

    /// Whether rows for programs go to standard output, and must be alone there.
    pub(super) fn is_for_programs(&self) -> bool {
        self.out.is_none() && self.form() != Form::Text
    }

    fn prepare(&self) -> Prepare {
        Prepare { resize: self.resize, crop: self.crop, tile: self.tile }
    }

    fn decoder(&self) -> Decoder {
        Decoder::default().background(self.background.0).max_pixels(self.max_pixels)
    }

    /// What is measured. `strip` is left out of the names of heat maps, or they are numbered.
    pub(super) fn work(&self, meetings: Meetings, strip: Option<&Path>) -> Result<Work> {
        device::start_threads(self.threads.map(usize::from))?;
        let device = self.device.open()?;
        let metrics = metrics(&self.metrics, &device, self.memory)?;
        if let Some(first) = metrics.first().filter(|metric| metric.is_similarity()) {
            return Err(Failure::usage(format!(
                "{first} grows with likeness, and the first metric decides what is far: put a distance before it, as in --metric \
                 alex,{first}"
            )));
        }
        if self.maps.is_some() && metrics.iter().all(|metric| metric.lpips().is_none()) {
            return Err(Failure::usage("--maps needs a network among the metrics, such as alex"));
        }
        let kept = match (self.memory, meetings) {
            (Some(memory), _) => memory / 4,
            (None, Meetings::All) => device::free_memory().map_or(1 << 30, |free| free / 4),
            (None, Meetings::Some) => 256 << 20,
        };
        let maps = self.maps.as_ref().map(|folder| Maps {
            folder: folder.clone(),
            top: self.map_max,
            strip: strip.map(Path::to_path_buf),
        });
        let keep = if meetings == Meetings::All { Keep::All(kept) } else { Keep::Repeated(kept) };
        let options = pipeline::Options {
            decoder: self.decoder(),
            prepare: self.prepare(),
            layers: self.layers,
            maps,
            keep,
            cache: self.cache.open()?,
        };
        Ok(Work::new(metrics, options)?)
    }

    /// What decides the numbers, for the run file.
    pub(super) fn deciding(&self, mut own: Map<String, Value>) -> Map<String, Value> {
        let [r, g, b] = self.background.0;
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                own.insert(name.to_string(), value);
            }
        };
        add("--resize", self.resize.map(|resize| json!(resize.to_string())));
        add("--crop", self.crop.map(|crop| json!(crop.to_string())));
        add("--tile", self.tile.map(|tile| json!(tile.to_string())));
        add("--background", Some(json!(format!("#{r:02x}{g:02x}{b:02x}"))));
        add("--max-pixels", Some(json!(self.max_pixels)));
        add("--cache-f16", Some(json!(self.cache.f16)));
        own
    }
}
