//! Ranges of the settings, and combinations that contradict each other.

use lpips_core::training::Dropout;

use super::schema::{Config, Phase};
use crate::error::{Error, Result};

/// Checks all settings.
///
/// # Errors
/// The first setting that is out of range, or the first contradiction.
pub(super) fn validate(config: &Config) -> Result<()> {
    check_ranges(config)?;
    // Just below 1 it rounds to 1 in f32.
    Dropout::new(config.model.dropout, 0)
        .map_err(|error| Error::conflict(lpips_core::Error::from(error).to_string()))?;
    check_combinations(config)
}

fn out_of_range<T>(name: &str, given: &dyn std::fmt::Display, expected: &str) -> Result<T> {
    Err(Error::Setting { name: name.to_string(), given: given.to_string(), expected: expected.to_string() })
}

fn check_ranges(config: &Config) -> Result<()> {
    let Config { data, augment: a, model, optimizer, run } = config;
    if !(run.cache_limit.is_finite() && run.cache_limit > 0.0) {
        return out_of_range("run.cache_limit", &run.cache_limit, "a number above 0");
    }
    // Within these ranges no single step makes a weight infinite.
    let above_zero = [("optimizer.lr", optimizer.lr, 1.0), ("optimizer.eps", optimizer.eps, 1.0)];
    if let Some((name, given, most)) = above_zero.iter().find(|(_, v, most)| !(*v >= 1e-30 && v <= most)) {
        return out_of_range(name, given, &format!("a number above 0, at most {most}"));
    }
    let fractions =
        [("model.dropout", model.dropout), ("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)];
    if let Some((name, given)) = fractions.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
        return out_of_range(name, given, "a number from 0 to below 1");
    }
    if data.train.is_empty() && !data.val.is_empty() {
        return Err(Error::conflict(
            "data.val was given without data.train: give --data as well, or leave --val out for the built-in samples",
        ));
    }
    let limited = [
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
        ("optimizer.backbone_lr_factor", optimizer.backbone_lr_factor, 1e3),
        (
            "optimizer.weight_decay",
            optimizer.weight_decay,
            1.0 / (optimizer.lr * optimizer.backbone_lr_factor.max(1.0)),
        ),
        ("optimizer.clip_norm", optimizer.clip_norm, f64::MAX),
    ];
    if let Some((name, given, most)) = limited.iter().find(|(_, v, most)| !(0.0..=*most).contains(v)) {
        let expected = if *most < f64::MAX { format!("a number from 0 to {most}") } else { "0 or more".to_string() };
        return out_of_range(name, given, &expected);
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
        return out_of_range(name, given, "a number from 1 to 1000000");
    }
    Ok(())
}

fn check_combinations(config: &Config) -> Result<()> {
    let Config { augment, model, run, .. } = config;
    if run.cache_features && !augment.values().is_off() {
        return Err(Error::conflict(
            "run.cache_features needs pictures that stay the same: switch augmentation off, or run.cache_features",
        ));
    }
    if run.cache_features && model.phase != Phase::Lin {
        return Err(Error::conflict("run.cache_features needs a frozen backbone: it goes with the phase lin only"));
    }
    if run.checkpoint_activations && model.phase == Phase::Lin {
        return Err(Error::conflict(
            "run.checkpoint_activations recomputes the backbone in its backward pass, which the phase lin does not have: \
             choose tune or scratch, or switch it off",
        ));
    }
    Ok(())
}
