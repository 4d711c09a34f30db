//! The settings file and README of a synthetic set.

use std::path::Path;

use serde::Serialize;

use super::options::Synth;
use crate::distort::Distortion;
use crate::error::{Error, Result};

/// File of the settings that decide a set's bytes.
pub(super) const SETTINGS: &str = "synth.toml";

/// Settings that decide a set's bytes.
#[derive(Serialize)]
struct Settings<'a> {
    labels: &'static str,
    train: usize,
    val: usize,
    jnd: usize,
    size: usize,
    seed: u64,
    distortions: &'a [Distortion],
    pictures: &'a str,
}

/// Whether a folder holds a set of [`Synth`] with synthetic labels.
pub fn is_labelled(root: &Path) -> bool {
    std::fs::read_to_string(root.join(SETTINGS)).is_ok_and(|text| text.contains("labels = \"synthetic\""))
}

/// Settings as TOML; `pictures` is the digest of the pictures.
pub(super) fn to_toml(synth: &Synth, pictures: &str) -> Result<String, toml::ser::Error> {
    toml::to_string(&Settings {
        labels: if synth.labelled { "synthetic" } else { "none" },
        train: synth.train,
        val: synth.val,
        jnd: synth.jnd,
        size: synth.size,
        seed: synth.seed,
        distortions: &synth.distortions,
        pictures,
    })
}

/// One line on where the labels come from.
pub(super) fn notice(synth: &Synth) -> &'static str {
    if synth.labelled {
        "The labels of this set are synthetic: no person was asked."
    } else {
        "This set has no labels yet: people have to give them."
    }
}

/// Text of the set's README file.
pub(super) fn readme(synth: &Synth) -> String {
    let made = "`lpips data synth` cut these patches from pictures and distorted them; manifest.jsonl says how each was \
        made, and synth.toml by which settings. References for validation are from other pictures than those for training.";
    let rule = if synth.labelled {
        "Of each triplet, p0 and p1 show the same distortion at two strengths, with the same random draw, and the \
         judgment (0 for p0, 1 for p1) names the weaker one as nearer to the reference. This orders two strengths of \
         one distortion; it does not say which of two distortions people mind more, and a score on this set is no score on \
         people's judgments. Of each pair under jnd, if there are any, both pictures are equal to the last byte \
         (same = 1) or one is strongly distorted (same = 0)."
    } else {
        "Of each triplet, p0 and p1 show different distortions or sequences of them at random strengths, and of each \
         pair under jnd, if there are any, p1 shows p0 distorted: `lpips data label` asks people about them."
    };
    format!("{}\n\n{made} {rule}\n", notice(synth))
}

/// Compares the settings in a folder with `ours`.
///
/// # Errors
/// Settings that differ or can't be read.
pub(super) fn compare(out: &Path, path: &Path, ours: &str) -> Result<()> {
    let read = |text: &str| text.parse::<toml::Table>();
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
    let (Ok(theirs), Ok(ours)) = (read(&text), read(ours)) else {
        return Err(Error::file(path, "holds no settings of this command's: name another folder"));
    };
    // The other settings decide too which pictures are used, so a difference in them is reported first.
    let differing = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value));
    let Some((key, value)) = differing.min_by_key(|(key, _)| *key == "pictures") else { return Ok(()) };
    let what = match (key.as_str(), theirs.get(key)) {
        ("pictures", _) => "from other pictures".to_string(),
        ("distortions", _) => "with other distortions".to_string(),
        (_, Some(found)) => format!("with {key} = {found}, and {key} is {value} now"),
        (_, None) => format!("without {key}"),
    };
    let reason =
        format!("holds a set that was made {what}: use the same settings to resume it, or name another folder");
    Err(Error::file(out, reason))
}
