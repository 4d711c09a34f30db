//! Metadata of weights written by lpips-train.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use lpips_models::Network;
use serde_json::Value;

use crate::builder::Builder;
use crate::config::Config;
use crate::version::Version;

/// Key of the metadata in a safetensors header.
const KEY: &str = "lpips";
/// Largest header read, in bytes: far more than a network's names and shapes take.
const LARGEST_HEADER: u64 = 1 << 24;

/// Metadata of a `model.safetensors` written by `lpips-train`: network, version and taps.
///
/// ```no_run
/// # use lpips_core::ModelMetadata;
/// let path = "run/model.safetensors";
/// if let Some(metadata) = ModelMetadata::read(path) {
///     let lpips = metadata.builder().weights(path).build()?;
/// }
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ModelMetadata {
    /// Network.
    pub network: Network,
    /// Version, which decides the scaling of the input.
    pub version: Version,
    /// Names of the tapped layers.
    pub taps: Vec<String>,
}

impl ModelMetadata {
    /// Reads the metadata of a file; `None` for weights from elsewhere, and for a file that can't be read.
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

    /// Configuration of the metric as it was trained.
    pub fn config(&self) -> Config {
        let published = self.network.architecture().taps.iter().eq(&self.taps);
        let mut config = Config::new(self.network);
        config.version = self.version;
        config.taps = (!published).then(|| self.taps.clone());
        config
    }

    /// Builder of the metric as it was trained, to which its weights are to be added.
    pub fn builder(&self) -> Builder {
        Builder::from(&self.config())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_from_trained_models_only() {
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
        let metadata = ModelMetadata::read(&path).unwrap();
        assert_eq!((metadata.network, metadata.version), (Network::Vgg16, Version::V0_0));
        assert_eq!(metadata.taps, ["conv1_2"]);
    }
}
