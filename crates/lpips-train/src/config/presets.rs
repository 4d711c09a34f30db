//! The published recipes, and presets of the augmentation.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// The published recipes by name, as TOML: the settings that differ from the defaults.
pub const PRESETS: [(&str, &str); 3] = [
    ("lin", include_str!("../../training/lin.toml")),
    ("tune", include_str!("../../training/tune.toml")),
    ("scratch", include_str!("../../training/scratch.toml")),
];

/// The values of the augmentation, in the order of [`AUGMENTATIONS`].
pub(super) const AUGMENT_KEYS: [&str; 11] =
    ["flip", "rotate", "crop", "brightness", "contrast", "saturation", "hue", "scale", "shear", "perspective", "blur"];

/// The presets of the augmentation by name.
const AUGMENTATIONS: [(&str, [f64; 11]); 3] = [
    ("none", [0.0; 11]),
    ("safe", [0.5, 3.0, 4.0, 0.1, 0.1, 0.1, 0.02, 0.0, 0.0, 0.0, 0.0]),
    ("aggressive", [0.5, 10.0, 8.0, 0.3, 0.3, 0.3, 0.1, 0.15, 8.0, 0.1, 0.7]),
];

/// All values of a preset of the augmentation, as settings.
///
/// # Errors
/// There is no preset of this name.
pub(super) fn augmentation(preset: &str) -> Result<Table> {
    let Some((_, values)) = AUGMENTATIONS.iter().find(|(name, _)| *name == preset) else {
        let names = AUGMENTATIONS.map(|(name, _)| name).join(", ");
        return Err(Error::conflict(format!("there is no augmentation '{preset}': choose one of {names}")));
    };
    let values = AUGMENT_KEYS.iter().zip(values).map(|(key, value)| (key.to_string(), Value::Float(*value)));
    Ok(Table::from_iter([("augment".to_string(), Value::Table(values.collect()))]))
}
