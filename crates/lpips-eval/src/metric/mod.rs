//! Metrics by name: LPIPS in its published versions, trained models, and distances of pixels.

mod group;
pub mod pixel;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use lpips_core::weights::{Archive, Finder};
use lpips_core::{Builder, Lpips, ModelMetadata, Network};
use lpips_data::float_image::FloatImage;
use lpips_data::short_hex;
use sha2::{Digest, Sha256};

pub use group::{Measured, MetricGroup, group_by_backbone};
pub use pixel::{Baseline, Pixels};

use crate::{Error, Result};

/// A named distance of two pictures.
#[derive(Debug, Clone)]
pub struct Metric {
    name: String,
    identity: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Pixels(Baseline),
    /// The metric, and the file that its network is from where that is not the published one.
    Lpips(Arc<Lpips>, Option<Arc<Path>>),
}

/// For each pair of a sample its distance: of p0 and of p1 from the reference, or of p0 from p1.
pub type Distances = Vec<f64>;

impl Metric {
    /// By the name that it has on the command line: `alex`, `vgg` or `squeeze`, with `-0.0` for the first version and `-baseline`
    /// for no lin heads; `l2`, `psnr`, `dssim` (or `ssim`), `l2-lab`, `dssim-lab` (or `ssim-lab`); a file that `lpips-train` has
    /// written; or `vgg=FILE` for lin heads or a network from elsewhere.
    ///
    /// # Errors
    /// No such metric, or weights that are not found or can't be used.
    pub fn open(name: &str, finder: &Finder, device: &Device) -> Result<Self> {
        Self::open_within(name, finder, device, None)
    }

    /// [`Self::open`] with the memory that a network may take, in bytes; half of what is free where that is not said.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_within(name: &str, finder: &Finder, device: &Device, memory: Option<usize>) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::Choice("a metric's name is empty: expected names with commas between them".to_string()));
        }
        // SSIM puts pictures into the same order as DSSIM.
        let pixels = if name.starts_with("ssim") { format!("d{name}") } else { name.to_string() };
        if let Some(baseline) = Baseline::ALL.into_iter().find(|baseline| baseline.name() == pixels) {
            return Ok(Self { name: name.to_string(), identity: name.to_string(), kind: Kind::Pixels(baseline) });
        }
        let (builder, file) = match published(name) {
            Some(builder) => (builder, None),
            None => from_file(name)?,
        };
        let (mut identity, mut own_network) = (name.to_string(), None);
        if let Some(file) = file {
            let bytes = std::fs::read(file).map_err(|error| Error::io(file, "read", &error))?;
            identity = format!("{name} {}", short_hex(Sha256::new_with_prefix(bytes)));
            let archive = Archive::open(file).map_err(lpips_core::Error::from)?;
            own_network = archive.names().any(|name| name.starts_with("features.")).then(|| Arc::from(file));
        }
        let builder = builder.finder(finder.clone()).device(device.clone()).batch_invariant(true);
        let lpips = memory.map_or(builder.clone(), |memory| builder.memory(memory)).build()?;
        Ok(Self { name: name.to_string(), identity, kind: Kind::Lpips(Arc::new(lpips), own_network) })
    }

    /// One that was just trained.
    pub fn trained(name: &str, lpips: Lpips) -> Self {
        // Its network may be its own.
        let kind = Kind::Lpips(Arc::new(lpips), Some(Arc::from(Path::new(name))));
        Self { name: name.to_string(), identity: name.to_string(), kind }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, and for a file a hash of what is in it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether one forward pass of a backbone serves this metric and another; see [`group_by_backbone`].
    pub fn shares_backbone(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Lpips(a, own), Kind::Lpips(b, other)) => {
                let of = |lpips: &Lpips| (lpips.backbone().network(), lpips.version(), lpips.tap_names());
                of(a) == of(b) && own == other
            }
            _ => false,
        }
    }
}

fn published(name: &str) -> Option<Builder> {
    let (name, lins) = name.strip_suffix("-baseline").map_or((name, true), |name| (name, false));
    let (network, version) = name.split_once('-').unwrap_or((name, "0.1"));
    let network: Network = network.parse().ok()?;
    let builder = Lpips::builder(network).version(version.parse().ok()?);
    Some(if lins { builder } else { builder.lins(false) })
}

