//! The choices that make a metric.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Init, VarBuilder, VarMap};
use lpips_models::weights::{Archive, Finder, Weights};
use lpips_models::{Backbone, Network};

use crate::error::{Error, Result};
use crate::head::Head;
use crate::lpips::Lpips;
use crate::tile::Memory;

/// The published package's versions of LPIPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// The input is scaled as ImageNet's pictures were; lin heads trained with that. The published default.
    #[default]
    V0_1,
    /// The first release: the input is not scaled.
    V0_0,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1 => "0.1",
            Self::V0_0 => "0.0",
        })
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        match given {
            "0.1" => Ok(Self::V0_1),
            "0.0" => Ok(Self::V0_0),
            _ => Err(Error::Choice(format!("unknown version '{given}': choose 0.1 or 0.0"))),
        }
    }
}

/// Chooses what a [`Lpips`] is made of; see [`Lpips::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    network: Network,
    version: Version,
    lins: bool,
    files: Vec<PathBuf>,
    trunk: Option<Weights>,
    taps: Option<Vec<String>>,
    device: Device,
    dtype: DType,
    finder: Finder,
    memory: Memory,
    batch_invariant: bool,
}

impl Builder {
    pub(crate) fn new(network: Network) -> Self {
        Self {
            network,
            version: Version::default(),
            lins: true,
            files: Vec::new(),
            trunk: None,
            taps: None,
            device: Device::Cpu,
            dtype: DType::F32,
            finder: Finder::default(),
            memory: Memory::default(),
            batch_invariant: false,
        }
    }

    /// The version: how the input is scaled, and which published lin heads are used. Default: 0.1.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// No lin heads: every channel counts 1. The published package's `lpips=False`.
    #[must_use]
    pub fn baseline(mut self) -> Self {
        self.lins = false;
        self
    }

