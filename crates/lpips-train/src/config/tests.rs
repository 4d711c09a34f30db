#![allow(clippy::float_cmp)] // As they were written.

use lpips_core::Network;

use super::{Config, Layer, PRESETS, differences};
use crate::error::Result;

fn layer(text: &str) -> Layer {
    Layer::parse("test.toml", text).unwrap()
}

fn config(text: &str) -> Result<Config> {
    Config::merged([Layer::parse("test.toml", text)?])
}

#[test]
fn config_defaults_are_the_published_recipe() {
    let default = Config::merged([]).unwrap();
    assert_eq!(default, Config::default());
    assert_eq!(default.optimizer.lr, 1e-4);
    assert_eq!((default.optimizer.epochs, default.optimizer.decay_epochs, default.run.batch), (5, 5, 50));
    assert!(default.augment.values().is_off());
    for (name, text) in PRESETS {
        let preset = config(text).unwrap();
        assert!(preset.to_toml().unwrap().contains(&format!("phase = \"{name}\"")));
    }
}

#[test]
fn config_toml_roundtrip() {
    let given =
        config("[model]\nnet = \"vgg\"\n[augment]\npreset = \"safe\"\nflip = 0.25\n[run]\namp = \"bf16\"").unwrap();
    assert_eq!(given.model.net, Network::Vgg16);
    assert_eq!((given.augment.flip, given.augment.rotate), (0.25, 3.0));
    assert_eq!(config(&given.to_toml().unwrap()).unwrap(), given);
}

#[test]
fn config_documented_text_parses_to_the_defaults() {
    let text = Config::documented().unwrap();
    assert_eq!(config(&text).unwrap(), Config::default());
    // Every setting is there, under a comment.
    let lines: Vec<&str> = text.lines().collect();
    let is_setting = |line: &str| line.contains(" = ");
    assert_eq!(lines.iter().filter(|line| is_setting(line)).count(), 49);
    for (above, line) in lines.iter().zip(&lines[1..]).filter(|(_, line)| is_setting(line)) {
        assert!(above.starts_with("# ") && !above.contains(" = "), "{line}");
    }
    assert!(lines.iter().all(|line| line.len() <= 130));
}

#[test]
fn config_augmentation_preset_replaces_earlier_layers() {
    let safe = config("[augment]\npreset = \"safe\"").unwrap().to_toml().unwrap();
    let then = |text: &str| Config::merged([layer(&safe), layer(text)]).unwrap().augment;
    assert_eq!(then("").rotate, 3.0);
    assert_eq!(then("[augment]\npreset = \"aggressive\"").rotate, 10.0);
    assert_eq!(then("[augment]\npreset = \"aggressive\"\nrotate = 1.0").rotate, 1.0);
    assert!(then("[augment]\npreset = \"none\"").values().is_off());
    let edited = Config::documented().unwrap().replace("preset = \"none\"", "preset = \"safe\"");
    assert_eq!(config(&edited).unwrap().augment.rotate, 3.0);
}

#[test]
fn config_former_key_is_an_alias() {
    let former = config("[optimizer]\ntrunk_lr_factor = 0.5").unwrap();
    assert_eq!(former, config("[optimizer]\nbackbone_lr_factor = 0.5").unwrap());
    let error = config("[optimizer]\ntrunk_lr_factor = 0.5\nbackbone_lr_factor = 0.5").unwrap_err();
    assert!(error.to_string().contains("former name of optimizer.backbone_lr_factor"), "{error}");
}

#[test]
fn config_digest_of_defaults_matches_earlier_versions() {
    assert_eq!(Config::default().digest().unwrap(), "cad23cb7700af841adbcb83d9de0e837");
}

#[test]
fn config_differences_name_setting_and_both_values() {
    let (a, b) = (config("").unwrap(), config("[optimizer]\nlr = 1e-3").unwrap());
    assert!(differences(&a, &a).unwrap().is_empty());
    let found: Vec<_> = differences(&a, &b).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, ["optimizer.lr was 0.0001 and is 0.001"]);
}

#[test]
fn config_wrong_settings_are_refused_in_one_sentence() {
    for (text, expected) in [
        ("[optimizer]\nlrr = 1", "did you mean optimizer.lr?"),
        ("[optimiser]\nlr = 1", "did you mean optimizer?"),
        ("[data]\nxyzzy = 1", "choose one of"),
        ("data = 1", "is a group of settings"),
        ("[optimizer]\nlr = -1.0", "optimizer.lr is -1: expected a number above 0"),
        ("[optimizer]\nlr = 1e39", "optimizer.lr is 1000000000000000"),
        ("[optimizer]\nweight_decay_kind = \"l3\"", "l3"),
        ("[data]\nval = [\"a\"]", "data.val was given without data.train"),
        ("[model]\ndropout = 0.999999", "a dropout of 0.999999"),
        ("[run]\nbatch = 0", "run.batch is 0: expected"),
        ("[model]\nphase = \"turbo\"", "turbo"),
        ("[model]\nnet = \"resnet\"", "resnet"),
        ("[augment]\npreset = \"wild\"", "there is no augmentation 'wild'"),
        ("[model]\ndropout = 1.0", "model.dropout is 1"),
        ("[optimizer]\nepochs = 0\ndecay_epochs = 0", "expected a number from 1"),
        ("nonsense", "no TOML"),
        ("[run]\ncache_features = true\n[augment]\nflip = 0.5", "augmentation"),
    ] {
        let error = config(text).unwrap_err();
        assert!(error.is_usage(), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
