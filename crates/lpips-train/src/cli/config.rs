//! `lpips-train config`

use clap::Args;
use lpips_train::config::{DEFAULT, PRESETS};

use super::{Result, print};

/// Print all settings with their defaults and what they mean, or a published recipe.
#[derive(Debug, Args)]
#[command(after_help = "Save it, change what you like, and give it with --config.")]
pub(crate) struct Show {
    /// A published recipe in place of the defaults.
    #[arg(value_name = "RECIPE", value_parser = ["lin", "tune", "scratch"])]
    recipe: Option<String>,
}

impl Show {
    pub(crate) fn run(&self) -> Result<()> {
        let preset = PRESETS.iter().find(|(name, _)| Some(*name) == self.recipe.as_deref());
        print(preset.map_or(DEFAULT, |(_, text)| text).trim_end())
    }
}
