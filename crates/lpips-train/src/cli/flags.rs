//! Settings of a training as flags.

use std::path::PathBuf;

use clap::Args;
use serde::{Serialize, Serializer};

/// Settings that the command line overrides: one field for each setting, absent where its flag was not given.
#[derive(Debug, Default, Args, Serialize)]
pub(crate) struct Flags {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    augment: AugmentFlags,
    #[command(flatten)]
    optimizer: OptimizerFlags,
    #[command(flatten)]
    run: RunFlags,
}

impl Flags {
    /// Whether `--data` was given.
    pub(crate) fn names_data(&self) -> bool {
        self.data.train.is_some()
    }
}

#[derive(Debug, Default, Args, Serialize)]
struct ModelFlags {
    /// Trained weights: lin (heads on a frozen backbone), tune (all), scratch (all, from a random backbone) [default:
    /// lin].
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,

    /// Network: alex, vgg or squeeze; others by their names in torchvision [default: alex].
    #[arg(long, value_name = "NET")]
    net: Option<String>,

    /// Files of weights to start from, with any of features.*, linN.weight, rank.model.*.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    init: Option<Vec<PathBuf>>,

    /// Layers to tap in place of the published ones, separated by commas.
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    taps: Option<Vec<String>>,

    /// Loss: ranking, mlp or logistic [default: ranking].
    #[arg(long, value_name = "LOSS")]
    loss: Option<String>,

    /// Probability that a channel's squared difference is dropped before the lin heads [default: 0.5].
    #[arg(long, value_name = "P", help_heading = "Steps", allow_negative_numbers = true)]
    dropout: Option<f64>,

    /// Weights clamped at 0 or above: published (every 1x1 convolution) or heads [default: published].
    #[arg(long, value_name = "WHICH", help_heading = "Steps")]
    clamp: Option<String>,
}

#[derive(Debug, Default, Args, Serialize)]
struct DataFlags {
    /// Triplets to train on: BAPPS roots, folders (ref, p0, p1, judge), or lists (.csv, .jsonl), in this order.
    #[arg(id = "data", long = "data", value_name = "ROOT", num_args = 1..)]
    train: Option<Vec<PathBuf>>,

    /// Held-out triplets to score after each epoch, of the same kinds.
    #[arg(long, value_name = "ROOT", num_args = 1..)]
    val: Option<Vec<PathBuf>>,

    /// Width and height, in pixels, to which pictures are resized [default: 64].
    #[arg(long, value_name = "PIXELS", help_heading = "Data", allow_negative_numbers = true)]
    size: Option<i64>,

    /// Keep the order of each epoch: roots as given, files by name.
    #[arg(long, help_heading = "Data")]
    #[serde(rename = "shuffle", serialize_with = "negated", skip_serializing_if = "std::ops::Not::not")]
    no_shuffle: bool,

    /// Leave out pictures that can't be read, with a line in the log.
    #[arg(long, help_heading = "Data")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skip_broken: bool,

    /// Threads that decode pictures [default: 2].
    #[arg(long, value_name = "N", help_heading = "Machine", allow_negative_numbers = true)]
    workers: Option<i64>,
}

#[derive(Debug, Default, Args, Serialize)]
struct AugmentFlags {
    /// Preset of the augmentation: none, safe or aggressive [default: none].
    #[arg(id = "augment", long = "augment", value_name = "PRESET", help_heading = "Data")]
    preset: Option<String>,
}

#[derive(Debug, Default, Args, Serialize)]
struct OptimizerFlags {
    /// Learning rate [default: 0.0001].
    #[arg(long, value_name = "RATE", help_heading = "Steps", allow_negative_numbers = true)]
    lr: Option<f64>,

    /// Factor on the learning rate of the backbone [default: 1].
    #[arg(long, alias = "trunk-lr-factor", value_name = "F", help_heading = "Steps", allow_negative_numbers = true)]
    backbone_lr_factor: Option<f64>,

