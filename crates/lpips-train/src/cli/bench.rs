//! `lpips-train bench`

use std::time::Instant;

use candle_core::{Device, Tensor};
use clap::Args;
use lpips_core::Network;
use lpips_core::training::Dropout;
use lpips_core::weights::Finder;
use lpips_data::loader::Batch;
use lpips_terminal::{Result, ThreadArgs, line};
use lpips_train::config::Phase;
use lpips_train::{Adam, Config, Model};
use serde_json::json;

use super::OrFail;

/// Time a training step: forward, backward, Adam and clamping, on random triplets. `lpips bench` times distances.
#[derive(Debug, Args)]
#[command(
    after_help = "The backbone's weights are random, as the time does not depend on them. The result is one line of JSON.

Example:
  lpips-train bench --net vgg --phase tune --batch 10"
)]
pub(crate) struct Bench {
    /// Network: alex, vgg or squeeze; others by their names in torchvision.
    #[arg(long, value_name = "NET", default_value = "alex")]
    net: Network,

    /// Trained weights: lin (heads on a frozen backbone) or tune (all).
    #[arg(long, value_name = "PHASE", default_value = "lin", value_parser = ["lin", "tune"])]
    phase: String,

    /// Triplets in a batch.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// Width and height of the pictures, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,

    #[command(flatten)]
    threads: ThreadArgs,

    /// Timed steps, after one that is not timed.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,

    /// Recompute activations in the backward pass.
    #[arg(long)]
    checkpoint_activations: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result {
        let threads = self.threads.start()?;
        // From random weights, so that none need be downloaded.
        let mut config = Config::default();
        (config.model.net, config.model.phase) = (self.net, Phase::Scratch);
        config.run.checkpoint_activations = self.checkpoint_activations;
        let mut model = Model::new(&config, &Finder::default(), &Device::Cpu, false).or_fail()?;
        if self.phase == "lin" {
            model.freeze_backbone().or_fail()?;
        }
        let variables: Vec<_> = model.variables().map(|(name, _, var)| (name.to_string(), var.clone())).collect();
        let mut adam = Adam::with_names(variables, config.adam())?;
        let (n, size) = (self.batch as usize, self.size as usize);
        let pictures = || Tensor::rand(-1f32, 1f32, (n, 3, size, size), &Device::Cpu);
        let batch = Batch {
            numbers: (0..self.batch).collect(),
            reference: pictures()?,
            p0: pictures()?,
            p1: pictures()?,
            judge: Tensor::rand(0f32, 1f32, n, &Device::Cpu)?,
        };
        let mut times = Vec::new();
        for step in 0..=u64::from(self.steps) {
            let start = Instant::now();
            let dropout = Dropout::new(config.model.dropout, step)?;
            let gradients = model.learn(&batch, dropout, 1.0).or_fail()?;
            adam.step_with(|name, _| gradients.by_name.get(name).cloned(), 1.0)?;
            model.clamp().or_fail()?;
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
        times.remove(0);
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        line(
            &json!({
                "engine": "lpips",
                "net": self.net.to_string(),
                "phase": self.phase,
                "batch": n,
                "size": size,
                "threads": threads,
                "median_ms": rounded(median),
                "triplets_per_s": rounded(1e3 * n as f64 / median),
            })
            .to_string(),
        )
    }
}
