//! The settings of a training, as TOML.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::DType;
use lpips_core::{Dropout, LossKind, Network, Version};
use lpips_data::augment::Augment;
use lpips_data::short_hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::optimiser::{AdamConfig, Schedule, ScheduleKind};

/// All settings with their defaults, documented line by line.
pub const DEFAULT: &str = include_str!("../../training/default.toml");

/// The published recipes, by name: what differs from the defaults.
pub const PRESETS: [(&str, &str); 3] = [
    ("lin", include_str!("../../training/lin.toml")),
    ("tune", include_str!("../../training/tune.toml")),
    ("scratch", include_str!("../../training/scratch.toml")),
];

/// Presets of the augmentation.
const AUGMENT: [(&str, &str); 3] = [
    (
        "none",
        "flip = 0.0\nrotate = 0.0\ncrop = 0.0\nbrightness = 0.0\ncontrast = 0.0\nsaturation = 0.0\nhue = 0.0\nscale = 0.0\n\
         shear = 0.0\nperspective = 0.0\nblur = 0.0",
    ),
    ("safe", "flip = 0.5\nrotate = 3.0\ncrop = 4.0\nbrightness = 0.1\ncontrast = 0.1\nsaturation = 0.1\nhue = 0.02"),
    (
        "aggressive",
        "flip = 0.5\nrotate = 10.0\ncrop = 8.0\nbrightness = 0.3\ncontrast = 0.3\nsaturation = 0.3\nhue = 0.1\n\
         scale = 0.15\nshear = 8.0\nperspective = 0.1\nblur = 0.7",
    ),
];

