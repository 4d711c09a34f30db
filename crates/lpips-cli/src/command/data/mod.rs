//! `lpips data`

mod check;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "label")]
mod label;
mod synth;

use clap::{Args, Subcommand};

use crate::output::Result;

/// Make, download, check and label sets of judgments for training and evaluation.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lpips data synth --from photos --out set\n  lpips data check set")]
pub(crate) struct Data {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(check::Check),
    Stats(check::Statistics),
    #[cfg(feature = "label")]
    Label(label::Label),
    #[cfg(feature = "hub")]
    Fetch(fetch::Fetch),
    Synth(synth::Synth),
}

impl Data {
    pub(crate) fn run(&self) -> Result {
        match &self.action {
            Action::Check(check) => check.run(),
            Action::Stats(stats) => stats.run(),
            #[cfg(feature = "label")]
            Action::Label(label) => label.run(),
            #[cfg(feature = "hub")]
            Action::Fetch(fetch) => fetch.run(),
            Action::Synth(synth) => synth.run(),
        }
    }
}