    /// Weights from a file (safetensors or PyTorch's `.pth`), which may hold the network's convolutions, lin heads, or both,
    /// a whole trained model; what it holds takes the place of what is published. May be called several times.
    ///
    /// Weights that are not the official ones are used all the same, and a line in the log says so.
    #[must_use]
    pub fn weights(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// These convolution weights, already loaded, in place of what would be looked for.
    #[must_use]
    pub fn network_weights(mut self, weights: Weights) -> Self {
        self.trunk = Some(weights);
        self
    }

    /// Taps these layers in place of the published ones; see
    /// [`Architecture::layer_names`](lpips_models::arch::Architecture::layer_names). Other taps need other lin heads, or
    /// [`Self::baseline`].
    #[must_use]
    pub fn taps(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.taps = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Where to compute. Default: the CPU.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// The type of the network's weights and activations: f32 (default), f16 or bf16. The head always computes in f32.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Where to look for weights. Default: [`Finder::default`].
    #[must_use]
    pub fn finder(mut self, finder: Finder) -> Self {
        self.finder = finder;
        self
    }

    /// The memory that a comparison may take, in bytes, with the program, the weights and the pictures' tensors counted in.
    /// Default: half of what is free on the machine, or in the control group, at each comparison; on a GPU all that it has.
    ///
    /// Pictures that would take more go through the network band by band, which changes no number (on a GPU less than 1e-5),
    /// and takes hardly longer. Where even the lowest bands take more, they are used all the same, and a line in the
    /// log says so. Comparisons through which gradients flow, and [`Lpips::features`], are always computed whole.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Memory::Bytes(bytes);
        self
    }

    /// A pair's distance is the same, on the CPU to the last bit, whatever is computed beside it: in a batch of one or of many,
    /// in parts or in one go. Otherwise the number of pictures may change the last bits (about 1e-7) of small ones, up to about
    /// 200 pixels a side, as it decides how convolutions are computed. Costs nothing in large batches; a small pair alone
    /// takes up to half as long again.
    #[must_use]
    pub fn batch_invariant(mut self) -> Self {
        self.batch_invariant = true;
        self
    }

    /// The metric, with its weights as constants.
    ///
    /// # Errors
    /// Weights that are not found or can't be used; a layer that the network does not have; lin heads that are not
    /// published for this network or these taps and were not given; a type other than f32, f16 and bf16.
    pub fn build(mut self) -> Result<Lpips> {
        let parts = self.parts()?;
        let vb = parts.weights.into_var_builder(self.dtype, &self.device)?;
        let lins = parts.lins.map(|lins| lins.iter().map(|lin| lin.to_device(&self.device)).collect());
        self.assemble(&parts.taps, &vb, lins.transpose()?)
    }

    /// The metric, with all its weights as variables: what [`Self::build`] gives, to be trained further.
    ///
    /// The map names the variables as torchvision does (`features.0.weight`), and the lin heads `lin0.weight` and so on.
    ///
    /// # Errors
    /// Those of [`Self::build`].
    pub fn build_variables(mut self) -> Result<(Lpips, VarMap)> {
        let parts = self.parts()?;
        let constants = parts.weights.into_var_builder(self.dtype, &self.device)?;
        let vars = VarMap::new();
        let insert = |name: String, tensor: &Tensor| -> Result<()> {
            let var = Var::from_tensor(tensor)?;
            if let Ok(mut data) = vars.data().lock() {
                data.insert(name, var);
            }
            Ok(())
        };
        let arch = self.network.architecture();
        let last = arch.positions(&parts.taps)?.into_iter().max().unwrap_or_default();
        for (name, shape) in arch.tensors(last) {
            insert(name.clone(), &constants.get(shape, &name)?)?;
        }
        for (i, lin) in parts.lins.iter().flatten().enumerate() {
            insert(lin_name(i), &lin.to_device(&self.device)?)?;
        }
        let lpips = self.build_on(&VarBuilder::from_varmap(&vars, self.dtype, &self.device))?;
        Ok((lpips, vars))
    }

    /// The metric on the weights that `vb` has: convolutions under torchvision's names (`features.0.weight`), in `vb`'s type and
    /// on its device, and lin heads (`lin0.weight`, (1, C, 1, 1)) in f32. Variables stay variables.
    ///
    /// # Errors
    /// A layer that the network does not have; a weight that `vb` does not have or has in another shape.
    pub fn build_on(&self, vb: &VarBuilder<'_>) -> Result<Lpips> {
        let arch = self.network.architecture();
        let taps = self.tap_names();
        let channels = arch.channels();
        let lin = |(i, at): (usize, usize)| {
            vb.get_with_hints_dtype((1, channels[at], 1, 1), &lin_name(i), Init::Const(0.0), DType::F32)
        };
        let positions = arch.positions(&taps)?.into_iter().enumerate();
        let lins = if self.lins { Some(positions.map(lin).collect::<candle_core::Result<_>>()?) } else { None };
        self.assemble(&taps, vb, lins)
    }

    fn tap_names(&self) -> Vec<String> {
        let published = self.network.architecture().taps.iter().map(ToString::to_string);
        self.taps.clone().unwrap_or_else(|| published.collect())
    }

    fn assemble(&self, taps: &[String], vb: &VarBuilder<'_>, lins: Option<Vec<Tensor>>) -> Result<Lpips> {
        let backbone = Backbone::new(self.network, taps, vb)?;
        let backbone = if self.batch_invariant { backbone.batch_invariant() } else { backbone };
        Ok(Lpips::from_parts(backbone, Head::new(lins), self.version, self.memory))
    }

    /// What the choices come to; takes the weights that were given.
    fn parts(&mut self) -> Result<Parts> {
        if !matches!(self.dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Err(Error::Choice(format!("the type {:?} is not supported: choose F32, F16 or BF16", self.dtype)));
        }
        let arch = self.network.architecture();
        let published: Vec<String> = arch.taps.iter().map(ToString::to_string).collect();
        let taps = self.tap_names();
        let positions = arch.positions(&taps)?;
        let channels = arch.channels();
        let channels: Vec<usize> = positions.iter().map(|&at| channels[at]).collect();

        let (mut trunk, mut own) = (None, None);
        for file in &self.files {
            let archive = Archive::open(file)?;
            let has_trunk = archive.names().any(|name| name.starts_with("features."));
            let has_lins = archive.names().any(|name| lin_index(name).is_some());
            if has_trunk {
                let last = positions.iter().copied().max().unwrap_or_default();
                once(&mut trunk, Weights::from_archive_up_to(self.network, &archive, last)?, file, "convolutions")?;
            }
            if has_lins && self.lins {
                tracing::warn!("using the lin heads of {} in place of the published ones", file.display());
                once(&mut own, lins_of(&archive, &channels)?, file, "lin heads")?;
            }
            if !has_trunk && !has_lins {
                let reason = "holds neither a network's convolutions (features.0.weight and so on) nor lin heads \
                              (lin0.weight and so on)";
                return Err(Error::weights(file, reason));
            }
        }
        let lins = match (self.lins, own) {
            (false, _) => None,
            (true, Some(own)) => Some(own),
            (true, None) if taps_equal(&taps, &published) => Some(self.published_lins(&channels)?),
            (true, None) => {
                return Err(Error::Choice(format!(
                    "the published lin heads belong to the taps {}: for other taps give lin heads of your own, or choose \
                     the baseline without any",
                    published.join(", ")
                )));
            }
        };
        if let Some(weights) = &trunk
            && weights.is_official() != Some(true)
        {
            tracing::warn!("using weights that are not {}'s published ones: {}", arch.id, weights.origin());
        }
        let weights = match (trunk, self.trunk.take()) {
            (Some(_), Some(_)) => {
                let message = "convolution weights were given twice, loaded and as a file: give them once".to_string();
                return Err(Error::Choice(message));
            }
            (Some(weights), None) => weights,
            (None, Some(given)) if given.network() == self.network => given,
            (None, Some(given)) => {
                let message = format!(
                    "weights of {} were given for {}: give those of the same network",
                    given.network(),
                    self.network
                );
                return Err(Error::Choice(message));
            }
            (None, None) => self.finder.find(self.network)?,
        };
        Ok(Parts { taps, weights, lins })
    }

    fn published_lins(&self, channels: &[usize]) -> Result<Vec<Tensor>> {
        macro_rules! head {
            ($name:literal) => {
                ($name, include_bytes!(concat!("../heads/lin-", $name, ".safetensors")).as_slice())
            };
        }
        let (name, bytes) = match (self.network, self.version) {
            (Network::AlexNet, Version::V0_1) => head!("alex-v0.1"),
            (Network::AlexNet, Version::V0_0) => head!("alex-v0.0"),
            (Network::Vgg16, Version::V0_1) => head!("vgg-v0.1"),
            (Network::Vgg16, Version::V0_0) => head!("vgg-v0.0"),
            (Network::SqueezeNet1_1, Version::V0_1) => head!("squeeze-v0.1"),
            (Network::SqueezeNet1_1, Version::V0_0) => head!("squeeze-v0.0"),
            (other, _) => {
                return Err(Error::Choice(format!(
                    "no lin heads are published for {other}: give lin heads of your own, or choose the baseline without any"
                )));
            }
        };
        lins_of(&Archive::from_static(name, bytes)?, channels)
    }
}

struct Parts {
    taps: Vec<String>,
    weights: Weights,
    lins: Option<Vec<Tensor>>,
}

fn lin_name(index: usize) -> String {
    format!("lin{index}.weight")
}

/// The N of `linN.weight`.
fn lin_index(name: &str) -> Option<usize> {
    name.strip_prefix("lin")?.strip_suffix(".weight")?.parse().ok()
}

/// Whether both name the same layers, in whatever order.
fn taps_equal(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|name| b.contains(name))
}

