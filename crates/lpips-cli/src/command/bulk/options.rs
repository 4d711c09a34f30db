//! Flags that `dirs`, `pairs`, `list` and `video` share, and the pipeline and plan that they describe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lpips_bulk::pipeline::heat_maps::{HeatMaps, MapFiles};
use lpips_bulk::pipeline::preprocess::{Crop, Preprocess, Resize};
use lpips_bulk::pipeline::{self, CachePolicy, Pipeline};
use lpips_bulk::results::format::Format;
use lpips_bulk::results::run_file::RunFile;
use lpips_bulk::source::shard::Shard;
use lpips_core::Size;
use lpips_core::cache::{FeatureCache, Precision};
use lpips_core::device;
use lpips_terminal::{ComputeArgs, DecodeArgs};
use serde_json::{Value, json};

use crate::command::metrics;
use crate::output::{self, Failure, Result};

pub(super) const METRICS: &str = "Metrics: alex, vgg, squeeze, each with -0.0 for the first version and -baseline for no lin heads (alex-0.0, \
    vgg-0.1-baseline); l2, dssim, l2-lab, dssim-lab, and psnr and ssim, which grow with likeness and can't come first; a file that \
    lpips-train has written; vgg=FILE for lin heads or a network from elsewhere. Each picture is decoded once for all metrics.";

pub(super) const EXIT: &str = "Exit codes: 0 success; 1 a picture failed (its row has the reason, the others are measured), or a file could not be \
    written; 2 wrong usage; 3 a distance is above --fail-above; 130 stopped.";

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub(crate) struct Options {
    /// Metrics, measured in one pass: alex, vgg, squeeze, l2, psnr, ssim, files of your own and more (see --help). The
    /// first one decides which pairs are near or far.
    #[arg(
        long = "metric",
        visible_alias = "net",
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "alex"
    )]
    metrics: Vec<String>,

    /// Add the distances' parts by layer.
    #[arg(long)]
    layers: bool,

    /// Resize pictures first, bilinear as by Pillow: 256x192 (width first) for both of a pair, or `reference` for the
    /// candidate to its reference's size.
    #[arg(long, value_name = "SIZE")]
    resize: Option<Resize>,

    /// Measure a part of both pictures: 256x192 from the middle, or 256x192+10+20 from column 10 and row 20 on; after
    /// --resize.
    #[arg(long, value_name = "PART")]
    crop: Option<Crop>,

    /// Cut both pictures into tiles of this size and measure each by itself: the distance is their mean.
    #[arg(long, value_name = "SIZE")]
    tile: Option<Size>,

    #[command(flatten)]
    decode: DecodeArgs,

    /// Write the results to this file as they come; the summary then goes to standard output.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(super) out: Option<PathBuf>,

    /// Format of results: text (on standard output only), jsonl, csv, json, or parquet where this build has it
    /// [default: by the file's name, or text].
    #[arg(long, value_name = "FORMAT", help_heading = "Results")]
    format: Option<Form>,

    /// Resume the results in --out (jsonl or csv) where they stop.
    #[arg(long, requires = "out", conflicts_with = "overwrite", help_heading = "Results")]
    pub(super) resume: bool,

    /// Overwrite the results that --out holds.
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

    /// Exit with code 3 and print the worst pairs if a distance by the first metric is above this.
    #[arg(long, value_name = "D", value_parser = not_negative, allow_negative_numbers = true, help_heading = "Results")]
    pub(super) fail_above: Option<f64>,

    /// Stop at the first pair that fails.
    #[arg(long, help_heading = "Results")]
    pub(super) strict: bool,

    /// Measure one part of the pairs: the I-th of N. `lpips merge` joins the results.
    #[arg(long, value_name = "I/N", help_heading = "How it runs")]
    pub(super) shard: Option<Shard>,

    #[command(flatten, next_help_heading = "How it runs")]
    compute: ComputeArgs,

    #[command(flatten)]
    cache: Cache,
}

