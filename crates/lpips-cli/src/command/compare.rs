//! `lpips compare`: the distances of some pictures from a reference, measured by the pipeline of `lpips-bulk`.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use lpips_bulk::pipeline::heat_maps::{HeatMaps, MapFiles};
use lpips_bulk::pipeline::preprocess::{Preprocess, Resize};
use lpips_bulk::pipeline::{self, CachePolicy, Pipeline};
use lpips_bulk::results::format;
use lpips_bulk::results::schema::{Columns, MetricResult, Row};
use lpips_bulk::source::pair::Pair;
use lpips_core::{Lpips, ModelMetadata, Network, Version};
use lpips_eval::metric::Metric;
use lpips_terminal::{ComputeArgs, DecodeArgs};
use serde_json::{Map, Value, json};

use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips compare reference.png candidate.png
  lpips compare --net vgg --layers reference.png a.png b.png c.png
  lpips compare --map where.png --map-over reference.png candidate.png
  lpips compare --json reference.png *.png";

/// Compare pictures with a reference: 0 is equal, larger is farther apart.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}\n\nExit codes: 0 success; 1 a picture or a weight failed (the others are \
        still compared); 2 wrong usage.", super::ENVIRONMENT)
)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub(crate) struct Compare {
    /// The picture that the others are compared with.
    reference: PathBuf,

    /// The pictures to compare; printed nearest first.
    #[arg(required = true)]
    candidates: Vec<PathBuf>,

    /// The network under the metric: alex, vgg or squeeze [default: the one that --weights were trained for, or alex].
    #[arg(long, value_name = "NET")]
    net: Option<Network>,

    /// The version of LPIPS: 0.1 or 0.0 [default: the one that --weights were trained for, or 0.1].
    #[arg(long, value_name = "VERSION")]
    lpips_version: Option<Version>,

    /// Leave out the lin heads: every channel counts the same (the published lpips=False).
    #[arg(long)]
    baseline: bool,

    /// Tap these layers instead of the published ones; needs --baseline or lin heads of your own.
    #[arg(long, value_name = "LAYER,...", value_delimiter = ',')]
    taps: Vec<String>,

    /// Print the distance's parts by layer too.
    #[arg(long)]
    layers: bool,

    /// Write where the pictures differ as a heat map with a scale; for several candidates a folder of them.
    #[arg(long, value_name = "OUT.png")]
    map: Option<PathBuf>,

    /// Draw the heat map over the reference.
    #[arg(long, requires = "map")]
    map_over: bool,

    /// The difference that gets the heat map's brightest colour [default: the map's largest].
    #[arg(long, value_name = "D", requires = "map", value_parser = super::positive)]
    map_max: Option<f32>,

    /// Resize pictures first, bilinear as by Pillow: each candidate to the reference's size (--resize or
    /// --resize=reference), or all to one size (--resize=256x192, width first).
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, default_missing_value = "reference")]
    resize: Option<Resize>,

    /// Weights of your own (safetensors or .pth): a network, lin heads, or a whole model; may be repeated.
    #[arg(long, value_name = "PATH")]
    weights: Vec<PathBuf>,

    #[command(flatten)]
    compute: ComputeArgs,

    #[command(flatten)]
    decode: DecodeArgs,

    /// Print one JSON object a line, in the order given.
    #[arg(long)]
    json: bool,
}

/// Bytes of the features that are cached if no memory is given.
const CACHED_BYTES: usize = 256 << 20;
/// The part of a given memory that cached features may take: one in so many bytes.
const CACHED_SHARE: usize = 4;