fn once<T>(place: &mut Option<T>, value: T, file: &Path, what: &str) -> Result<()> {
    if place.replace(value).is_some() {
        let reason = format!("holds {what}, and so does a file given before it: give each part once");
        return Err(Error::weights(file, reason));
    }
    Ok(())
}

/// The lin heads `lin0.weight`, `lin1.weight` and so on, (1, C, 1, 1) each, for taps with these channels.
fn lins_of(archive: &Archive, channels: &[usize]) -> Result<Vec<Tensor>> {
    if let Some(surplus) = archive.names().find(|name| lin_index(name).is_some_and(|index| index >= channels.len())) {
        let reason = format!("holds {surplus}, but only {} layers are tapped", channels.len());
        return Err(Error::weights(archive.path(), reason));
    }
    channels
        .iter()
        .enumerate()
        .map(|(i, &c)| {
            let shape = [1, c, 1, 1];
            let name = lin_name(i);
            let data = archive.tensor(&name, &shape)?;
            if let Some(negative) = data.iter().find(|weight| **weight < 0.0) {
                let reason = format!(
                    "tensor {name} holds {negative}: lin heads must be 0 or above, or distances could be negative"
                );
                return Err(Error::weights(archive.path(), reason));
            }
            Ok(Tensor::from_vec(data, &shape, &Device::Cpu)?)
        })
        .collect()
}