/// The settings of a training; `assets/training/default.toml` documents each.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Config {
    pub data: Data,
    pub augment: AugmentTable,
    pub model: Model,
    pub optimizer: Optimizer,
    pub run: Run,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Data {
    pub train: Vec<PathBuf>,
    pub val: Vec<PathBuf>,
    pub size: usize,
    pub shuffle: bool,
    pub skip_broken: bool,
    pub workers: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct AugmentTable {
    pub preset: String,
    #[serde(flatten)]
    pub values: Augment,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Model {
    #[serde(with = "by_name")]
    pub net: Network,
    pub phase: Phase,
    #[serde(with = "by_name")]
    pub version: Version,
    pub taps: Vec<String>,
    pub init: Vec<PathBuf>,
    #[serde(with = "by_name")]
    pub loss: LossKind,
    pub dropout: f64,
    pub clamp: Clamp,
}

/// Which weights move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The lin heads, on a frozen network.
    Lin,
    /// All, from the network's official weights.
    Tune,
    /// All, from a random network.
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

/// Which weights are held at 0 or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clamp {
    /// Those of every 1x1 convolution, the network's too, as the published trainer does.
    Published,
    /// Those of the lin heads.
    Heads,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Optimizer {
    pub lr: f64,
    pub trunk_lr_factor: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub weight_decay_kind: Decay,
    pub accumulate: usize,
    pub clip_norm: f64,
    pub schedule: ScheduleKind,
    pub epochs: usize,
    pub decay_epochs: usize,
    pub warmup_steps: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Run {
    pub batch: usize,
    pub seed: u64,
    pub device: String,
    pub amp: Amp,
    pub checkpoint_activations: bool,
    pub cache_features: bool,
    pub cache_limit: f64,
    pub checkpoint_steps: u64,
    pub keep: usize,
}

/// How weights shrink by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Through the gradients, as `torch.optim.Adam` does.
    L2,
    /// Apart from them, as `torch.optim.AdamW` does.
    Decoupled,
}

/// The type that the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amp {
    /// f32.
    Off,
    /// f16, with a scale on the loss that follows what fits.
    F16,
    /// bf16.
    Bf16,
}

impl Amp {
    /// The type that the network computes in.
    pub fn dtype(self) -> DType {
        match self {
            Self::Off => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// What goes by a name of its own.
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

impl Config {
    /// The defaults, with those settings in `files` (TOML, with a name for messages) that differ, the last one's taking precedence.
    ///
    /// # Errors
    /// TOML that can't be read, a setting that does not exist (the message suggests the nearest), or a value that can't be.
    pub fn merged<'a>(layers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut all: Table = DEFAULT.parse().map_err(|error| unreadable("the defaults", &error))?;
        merge(&mut all, augmentation("none")?);
        for (name, text) in layers {
            let table: Table = text.parse().map_err(|error| unreadable(name, &error))?;
            known(&all, &table, name, "")?;
            // A preset takes the place of all values of the layers before.
            if let Some(preset) = table.get("augment").and_then(|augment| augment.get("preset")).and_then(Value::as_str)
            {
                merge(&mut all, augmentation("none")?);
                merge(&mut all, augmentation(preset)?);
            }
            merge(&mut all, table);
        }
        let config: Self = Value::Table(all).try_into().map_err(|error| settings("the settings", sentence(&error)))?;
        config.validated()
    }

    /// As TOML, with all settings.
    ///
    /// # Errors
    /// None that is known: every setting has a form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| settings("the settings", error.to_string()))
    }

    /// Tells settings apart: a hash of all of them.
    ///
    /// # Errors
    /// None that is known: every setting has a form in TOML.
    pub fn digest(&self) -> Result<String> {
        Ok(short_hex(Sha256::new_with_prefix(self.to_toml()?)))
    }

    /// Makes paths absolute, so that a run can be gone on with from any folder.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn make_absolute(&mut self) -> Result<()> {
        for path in self.data.train.iter_mut().chain(&mut self.data.val).chain(&mut self.model.init) {
            *path = std::path::absolute(&*path).map_err(|error| Error::io(&*path, "found", &error))?;
        }
        Ok(())
    }

    /// Adam's constants.
    pub fn adam(&self) -> AdamConfig {
        let Optimizer { lr, beta1, beta2, eps, weight_decay, weight_decay_kind: kind, .. } = self.optimizer;
        AdamConfig { lr, beta1, beta2, eps, weight_decay, decoupled: kind == Decay::Decoupled }
    }

    /// How the rate changes.
    pub fn schedule(&self) -> Schedule {
        let Optimizer { schedule: kind, epochs, decay_epochs, warmup_steps, .. } = self.optimizer;
        Schedule { kind, epochs, decay_epochs, warmup_steps }
    }

    fn validated(self) -> Result<Self> {
        let Self { data, augment, model, optimizer, run } = &self;
        let fail = |name: &str, given: &dyn std::fmt::Display, expected: &str| {
            Err(Error::Setting { name: name.to_string(), given: given.to_string(), expected: expected.to_string() })
        };
        if !(run.cache_limit.is_finite() && run.cache_limit > 0.0) {
            return fail("run.cache_limit", &run.cache_limit, "a number above 0");
        }
        // Within these no step can make a weight that is no finite number.
        let above_zero = [("optimizer.lr", optimizer.lr, 1.0), ("optimizer.eps", optimizer.eps, 1.0)];
        if let Some((name, given, most)) = above_zero.iter().find(|(_, v, most)| !(*v >= 1e-30 && v <= most)) {
            return fail(name, given, &format!("a number above 0, at most {most}"));
        }
        let fractions = [
            ("model.dropout", model.dropout),
            ("optimizer.beta1", optimizer.beta1),
            ("optimizer.beta2", optimizer.beta2),
        ];
        if let Some((name, given)) = fractions.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return fail(name, given, "a number from 0 to below 1");
        }
        Dropout::new(model.dropout, 0)?;
        if data.train.is_empty() && !data.val.is_empty() {
            return Err(conflict(
                "data.val was given without data.train: give --data as well, or leave --val out for the built-in samples",
            ));
        }
        let a = &augment.values;
        let parts = [
            ("augment.flip", a.flip, 1.0),
            ("augment.brightness", a.brightness, 1.0),
            ("augment.contrast", a.contrast, 1.0),
            ("augment.saturation", a.saturation, 1.0),
            ("augment.hue", a.hue, 1.0),
            ("augment.scale", a.scale, 0.9),
            ("augment.perspective", a.perspective, 0.4),
            ("augment.rotate", a.rotate, 180.0),
            ("augment.shear", a.shear, 60.0),
            ("augment.crop", a.crop, data.size as f64),
            ("augment.blur", a.blur, data.size as f64),
            ("optimizer.trunk_lr_factor", optimizer.trunk_lr_factor, 1e3),
            (
                "optimizer.weight_decay",
                optimizer.weight_decay,
                1.0 / (optimizer.lr * optimizer.trunk_lr_factor.max(1.0)),
            ),
            ("optimizer.clip_norm", optimizer.clip_norm, f64::MAX),
        ];
        if let Some((name, given, most)) = parts.iter().find(|(_, v, most)| !(0.0..=*most).contains(v)) {
            let expected =
                if *most < f64::MAX { format!("a number from 0 to {most}") } else { "0 or more".to_string() };
            return fail(name, given, &expected);
        }
        let counts = [
            ("run.batch", run.batch),
            ("optimizer.accumulate", optimizer.accumulate),
            ("data.workers", data.workers),
            ("data.size", data.size),
            ("optimizer.epochs + optimizer.decay_epochs", optimizer.epochs.saturating_add(optimizer.decay_epochs)),
            ("run.keep", run.keep),
        ];
        if let Some((name, given)) = counts.iter().find(|(_, v)| !(1..=1_000_000).contains(v)) {
            return fail(name, given, "a number from 1 to 1000000");
        }
        if run.cache_features && !a.is_off() {
            return Err(conflict(
                "run.cache_features keeps what the network sees in pictures that do not change: switch augmentation off, or it",
            ));
        }
        if run.cache_features && model.phase != Phase::Lin {
            return Err(conflict(
                "run.cache_features needs a network that does not change: it goes with the phase lin only",
            ));
        }
        if run.checkpoint_activations && model.phase == Phase::Lin {
            return Err(conflict(
                "run.checkpoint_activations saves what the gradients of the network need: in the phase lin there are none",
            ));
        }
        Ok(self)
    }
}

