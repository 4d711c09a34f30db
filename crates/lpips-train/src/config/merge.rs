//! Merges layers of settings: defaults, files, flags.

use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use super::presets::augmentation;
use super::schema::Config;
use super::validate::validate;
use crate::error::{Error, Result};

/// Settings that had another name: group, former key, present key.
const RENAMED: [(&str, &str, &str); 1] = [("optimizer", "trunk_lr_factor", "backbone_lr_factor")];

/// Settings of one source, such as a file or the flags of a command.
#[derive(Debug, Clone)]
pub struct Layer {
    name: String,
    values: Table,
}

impl Layer {
    /// Parses TOML. `name` is the source's name for messages.
    ///
    /// # Errors
    /// Text that is not TOML.
    pub fn parse(name: impl Into<String>, text: &str) -> Result<Self> {
        let name = name.into();
        match text.parse() {
            Ok(values) => Ok(Self { name, values }),
            Err(error) => Err(Error::settings(&name, format!("is no TOML that can be read: {}", sentence(&error)))),
        }
    }

    /// Reads a file of settings.
    ///
    /// # Errors
    /// A file that can't be read, or is not TOML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
        Self::parse(path.display().to_string(), &text)
    }

    /// The settings in a struct or a map of groups. `name` is the source's name for messages.
    ///
    /// # Errors
    /// A value that TOML can't represent.
    pub fn of(name: impl Into<String>, values: &impl Serialize) -> Result<Self> {
        let name = name.into();
        match Table::try_from(values) {
            Ok(values) => Ok(Self { name, values }),
            Err(error) => Err(Error::settings(&name, error.to_string())),
        }
    }
}

impl Config {
    /// Merges layers of settings over the defaults. Later layers take precedence.
    ///
    /// A layer that names a preset of the augmentation replaces all values of the layers before.
    ///
    /// # Errors
    /// A setting that does not exist (the message suggests the nearest), of another type, or out of range; or settings
    /// that contradict each other.
    pub fn merged(layers: impl IntoIterator<Item = Layer>) -> Result<Self> {
        let mut all = Layer::of("the defaults", &Self::default())?.values;
        for Layer { name, mut values } in layers {
            rename(&name, &mut values)?;
            check_keys(&name, &all, &values, "")?;
            if let Some(preset) = preset(&values) {
                let preset = augmentation(preset)?;
                merge(&mut all, preset);
            }
            merge(&mut all, values);
        }
        let config = Value::Table(all).try_into().map_err(|error| Error::settings("the settings", sentence(&error)))?;
        validate(&config)?;
        Ok(config)
    }
}

fn preset(values: &Table) -> Option<&str> {
    values.get("augment")?.get("preset")?.as_str()
}

/// Moves the values of former keys to the present ones.
fn rename(layer: &str, values: &mut Table) -> Result<()> {
    for (group, former, present) in RENAMED {
        let Some(Value::Table(group_values)) = values.get_mut(group) else { continue };
        let Some(value) = group_values.remove(former) else { continue };
        if group_values.contains_key(present) {
            let reason = format!("{group}.{former} is the former name of {group}.{present}: give one of them");
            return Err(Error::settings(layer, reason));
        }
        group_values.insert(present.to_string(), value);
    }
    Ok(())
}

/// Checks that every key of `given` is one of `known`.
fn check_keys(layer: &str, known: &Table, given: &Table, prefix: &str) -> Result<()> {
    for (key, value) in given {
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(value)) => {
                check_keys(layer, known, value, &format!("{prefix}{key}."))?;
            }
            (Some(Value::Table(_)), _) => {
                let reason = format!("{prefix}{key} is a group of settings: expected [{prefix}{key}]");
                return Err(Error::settings(layer, reason));
            }
            (Some(_), _) => {}
            (None, _) => {
                let near = known
                    .keys()
                    .map(|candidate| (strsim::damerau_levenshtein(candidate, key), candidate))
                    .min()
                    .filter(|(distance, _)| *distance <= 1 + key.len() / 3);
                let all = || known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let hint = near.map_or_else(
                    || format!("choose one of {}", all()),
                    |(_, near)| format!("did you mean {prefix}{near}?"),
                );
                return Err(Error::UnknownSetting { layer: layer.to_string(), name: format!("{prefix}{key}"), hint });
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

/// A parser's error on one line.
fn sentence(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
