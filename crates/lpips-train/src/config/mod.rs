//! Settings of a training: schema, presets, merging and validation.

mod merge;
mod presets;
mod schema;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt::Write;

use lpips_data::diff::{self, Difference};
use lpips_data::short_hex;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::error::{Error, Result};

pub use merge::Layer;
pub use presets::PRESETS;
pub use schema::{
    Amp, AugmentSettings, Clamp, Config, DataSettings, Decay, ModelSettings, OptimizerSettings, Phase, RunSettings,
};

impl Config {
    /// All settings with their defaults and their documentation, as TOML.
    ///
    /// # Errors
    /// A default that TOML can't represent.
    pub fn documented() -> Result<String> {
        let defaults = table(&Self::default())?;
        let mut text =
            "# All settings of lpips-train with their defaults. A file for --config needs only those that differ; \
                        flags take precedence.\n"
                .to_string();
        for (group, settings) in Self::DOCS {
            // Writing to a string does not fail.
            let _ = write!(text, "\n[{group}]\n");
            for (key, docs) in settings {
                for line in *docs {
                    let _ = writeln!(text, "#{line}");
                }
                let value = defaults.get(group).and_then(|group| group.get(key));
                // Set by the preset: a value in the file would take precedence over it.
                let comment = if group == "augment" && presets::AUGMENT_KEYS.contains(key) { "# " } else { "" };
                let _ = writeln!(text, "{comment}{key} = {}", value.unwrap_or(&Value::Integer(0)));
            }
        }
        Ok(text)
    }

    /// The settings as TOML, without documentation.
    ///
    /// # Errors
    /// A value that TOML can't represent, such as a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::settings("the settings", error.to_string()))
    }

    /// A hash of all settings.
    ///
    /// # Errors
    /// See [`Self::to_toml`].
    pub fn digest(&self) -> Result<String> {
        // Under the key's former name, so that hashes in files of earlier versions still match.
        let text = self.to_toml()?.replace("backbone_lr_factor", "trunk_lr_factor");
        Ok(short_hex(Sha256::new_with_prefix(text)))
    }

    /// Makes paths absolute, so that a run can be resumed from any folder.
    ///
    /// # Errors
    /// The working directory does not exist any more.
    pub fn make_absolute(&mut self) -> Result<()> {
        for path in self.data.train.iter_mut().chain(&mut self.data.val).chain(&mut self.model.init) {
            *path = std::path::absolute(&*path).map_err(|error| Error::io(&*path, "found", &error))?;
        }
        Ok(())
    }

    /// Checks the ranges of all settings, and that they do not contradict each other.
    ///
    /// # Errors
    /// The first setting that is out of range, or the first contradiction.
    pub fn validate(&self) -> Result<()> {
        validate::validate(self)
    }
}

/// The settings in which two trainings differ, each with both values: `optimizer.lr was 0.0001 and is 0.001`.
///
/// # Errors
/// A path that is not UTF-8.
pub fn differences(before: &Config, now: &Config) -> Result<Vec<Difference>> {
    let json =
        |config| serde_json::to_value(config).map_err(|error| Error::settings("the settings", error.to_string()));
    Ok(diff::differences(&json(before)?, &json(now)?))
}

fn table(config: &Config) -> Result<Table> {
    Table::try_from(config).map_err(|error| Error::settings("the settings", error.to_string()))
}
