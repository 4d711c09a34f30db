//! `lpips compare`

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use clap::Args;
use lpips_core::device::{self, DeviceChoice};
use lpips_core::heatmap::{self, Style};
use lpips_core::image::Decoder;
use lpips_core::{Comparison, Images, Lpips, ModelMetadata, Network, Picture, Version};
use lpips_terminal::Background;
use serde_json::json;

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
    after_long_help = format!("{EXAMPLES}\n\n{}\n\nExit codes: 0 fine; 1 a picture or a weight failed (the others are \
        still compared); 2 wrong usage.", super::ENVIRONMENT)
)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of the command line.
pub(crate) struct Compare {
    /// The picture that the others are compared with.
    reference: PathBuf,

    /// The pictures to compare; printed nearest first.
    #[arg(required = true)]
    candidates: Vec<PathBuf>,

    /// The network that looks at the pictures: alex, vgg or squeeze [default: what --weights were trained for, or alex].
    #[arg(long, value_name = "NET")]
    net: Option<Network>,

    /// The version of LPIPS: 0.1 or 0.0 [default: what --weights were trained for, or 0.1].
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

    /// Bring each candidate to the reference's size first (bilinear, as Pillow does).
    #[arg(long)]
    resize: bool,

    /// Weights of your own (safetensors or .pth): a network, lin heads, or a whole model; may be repeated.
    #[arg(long, value_name = "PATH")]
    weights: Vec<PathBuf>,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,

    /// Threads on the CPU [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// What shows through where a picture is transparent: white, black or #rrggbb.
    #[arg(long, value_name = "COLOUR", default_value = "white")]
    background: Background,

    /// Memory to stay within, e.g. 600MB or 2GiB: larger pictures go through the network in bands, to the same numbers
    /// [default: half of what is free].
    #[arg(long, value_name = "SIZE", value_parser = super::bytes)]
    memory: Option<usize>,

    /// Refuse pictures that claim more pixels than this.
    #[arg(long, value_name = "N", default_value_t = Decoder::default().max_pixels)]
    max_pixels: u64,

    /// Print one JSON object a line, in the order given.
    #[arg(long)]
    json: bool,
}

/// A candidate's distance and its parts by layer.
struct Row<'a> {
    candidate: &'a Path,
    distance: f32,
    layers: Vec<(&'static str, f32)>,
}

/// The reference.
struct Reference {
    /// Width and height in pixels.
    size: (usize, usize),
    /// To be drawn over.
    picture: Option<Picture>,
    seen: lpips_core::Reference,
}