impl Compare {
    pub(crate) fn run(&self) -> Result {
        let maps = self.map_paths()?;
        self.compute.start_threads()?;
        let lpips = self.metric()?;
        let mut printer = Printer::new(self, &lpips);
        self.make_map_folder()?;
        let metric = Metric::trained(lpips.backbone().network().name(), lpips);
        let pipeline = Arc::new(Pipeline::new(vec![metric], self.options(maps))?);
        printer.columns = pipeline.columns(false);

        let pair = |(index, candidate)| Pair::of_files(index, &self.reference, candidate);
        let pairs = (0..).zip(&self.candidates).map(pair).collect();
        let mut failure = None;
        pipeline.run_listed(pairs, &AtomicBool::new(false), &mut |row| {
            Ok(match printer.row(row) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            })
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let map_failures = pipeline.map_failures();
        for reason in &map_failures.reasons {
            output::error(reason);
        }
        let more = map_failures.count - map_failures.reasons.len() as u64;
        if more > 0 {
            output::error(&format!("{more} more heat maps could not be written"));
        }
        printer.print_table()?;
        if printer.has_failures || map_failures.count > 0 { Err(Failure::Work(None)) } else { Ok(()) }
    }

    fn options(&self, maps: Option<Vec<PathBuf>>) -> pipeline::Options {
        pipeline::Options {
            decoder: self.decode.decoder(),
            preprocess: Preprocess { resize: self.resize, ..Preprocess::default() },
            layers: self.layers || self.json,
            heat_maps: maps.map(|paths| HeatMaps {
                files: MapFiles::Listed(paths),
                top: self.map_max,
                over_reference: self.map_over,
            }),
            cache_policy: CachePolicy::Repeated(
                self.compute.memory.map_or(CACHED_BYTES, |memory| memory / CACHED_SHARE),
            ),
            feature_cache: None,
        }
    }

    /// The metric of these flags, with the settings that a trained model states in its file.
    fn metric(&self) -> Result<Lpips> {
        let trained = self.weights.iter().rev().find_map(|path| Some((path, ModelMetadata::read(path)?)));
        let mut builder = match &trained {
            None => Lpips::builder(self.net.unwrap_or(Network::AlexNet)),
            Some((path, trained)) => {
                let contradicts = |flag: &str, given: &dyn Display, own: &dyn Display| {
                    let path = path.display();
                    Failure::usage(format!("{path} was trained for {own}, and {flag} says {given}: leave {flag} out"))
                };
                if let Some(net) = self.net.filter(|net| *net != trained.network) {
                    return Err(contradicts("--net", &net, &trained.network));
                }
                if let Some(version) = self.lpips_version.filter(|version| *version != trained.version) {
                    return Err(contradicts("--lpips-version", &version, &trained.version));
                }
                trained.builder()
            }
        };
        // As all metrics of the pipeline are: its numbers do not depend on the other candidates.
        builder = builder.device(self.compute.open_device()?).batch_invariant(true);
        if let Some(version) = self.lpips_version {
            builder = builder.version(version);
        }
        if self.baseline {
            builder = builder.lins(false);
        }
        if !self.taps.is_empty() {
            builder = builder.taps(self.taps.clone());
        }
        for file in &self.weights {
            builder = builder.weights(file);
        }
        if let Some(bytes) = self.compute.memory {
            // The rest is for cached features.
            builder = builder.memory(bytes - bytes / CACHED_SHARE);
        }
        Ok(builder.build()?)
    }

    /// The file of each candidate's heat map. Checked before any work, so that no map overwrites a picture.
    fn map_paths(&self) -> Result<Option<Vec<PathBuf>>> {
        let Some(map) = &self.map else { return Ok(None) };
        let is_folder = map.is_dir() || self.candidates.len() > 1;
        let paths = if is_folder {
            if map.exists() && !map.is_dir() {
                return Err(Failure::usage(format!(
                    "--map {} is a file: for several candidates name a folder",
                    map.display()
                )));
            }
            let mut taken = HashSet::new();
            let name = |candidate: &PathBuf| {
                let stem = candidate.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let numbered = (2..).map(|i| format!("{stem}-{i}"));
                let name = std::iter::once(stem.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
                map.join(format!("{}.map.png", name.unwrap_or(stem)))
            };
            self.candidates.iter().map(name).collect()
        } else {
            if map.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
                return Err(Failure::usage(format!(
                    "--map {}: heat maps are PNG files: name one that ends in .png, or a folder that exists",
                    map.display()
                )));
            }
            vec![map.clone()]
        };
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        for input in std::iter::once(&self.reference).chain(&self.candidates) {
            if let Some(path) = paths.iter().find(|path| real(path).is_some_and(|path| Some(path) == real(input))) {
                return Err(Failure::usage(format!(
                    "--map would write {} over a picture that is compared: name another file",
                    path.display()
                )));
            }
        }
        Ok(Some(paths))
    }

    fn make_map_folder(&self) -> Result {
        let Some(folder) = self.map.as_ref().filter(|_| self.candidates.len() > 1) else { return Ok(()) };
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::work(format!("the folder {} can't be made: {error}", folder.display())))
    }
}

