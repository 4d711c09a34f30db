//! Parameters of a model: initial values, groups, freezing and clamping.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use lpips_core::weights::{Archive, Finder, Weights};
use lpips_data::rng::{Rng, Stream};
use lpips_data::short_hex;
use lpips_models::arch::Architecture;
use sha2::{Digest, Sha256};

use crate::config::{Clamp, Config, Phase};
use crate::error::{Error, Result};

/// The part of a model that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamGroup {
    /// The network under the metric: `features.*`.
    Backbone,
    /// The weights of a tap's channels: `linN.weight`.
    Lin,
    /// The network of the ranking loss: `rank.model.*`.
    Ranker,
}

impl ParamGroup {
    /// The group of a tensor in a file of weights, by its name. `None` for a tensor of another model.
    fn of_file_entry(name: &str) -> Option<Self> {
        [(Self::Backbone, "features."), (Self::Lin, "lin"), (Self::Ranker, "rank.")]
            .into_iter()
            .find_map(|(group, prefix)| name.starts_with(prefix).then_some(group))
    }
}

/// A parameter's tensor, a variable where it is trained.
#[derive(Debug, Clone)]
enum Value {
    Frozen(Tensor),
    Trained(Var),
}

#[derive(Debug, Clone)]
pub(super) struct Param {
    pub(super) group: ParamGroup,
    value: Value,
}

impl Param {
    fn new(group: ParamGroup, tensor: Tensor, is_trained: bool) -> Result<Self> {
        let value = if is_trained { Value::Trained(Var::from_tensor(&tensor)?) } else { Value::Frozen(tensor) };
        Ok(Self { group, value })
    }

    pub(super) fn tensor(&self) -> &Tensor {
        match &self.value {
            Value::Frozen(tensor) => tensor,
            Value::Trained(var) => var.as_tensor(),
        }
    }

    fn var(&self) -> Option<&Var> {
        match &self.value {
            Value::Frozen(_) => None,
            Value::Trained(var) => Some(var),
        }
    }

    /// The tensor in the type that the model computes in: in 16 bits a variable of its own, so that its gradient is
    /// found.
    pub(super) fn to_dtype(&self, dtype: DType) -> candle_core::Result<Tensor> {
        let tensor = self.tensor().to_dtype(dtype)?;
        let is_copy = tensor.dtype() != self.tensor().dtype();
        if is_copy && self.var().is_some() { Ok(Var::from_tensor(&tensor.detach())?.into_inner()) } else { Ok(tensor) }
    }

    /// Whether the parameter is held at 0 or above: the weights of 1x1 convolutions.
    fn is_clamped(&self, clamp: Clamp) -> bool {
        let is_in_scope = match (self.group, clamp) {
            (ParamGroup::Lin, _) | (ParamGroup::Backbone, Clamp::Published) => true,
            (ParamGroup::Backbone, Clamp::Heads) | (ParamGroup::Ranker, _) => false,
        };
        is_in_scope && self.tensor().dims().ends_with(&[1, 1])
    }
}

/// All parameters of a model by name, in the order of the names.
#[derive(Debug)]
pub(super) struct Params {
    by_name: BTreeMap<String, Param>,
    /// Whether the backbone may differ from the weights that it started from.
    backbone_changed: bool,
}

/// The name of the lin head of tap `i`.
pub(super) fn lin_name(i: usize) -> String {
    format!("lin{i}.weight")
}