/// The values that a preset of the augmentation stands for.
fn augmentation(preset: &str) -> Result<Table> {
    let Some((_, values)) = AUGMENT.iter().find(|(name, _)| *name == preset) else {
        let names = AUGMENT.map(|(name, _)| name).join(", ");
        return Err(conflict(format!("there is no augmentation '{preset}': choose one of {names}")));
    };
    let values: Table = values.parse().map_err(|error| unreadable("a preset", &error))?;
    Ok(Table::from_iter([("augment".to_string(), Value::Table(values))]))
}

/// The settings in which two trainings differ, each with both values.
///
/// # Errors
/// None that is known: every setting has a form in TOML.
pub fn differences(a: &Config, b: &Config) -> Result<Vec<String>> {
    fn differ(a: &Table, b: &Table, prefix: &str, found: &mut Vec<String>) {
        for (key, a) in a {
            match (a, b.get(key)) {
                (Value::Table(a), Some(Value::Table(b))) => differ(a, b, &format!("{prefix}{key}."), found),
                (a, Some(b)) if a != b => found.push(format!("{prefix}{key} was {a} and is {b}")),
                _ => {}
            }
        }
    }
    let table = |config: &Config| -> Result<Table> {
        config.to_toml()?.parse().map_err(|error| unreadable("the settings", &error))
    };
    let mut found = Vec::new();
    differ(&table(a)?, &table(b)?, "", &mut found);
    Ok(found)
}

