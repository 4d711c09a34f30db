//! The trained model: a backbone, lin heads and the network of the loss.

mod backward;
mod batch;
mod params;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lpips_core::weights::Finder;
use lpips_core::{Loss, LossKind, Lpips, Network, Version};
use lpips_data::loader::Batch;
use lpips_models::ops;

use self::params::Params;
use crate::config::{Clamp, Config, Phase};
use crate::error::Result;

pub use batch::{BatchFeatures, BatchGradients};
pub use params::ParamGroup;

/// The metric under training: parameters by name, distances, losses and gradients.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::weights::Finder;
/// use lpips_data::loader::Batch;
/// use lpips_train::{Config, Model};
///
/// let model = Model::new(&Config::default(), &Finder::default(), &Device::Cpu, false)?;
/// let pictures = || Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu);
/// let judge = Tensor::new(&[0f32, 1.0], &Device::Cpu)?;
/// let batch = Batch { numbers: vec![0, 1], reference: pictures()?, p0: pictures()?, p1: pictures()?, judge };
///
/// let (d0, d1) = model.distances(&batch)?;
/// assert_eq!((d0.len(), d1.len()), (2, 2));
/// let gradients = model.learn(&batch, None, 1.0)?;
/// assert!(gradients.by_name.contains_key("lin0.weight"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    network: Network,
    version: Version,
    taps: Vec<String>,
    phase: Phase,
    clamp: Clamp,
    /// The type that the backbone computes in.
    dtype: DType,
    loss: LossKind,
    /// Whether the backward pass recomputes activations.
    recompute: bool,
    params: Params,
    /// The metric and the loss on these parameters, where steps share them.
    built: Option<Built>,
    device: Device,
}

/// The metric and the loss on a model's parameters.
#[derive(Debug, Clone)]
struct Built {
    lpips: Lpips,
    loss: Loss,
}

impl Model {
    /// The initial parameters that a configuration names. Where a checkpoint `will_be_set` by [`Self::set_state`], no
    /// official weights are looked for.
    ///
    /// # Errors
    /// Weights that are not found or do not fit, or a tap that the network does not have.
    pub fn new(config: &Config, finder: &Finder, device: &Device, will_be_set: bool) -> Result<Self> {
        let network = config.model.net;
        let arch = network.architecture();
        let published: Vec<String> = arch.taps.iter().map(ToString::to_string).collect();
        let taps = if config.model.taps.is_empty() { published } else { config.model.taps.clone() };
        let positions = arch.positions(&taps).map_err(lpips_core::Error::from)?;
        let mut model = Self {
            network,
            version: config.model.version,
            taps,
            phase: config.model.phase,
            clamp: config.model.clamp,
            dtype: config.run.amp.dtype(),
            loss: config.model.loss,
            recompute: config.run.checkpoint_activations,
            params: Params::init(config, &positions, finder, device, will_be_set)?,
            built: None,
            device: device.clone(),
        };
        model.rebuild()?;
        Ok(model)
    }

    /// Freezes the backbone: its parameters become constants, as in the phase `lin`.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn freeze_backbone(&mut self) -> Result<()> {
        self.params.freeze_backbone();
        (self.phase, self.recompute) = (Phase::Lin, false);
        self.rebuild()
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tapped layers, in the order of the configuration.
    pub fn taps(&self) -> &[String] {
        &self.taps
    }

    /// Whether the backbone is trained, as in the phases `tune` and `scratch`.
    pub fn trains_backbone(&self) -> bool {
        self.phase != Phase::Lin
    }

    /// The trained parameters, in the order of their names.
    pub fn variables(&self) -> impl Iterator<Item = (&str, ParamGroup, &Var)> {
        self.params.variables()
    }

    /// Copies of the parameters that a checkpoint holds, by name: those that differ from the weights that they started
    /// from.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.params.state()
    }

    /// Restores a [`Self::state`].
    ///
    /// # Errors
    /// A trained parameter that is missing, or one of another shape. Nothing is changed then.
    pub fn set_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.params.set_state(state, &self.device)?;
        self.rebuild()
    }

    /// A hash of the backbone's values where it is frozen, empty where it is trained.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn frozen_digest(&self) -> Result<String> {
        self.params.frozen_digest()
    }

    /// Whether the backbone's features of a picture stay the same from now on. In the phase `lin` the published trainer
    /// clamps some of SqueezeNet's frozen weights after the first step, so that features of that step differ from later
    /// ones.
    pub fn is_settled(&self) -> bool {
        !self.trains_backbone() && self.params.is_settled(self.clamp)
    }

    /// Sets negative weights of the clamped 1x1 convolutions to 0, after a step.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn clamp(&mut self) -> Result<()> {
        if self.params.clamp(self.clamp)? {
            self.rebuild()?;
        }
        Ok(())
    }

    fn rebuild(&mut self) -> Result<()> {
        self.built = None;
        // In f32 variables change in place. In 16 bits the metric computes on copies, which every step replaces.
        if self.dtype == DType::F32 || !self.trains_backbone() {
            self.built = Some(self.build()?);
        }
        Ok(())
    }

    fn build(&self) -> Result<Built> {
        let tensors = self.params.iter().map(|(name, param)| {
            let dtype = if param.group == ParamGroup::Backbone { self.dtype } else { DType::F32 };
            Ok((name.to_string(), param.to_dtype(dtype)?))
        });
        let tensors = tensors.collect::<candle_core::Result<HashMap<_, _>>>()?;
        let vb = VarBuilder::from_tensors(tensors, self.dtype, &self.device);
        let lpips = Lpips::builder(self.network).version(self.version).taps(self.taps.clone()).build_on(&vb)?;
        Ok(Built { lpips, loss: Loss::new(self.loss, &vb.set_dtype(DType::F32))? })
    }

    fn built(&self) -> Result<Cow<'_, Built>> {
        match &self.built {
            Some(built) => Ok(Cow::Borrowed(built)),
            None => self.build().map(Cow::Owned),
        }
    }

    /// The metric on the present parameters.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn lpips(&self) -> Result<Lpips> {
        Ok(self.built()?.into_owned().lpips)
    }

    /// The backbone's taps of a batch, for [`Self::learn_head`]. They may be used again as long as [`Self::is_settled`]
    /// holds.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn features(&self, batch: &Batch) -> Result<BatchFeatures> {
        let built = self.built()?;
        ops::in_pool(|| {
            let stack = built.lpips.stack_triplets(&batch.reference, &batch.p0, &batch.p1)?;
            let backbone = built.lpips.backbone();
            let taps = backbone.features_channels_last(&stack.pictures).map_err(lpips_core::Error::from)?;
            ops::recycle(stack.pictures, Some(&taps[0]))?;
            Ok(BatchFeatures { taps, pairs: stack.pairing })
        })
    }

    /// The distances of p0 and of p1 to their references, N each, without gradients.
    ///
    /// # Errors
    /// Pictures that are too small for the network, and those of candle.
    pub fn distances(&self, batch: &Batch) -> Result<(Vec<f32>, Vec<f32>)> {
        let (d0, d1) = self.built()?.lpips.triplets(&batch.reference, &batch.p0, &batch.p1)?;
        Ok((d0.flatten_all()?.to_vec1()?, d1.flatten_all()?.to_vec1()?))
    }

    /// The tensors of the published package's file, under its names: the lin heads, and the backbone where it differs
    /// from the weights that it started from.
    ///
    /// # Errors
    /// Errors of candle's operators.
    pub fn published(&self) -> Result<BTreeMap<String, Tensor>> {
        self.params.published(self.network.architecture(), &self.taps)
    }
}