/// Prints rows: as JSON when they are measured, as a table at the end.
struct Printer<'a> {
    arguments: &'a Compare,
    columns: Columns,
    /// Keys of the metric in the JSON of each row.
    metric: Map<String, Value>,
    rows: Vec<(MetricResult, PathBuf)>,
    has_failures: bool,
    /// The last failure that was printed: that of a reference concerns all candidates.
    failure: String,
}

impl<'a> Printer<'a> {
    fn new(arguments: &'a Compare, lpips: &Lpips) -> Self {
        let mut metric = Map::new();
        metric.insert("net".to_string(), json!(lpips.backbone().network().name()));
        metric.insert("version".to_string(), json!(lpips.version().to_string()));
        metric.insert("lin".to_string(), json!(lpips.has_lins()));
        let columns = Columns { metrics: Vec::new(), layers: Vec::new(), triplets: false };
        Self { arguments, columns, metric, rows: Vec::new(), has_failures: false, failure: String::new() }
    }

    fn row(&mut self, row: Row) -> Result {
        if let Err(reason) = &row.outcome {
            self.has_failures = true;
            let concerns_all = reason.starts_with(&self.arguments.reference.display().to_string());
            if !concerns_all || *reason != self.failure {
                output::error(reason);
                self.failure.clone_from(reason);
            }
        }
        if self.arguments.json {
            return output::line(&Value::Object(self.object(&row)?).to_string());
        }
        let measured = row.outcome.into_iter().flatten().next();
        self.rows.extend(measured.map(|measured| (measured, row.candidate)));
        Ok(())
    }

    /// A row with the keys of all results, and those of the metric; its layers are a list, since there is one metric.
    fn object(&self, row: &Row) -> Result<Map<String, Value>> {
        let mut object = Map::new();
        for (key, value) in format::object(&self.columns, row)? {
            if key == "distance" || key == "error" {
                object.extend(self.metric.clone());
            }
            let value = if key == "layers" { layer_list(&value) } else { value };
            object.insert(key, value);
        }
        Ok(object)
    }

    fn print_table(&mut self) -> Result {
        self.rows.sort_by(|a, b| a.0.distance.total_cmp(&b.0.distance));
        let number = |value: f64| format!("{value:.5}");
        let mut lines = Vec::new();
        if self.arguments.layers && !self.rows.is_empty() {
            let names = self.columns.layers.iter().flatten().cloned();
            lines.push([vec!["distance".to_string()], names.collect(), vec![String::new()]].concat());
        }
        for (measured, candidate) in &self.rows {
            let mut line = vec![number(measured.distance)];
            line.extend(measured.layers.iter().map(|part| number(*part)));
            line.push(output::text(candidate));
            lines.push(line);
        }
        output::table(&lines).iter().try_for_each(|line| output::line(line.trim_end()))
    }
}

/// The layers of the only metric, `[{"name": "conv1", "distance": 0.1}, ...]`.
fn layer_list(layers: &Value) -> Value {
    let layers = layers.as_object().and_then(|metrics| metrics.values().next()).and_then(Value::as_object);
    layers.into_iter().flatten().map(|(name, part)| json!({ "name": name, "distance": part })).collect()
}