impl Params {
    /// The initial values that a configuration names, with the taps at these `positions` in the network. Where a
    /// checkpoint `will_be_set`, no official weights are looked for.
    ///
    /// # Errors
    /// Weights that are not found or do not fit.
    pub(super) fn init(
        config: &Config,
        positions: &[usize],
        finder: &Finder,
        device: &Device,
        will_be_set: bool,
    ) -> Result<Self> {
        let phase = config.model.phase;
        let will_be_set = will_be_set && phase != Phase::Lin;
        let given = Given::open(config, will_be_set, device)?;
        let mut by_name = BTreeMap::new();
        for (name, tensor) in backbone(config, &given, positions, finder, will_be_set)? {
            by_name.insert(name, Param::new(ParamGroup::Backbone, tensor, phase != Phase::Lin)?);
        }

        let mut drawn = 0;
        let mut random = |shape: &[usize], bound: f64| -> Result<Tensor> {
            // PyTorch's initialiser of a 1x1 convolution, weight and bias: uniform within 1 / sqrt(channels in).
            let mut rng = Rng::new(config.run.seed, Stream::Weights, (drawn, 0));
            drawn += 1;
            let data: Vec<f32> =
                (0..shape.iter().product()).map(|_: usize| rng.between(-bound, bound) as f32).collect();
            Ok(Tensor::from_vec(data, shape, device)?)
        };
        let channels = config.model.net.architecture().channels();
        for (i, &at) in positions.iter().enumerate() {
            let (name, shape) = (lin_name(i), vec![1, channels[at], 1, 1]);
            // Drawn even if the file has the tensor, so that the draws after it stay the same.
            let fresh = random(&shape, 1.0 / (channels[at] as f64).sqrt())?;
            let tensor = given.tensor(&name, &shape)?.unwrap_or(fresh);
            by_name.insert(name, Param::new(ParamGroup::Lin, tensor, true)?);
        }
        let mut fan_in = 1;
        for (name, shape) in config.model.loss.tensors() {
            if shape.len() > 1 {
                fan_in = shape[1];
            }
            let fresh = random(&shape, 1.0 / (fan_in as f64).sqrt())?;
            let tensor = given.tensor(&name, &shape)?.unwrap_or(fresh);
            by_name.insert(name, Param::new(ParamGroup::Ranker, tensor, true)?);
        }
        Ok(Self { by_name, backbone_changed: phase != Phase::Lin })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.by_name.iter().map(|(name, param)| (name.as_str(), param))
    }

    /// The trained parameters.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, ParamGroup, &Var)> {
        self.iter().filter_map(|(name, param)| Some((name, param.group, param.var()?)))
    }

    /// Turns the backbone's parameters into constants.
    pub(super) fn freeze_backbone(&mut self) {
        for param in self.by_name.values_mut().filter(|param| param.group == ParamGroup::Backbone) {
            if let Value::Trained(var) = &param.value {
                param.value = Value::Frozen(var.as_detached_tensor());
            }
        }
    }

    /// Copies of the parameters that a checkpoint holds: those that differ from the weights that they started from.
    pub(super) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let is_saved = |param: &Param| self.backbone_changed || param.var().is_some();
        let saved = self.by_name.iter().filter(|(_, param)| is_saved(param));
        let copies = saved.map(|(name, param)| Ok((name.clone(), param.tensor().copy()?.detach())));
        Ok(copies.collect::<candle_core::Result<_>>()?)
    }

    /// Restores a [`Self::state`].
    ///
    /// # Errors
    /// A trained parameter that is missing, or one of another shape. Nothing is changed then.
    pub(super) fn set_state(&mut self, state: &HashMap<String, Tensor>, device: &Device) -> Result<()> {
        for (name, param) in &self.by_name {
            match state.get(name) {
                Some(found) if found.dims() != param.tensor().dims() => {
                    return Err(unfit(format!(
                        "{name} has shape {:?}, and here {:?}: it belongs to another network",
                        found.dims(),
                        param.tensor().dims()
                    )));
                }
                None if param.var().is_some() => {
                    return Err(unfit(format!("{name} is missing: it belongs to another network or phase")));
                }
                _ => {}
            }
        }
        for (name, param) in &mut self.by_name {
            let Some(tensor) = state.get(name) else { continue };
            let tensor = tensor.to_device(device)?;
            match &mut param.value {
                Value::Trained(var) => var.set(&tensor)?,
                Value::Frozen(frozen) => {
                    *frozen = tensor;
                    self.backbone_changed = true;
                }
            }
        }
        Ok(())
    }

    /// Whether [`Self::clamp`] leaves frozen parameters as they are: the first one changes them, later ones do not.
    pub(super) fn is_settled(&self, clamp: Clamp) -> bool {
        let would_change = |param: &Param| param.var().is_none() && param.is_clamped(clamp);
        self.backbone_changed || !self.by_name.values().any(would_change)
    }

    /// Sets negative values of clamped parameters to 0. Returns whether a frozen parameter was replaced.
    pub(super) fn clamp(&mut self, clamp: Clamp) -> Result<bool> {
        let mut frozen_replaced = false;
        for param in self.by_name.values_mut().filter(|param| param.is_clamped(clamp)) {
            match &mut param.value {
                Value::Trained(var) => var.set(&var.as_detached_tensor().maximum(0f64)?)?,
                Value::Frozen(_) if self.backbone_changed => {}
                Value::Frozen(tensor) => {
                    *tensor = tensor.maximum(0f64)?;
                    frozen_replaced = true;
                }
            }
        }
        self.backbone_changed |= frozen_replaced;
        Ok(frozen_replaced)
    }

    /// A hash of the backbone's values where it is frozen, empty where it is trained.
    pub(super) fn frozen_digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for param in self.by_name.values().filter(|param| param.group == ParamGroup::Backbone) {
            let Value::Frozen(tensor) = &param.value else { return Ok(String::new()) };
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(bytes);
        }
        Ok(short_hex(hash))
    }

    /// The tensors of the published package's file, under its names: the lin heads, and the backbone where it has
    /// changed.
    pub(super) fn published(&self, arch: &Architecture, taps: &[String]) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        for (name, param) in &self.by_name {
            let name = match param.group {
                ParamGroup::Lin => format!("{}.model.1.weight", name.trim_end_matches(".weight")),
                ParamGroup::Backbone if self.backbone_changed => {
                    arch.published_name(name, taps).map_err(lpips_core::Error::from)?
                }
                ParamGroup::Backbone | ParamGroup::Ranker => continue,
            };
            tensors.insert(name, param.tensor().detach().to_device(&Device::Cpu)?);
        }
        Ok(tensors)
    }
}

