//! `lpips-train config`

use clap::Args;
use lpips_terminal::{Result, line};
use lpips_train::Config;
use lpips_train::config::PRESETS;

use super::OrFail;

/// Print all settings with their documentation and defaults, or a published recipe.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  lpips-train config > settings.toml\n  lpips-train --config settings.toml --data 2afc/train"
)]
pub(crate) struct Show {
    /// A published recipe in place of all settings.
    #[arg(value_name = "RECIPE", value_parser = ["lin", "tune", "scratch"])]
    recipe: Option<String>,
}

impl Show {
    pub(crate) fn run(&self) -> Result {
        match PRESETS.iter().find(|(name, _)| Some(*name) == self.recipe.as_deref()) {
            Some((_, recipe)) => line(recipe.trim_end()),
            None => line(Config::documented().or_fail()?.trim_end()),
        }
    }
}
