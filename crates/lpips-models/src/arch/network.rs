//! The networks, by name.

use std::fmt;
use std::str::FromStr;

use super::table::Architecture;
use super::{alexnet, squeezenet, vgg};
use crate::error::{Error, Result};

/// A network with a table of layers.
///
/// ```
/// use lpips_models::Network;
///
/// let network: Network = "vgg".parse()?;
/// assert_eq!(network, Network::Vgg16);
/// assert_eq!(network.architecture().id, "vgg16");
/// assert!("resnet50".parse::<Network>().unwrap_err().to_string().contains("choose one of"));
/// # Ok::<(), lpips_models::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// AlexNet (torchvision's `alexnet`), LPIPS's `alex`.
    AlexNet,
    /// VGG with 11 weight layers.
    Vgg11,
    /// VGG with 13 weight layers.
    Vgg13,
    /// VGG with 16 weight layers, LPIPS's `vgg`.
    Vgg16,
    /// VGG with 19 weight layers.
    Vgg19,
    /// SqueezeNet 1.0.
    SqueezeNet1_0,
    /// SqueezeNet 1.1, LPIPS's `squeeze`.
    SqueezeNet1_1,
}

impl Network {
    /// Every network, in the order of their names.
    pub const ALL: [Self; 7] =
        [Self::AlexNet, Self::SqueezeNet1_0, Self::SqueezeNet1_1, Self::Vgg11, Self::Vgg13, Self::Vgg16, Self::Vgg19];

    /// The three networks of the paper, for which lin heads are published.
    pub const PUBLISHED: [Self; 3] = [Self::AlexNet, Self::Vgg16, Self::SqueezeNet1_1];

    /// The network's table.
    pub fn architecture(self) -> &'static Architecture {
        match self {
            Self::AlexNet => &alexnet::ALEXNET,
            Self::Vgg11 => &vgg::VGG11,
            Self::Vgg13 => &vgg::VGG13,
            Self::Vgg16 => &vgg::VGG16,
            Self::Vgg19 => &vgg::VGG19,
            Self::SqueezeNet1_0 => &squeezenet::SQUEEZENET1_0,
            Self::SqueezeNet1_1 => &squeezenet::SQUEEZENET1_1,
        }
    }

    /// The short name that LPIPS uses (`alex`, `vgg`, `squeeze`); torchvision's for the networks it does not use.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "alex",
            Self::Vgg16 => "vgg",
            Self::SqueezeNet1_1 => "squeeze",
            other => other.architecture().id,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = Error;

    /// Parses LPIPS's short name or torchvision's.
    fn from_str(given: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|network| given == network.name() || given == network.architecture().id).ok_or_else(
            || Error::UnknownNetwork { given: given.to_string(), known: Self::ALL.map(Self::name).join(", ") },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(network: Network) -> usize {
        network.architecture().features.len() - 1
    }

    #[test]
    fn parameter_counts_equal_torchvision() {
        // Counted in torchvision 0.29's `features` of each network.
        for (network, expected) in [
            (Network::AlexNet, 2_469_696),
            (Network::Vgg11, 9_220_480),
            (Network::Vgg13, 9_404_992),
            (Network::Vgg16, 14_714_688),
            (Network::Vgg19, 20_024_384),
            (Network::SqueezeNet1_0, 735_424),
            (Network::SqueezeNet1_1, 722_496),
        ] {
            let arch = network.architecture();
            let count: usize =
                arch.tensors(last(network)).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count, expected, "{network}");
        }
    }

    #[test]
    fn minimum_size_equals_published_package() {
        // Found by trying sizes on the published package.
        for (network, expected) in [(Network::AlexNet, 31), (Network::Vgg16, 16), (Network::SqueezeNet1_1, 17)] {
            let arch = network.architecture();
            let deepest = *arch.positions(arch.taps).unwrap().last().unwrap();
            assert_eq!(arch.minimum_size(deepest), expected, "{network}");
        }
    }

    #[test]
    fn network_names_roundtrip_and_unknown_names_list_the_known() {
        for network in Network::ALL {
            assert_eq!(network.name().parse::<Network>().unwrap(), network);
            assert_eq!(network.architecture().id.parse::<Network>().unwrap(), network);
        }
        let error = "resnet".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("resnet") && error.contains("squeeze"), "{error}");
        let error = Network::AlexNet.architecture().positions(&["conv9"]).unwrap_err().to_string();
        assert!(error.contains("conv9") && error.contains("conv5"), "{error}");
    }
}