/// The files of weights that a training starts from (`model.init`). The last file that has a tensor takes precedence.
struct Given<'a> {
    archives: Vec<Archive>,
    device: &'a Device,
}

impl<'a> Given<'a> {
    fn open(config: &Config, will_be_set: bool, device: &'a Device) -> Result<Self> {
        let files = if will_be_set { &[][..] } else { &config.model.init };
        let archives = files.iter().map(Archive::open).collect::<Result<Vec<_>, _>>();
        let archives = archives.map_err(lpips_core::Error::from)?;
        for archive in &archives {
            if !archive.names().any(|name| ParamGroup::of_file_entry(name).is_some()) {
                let reason = "holds nothing to start from: expected any of features.*, linN.weight and rank.model.*";
                return Err(Error::file(archive.path(), reason));
            }
        }
        Ok(Self { archives, device })
    }

    fn has_backbone(&self) -> bool {
        let is_backbone = |name: &str| ParamGroup::of_file_entry(name) == Some(ParamGroup::Backbone);
        self.archives.iter().any(|archive| archive.names().any(is_backbone))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        let Some(archive) = self.archives.iter().rev().find(|archive| archive.shape(name).is_some()) else {
            return Ok(None);
        };
        let data = archive.tensor(name, shape).map_err(lpips_core::Error::from)?;
        Ok(Some(Tensor::from_vec(data, shape, self.device)?))
    }
}

/// The backbone's initial tensors up to the last tap: of the given files, random, or official.
fn backbone(
    config: &Config,
    given: &Given<'_>,
    positions: &[usize],
    finder: &Finder,
    will_be_set: bool,
) -> Result<Vec<(String, Tensor)>> {
    let network = config.model.net;
    let source = if given.has_backbone() {
        None
    } else if config.model.phase == Phase::Scratch || will_be_set {
        Some(Weights::random(network, config.run.seed))
    } else {
        Some(finder.find(network).map_err(lpips_core::Error::from)?)
    };
    let source = source.map(|weights| weights.into_var_builder(DType::F32, given.device)).transpose();
    let source = source.map_err(lpips_core::Error::from)?;
    let last = positions.iter().copied().max().unwrap_or_default();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let tensor = match (given.tensor(&name, &shape)?, &source) {
            (Some(tensor), _) => tensor,
            (None, Some(source)) => source.get(shape, &name)?,
            (None, None) => {
                return Err(unfit(format!(
                    "the weights to start from hold a part of {network}, but not {name}: give all of the network's, or none"
                )));
            }
        };
        Ok((name, tensor))
    };
    network.architecture().tensors(last).into_iter().map(tensor).collect()
}

fn unfit(reason: String) -> Error {
    Error::Weights { reason }
}
