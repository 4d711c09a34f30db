//! All settings of a training, with their documentation and defaults.
//!
//! The doc comment of a field is the comment that [`Config::documented`] writes above the setting.

use std::path::PathBuf;
use std::str::FromStr;

use candle_core::DType;
use lpips_core::{LossKind, Network, Version};
use lpips_data::augment::Augment;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::optimiser::{AdamConfig, Schedule, ScheduleKind};

/// The settings of a group with the lines of their documentation.
pub(super) type Docs = &'static [(&'static str, &'static [&'static str])];

/// Defines a group of settings: its struct, its defaults, and its documentation as data.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $group:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $key:ident: $type:ty = $default:expr,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
        pub struct $group {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
                $(#[serde($($serde)+)])?
                pub $key: $type,
            )+
        }

        impl $group {
            pub(super) const DOCS: Docs = &[$((stringify!($key), &[$($doc),+])),+];
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    };
}

/// Settings of a training. The defaults are the published recipe for lin heads.
///
/// ```
/// use lpips_train::Config;
/// use lpips_train::config::Layer;
///
/// let config = Config::merged([Layer::parse("mine.toml", "[model]\nnet = \"vgg\"\n[optimizer]\nlr = 1e-5")?])?;
/// assert_eq!((config.optimizer.lr, config.run.batch), (1e-5, 50));
///
/// // Settings that do not exist or are out of range are errors.
/// let error = Config::merged([Layer::parse("mine.toml", "[optimizer]\nlrr = 1e-5")?]).unwrap_err();
/// assert!(error.is_usage() && error.to_string().contains("did you mean optimizer.lr?"));
/// # Ok::<(), lpips_train::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Config {
    /// The triplets.
    pub data: DataSettings,
    /// The augmentation of triplets.
    pub augment: AugmentSettings,
    /// The model and its loss.
    pub model: ModelSettings,
    /// The optimiser and the learning rate's schedule.
    pub optimizer: OptimizerSettings,
    /// The run: batches, device, memory, checkpoints.
    pub run: RunSettings,
}

settings! {
    /// Settings of the triplets: `[data]`.
    DataSettings {
        /// Triplets to train on: BAPPS roots, folders of triplets (ref, p0, p1, judge), or lists (.csv, .jsonl), in
        /// this order. If empty: a small built-in set of samples, to show how training works.
        train: Vec<PathBuf> = Vec::new(),
        /// Held-out triplets to score after each epoch, of the same kinds. May be empty.
        val: Vec<PathBuf> = Vec::new(),
        /// Width and height of the pictures, in pixels. Pictures of other sizes are resized.
        size: usize = 64,
        /// Whether each epoch has an order of its own. If false: roots in the order given, files by name.
        shuffle: bool = true,
        /// Whether pictures that can't be read are left out, with a line in the log. If false, the first one ends the
        /// run.
        skip_broken: bool = false,
        /// Number of threads that decode pictures ahead of the step.
        workers: usize = 2,
    }
}

settings! {
    /// Settings of the augmentation: `[augment]`. All values 0: pictures stay as they are, as in the published recipe.
    AugmentSettings {
        /// Preset of the values below: none (as published), safe or aggressive. Values that are set beside it take
        /// precedence.
        preset: String = "none".to_string(),
        /// Whether each picture of a triplet is changed by a draw of its own. Judgments need not hold then.
        independent: bool = false,
        /// Probability of mirroring, from 0 to 1.
        flip: f64 = 0.0,
        /// Largest rotation, in degrees.
        rotate: f64 = 0.0,
        /// Largest shift, in pixels. The border is filled by reflection.
        crop: f64 = 0.0,
        /// Largest relative change of brightness, from 0 to 1.
        brightness: f64 = 0.0,
        /// Largest relative change of contrast, from 0 to 1.
        contrast: f64 = 0.0,
        /// Largest relative change of saturation, from 0 to 1.
        saturation: f64 = 0.0,
        /// Largest rotation of the hue, as a part of the colour circle, from 0 to 1.
        hue: f64 = 0.0,
        /// Largest relative change of scale, from 0 to 0.9.
        scale: f64 = 0.0,
        /// Largest shear, in degrees.
        shear: f64 = 0.0,
        /// Largest move of a corner, as a part of the side, from 0 to 0.4.
        perspective: f64 = 0.0,
        /// Largest standard deviation of the Gaussian blur, in pixels.
        blur: f64 = 0.0,
    }
}

settings! {
    /// Settings of the model and its loss: `[model]`.
    ModelSettings {
        /// Network: alex, vgg or squeeze; also vgg11, vgg13, vgg19 or `squeezenet1_0`.
        #[serde(with = "by_name")]
        net: Network = Network::AlexNet,
        /// Trained weights. lin: heads on a frozen backbone. tune: all weights, from a pretrained backbone. scratch:
        /// all weights, from a random backbone.
        phase: Phase = Phase::Lin,
        /// Version of the input's scaling: 0.1 normalises by ImageNet's mean and deviation, 0.0 does not.
        #[serde(with = "by_name")]
        version: Version = Version::V0_1,
        /// Layers to tap. If empty: those of the published metric.
        taps: Vec<String> = Vec::new(),
        /// Files of weights to start from (safetensors or .pth), with any of features.*, linN.weight and rank.model.*.
        /// The last file that has a tensor takes precedence.
        init: Vec<PathBuf> = Vec::new(),
        /// Loss: ranking (as published), mlp or logistic.
        #[serde(with = "by_name")]
        loss: LossKind = LossKind::Ranking,
        /// Probability that a channel's squared difference is dropped before the lin heads, from 0 to below 1.
        dropout: f64 = 0.5,
        /// Weights that are clamped at 0 or above after each step. published: those of every 1x1 convolution, in the
        /// backbone too (SqueezeNet has some), as the published trainer does. heads: those of the lin heads alone.
        clamp: Clamp = Clamp::Published,
    }
}

