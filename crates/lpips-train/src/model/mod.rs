//! The weights of a training, and the distances and losses that they give.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lpips_core::weights::{Archive, Finder, Weights};
use lpips_core::{Dropout, Loss, Lpips, Network, PairIndex, Size, Version, accuracy};
use lpips_data::loader::Batch;
use lpips_data::rng::{Rng, Stream};
use lpips_data::short_hex;
use lpips_models::Activations;
use lpips_models::ops::{self, sum};
use sha2::{Digest, Sha256};

use crate::config::{Clamp, Config, Phase};
use crate::error::{Error, Result};

/// A tensor by the name that this project and torchvision give it.
#[derive(Debug, Clone)]
enum Weight {
    Fixed(Tensor),
    Moving(Var),
}

impl Weight {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Fixed(tensor) => tensor,
            Self::Moving(var) => var.as_tensor(),
        }
    }
}

/// All weights of a training: the network's, the lin heads' and the loss's.
#[derive(Debug)]
pub struct Model {
    choices: Choices,
    weights: BTreeMap<String, Weight>,
    /// Whether the network is no longer what it was at the start.
    trunk_changed: bool,
    /// The metric on these weights, where it need not be built anew for each step.
    built: Option<(Lpips, Loss)>,
    device: Device,
}

#[derive(Debug, Clone)]
struct Choices {
    network: Network,
    version: Version,
    taps: Vec<String>,
    phase: Phase,
    clamp: Clamp,
    dtype: DType,
    loss: lpips_core::LossKind,
    checkpointed: bool,
}

/// What came of a batch.
#[derive(Debug)]
pub struct Outcome {
    /// The mean loss.
    pub loss: f64,
    /// The published trainer's accuracy: see [`lpips_core::accuracy`].
    pub accuracy: f64,
    /// The gradient of the loss times the scale, by name.
    pub gradients: HashMap<String, Tensor>,
}

fn weights_error(reason: String) -> Error {
    Error::Weights { reason }
}

fn is_trunk(name: &str) -> bool {
    name.starts_with("features.")
}

fn is_loss(name: &str) -> bool {
    name.starts_with("rank.")
}

/// Whether a weight is held at 0 or above.
fn is_held(clamp: Clamp, name: &str, weight: &Weight) -> bool {
    let spared = is_loss(name) || (clamp == Clamp::Heads && is_trunk(name));
    !spared && weight.tensor().dims().ends_with(&[1, 1])
}

