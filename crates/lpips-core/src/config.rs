//! Configuration of a metric: everything but its weights.

use lpips_models::Network;

use crate::version::Version;

/// Configuration of a metric, to be loaded on weights by [`Lpips::load`](crate::Lpips::load); readable and writable by
/// serde.
///
/// ```
/// use candle_core::{DType, Device};
/// use lpips_core::{Config, Lpips, Network};
///
/// let config: Config = serde_json::from_str(r#"{ "network": "alex", "lins": false }"#)?;
/// # let weights = lpips_core::weights::Weights::find(Network::AlexNet)?;
/// # let vb = weights.var_builder(DType::F32, &Device::Cpu)?;
/// // Any `VarBuilder` with the network's weights: of a file, a map of variables, another model.
/// let lpips = Lpips::load(&config, vb)?;
/// assert!(!lpips.has_lins());
/// assert_eq!(lpips.config(), config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// Backbone.
    #[cfg_attr(feature = "serde", serde(with = "crate::text"))]
    pub network: Network,
    /// Version of LPIPS: the scaling of the input. Default: 0.1.
    #[cfg_attr(feature = "serde", serde(default))]
    pub version: Version,
    /// Whether channels are weighted by lin heads; `false` for the baseline. Default: true.
    #[cfg_attr(feature = "serde", serde(default = "yes"))]
    pub lins: bool,
    /// Names of the tapped layers; `None` for the published ones. Default: `None`.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub taps: Option<Vec<String>>,
    /// Whether results do not depend on the size of the batch; see
    /// [`Builder::batch_invariant`](crate::Builder::batch_invariant). Default: false.
    #[cfg_attr(feature = "serde", serde(default))]
    pub batch_invariant: bool,
}

impl Config {
    /// Configuration of a network as published: version 0.1, lin heads, published taps.
    pub fn new(network: Network) -> Self {
        Self { network, version: Version::default(), lins: true, taps: None, batch_invariant: false }
    }
}

#[cfg(feature = "serde")]
fn yes() -> bool {
    true
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn config_json_roundtrip() {
        let mut config = Config::new(Network::Vgg16);
        config.version = Version::V0_0;
        config.taps = Some(vec!["conv1_2".to_string()]);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!((&json["network"], &json["version"]), (&"vgg".into(), &"0.0".into()));
        assert_eq!(serde_json::from_value::<Config>(json).unwrap(), config);
    }

    #[test]
    fn config_json_refuses_unknown_fields_and_networks() {
        for text in [r#"{"network":"alex","lin":true}"#, r#"{"network":"resnet"}"#, r#"{"version":"0.1"}"#] {
            assert!(serde_json::from_str::<Config>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Config>(r#"{"network":"alex"}"#).unwrap(), Config::new(Network::AlexNet));
    }
}