    /// Adam's decay of the running mean of gradients [default: 0.5].
    #[arg(long, value_name = "B", help_heading = "Steps", allow_negative_numbers = true)]
    beta1: Option<f64>,

    /// Batches that one step accumulates [default: 1].
    #[arg(long, value_name = "K", help_heading = "Steps", allow_negative_numbers = true)]
    accumulate: Option<i64>,

    /// Largest norm of the gradient; longer gradients are clipped to it [default: no limit].
    #[arg(long, value_name = "NORM", help_heading = "Steps", allow_negative_numbers = true)]
    clip_norm: Option<f64>,

    /// Schedule of the learning rate: linear, cosine or constant [default: linear].
    #[arg(long, value_name = "SHAPE", help_heading = "Steps")]
    schedule: Option<String>,

    /// Epochs at the full learning rate [default: 5].
    #[arg(long, value_name = "E", help_heading = "Steps", allow_negative_numbers = true)]
    epochs: Option<i64>,

    /// Epochs after those, in which the learning rate falls [default: 5].
    #[arg(long, value_name = "D", help_heading = "Steps", allow_negative_numbers = true)]
    decay_epochs: Option<i64>,
}

#[derive(Debug, Default, Args, Serialize)]
struct RunFlags {
    /// Triplets in a batch [default: 50].
    #[arg(long, value_name = "N", help_heading = "Steps", allow_negative_numbers = true)]
    batch: Option<i64>,

    /// Seed of the order, augmentation, dropout and random initial weights [default: 0].
    #[arg(long, value_name = "N", help_heading = "Data", allow_negative_numbers = true)]
    seed: Option<i64>,

    /// Device: auto, cpu, cuda, cuda:N or metal [default: auto].
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    device: Option<String>,

    /// 16-bit type that the backbone computes in: off, f16 or bf16 [default: off].
    #[arg(long, value_name = "TYPE", help_heading = "Machine")]
    amp: Option<String>,

    /// Recompute activations in the backward pass: less memory, more time.
    #[arg(long, help_heading = "Machine")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    checkpoint_activations: bool,

    /// Cache a frozen backbone's features on disk, so that it computes in the first epoch only.
    #[arg(long, help_heading = "Machine")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cache_features: bool,

    /// Steps between checkpoints, beside those at the end of each epoch [default: 500].
    #[arg(long, value_name = "N", help_heading = "Machine", allow_negative_numbers = true)]
    checkpoint_steps: Option<i64>,
}

/// A flag that switches a setting off.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn negated<S: Serializer>(given: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!given)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lpips_train::Config;
    use lpips_train::config::Layer;

    use super::Flags;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    fn config(flags: &[&str]) -> Config {
        let command = Command::parse_from(["lpips-train"].iter().chain(flags));
        Config::merged([Layer::of("the command line", &command.flags).unwrap()]).unwrap()
    }

    #[test]
    fn flags_absent_leave_the_defaults() {
        assert_eq!(config(&[]), Config::default());
    }

    #[test]
    fn flags_given_override_their_settings() {
        let given = config(&[
            "--no-shuffle",
            "--skip-broken",
            "--data",
            "a",
            "b",
            "--taps",
            "conv1,conv3",
            "--augment",
            "safe",
            "--lr",
            "0.5",
            "--seed",
            "7",
        ]);
        let file = r#"
            data = { shuffle = false, skip_broken = true, train = ["a", "b"] }
            model = { taps = ["conv1", "conv3"] }
            augment = { preset = "safe" }
            optimizer = { lr = 0.5 }
            run = { seed = 7 }
        "#;
        let expected = Config::merged([Layer::parse("file", file).unwrap()]).unwrap();
        assert_ne!(given, Config::default());
        assert_eq!(given, expected);
    }

    #[test]
    fn flags_former_name_of_backbone_lr_factor_is_an_alias() {
        let [present, former] = ["--backbone-lr-factor", "--trunk-lr-factor"].map(|flag| config(&[flag, "0.25"]));
        assert_eq!(present, former);
        assert_ne!(present, Config::default());
    }
}