impl Model {
    /// The weights that a configuration starts from; any, for those that [`Self::set_state`] is going to set anyway.
    ///
    /// # Errors
    /// Weights that are not found or do not fit, or a tap that the network does not have.
    pub fn new(config: &Config, finder: &Finder, device: &Device, will_be_set: bool) -> Result<Self> {
        let network = config.model.net;
        let arch = network.architecture();
        let published: Vec<String> = arch.taps.iter().map(ToString::to_string).collect();
        let taps = if config.model.taps.is_empty() { published } else { config.model.taps.clone() };
        let positions = arch.positions(&taps).map_err(lpips_core::Error::from)?;
        let channels = arch.channels();
        let will_be_set = will_be_set && config.model.phase != Phase::Lin;
        let init = if will_be_set { &[][..] } else { &config.model.init };
        let archives = init.iter().map(Archive::open).collect::<Result<Vec<_>, _>>();
        let archives = archives.map_err(lpips_core::Error::from)?;
        let given = |name: &str| archives.iter().rev().find(|archive| archive.shape(name).is_some());
        for archive in &archives {
            let known = |name: &str| is_trunk(name) || name.starts_with("lin") || is_loss(name);
            if !archive.names().any(known) {
                let reason = "holds nothing to start from: expected any of features.*, linN.weight and rank.model.*";
                return Err(Error::file(archive.path(), reason));
            }
        }
        let phase = config.model.phase;
        let mut weights = BTreeMap::new();
        let mut insert = |name: String, tensor: Tensor, moves: bool| -> Result<()> {
            let weight = if moves { Weight::Moving(Var::from_tensor(&tensor)?) } else { Weight::Fixed(tensor) };
            weights.insert(name, weight);
            Ok(())
        };

        let trunk = match archives.iter().rev().find(|archive| archive.names().any(is_trunk)) {
            // Up to the last tap: a training's own file has no more.
            Some(_) => None,
            None if phase == Phase::Scratch || will_be_set => Some(Weights::random(network, config.run.seed)),
            None => Some(finder.find(network).map_err(lpips_core::Error::from)?),
        };
        let trunk = trunk.map(|weights| weights.into_var_builder(DType::F32, device)).transpose();
        let trunk = trunk.map_err(lpips_core::Error::from)?;
        let last = positions.iter().copied().max().unwrap_or_default();
        let from = |archive: &Archive, name: &str, shape: &[usize]| -> Result<Tensor> {
            let data = archive.tensor(name, shape).map_err(lpips_core::Error::from)?;
            Ok(Tensor::from_vec(data, shape, device)?)
        };
        for (name, shape) in arch.tensors(last) {
            let tensor = match (given(&name), &trunk) {
                (Some(archive), _) => from(archive, &name, &shape)?,
                (None, Some(trunk)) => trunk.get(shape, &name)?,
                (None, None) => {
                    return Err(weights_error(format!(
                        "the weights to start from hold a part of {network}, but not {name}: give all of the network's, or none"
                    )));
                }
            };
            insert(name, tensor, phase != Phase::Lin)?;
        }
        let mut fresh = 0;
        let mut random = |shape: &[usize], bound: f64| -> Result<Tensor> {
            // PyTorch's initialiser of a 1x1 convolution, weight and bias: uniform within 1 / sqrt(channels in).
            let mut rng = Rng::new(config.run.seed, Stream::Weights, (fresh, 0));
            fresh += 1;
            let data: Vec<f32> =
                (0..shape.iter().product()).map(|_: usize| rng.between(-bound, bound) as f32).collect();
            Ok(Tensor::from_vec(data, shape, device)?)
        };
        for (i, &at) in positions.iter().enumerate() {
            let (name, shape) = (format!("lin{i}.weight"), vec![1, channels[at], 1, 1]);
            let start = random(&shape, 1.0 / (channels[at] as f64).sqrt())?;
            let tensor = given(&name).map_or(Ok(start), |archive| from(archive, &name, &shape))?;
            insert(name, tensor, true)?;
        }
        let mut fan_in = 1;
        for (name, shape) in config.model.loss.tensors() {
            if shape.len() > 1 {
                fan_in = shape[1];
            }
            let start = random(&shape, 1.0 / (fan_in as f64).sqrt())?;
            let tensor = given(&name).map_or(Ok(start), |archive| from(archive, &name, &shape))?;
            insert(name, tensor, true)?;
        }
        let choices = Choices {
            network,
            version: config.model.version,
            taps,
            phase,
            clamp: config.model.clamp,
            dtype: config.run.amp.dtype(),
            loss: config.model.loss,
            checkpointed: config.run.checkpoint_activations,
        };
        let mut model =
            Self { choices, weights, trunk_changed: phase != Phase::Lin, built: None, device: device.clone() };
        model.rebuild()?;
        Ok(model)
    }