settings! {
    /// Settings of the optimiser and of the learning rate's schedule: `[optimizer]`.
    OptimizerSettings {
        /// Learning rate.
        lr: f64 = 1e-4,
        /// Factor on the learning rate of the backbone, from 0 to 1000.
        backbone_lr_factor: f64 = 1.0,
        /// Adam's decay of the running mean of gradients, from 0 to below 1.
        beta1: f64 = 0.5,
        /// Adam's decay of the running mean of squared gradients, from 0 to below 1.
        beta2: f64 = 0.999,
        /// Adam's constant in the denominator.
        eps: f64 = 1e-8,
        /// Weight decay: weights shrink by this part times the learning rate in each step.
        weight_decay: f64 = 0.0,
        /// Kind of weight decay: l2 (added to the gradients, as in Adam) or decoupled (as in `AdamW`).
        weight_decay_kind: Decay = Decay::L2,
        /// Number of batches that one step accumulates.
        accumulate: usize = 1,
        /// Largest norm of the gradient over all weights. Longer gradients are clipped to it. 0: no limit.
        clip_norm: f64 = 0.0,
        /// Schedule of the learning rate: linear (as published), cosine or constant.
        schedule: ScheduleKind = ScheduleKind::Linear,
        /// Number of epochs at the full learning rate.
        epochs: usize = 5,
        /// Number of epochs after those, in which the learning rate falls.
        decay_epochs: usize = 5,
        /// Number of steps at the start over which the learning rate rises.
        warmup_steps: u64 = 0,
    }
}

settings! {
    /// Settings of the run: `[run]`.
    RunSettings {
        /// Number of triplets in a batch.
        batch: usize = 50,
        /// Seed of the order, augmentation, dropout and random initial weights.
        seed: u64 = 0,
        /// Device: auto, cpu, cuda, cuda:N or metal.
        device: String = "auto".to_string(),
        /// 16-bit type that the backbone computes in: off, f16 or bf16. Weights stay in f32.
        amp: Amp = Amp::Off,
        /// Whether the backward pass recomputes activations: less memory, a third more time.
        checkpoint_activations: bool = false,
        /// Whether a frozen backbone's features are cached on disk, so that it computes in the first epoch only.
        cache_features: bool = false,
        /// Largest size of that cache, in GB.
        cache_limit: f64 = 20.0,
        /// Number of steps between checkpoints, beside those at the end of each epoch. 0: only those.
        checkpoint_steps: u64 = 500,
        /// Number of epochs whose checkpoints are kept.
        keep: usize = 2,
    }
}

/// Trained weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The lin heads, on a frozen backbone.
    Lin,
    /// All weights, from the backbone's official ones.
    Tune,
    /// All weights, from a random backbone.
    Scratch,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Lin => "lin",
            Self::Tune => "tune",
            Self::Scratch => "scratch",
        })
    }
}

/// Weights that are clamped at 0 or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clamp {
    /// Those of every 1x1 convolution, in the backbone too, as the published trainer does.
    Published,
    /// Those of the lin heads.
    Heads,
}

/// Kind of weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Added to the gradients, as in `torch.optim.Adam`.
    L2,
    /// Subtracted from the weights, as in `torch.optim.AdamW`.
    Decoupled,
}

/// Type that the backbone computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amp {
    /// f32.
    Off,
    /// f16, with dynamic loss scaling.
    F16,
    /// bf16.
    Bf16,
}

impl Amp {
    /// The type as candle's.
    pub fn dtype(self) -> DType {
        match self {
            Self::Off => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl AugmentSettings {
    /// The values, without the preset's name.
    pub fn values(&self) -> Augment {
        Augment {
            independent: self.independent,
            flip: self.flip,
            rotate: self.rotate,
            crop: self.crop,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
            scale: self.scale,
            shear: self.shear,
            perspective: self.perspective,
            blur: self.blur,
        }
    }
}

impl Config {
    /// The groups with the documentation of their settings.
    pub(super) const DOCS: [(&'static str, Docs); 5] = [
        ("data", DataSettings::DOCS),
        ("augment", AugmentSettings::DOCS),
        ("model", ModelSettings::DOCS),
        ("optimizer", OptimizerSettings::DOCS),
        ("run", RunSettings::DOCS),
    ];

    /// Adam's constants.
    pub fn adam(&self) -> AdamConfig {
        let OptimizerSettings { lr, beta1, beta2, eps, weight_decay, weight_decay_kind: kind, .. } = self.optimizer;
        AdamConfig { lr, beta1, beta2, eps, weight_decay, decoupled: kind == Decay::Decoupled }
    }

    /// The learning rate's schedule.
    pub fn schedule(&self) -> Schedule {
        let OptimizerSettings { schedule: kind, epochs, decay_epochs, warmup_steps, .. } = self.optimizer;
        Schedule { kind, epochs, decay_epochs, warmup_steps }
    }
}

/// Serialisation of a value by its name.
mod by_name {
    use super::{Deserialize, Deserializer, FromStr, Serializer, de};
    use std::fmt::Display;

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
