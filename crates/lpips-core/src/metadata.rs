//! What a model that was trained says of itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::{Builder, Lpips, Network, Version};

/// The key of the file's metadata.
const KEY: &str = "lpips";
/// Far more than a network's names and shapes take.
const LARGEST_HEADER: u64 = 1 << 24;

/// What a `model.safetensors` of `lpips-train` was trained as.
///
/// ```no_run
/// # use lpips_core::ModelMetadata;
/// let path = "run/model.safetensors";
/// if let Some(trained) = ModelMetadata::read(path) {
///     let lpips = trained.builder().weights(path).build()?;
/// }
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMetadata {
    /// The network.
    pub network: Network,
    /// The version, which decides how the input is scaled.
    pub version: Version,
    /// The tapped layers.
    pub taps: Vec<String>,
}

impl ModelMetadata {
    /// What the file's metadata says; `None` for weights from elsewhere, and for what can't be read.
    pub fn read(path: impl AsRef<Path>) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        let mut header = Vec::new();
        if length > LARGEST_HEADER || file.take(length).read_to_end(&mut header).ok()? as u64 != length {
            return None;
        }
        let header: Value = serde_json::from_slice(&header).ok()?;
        let about: Value = serde_json::from_str(header["__metadata__"][KEY].as_str()?).ok()?;
        let taps = about["taps"].as_array()?.iter().map(|tap| tap.as_str().map(String::from));
        Some(Self {
            network: about["net"].as_str()?.parse().ok()?,
            version: about["version"].as_str()?.parse().ok()?,
            taps: taps.collect::<Option<_>>()?,
        })
    }

    /// The metric as it was trained, but for its weights.
    pub fn builder(&self) -> Builder {
        let builder = Lpips::builder(self.network).version(self.version);
        if self.network.architecture().taps.iter().eq(&self.taps) { builder } else { builder.taps(self.taps.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert_eq!(ModelMetadata::read(&path), None);
        let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        for bytes in [
            Vec::new(),
            b"PK\x03\x04 and so on".to_vec(),
            u64::MAX.to_le_bytes().to_vec(),
            header("{}"),
            header("{\"__metadata__\":{\"lpips\":\"{}\"}}"),
            header(
                "{\"__metadata__\":{\"lpips\":\"{\\\"net\\\":\\\"resnet\\\",\\\"version\\\":\\\"0.1\\\",\\\"taps\\\":[]}\"}}",
            ),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(ModelMetadata::read(&path), None);
        }
        let about = r#"{"__metadata__":{"lpips":"{\"net\":\"vgg\",\"version\":\"0.0\",\"taps\":[\"conv1_2\"]}"}}"#;
        std::fs::write(&path, header(about)).unwrap();
        let trained = ModelMetadata::read(&path).unwrap();
        assert_eq!((trained.network, trained.version), (Network::Vgg16, Version::V0_0));
        assert_eq!(trained.taps, ["conv1_2"]);
    }
}