    /// Makes the network's weights constants, as in the phase lin.
    ///
    /// # Errors
    /// Those of candle.
    pub fn freeze(&mut self) -> Result<()> {
        for (name, weight) in &mut self.weights {
            if let (true, Weight::Moving(var)) = (is_trunk(name), &*weight) {
                *weight = Weight::Fixed(var.as_detached_tensor());
            }
        }
        (self.choices.phase, self.choices.checkpointed) = (Phase::Lin, false);
        self.rebuild()
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.choices.network
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tapped layers, as they were asked for.
    pub fn taps(&self) -> &[String] {
        &self.choices.taps
    }

    /// What moves, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.weights.iter().filter_map(|(name, weight)| match weight {
            Weight::Moving(var) => Some((name.as_str(), var)),
            Weight::Fixed(_) => None,
        })
    }

    /// All weights that a checkpoint must hold, by name: those that moved.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let moved = |(name, weight): (&String, &Weight)| match weight {
            Weight::Fixed(_) if !self.trunk_changed => None,
            weight => Some(weight.tensor().copy().map(|tensor| (name.clone(), tensor.detach()))),
        };
        Ok(self.weights.iter().filter_map(moved).collect::<candle_core::Result<_>>()?)
    }

    /// A hash of the network's weights where they do not move; nothing where they do.
    ///
    /// # Errors
    /// Those of candle.
    pub fn frozen_digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for (_, weight) in self.weights.iter().filter(|(name, _)| is_trunk(name)) {
            let Weight::Fixed(tensor) = weight else { return Ok(String::new()) };
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(bytes);
        }
        Ok(short_hex(hash))
    }

    /// Takes over a [`Self::state`].
    ///
    /// # Errors
    /// A weight that moves and is missing, or one of another shape; nothing is taken over then.
    pub fn set_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for (name, weight) in &self.weights {
            match (state.get(name), weight) {
                (Some(found), weight) if found.dims() != weight.tensor().dims() => {
                    return Err(weights_error(format!(
                        "{name} has shape {:?}, and here {:?}: it belongs to another network",
                        found.dims(),
                        weight.tensor().dims()
                    )));
                }
                (None, Weight::Moving(_)) => {
                    return Err(weights_error(format!("{name} is missing: it belongs to another network or phase")));
                }
                _ => {}
            }
        }
        for (name, weight) in &mut self.weights {
            let Some(tensor) = state.get(name) else { continue };
            let tensor = tensor.to_device(&self.device)?;
            match weight {
                Weight::Moving(var) => var.set(&tensor)?,
                Weight::Fixed(fixed) => {
                    *fixed = tensor;
                    self.trunk_changed = true;
                }
            }
        }
        self.rebuild()
    }

    /// Whether a network that is frozen stays what it is: the published trainer clamps some of its weights after the first step.
    pub fn is_settled(&self) -> bool {
        let clamp = self.choices.clamp;
        let would_change =
            |(name, weight): (&String, &Weight)| matches!(weight, Weight::Fixed(_)) && is_held(clamp, name, weight);
        self.choices.phase == Phase::Lin && (self.trunk_changed || !self.weights.iter().any(would_change))
    }

    /// Holds weights at 0 or above, after a step.
    pub fn clamp(&mut self) -> Result<()> {
        let mut fixed_changed = false;
        for (name, weight) in &mut self.weights {
            if !is_held(self.choices.clamp, name, weight) {
                continue;
            }
            match weight {
                Weight::Moving(var) => var.set(&var.as_detached_tensor().maximum(0f64)?)?,
                // What does not move need be held but once.
                Weight::Fixed(_) if self.trunk_changed => {}
                Weight::Fixed(tensor) => {
                    *tensor = tensor.maximum(0f64)?;
                    fixed_changed = true;
                }
            }
        }
        if fixed_changed {
            self.trunk_changed = true;
            self.rebuild()?;
        }
        Ok(())
    }

    /// Whether the weights are built into a metric once for all steps: variables change in place.
    fn is_lasting(&self) -> bool {
        self.choices.dtype == DType::F32 || self.choices.phase == Phase::Lin
    }

    fn rebuild(&mut self) -> Result<()> {
        self.built = None;
        if self.is_lasting() {
            self.built = Some(self.build()?);
        }
        Ok(())
    }

    fn build(&self) -> Result<(Lpips, Loss)> {
        let Choices { network, version, taps, dtype, loss, .. } = &self.choices;
        let tensors = self.weights.iter().map(|(name, weight)| {
            let dtype = if is_trunk(name) { *dtype } else { DType::F32 };
            let tensor = weight.tensor().to_dtype(dtype)?;
            // In 16 bits a variable of its own, so that its gradient is found.
            let moves = matches!(weight, Weight::Moving(_)) && tensor.dtype() != weight.tensor().dtype();
            let tensor = if moves { Var::from_tensor(&tensor.detach())?.into_inner() } else { tensor };
            Ok((name.clone(), tensor))
        });
        let tensors = tensors.collect::<candle_core::Result<HashMap<_, _>>>()?;
        let heads = VarBuilder::from_tensors(tensors, *dtype, &self.device);
        let lpips = Lpips::builder(*network).version(*version).taps(taps.clone()).build_on(&heads)?;
        Ok((lpips, Loss::new(*loss, &heads.set_dtype(DType::F32))?))
    }

    fn parts(&self) -> Result<(Lpips, Loss)> {
        self.built.clone().map_or_else(|| self.build(), Ok)
    }

    /// The metric on these weights as they are.
    ///
    /// # Errors
    /// Those of candle.
    pub fn lpips(&self) -> Result<Lpips> {
        Ok(self.parts()?.0)
    }

    /// What the network sees in a batch, (3 N, H, W, C) each, references first: for a network that does not change.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn taps_of(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let (lpips, _) = self.parts()?;
        ops::in_pool(|| {
            let stack = lpips.stack_triplets(&batch.reference, &batch.p0, &batch.p1)?;
            let taps = lpips.backbone().features_channels_last(&stack.pictures).map_err(lpips_core::Error::from)?;
            ops::recycle(stack.pictures, Some(&taps[0]))?;
            Ok(taps)
        })
    }

    /// Distances of p0 and p1, (N) each, without gradients.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn distances(&self, batch: &Batch) -> Result<(Vec<f32>, Vec<f32>)> {
        let (lpips, _) = self.parts()?;
        let (d0, d1) = lpips.triplets(&batch.reference, &batch.p0, &batch.p1)?;
        Ok((d0.flatten_all()?.to_vec1()?, d1.flatten_all()?.to_vec1()?))
    }

    /// The loss of a batch and the gradients of `scale` times it. `taps` are what [`Self::taps_of`] gave, where the network
    /// does not change.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn learn(
        &self,
        batch: &Batch,
        taps: Option<Vec<Tensor>>,
        dropout: Option<Dropout>,
        scale: f64,
    ) -> Result<Outcome> {
        let (lpips, loss) = self.parts()?;
        ops::in_pool(|| {
            if self.choices.phase != Phase::Lin {
                return self.learn_all(&lpips, &loss, batch, dropout, scale);
            }
            let (n, _, height, width) = batch.reference.dims4()?;
            let taps = taps.map_or_else(|| self.taps_of(batch), Ok)?;
            let pairing = PairIndex::triplets(n, Size { width, height });
            let (outcome, _) = self.learn_head((&lpips, &loss), &pairing, &taps, batch, dropout, scale)?;
            for tap in taps {
                ops::recycle(tap, None)?;
            }
            Ok(outcome)
        })
    }

    /// The network as well: forward from tap to tap, and back.
    fn learn_all(
        &self,
        lpips: &Lpips,
        loss: &Loss,
        batch: &Batch,
        dropout: Option<Dropout>,
        scale: f64,
    ) -> Result<Outcome> {
        let metric = lpips_core::Error::from;
        let stack = lpips.stack_triplets(&batch.reference, &batch.p0, &batch.p1)?;
        let pictures = stack.pictures.to_dtype(lpips.backbone().dtype())?;
        let segments = lpips.backbone().segments();
        // What the way back needs, or where that is to be computed anew the taps alone.
        let (mut kept, mut taps): (Vec<Activations>, Vec<Tensor>) = (Vec::new(), Vec::new());
        for segment in &segments {
            let run = segment.forward(taps.last().unwrap_or(&pictures)).map_err(metric)?;
            if self.choices.checkpointed {
                taps.push(run.into_output().map_err(metric)?);
            } else {
                taps.push(run.output().map_err(metric)?);
                kept.push(run);
            }
        }
        self.let_go();
        let (mut outcome, from_head) = self.learn_head((lpips, loss), &stack.pairing, &taps, batch, dropout, scale)?;
        let mut back: Option<Tensor> = None;
        for (i, (segment, from_head)) in segments.iter().zip(from_head).enumerate().rev() {
            let grad = match (from_head, back.take()) {
                (Some(a), Some(b)) => sum::add_in_place(a, b)?,
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => continue,
            };
            taps.pop();
            let input = taps.last().unwrap_or(&pictures);
            let run = kept.pop().map_or_else(|| segment.forward(input), Ok).map_err(metric)?;
            let gradients = segment.backward(input, run, grad, i > 0).map_err(metric)?;
            for (name, gradient) in gradients.weights {
                outcome.gradients.insert(name, gradient.to_dtype(DType::F32)?);
            }
            back = gradients.input;
            self.let_go();
        }
        ops::recycle(pictures, None)?;
        Ok(outcome)
    }

    /// Where memory counts more than time, what waits for its next use goes back to the system.
    fn let_go(&self) {
        if self.choices.checkpointed {
            ops::release_memory();
        }
    }

    /// The loss over taps, with the gradients of `scale` times it for heads and loss, and for the taps where the network learns.
    fn learn_head(
        &self,
        (lpips, loss): (&Lpips, &Loss),
        pairing: &PairIndex,
        taps: &[Tensor],
        batch: &Batch,
        dropout: Option<Dropout>,
        scale: f64,
    ) -> Result<(Outcome, Vec<Option<Tensor>>)> {
        let distances = lpips.compare_taps(pairing, taps, dropout)?.distance()?.flatten_all()?;
        let distances = Var::from_tensor(&distances.detach())?;
        let n = distances.elem_count() / 2;
        let (d0, d1) = (distances.narrow(0, 0, n)?, distances.narrow(0, n, n)?);
        let value = loss.forward(&d0, &d1, &batch.judge)?;
        let grads = (&value * scale)?.backward()?;
        let losses = self.variables().filter(|(name, _)| is_loss(name));
        let mut gradients: HashMap<String, Tensor> =
            losses.filter_map(|(name, var)| Some((name.to_string(), grads.get(var)?.detach()))).collect();
        let back = grads.get(&distances).map_or_else(|| distances.zeros_like(), |grad| Ok(grad.detach()))?;
        let wants_taps = self.choices.phase != Phase::Lin;
        let layers = lpips.tap_gradients(pairing, taps, dropout, &back, wants_taps)?;
        let mut from_head = Vec::new();
        for (i, (tap, lin)) in layers.into_iter().enumerate() {
            gradients.extend(lin.map(|lin| (format!("lin{i}.weight"), lin)));
            from_head.push(tap);
        }
        let loss = f64::from(value.to_scalar::<f32>()?);
        Ok((Outcome { loss, accuracy: accuracy(&d0, &d1, &batch.judge)?, gradients }, from_head))
    }

    /// The tensors of the published package's file: lin heads, and the network where it is not the one it started from.
    ///
    /// # Errors
    /// Those of candle.
    pub fn published(&self) -> Result<BTreeMap<String, Tensor>> {
        let arch = self.choices.network.architecture();
        let mut tensors = BTreeMap::new();
        for (name, weight) in &self.weights {
            let name = if let Some(lin) = name.strip_suffix(".weight").filter(|name| name.starts_with("lin")) {
                format!("{lin}.model.1.weight")
            } else if is_trunk(name) && self.trunk_changed {
                arch.published_name(name, &self.choices.taps).map_err(lpips_core::Error::from)?
            } else {
                continue;
            };
            tensors.insert(name, weight.tensor().detach().to_device(&Device::Cpu)?);
        }
        Ok(tensors)
    }
}
