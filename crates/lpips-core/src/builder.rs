//! Builder of the metric: network, version, heads, weights, taps, device, type, memory.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Init, VarBuilder, VarMap};
use lpips_models::weights::{Archive, Finder, Weights};
use lpips_models::{Backbone, Network};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::lpips::Lpips;
use crate::tile::Memory;
use crate::version::Version;

/// Builder of a [`Lpips`], made by [`Lpips::builder`].
///
/// ```
/// use lpips_core::{Lpips, Network, Version};
///
/// // AlexNet tapped at two layers, every channel weighted 1, the same bits in batches of any size.
/// let lpips = Lpips::builder(Network::AlexNet)
///     .version(Version::V0_1)
///     .taps(["conv2", "conv4"])
///     .lins(false)
///     .batch_invariant(true)
///     .build()?;
/// assert_eq!(lpips.tap_names(), ["conv2", "conv4"]);
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    network: Network,
    version: Version,
    lins: bool,
    files: Vec<PathBuf>,
    backbone: Option<Weights>,
    taps: Option<Vec<String>>,
    device: Device,
    dtype: DType,
    finder: Finder,
    memory: Memory,
    batch_invariant: bool,
}

impl From<&Config> for Builder {
    fn from(config: &Config) -> Self {
        let builder = Self::new(config.network).version(config.version).lins(config.lins);
        Self { taps: config.taps.clone(), batch_invariant: config.batch_invariant, ..builder }
    }
}

impl Lpips {
    /// Metric of version 0.1 with the published lin heads, on the CPU in f32, with the first official weights that
    /// [`Weights::find`] finds.
    ///
    /// # Errors
    /// No weights are found (AlexNet's are bundled by default), or the network has no published lin heads.
    pub fn new(network: Network) -> Result<Self> {
        Self::builder(network).build()
    }

    /// Builder with all choices: version, heads, weights, taps, device, type, memory.
    pub fn builder(network: Network) -> Builder {
        Builder::new(network)
    }

    /// Loads a metric of a configuration from the weights of `vb`: convolutions under torchvision's names
    /// (`features.0.weight`), in `vb`'s type and on its device, and lin heads (`lin0.weight`, (1, C, 1, 1)) in f32.
    /// Variables stay variables; a `VarBuilder` of a `VarMap` creates those that the map does not hold, as candle's do.
    ///
    /// See [`Config`] for an example.
    ///
    /// # Errors
    /// A layer that the network does not have; a weight that `vb` does not have or has in another shape.
    pub fn load<'a>(config: &Config, vb: impl Borrow<VarBuilder<'a>>) -> Result<Self> {
        Builder::from(config).build_on(vb.borrow())
    }
}

impl Builder {
    fn new(network: Network) -> Self {
        Self {
            network,
            version: Version::default(),
            lins: true,
            files: Vec::new(),
            backbone: None,
            taps: None,
            device: Device::Cpu,
            dtype: DType::F32,
            finder: Finder::default(),
            memory: Memory::default(),
            batch_invariant: false,
        }
    }

    /// Sets the version: the scaling of the input and the set of published lin heads. Default: 0.1.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets whether channels are weighted by lin heads. Without, every channel counts 1: the published package's
    /// `lpips=False`. Default: true.
    #[must_use]
    #[doc(alias = "baseline")]
    pub fn lins(mut self, lins: bool) -> Self {
        self.lins = lins;
        self
    }