impl Compare {
    pub(crate) fn run(&self) -> Result {
        let maps = self.map_paths()?;
        device::start_threads(self.threads.map(usize::from))?;
        let lpips = self.metric()?;
        let decoder = Decoder::default().background(self.background.0).max_pixels(self.max_pixels);
        let reference = self.reference(&lpips, &decoder)?;

        if let Some(folder) = self.map.as_ref().filter(|_| self.candidates.len() > 1) {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::Work(Some(format!("the folder {} can't be made: {error}", folder.display())))
            })?;
        }

        let mut rows = Vec::new();
        let mut failed = false;
        for (i, candidate) in self.candidates.iter().enumerate() {
            let map = maps.as_ref().map(|maps| maps[i].as_path());
            match self.compare(&lpips, &decoder, &reference, candidate) {
                Ok((row, comparison)) => {
                    if self.json {
                        self.print_json(&lpips, &row)?;
                    }
                    rows.push(row);
                    if let Some(map) = map
                        && let Err(error) = self.draw(&comparison, &reference, map)
                    {
                        failed = true;
                        output::error(&error.to_string());
                    }
                }
                Err(error) => {
                    failed = true;
                    output::error(&error);
                    if self.json {
                        self.print_json_error(&lpips, candidate, &error)?;
                    }
                }
            }
        }
        if !self.json {
            self.print_table(&lpips, rows)?;
        }
        if failed { Err(Failure::Work(None)) } else { Ok(()) }
    }

    fn metric(&self) -> Result<Lpips> {
        // A model that lpips-train wrote says what it is.
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
        builder = builder.device(self.device.open()?);
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
        if let Some(bytes) = self.memory {
            builder = builder.memory(bytes);
        }
        Ok(builder.build()?)
    }

    fn reference(&self, lpips: &Lpips, decoder: &Decoder) -> Result<Reference> {
        let picture = decoder.open(&self.reference)?;
        let size = (picture.width(), picture.height());
        let (tensor, range) = picture.to_values(lpips.device())?;
        // Not held through the network's work: of a large picture it is much.
        let picture = Some(picture).filter(|_| self.map_over);
        let seen = lpips.cache_reference(Images::new(&tensor, range)).map_err(|error| named(&self.reference, error))?;
        Ok(Reference { size, picture, seen })
    }

    fn compare<'a>(
        &self,
        lpips: &Lpips,
        decoder: &Decoder,
        reference: &Reference,
        candidate: &'a Path,
    ) -> std::result::Result<(Row<'a>, Comparison), String> {
        let mut picture = decoder.open(candidate).map_err(|error| error.to_string())?;
        let size = reference.size;
        if (picture.width(), picture.height()) != size {
            if !self.resize {
                return Err(format!(
                    "{}: is {}x{} pixels, but the reference {} is {}x{}: give pictures of one size, or --resize",
                    candidate.display(),
                    picture.width(),
                    picture.height(),
                    self.reference.display(),
                    size.0,
                    size.1
                ));
            }
            picture = picture.resize(size.0, size.1).map_err(|error| error.to_string())?;
        }
        let compare = || {
            let (tensor, range) = picture.to_values(lpips.device())?;
            drop(picture);
            let comparison = lpips.compare_to(&reference.seen, Images::new(&tensor, range))?;
            let distance = comparison.values()?[0];
            let layers = comparison.layers()?;
            let layers = layers.iter().map(|layer| Ok((layer.name, scalar(&layer.distance)?)));
            let row = Row { candidate, distance, layers: layers.collect::<lpips_core::Result<_>>()? };
            Ok((row, comparison))
        };
        compare().map_err(|error: lpips_core::Error| format!("{}: {error}", candidate.display()))
    }

    fn draw(&self, comparison: &Comparison, reference: &Reference, to: &Path) -> lpips_core::Result<()> {
        let style = Style::default().top(self.map_max).over(reference.picture.as_ref());
        heatmap::draw(&comparison.map()?.to_device(&candle_core::Device::Cpu)?, &style)?.save_png(to)
    }

    /// Where each candidate's heat map goes. Checked before any work, so that no picture is ever overwritten by a map.
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

    fn print_table(&self, lpips: &Lpips, mut rows: Vec<Row<'_>>) -> Result {
        rows.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let number = |value: f32| format!("{value:.5}");
        let mut lines = Vec::new();
        if self.layers && !rows.is_empty() {
            let names = lpips.tap_names().into_iter().map(String::from);
            lines.push([vec!["distance".to_string()], names.collect(), vec![String::new()]].concat());
        }
        for row in &rows {
            let mut line = vec![number(row.distance)];
            if self.layers {
                line.extend(row.layers.iter().map(|(_, part)| number(*part)));
            }
            line.push(output::text(row.candidate));
            lines.push(line);
        }
        output::table(&lines).iter().try_for_each(|line| output::line(line.trim_end()))
    }

    fn print_json(&self, lpips: &Lpips, row: &Row<'_>) -> Result {
        let layers = row.layers.iter().map(|(name, part)| json!({ "name": name, "distance": part }));
        let mut object = self.json_head(lpips, row.candidate);
        object["distance"] = json!(row.distance);
        object["layers"] = layers.collect();
        output::line(&object.to_string())
    }

    fn print_json_error(&self, lpips: &Lpips, candidate: &Path, error: &str) -> Result {
        let mut object = self.json_head(lpips, candidate);
        object["error"] = json!(error);
        output::line(&object.to_string())
    }

    fn json_head(&self, lpips: &Lpips, candidate: &Path) -> serde_json::Value {
        json!({
            "reference": output::text(&self.reference),
            "candidate": output::text(candidate),
            "net": lpips.backbone().network().name(),
            "version": lpips.version().to_string(),
            "lin": lpips.has_lins(),
        })
    }
}

fn scalar(tensor: &Tensor) -> lpips_core::Result<f32> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?[0])
}

fn named(path: &Path, error: lpips_core::Error) -> Failure {
    match Failure::from(error) {
        Failure::Work(Some(message)) => Failure::Work(Some(format!("{}: {message}", path.display()))),
        other => other,
    }
}
