//! `lpips-train bench`

use std::time::Instant;

use candle_core::{Device, Tensor};
use clap::Args;
use lpips_core::weights::Finder;
use lpips_core::{Dropout, Network};
use lpips_data::loader::Batch;
use lpips_train::{Adam, Config, Model};
use serde_json::json;

use super::train::start_threads;
use super::{Result, print};

/// Time a training step: forward, backward, Adam and clamping, on random triplets.
#[derive(Debug, Args)]
#[command(after_help = "The network's weights are random: the time does not depend on them.")]
pub(crate) struct Bench {
    /// The network.
    #[arg(long, value_name = "NET", default_value = "alex")]
    net: Network,

    /// lin or tune.
    #[arg(long, value_name = "PHASE", default_value = "lin", value_parser = ["lin", "tune"])]
    phase: String,

    /// Triplets in a batch.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// Pixels along a side.
    #[arg(long, value_name = "PIXELS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,

    /// Threads of the CPU [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Steps to time, after one that is not.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,

    /// Recompute activations in the backward pass.
    #[arg(long)]
    checkpoint_activations: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        let threads = start_threads(self.threads)?;
        // From a random network: no weights need be fetched, and their values change no time.
        let text = format!(
            "[model]\nnet = \"{}\"\nphase = \"scratch\"\n[run]\ncheckpoint_activations = {}",
            self.net, self.checkpoint_activations
        );
        let config = Config::merged([("bench", text.as_str())])?;
        let mut model = Model::new(&config, &Finder::default(), &Device::Cpu, false)?;
        if self.phase == "lin" {
            model.freeze()?;
        }
        let variables: Vec<_> = model.variables().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let mut adam = Adam::new(variables, config.adam())?;
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
            let outcome = model.learn(&batch, None, dropout, 1.0)?;
            adam.step_with(|name, _| outcome.gradients.get(name).cloned(), 1.0)?;
            model.clamp()?;
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
        times.remove(0);
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        print(
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