fn from_file(name: &str) -> Result<(Builder, Option<&Path>)> {
    if let Some((network, file)) = name.split_once('=')
        && let Ok(network) = network.parse::<Network>()
    {
        return Ok((Lpips::builder(network).weights(file), Some(Path::new(file))));
    }
    let path = Path::new(name);
    if !path.exists() {
        let networks = Network::PUBLISHED.iter().map(|network| network.name());
        let all: Vec<&str> = networks.chain(Baseline::ALL.iter().map(|baseline| baseline.name())).collect();
        let near = all.iter().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        let hint =
            near.filter(|(far, _)| *far <= 2).map_or(String::new(), |(_, near)| format!("; did you mean {near}?"));
        return Err(Error::Choice(format!(
            "there is no metric and no file '{name}': choose among {}, with -0.0 or -baseline after a network, or name a model \
             that lpips-train has written{hint}",
            [all.join(", "), "ssim".to_string(), "ssim-lab".to_string()].join(", ")
        )));
    }
    let trained = ModelMetadata::read(path).ok_or_else(|| {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            return Error::file(path, "is no model: to read results back, leave --data out");
        }
        let reason = format!("does not say for which network it is: name that too, as in vgg={name}");
        Error::file(path, reason)
    })?;
    Ok((trained.builder().weights(path), Some(path)))
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The distances of some samples by each metric, which come in that order. All pictures are of one size.
///
/// # Errors
/// Pictures that are too small for a metric, or a device that runs out of memory.
pub fn distances<const N: usize>(metrics: &[Metric], samples: &[[FloatImage; N]]) -> Result<Vec<Vec<Distances>>> {
    let mut all: Vec<Vec<Distances>> = vec![Vec::new(); metrics.len()];
    let has_pixel_metric = metrics.iter().any(|metric| matches!(metric.kind, Kind::Pixels(_)));
    let pixels = if has_pixel_metric { pixels(samples)? } else { Vec::new() };
    for (metric, distances) in metrics.iter().zip(&mut all) {
        if let Kind::Pixels(baseline) = metric.kind {
            *distances = by_pixels(baseline, &pixels)?;
        }
    }
    for group in group_by_backbone(metrics) {
        for (at, distances) in by_network(&group, samples)? {
            all[at] = distances;
        }
    }
    Ok(all)
}

impl Metric {
    /// The metric itself, unless it is a distance of pixels.
    pub fn lpips(&self) -> Option<&Lpips> {
        match &self.kind {
            Kind::Lpips(lpips, _) => Some(lpips),
            Kind::Pixels(_) => None,
        }
    }

    /// Its value by pixels, as people read it: of PSNR the decibels, at most 200, and of SSIM the similarity. `None` of LPIPS.
    pub fn by_pixels(&self, a: &Pixels, b: &Pixels) -> Option<Result<f64>> {
        let Kind::Pixels(baseline) = self.kind else { return None };
        Some(baseline.value(a, b).map(|value| match baseline {
            Baseline::Psnr => value.min(200.0),
            _ if self.name.starts_with("ssim") => 1.0 - 2.0 * value,
            _ => value,
        }))
    }

    /// Whether its values grow with likeness, as PSNR and SSIM do.
    pub fn is_similarity(&self) -> bool {
        self.name == Baseline::Psnr.name() || self.name.starts_with("ssim")
    }
}

fn pixels<const N: usize>(samples: &[[FloatImage; N]]) -> Result<Vec<Vec<Pixels>>> {
    let of = |image: &FloatImage| Pixels::from_rgb8(image.size, image.size, &image.to_rgb8());
    samples.iter().map(|sample| sample.iter().map(of).collect()).collect()
}

fn by_pixels(baseline: Baseline, samples: &[Vec<Pixels>]) -> Result<Vec<Distances>> {
    let of = |sample: &Vec<Pixels>| sample[1..].iter().map(|other| baseline.distance(&sample[0], other)).collect();
    samples.iter().map(of).collect()
}

/// The distances by each metric of a group, with its place.
fn by_network<const N: usize>(
    group: &MetricGroup,
    samples: &[[FloatImage; N]],
) -> Result<Vec<(usize, Vec<Distances>)>> {
    let lpips = group.backbone();
    let (n, side) = (samples.len(), samples.first().map_or(0, |sample| sample[0].size));
    let column = |at: usize| {
        let mut values = Vec::with_capacity(n * 3 * side * side);
        for sample in samples {
            sample[at].planes(&mut values);
        }
        Tensor::from_vec(values, (n, 3, side, side), lpips.device())
    };
    let columns = (0..N).map(column).collect::<candle_core::Result<Vec<_>>>().map_err(lpips_core::Error::from)?;
    let stack = match &columns[..] {
        [reference, p0, p1] => lpips.stack_triplets(reference, p0, p1)?,
        [p0, p1] => lpips.stack(p0, p1)?,
        _ => return Err(Error::Data(format!("{N} pictures were given: expected 2 or 3"))),
    };
    let of = |(at, comparison): Measured| {
        let all = comparison.distance()?.flatten_all().and_then(|all| all.to_vec1::<f32>());
        let all = all.map_err(lpips_core::Error::from)?;
        Ok((at, (0..n).map(|i| all[i..].iter().step_by(n).map(|d| f64::from(*d)).collect()).collect()))
    };
    group.compare_stack(stack)?.into_iter().map(of).collect()
}