/// Features cached on disk.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// Cache features in this folder, for other runs on the same pictures (2.6 MB for a picture of 256x256 by alex, 32
    /// MB by vgg). Several runs may share it.
    #[arg(id = "cache", long = "cache", value_name = "FOLDER", conflicts_with = "tile", help_heading = "How it runs")]
    folder: Option<PathBuf>,

    /// Limit of that folder's size, beyond which the least recently used features are evicted.
    #[arg(id = "cache_size", long = "cache-size", value_name = "SIZE", default_value = "10GB", requires = "cache",
        value_parser = super::super::bytes, help_heading = "How it runs")]
    size: usize,

    /// Cache features in 16 bits, half as large; distances change by less than 4e-5.
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

/// Format of results, or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines of text.
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

/// Pattern of a source's pairs, which decides the cache policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairPattern {
    /// Each picture with all others.
    AllPairs,
    /// Most pictures once.
    Sparse,
}

impl Options {
    /// Checks the flags before any work.
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

    /// Files and folders that the run itself writes: they are no pictures of its source.
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

    /// The pipeline. Heat maps leave `map_prefix` out of their names, or are numbered without it.
    pub(super) fn pipeline(&self, pattern: PairPattern, map_prefix: Option<&Path>) -> Result<Pipeline> {
        self.compute.start_threads()?;
        let device = self.compute.open_device()?;
        let metrics = metrics(&self.metrics, &device, self.compute.memory)?;
        if let Some(first) = metrics.first().filter(|metric| metric.is_similarity()) {
            return Err(Failure::usage(format!(
                "{first} grows with likeness, and the first metric decides what is far: put a distance before it, as in --metric \
                 alex,{first}"
            )));
        }
        if self.maps.is_some() && metrics.iter().all(|metric| metric.lpips().is_none()) {
            return Err(Failure::usage("--maps needs a network among the metrics, such as alex"));
        }
        let options = pipeline::Options {
            decoder: self.decode.decoder(),
            preprocess: Preprocess { resize: self.resize, crop: self.crop, tile: self.tile },
            layers: self.layers,
            heat_maps: self.maps.as_ref().map(|folder| self.heat_maps(folder.clone(), map_prefix)),
            cache_policy: self.cache_policy(pattern),
            feature_cache: self.cache.open()?,
        };
        Ok(Pipeline::new(metrics, options)?)
    }

    fn heat_maps(&self, folder: PathBuf, prefix: Option<&Path>) -> HeatMaps {
        let files = match prefix {
            Some(prefix) => MapFiles::Named { folder, prefix: prefix.to_path_buf() },
            None => MapFiles::Numbered { folder },
        };
        HeatMaps { files, top: self.map_max, over_reference: false }
    }

    fn cache_policy(&self, pattern: PairPattern) -> CachePolicy {
        match (self.compute.memory, pattern) {
            (Some(memory), PairPattern::AllPairs) => CachePolicy::All(memory / 4),
            (Some(memory), PairPattern::Sparse) => CachePolicy::Repeated(memory / 4),
            (None, PairPattern::AllPairs) => CachePolicy::All(device::free_memory().map_or(1 << 30, |free| free / 4)),
            (None, PairPattern::Sparse) => CachePolicy::Repeated(256 << 20),
        }
    }

    /// The shared settings that decide the numbers, for the run file.
    pub(super) fn add_settings(&self, mut add: impl FnMut(&str, Value)) {
        if let Some(resize) = self.resize {
            add("--resize", json!(resize.to_string()));
        }
        if let Some(crop) = self.crop {
            add("--crop", json!(crop.to_string()));
        }
        if let Some(tile) = self.tile {
            add("--tile", json!(tile.to_string()));
        }
        add("--background", json!(self.decode.background.to_string()));
        add("--max-pixels", json!(self.decode.max_pixels));
        add("--cache-f16", json!(self.cache.f16));
    }
}