/// Every key of `given` is one of `known`'s.
fn known(known_keys: &Table, given: &Table, name: &str, prefix: &str) -> Result<()> {
    for (key, value) in given {
        match (known_keys.get(key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => known(inner, value, name, &format!("{prefix}{key}."))?,
            (Some(Value::Table(_)), _) => {
                return Err(settings(name, format!("{prefix}{key} is a group of settings: expected [{prefix}{key}]")));
            }
            (Some(_), _) => {}
            (None, _) => {
                let near = known_keys
                    .keys()
                    .map(|candidate| (strsim::damerau_levenshtein(candidate, key), candidate))
                    .min()
                    .filter(|(distance, _)| *distance <= 1 + key.len() / 3);
                let all = || known_keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let hint = near.map_or_else(
                    || format!("choose one of {}", all()),
                    |(_, near)| format!("did you mean {prefix}{near}?"),
                );
                return Err(Error::UnknownSetting { layer: name.to_string(), name: format!("{prefix}{key}"), hint });
            }
        }
    }
    Ok(())
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn unreadable(name: &str, error: &toml::de::Error) -> Error {
    settings(name, format!("is no TOML that can be read: {}", sentence(error)))
}

fn settings(layer: &str, reason: String) -> Error {
    Error::Settings { layer: layer.to_string(), reason }
}

fn conflict(reason: impl Into<String>) -> Error {
    Error::Conflict { reason: reason.into() }
}

/// The reason on one line.
fn sentence(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads a settings file.
///
/// # Errors
/// A file that can't be read.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // As they were written.
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config> {
        Config::merged([("test.toml", text)])
    }

    #[test]
    fn the_defaults_are_the_published_recipe() {
        let default = Config::merged([]).unwrap();
        assert!((default.optimizer.lr - 1e-4).abs() < 1e-12);
        assert_eq!((default.optimizer.epochs, default.optimizer.decay_epochs, default.run.batch), (5, 5, 50));
        assert!(default.augment.values.is_off());
        for (name, text) in PRESETS {
            let preset = Config::merged([(name, text)]).unwrap();
            assert!(preset.to_toml().unwrap().contains(&format!("phase = \"{name}\"")));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let given =
            config("[model]\nnet = \"vgg\"\n[augment]\npreset = \"safe\"\nflip = 0.25\n[run]\namp = \"bf16\"").unwrap();
        assert_eq!(given.model.net, Network::Vgg16);
        assert_eq!((given.augment.values.flip, given.augment.values.rotate), (0.25, 3.0));
        assert_eq!(config(&given.to_toml().unwrap()).unwrap(), given);
    }

    #[test]
    fn a_preset_takes_the_place_of_what_came_before() {
        let safe = config("[augment]\npreset = \"safe\"").unwrap().to_toml().unwrap();
        let then = |text: &str| Config::merged([("a run's", safe.as_str()), ("flags", text)]).unwrap().augment.values;
        assert_eq!(then("").rotate, 3.0);
        assert_eq!(then("[augment]\npreset = \"aggressive\"").rotate, 10.0);
        assert_eq!(then("[augment]\npreset = \"aggressive\"\nrotate = 1.0").rotate, 1.0);
        assert!(then("[augment]\npreset = \"none\"").is_off());
        let edited = DEFAULT.replace("preset = \"none\"", "preset = \"safe\"");
        assert_eq!(config(&edited).unwrap().augment.values.rotate, 3.0);
    }

    #[test]
    fn differences_are_named() {
        let (a, b) = (config("").unwrap(), config("[optimizer]\nlr = 1e-3").unwrap());
        assert!(differences(&a, &a).unwrap().is_empty());
        assert_eq!(differences(&a, &b).unwrap(), ["optimizer.lr was 0.0001 and is 0.001"]);
    }

    #[test]
    fn wrong_settings_are_refused_in_a_sentence() {
        for (text, expected) in [
            ("[optimizer]\nlrr = 1", "did you mean optimizer.lr?"),
            ("[optimiser]\nlr = 1", "did you mean optimizer?"),
            ("[data]\nxyzzy = 1", "choose one of"),
            ("data = 1", "is a group of settings"),
            ("[optimizer]\nlr = -1.0", "optimizer.lr is -1: expected a number above 0"),
            ("[optimizer]\nlr = 1e39", "optimizer.lr is 1000000000000000"),
            ("[optimizer]\nweight_decay_kind = \"l3\"", "l3"),
            ("[data]\nval = [\"a\"]", "data.val was given without data.train"),
            ("[model]\ndropout = 0.999999", "a dropout of 0.999999"),
            ("[run]\nbatch = 0", "run.batch is 0: expected"),
            ("[model]\nphase = \"turbo\"", "turbo"),
            ("[model]\nnet = \"resnet\"", "resnet"),
            ("[augment]\npreset = \"wild\"", "there is no augmentation 'wild'"),
            ("[model]\ndropout = 1.0", "model.dropout is 1"),
            ("[optimizer]\nepochs = 0\ndecay_epochs = 0", "expected a number from 1"),
            ("nonsense", "no TOML"),
            ("[run]\ncache_features = true\n[augment]\nflip = 0.5", "augmentation"),
        ] {
            let error = config(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