    /// Adds a weights file (safetensors or PyTorch's `.pth`) with the network's convolutions, lin heads, or both, a
    /// whole trained model. Its tensors replace the published ones. May be called several times.
    ///
    /// Weights other than the official ones are used with a warning in the log.
    #[must_use]
    pub fn weights(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Sets convolution weights that are already loaded, in place of those that would be searched for.
    #[must_use]
    pub fn network_weights(mut self, weights: Weights) -> Self {
        self.backbone = Some(weights);
        self
    }

    /// Sets the tapped layers, in place of the published ones; see
    /// [`Architecture::layer_names`](lpips_models::arch::Architecture::layer_names). Other taps need other lin heads,
    /// or [none](Self::lins).
    #[must_use]
    pub fn taps(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.taps = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the device. Default: the CPU.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Sets the type of the network's weights and activations: f32 (default), f16 or bf16. The head always computes in
    /// f32.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets where weights are searched for. Default: [`Finder::default`].
    #[must_use]
    pub fn finder(mut self, finder: Finder) -> Self {
        self.finder = finder;
        self
    }

    /// Sets the memory that a comparison may take, in bytes, including the program, the weights and the pictures'
    /// tensors. Default: half of what is free on the machine, or in the control group, at each comparison; on a GPU all
    /// that it has.
    ///
    /// Pictures that would take more go through the network band by band, which changes no number (on a GPU less than
    /// 1e-5), and takes hardly longer. Where even the lowest bands take more, they are used with a warning in the log.
    /// Comparisons through which gradients flow, and [`Lpips::features`], are always computed whole.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Memory::Bytes(bytes);
        self
    }

    /// Sets whether a pair's distance is independent of the rest of its batch, on the CPU to the last bit. Default:
    /// false.
    ///
    /// Otherwise the number of pictures may change the last bits (about 1e-7) of small ones, up to about 200 pixels a
    /// side, as it decides how convolutions are computed. Costs nothing in large batches; a small pair alone takes up
    /// to half as long again.
    #[must_use]
    pub fn batch_invariant(mut self, batch_invariant: bool) -> Self {
        self.batch_invariant = batch_invariant;
        self
    }

    /// Builds the metric, with its weights as constants.
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

    /// Builds the metric of [`Self::build`] with all its weights as variables, to be trained further.
    ///
    /// The variables have torchvision's names (`features.0.weight`), the lin heads `lin0.weight` and so on.
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
        let vb = VarBuilder::from_varmap(&vars, self.dtype, &self.device);
        let lpips = self.build_on(&vb)?;
        Ok((lpips, vars))
    }

    /// Builds the metric on the weights of `vb`, as [`Lpips::load`] does.
    ///
    /// # Errors
    /// A layer that the network does not have; a weight that `vb` does not have or has in another shape.
    pub fn build_on(self, vb: &VarBuilder<'_>) -> Result<Lpips> {
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

    /// Resolves the choices to taps, weights and lin heads.
    fn parts(&mut self) -> Result<Parts> {
        if !matches!(self.dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Err(Error::UnsupportedType { dtype: self.dtype });
        }
        let arch = self.network.architecture();
        let published: Vec<String> = arch.taps.iter().map(ToString::to_string).collect();
        let taps = self.tap_names();
        let positions = arch.positions(&taps)?;
        let channels = arch.channels();
        let channels: Vec<usize> = positions.iter().map(|&at| channels[at]).collect();

        let (mut convolutions, mut own) = (None, None);
        for file in &self.files {
            let archive = Archive::open(file)?;
            let has_convolutions = archive.names().any(|name| name.starts_with("features."));
            let has_lins = archive.names().any(|name| lin_index(name).is_some());
            if has_convolutions {
                let last = positions.iter().copied().max().unwrap_or_default();
                once(
                    &mut convolutions,
                    Weights::from_archive_up_to(self.network, &archive, last)?,
                    file,
                    "convolutions",
                )?;
            }
            if has_lins && self.lins {
                tracing::warn!("using the lin heads of {} in place of the published ones", file.display());
                once(&mut own, lins_of(&archive, &channels)?, file, "lin heads")?;
            }
            if !has_convolutions && !has_lins {
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
                return Err(Error::LinsOfOtherTaps { published });
            }
        };
        if let Some(weights) = &convolutions
            && weights.is_official() != Some(true)
        {
            tracing::warn!("using weights that are not {}'s published ones: {}", arch.id, weights.origin());
        }
        let weights = match (convolutions, self.backbone.take()) {
            (Some(_), Some(_)) => {
                return Err(Error::WeightsGivenTwice);
            }
            (Some(weights), None) => weights,
            (None, Some(given)) if given.network() == self.network => given,
            (None, Some(given)) => {
                return Err(Error::WeightsOfOtherNetwork { given: given.network(), expected: self.network });
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
                return Err(Error::NoPublishedLins { network: other });
            }
        };
        lins_of(&Archive::from_static(name, bytes)?, channels)
    }
}

/// Taps, weights and lin heads of a metric to be built.
struct Parts {
    taps: Vec<String>,
    weights: Weights,
    lins: Option<Vec<Tensor>>,
}

fn lin_name(index: usize) -> String {
    format!("lin{index}.weight")
}

/// N of `linN.weight`.
fn lin_index(name: &str) -> Option<usize> {
    name.strip_prefix("lin")?.strip_suffix(".weight")?.parse().ok()
}

/// Whether both name the same layers, in any order.
fn taps_equal(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|name| b.contains(name))
}

/// Puts a value where there must not be one yet.
fn once<T>(place: &mut Option<T>, value: T, file: &Path, what: &str) -> Result<()> {
    if place.replace(value).is_some() {
        let reason = format!("holds {what}, and so does a file given before it: give each part once");
        return Err(Error::weights(file, reason));
    }
    Ok(())
}

/// Lin heads `lin0.weight`, `lin1.weight` and so on, (1, C, 1, 1) each, for taps with these channels.
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
