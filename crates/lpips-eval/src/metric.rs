//! What is scored: LPIPS in its published versions, models of one's own, and distances of pixels.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use lpips_core::weights::{Archive, Finder};
use lpips_core::{Builder, Lpips, ModelMetadata, Network};
use lpips_models::ops;
use sha2::{Digest, Sha256};

use super::pixel::{Baseline, Pixels};
use lpips_data::float_image::FloatImage;
use lpips_data::short_hex;
use lpips_data::{Error, Result};

/// A distance of pictures with a name.
#[derive(Debug, Clone)]
pub struct Metric {
    name: String,
    identity: String,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Pixels(Baseline),
    /// The metric, and the file that its network is from where that is not the published one.
    Lpips(Box<Lpips>, Option<Arc<Path>>),
}

/// For each pair of a question its distance: of p0 and of p1 from the reference, or of p0 from p1.
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
            return Ok(Self { name: name.to_string(), identity: name.to_string(), how: How::Pixels(baseline) });
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
        let builder = builder.finder(finder.clone()).device(device.clone()).batch_invariant();
        let lpips = memory.map_or(builder.clone(), |memory| builder.memory(memory)).build()?;
        Ok(Self { name: name.to_string(), identity, how: How::Lpips(Box::new(lpips), own_network) })
    }

    /// One that was just trained.
    pub fn trained(name: &str, lpips: Lpips) -> Self {
        // Its network may be its own.
        let how = How::Lpips(Box::new(lpips), Some(Arc::from(Path::new(name))));
        Self { name: name.to_string(), identity: name.to_string(), how }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, and for a file a hash of what is in it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether another sees the same in a picture, so that one look is enough for both.
    pub fn sees_as(&self, other: &Self) -> bool {
        match (&self.how, &other.how) {
            (How::Lpips(a, own), How::Lpips(b, other)) => {
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
    Some(if lins { builder } else { builder.baseline() })
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

/// The distances of some questions by each metric, which come in that order. All pictures are of one size.
///
/// # Errors
/// Pictures that are too small for a metric, or a device that runs out of memory.
pub fn distances<const N: usize>(metrics: &[Metric], questions: &[[FloatImage; N]]) -> Result<Vec<Vec<Distances>>> {
    let mut all: Vec<Vec<Distances>> = vec![Vec::new(); metrics.len()];
    let looks_at_pixels = metrics.iter().any(|metric| matches!(metric.how, How::Pixels(_)));
    let pixels = if looks_at_pixels { pixels(questions)? } else { Vec::new() };
    for (at, metric) in metrics.iter().enumerate() {
        if !all[at].is_empty() {
            continue;
        }
        match &metric.how {
            How::Pixels(baseline) => all[at] = by_pixels(*baseline, &pixels)?,
            How::Lpips(lpips, _) => {
                let same: Vec<usize> = (at..metrics.len()).filter(|other| metric.sees_as(&metrics[*other])).collect();
                let heads: Vec<&Lpips> = same.iter().filter_map(|other| metrics[*other].lpips()).collect();
                for (at, distances) in same.iter().zip(by_network(lpips, &heads, questions)?) {
                    all[*at] = distances;
                }
            }
        }
    }
    Ok(all)
}

impl Metric {
    /// The metric itself, unless it is a distance of pixels.
    pub fn lpips(&self) -> Option<&Lpips> {
        match &self.how {
            How::Lpips(lpips, _) => Some(lpips),
            How::Pixels(_) => None,
        }
    }

    /// Its value by pixels, as people read it: of PSNR the decibels, at most 200, and of SSIM the similarity. `None` of LPIPS.
    pub fn by_pixels(&self, a: &Pixels, b: &Pixels) -> Option<Result<f64>> {
        let How::Pixels(baseline) = self.how else { return None };
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

fn pixels<const N: usize>(questions: &[[FloatImage; N]]) -> Result<Vec<Vec<Pixels>>> {
    let of = |square: &FloatImage| Pixels::from_rgb8(square.size, square.size, &square.to_rgb8());
    questions.iter().map(|question| question.iter().map(of).collect()).collect()
}

fn by_pixels(baseline: Baseline, questions: &[Vec<Pixels>]) -> Result<Vec<Distances>> {
    let of =
        |question: &Vec<Pixels>| question[1..].iter().map(|other| baseline.distance(&question[0], other)).collect();
    questions.iter().map(of).collect()
}

/// One look at the pictures for several heads.
fn by_network<const N: usize>(
    lpips: &Lpips,
    heads: &[&Lpips],
    questions: &[[FloatImage; N]],
) -> Result<Vec<Vec<Distances>>> {
    let (n, side) = (questions.len(), questions.first().map_or(0, |question| question[0].size));
    let column = |at: usize| {
        let mut values = Vec::with_capacity(n * 3 * side * side);
        for question in questions {
            question[at].planes(&mut values);
        }
        Tensor::from_vec(values, (n, 3, side, side), lpips.device())
    };
    let columns = (0..N).map(column).collect::<candle_core::Result<Vec<_>>>()?;
    let stack = match &columns[..] {
        [reference, p0, p1] => lpips.stack_triplets(reference, p0, p1)?,
        [p0, p1] => lpips.stack(p0, p1)?,
        _ => return Err(Error::Data(format!("{N} pictures were given: expected 2 or 3"))),
    };
    ops::in_pool(|| {
        let taps = lpips.backbone().features_channels_last(&stack.pictures).map_err(lpips_core::Error::from)?;
        ops::recycle(&stack.pictures, &taps[0])?;
        let of = |head: &&Lpips| {
            let all = head.compare_taps(&stack.pairing, &taps, None)?.distance()?.flatten_all()?.to_vec1::<f32>()?;
            Ok((0..n).map(|i| all[i..].iter().step_by(n).map(|d| f64::from(*d)).collect()).collect())
        };
        heads.iter().map(of).collect()
    })
}
