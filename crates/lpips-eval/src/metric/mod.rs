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
///
/// ```
/// use candle_core::Device;
/// use lpips_core::weights::Finder;
/// use lpips_eval::metric::Metric;
///
/// let metric = Metric::open("ssim", &Finder::default(), &Device::Cpu)?;
/// assert!(metric.is_similarity() && metric.lpips().is_none());
/// let error = Metric::open("alexx", &Finder::default(), &Device::Cpu).unwrap_err();
/// assert!(error.is_usage() && error.to_string().ends_with("did you mean alex?"));
/// # Ok::<(), lpips_eval::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metric {
    name: String,
    identity: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Pixels(Baseline),
    /// LPIPS, and the file of its network where that is not the published one.
    Lpips(Arc<Lpips>, Option<Arc<Path>>),
}

/// The distances of a sample: of p0 and of p1 from the reference, or of p0 from p1.
pub type Distances = Vec<f64>;

impl Metric {
    /// Opens a metric by its name on the command line: `alex`, `vgg` or `squeeze`, with `-0.0` for the first version
    /// and `-baseline` for no lin heads; `l2`, `psnr`, `dssim` (or `ssim`), `l2-lab`, `dssim-lab` (or `ssim-lab`); a
    /// file that `lpips-train` has written; or `vgg=FILE` for lin heads or a network from elsewhere.
    ///
    /// # Errors
    /// An unknown metric, or weights that are not found or can't be used.
    pub fn open(name: &str, finder: &Finder, device: &Device) -> Result<Self> {
        Self::open_within(name, finder, device, None)
    }

    /// [`Self::open`] with the memory that a network may take, in bytes; half of the free memory by default.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_within(name: &str, finder: &Finder, device: &Device, memory: Option<usize>) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::EmptyMetricName);
        }
        // SSIM is DSSIM in other units.
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
            let bytes = std::fs::read(file).map_err(|error| lpips_data::Error::io(file, "read", &error))?;
            identity = format!("{name} {}", short_hex(Sha256::new_with_prefix(bytes)));
            let archive = Archive::open(file).map_err(lpips_core::Error::from)?;
            own_network = archive.names().any(|name| name.starts_with("features.")).then(|| Arc::from(file));
        }
        let builder = builder.finder(finder.clone()).device(device.clone()).batch_invariant(true);
        let lpips = memory.map_or(builder.clone(), |memory| builder.memory(memory)).build()?;
        Ok(Self { name: name.to_string(), identity, kind: Kind::Lpips(Arc::new(lpips), own_network) })
    }

    /// Wraps a model that was just trained.
    pub fn trained(name: &str, lpips: Lpips) -> Self {
        // Its network may be trained too, and is shared with no other metric.
        let kind = Kind::Lpips(Arc::new(lpips), Some(Arc::from(Path::new(name))));
        Self { name: name.to_string(), identity: name.to_string(), kind }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, and for a file a hash of its content.
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
        let suggestion = near.filter(|(far, _)| *far <= 2).map(|(_, near)| (*near).to_string());
        let known = [&all[..], &["ssim", "ssim-lab"]].concat().join(", ");
        return Err(Error::UnknownMetric { name: name.to_string(), known, suggestion });
    }
    let trained = ModelMetadata::read(path).ok_or_else(|| {
        let reason = if path.extension().is_some_and(|extension| extension == "jsonl") {
            "is no model: to read results back, leave --data out".to_string()
        } else {
            format!("does not say for which network it is: name that too, as in vgg={name}")
        };
        lpips_data::Error::file(path, reason)
    })?;
    Ok((trained.builder().weights(path), Some(path)))
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Measures samples by each metric, in their order. All pictures are of one size, values in [0, 1].
///
/// # Errors
/// Pictures that are too small for a metric, or a device that runs out of memory.
pub fn distances<const N: usize>(metrics: &[Metric], samples: &[[FloatImage; N]]) -> Result<Vec<Vec<Distances>>> {
    let mut all: Vec<Vec<Distances>> = vec![Vec::new(); metrics.len()];
    let has_pixel_metric = metrics.iter().any(|metric| matches!(metric.kind, Kind::Pixels(_)));
    let pixels = if has_pixel_metric { pixels(samples) } else { Vec::new() };
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
    /// LPIPS itself; `None` for a pixel metric.
    pub fn lpips(&self) -> Option<&Lpips> {
        match &self.kind {
            Kind::Lpips(lpips, _) => Some(lpips),
            Kind::Pixels(_) => None,
        }
    }

    /// The value of a pixel metric as it is published: PSNR in dB, at most 200, and SSIM as a similarity. `None` for
    /// LPIPS.
    pub fn by_pixels(&self, a: &Pixels, b: &Pixels) -> Option<Result<f64>> {
        let Kind::Pixels(baseline) = self.kind else { return None };
        Some(baseline.value(a, b).map(|value| match baseline {
            Baseline::Psnr => value.min(200.0),
            _ if self.name.starts_with("ssim") => 1.0 - 2.0 * value,
            _ => value,
        }))
    }

    /// Whether values grow with similarity, as those of PSNR and SSIM do.
    pub fn is_similarity(&self) -> bool {
        self.name == Baseline::Psnr.name() || self.name.starts_with("ssim")
    }
}

fn pixels<const N: usize>(samples: &[[FloatImage; N]]) -> Vec<Vec<Pixels>> {
    samples.iter().map(|sample| sample.iter().map(Pixels::from).collect()).collect()
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
    let columns = (0..N).map(column).collect::<candle_core::Result<Vec<_>>>()?;
    let stack = match &columns[..] {
        [reference, p0, p1] => lpips.stack_triplets(reference, p0, p1)?,
        [p0, p1] => lpips.stack(p0, p1)?,
        _ => return Err(Error::PicturesPerSample { count: N }),
    };
    let of = |(at, comparison): Measured| {
        let all = comparison.distance()?.flatten_all()?.to_vec1::<f32>()?;
        Ok((at, (0..n).map(|i| all[i..].iter().step_by(n).map(|d| f64::from(*d)).collect()).collect()))
    };
    group.compare_stack(stack)?.into_iter().map(of).collect()
}
