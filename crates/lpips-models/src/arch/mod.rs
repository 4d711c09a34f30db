//! Networks as data.
//!
//! A network is an [`Architecture`]: a list of named [`Layer`]s. Channel counts, output sizes, the smallest picture that
//! fits and the names and shapes of the weights are all derived from that list.

mod alexnet;
mod squeezenet;
mod vgg;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// One row of a network's table: what a layer computes, and the name it can be tapped by.
///
/// Every convolution is followed by a ReLU; a tap gives what comes out of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// A square convolution with bias and ReLU.
    Conv {
        /// The layer's name, e.g. `conv1_2`.
        name: &'static str,
        /// The position in torchvision's `features`, which names the weights: `features.{index}.weight`.
        index: usize,
        /// Output channels.
        out: usize,
        /// Kernel size in pixels, both ways.
        kernel: usize,
        /// Step in pixels, both ways.
        stride: usize,
        /// Zeros added on each of the four sides, in pixels.
        padding: usize,
    },
    /// Square max pooling without padding.
    Pool {
        /// The layer's name, e.g. `pool1`.
        name: &'static str,
        /// Window size in pixels, both ways.
        kernel: usize,
        /// Step in pixels, both ways.
        stride: usize,
        /// Whether a last window that reaches past the edge counts.
        ceil_mode: bool,
    },
    /// SqueezeNet's fire module: a 1x1 squeeze, then 1x1 and 3x3 expansions side by side, each with ReLU.
    Fire {
        /// The layer's name, e.g. `fire2`.
        name: &'static str,
        /// The position in torchvision's `features`.
        index: usize,
        /// Channels after the squeeze.
        squeeze: usize,
        /// Channels of each of the two expansions; the layer puts out twice as many.
        expand: usize,
    },
}

impl Layer {
    /// The name by which this layer can be tapped.
    pub fn name(&self) -> &'static str {
        match *self {
            Self::Conv { name, .. } | Self::Pool { name, .. } | Self::Fire { name, .. } => name,
        }
    }

    /// Output channels for `input` channels.
    pub fn channels(&self, input: usize) -> usize {
        match *self {
            Self::Conv { out, .. } => out,
            Self::Pool { .. } => input,
            Self::Fire { expand, .. } => 2 * expand,
        }
    }

    /// Output pixels along one side for `input` pixels, or `None` where the layer can't work on so few.
    pub fn size(&self, input: usize) -> Option<usize> {
        match *self {
            Self::Conv { kernel, stride, padding, .. } => conv_size(input, kernel, stride, padding),
            Self::Pool { kernel, stride, ceil_mode, .. } => pool_size(input, kernel, stride, ceil_mode),
            Self::Fire { .. } => (input > 0).then_some(input),
        }
    }
}

/// Output pixels of a convolution along one side; `None` where the kernel is larger than the padded input.
pub(crate) fn conv_size(input: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    Some((input + 2 * padding).checked_sub(kernel)? / stride + 1)
}

/// Output pixels of a pooling window along one side, as PyTorch counts them; `None` where not one window fits.
pub(crate) fn pool_size(input: usize, kernel: usize, stride: usize, ceil_mode: bool) -> Option<usize> {
    let reach = if ceil_mode { stride - 1 } else { 0 };
    let size = (input + reach).checked_sub(kernel)? / stride + 1;
    // A window that would start past the last pixel is left out.
    Some(if (size - 1) * stride >= input { size - 1 } else { size }).filter(|&size| size > 0)
}

/// A file on the Hugging Face hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFile {
    /// The repository, `owner/name`.
    pub repo: &'static str,
    /// A commit, or a branch. Whatever a branch holds is taken only if its tensors' hash is the official one.
    pub revision: &'static str,
    /// The path inside the repository.
    pub file: &'static str,
}

/// How a network's official ImageNet weights are known and where they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// SHA-256 over the convolutions' tensors in table order (weight, then bias) as little-endian f32, in hex.
    pub sha256: &'static str,
    /// The file name of torchvision's checkpoint, as PyTorch keeps it in its cache.
    pub torchvision: &'static str,
    /// Places on the Hugging Face hub, best first.
    pub hub: &'static [HubFile],
}

/// How a network's convolutions start before any training, as in torchvision; fan-in and fan-out are the input's and output's
/// channels times the kernel's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Initialiser {
    /// PyTorch's own: weights and biases uniform within 1 / sqrt(fan-in).
    Default,
    /// Weights uniform with variance 2 / fan-in, biases 0 (He et al., 2015).
    KaimingUniform,
    /// Weights normal with variance 2 / fan-out, biases 0 (He et al., 2015).
    KaimingNormal,
}

/// A network as a table: the feature part. The classifier's rows have their place beside it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Architecture {
    /// The network's name in torchvision, e.g. `vgg16`.
    pub id: &'static str,
    /// The convolutional part, from the picture on.
    pub features: &'static [Layer],
    /// The layers tapped by default; for the three networks of the paper those of the published package.
    pub taps: &'static [&'static str],
    /// How the network starts before any training.
    pub initialiser: Initialiser,
    /// How official weights are recognised; `None` where no hash is known, so that weights load from an explicit path only.
    pub published: Option<Published>,
}

impl Architecture {
    /// The names of all layers that can be tapped, from the picture on.
    pub fn layer_names(&self) -> impl Iterator<Item = &'static str> {
        self.features.iter().map(Layer::name)
    }

    /// The positions in `features` of the named layers, in the table's order.
    ///
    /// # Errors
    /// A name that the table does not have (the message lists those it has), one given twice, or no name at all.
    pub fn positions(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>> {
        let mut positions = names
            .iter()
            .map(|name| {
                let name = name.as_ref();
                self.layer_names().position(|known| known == name).ok_or_else(|| Error::UnknownLayer {
                    network: self.id,
                    given: name.to_string(),
                    known: self.layer_names().collect::<Vec<_>>().join(", "),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        positions.sort_unstable();
        if positions.is_empty() {
            return Err(Error::Taps(format!(
                "no layer to tap was named: name at least one of {}",
                self.layer_names().collect::<Vec<_>>().join(", ")
            )));
        }
        if let Some(twice) = positions.windows(2).find(|p| p[0] == p[1]) {
            return Err(Error::Taps(format!(
                "layer {} is named twice: name each layer once",
                self.features[twice[0]].name()
            )));
        }
        Ok(positions)
    }

    /// Channels that come out of each layer.
    pub fn channels(&self) -> Vec<usize> {
        let mut channels = 3;
        self.features
            .iter()
            .map(|layer| {
                channels = layer.channels(channels);
                channels
            })
            .collect()
    }

    /// Pixels along one side after the layer at `last`, or `None` where `input` pixels are too few.
    pub fn size_at(&self, last: usize, input: usize) -> Option<usize> {
        self.features[..=last].iter().try_fold(input, |size, layer| layer.size(size))
    }

    /// The smallest side in pixels for which the layer at `last` has something to put out.
    pub fn minimum_size(&self, last: usize) -> usize {
        (1..=u16::MAX as usize).find(|&size| self.size_at(last, size).is_some()).unwrap_or(usize::MAX)
    }

    /// Names (torchvision's, e.g. `features.0.weight`) and shapes of all tensors up to the layer at `last`, in table order:
    /// each convolution's weight (out, in, kernel, kernel), then its bias (out).
    pub fn tensors(&self, last: usize) -> Vec<(String, Vec<usize>)> {
        let mut input = 3;
        let mut tensors = Vec::new();
        for layer in &self.features[..=last] {
            for conv in layer.convolutions(input) {
                tensors.push((format!("{}.weight", conv.key), vec![conv.out, conv.input, conv.kernel, conv.kernel]));
                tensors.push((format!("{}.bias", conv.key), vec![conv.out]));
            }
            input = layer.channels(input);
        }
        tensors
    }
}

impl Architecture {
    /// The name in the published package's files (`net.slice1.0.weight`) of a tensor with torchvision's name
    /// (`features.0.weight`), where these layers are tapped: a slice ends at a tap.
    ///
    /// # Errors
    /// A layer or a tensor that the table does not have.
    pub fn published_name(&self, name: &str, taps: &[impl AsRef<str>]) -> Result<String> {
        let positions = self.positions(taps)?;
        let mut input = 3;
        for (position, layer) in self.features.iter().enumerate() {
            let is_here = |key: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
            if layer.convolutions(input).iter().any(|conv| is_here(&conv.key)) {
                let slice = positions.iter().filter(|tap| **tap < position).count() + 1;
                return Ok(name.replacen("features", &format!("net.slice{slice}"), 1));
            }
            input = layer.channels(input);
        }
        Err(Error::Taps(format!("{} has no tensor {name}", self.id)))
    }
}

/// One convolution of a layer, with all that the table leaves to be derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) key: String,
    pub(crate) input: usize,
    pub(crate) out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Layer {
    /// The convolutions of this layer for `input` channels, in the order of their weights.
    pub(crate) fn convolutions(&self, input: usize) -> Vec<Convolution> {
        match *self {
            Self::Conv { index, out, kernel, stride, padding, .. } => {
                vec![Convolution { key: format!("features.{index}"), input, out, kernel, stride, padding }]
            }
            Self::Pool { .. } => Vec::new(),
            Self::Fire { index, squeeze, expand, .. } => {
                [("squeeze", input, squeeze, 1), ("expand1x1", squeeze, expand, 1), ("expand3x3", squeeze, expand, 3)]
                    .map(|(part, input, out, kernel)| Convolution {
                        key: format!("features.{index}.{part}"),
                        input,
                        out,
                        kernel,
                        stride: 1,
                        padding: kernel / 2,
                    })
                    .into()
            }
        }
    }
}

/// The networks that there are tables for.
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

    /// Takes LPIPS's short name or torchvision's.
    fn from_str(given: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|network| given == network.name() || given == network.architecture().id).ok_or_else(
            || Error::UnknownNetwork { given: given.to_string(), known: Self::ALL.map(Self::name).join(", ") },
        )
    }
}

const fn conv(name: &'static str, index: usize, out: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv { name, index, out, kernel, stride, padding }
}

const fn pool(name: &'static str, kernel: usize, stride: usize, ceil_mode: bool) -> Layer {
    Layer::Pool { name, kernel, stride, ceil_mode }
}

const fn fire(name: &'static str, index: usize, squeeze: usize, expand: usize) -> Layer {
    Layer::Fire { name, index, squeeze, expand }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(network: Network) -> usize {
        network.architecture().features.len() - 1
    }

    #[test]
    fn parameters_are_torchvisions() {
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
    fn smallest_pictures() {
        // Found by trying sizes on the published package.
        for (network, expected) in [(Network::AlexNet, 31), (Network::Vgg16, 16), (Network::SqueezeNet1_1, 17)] {
            let arch = network.architecture();
            let deepest = *arch.positions(arch.taps).unwrap().last().unwrap();
            assert_eq!(arch.minimum_size(deepest), expected, "{network}");
        }
    }

    #[test]
    fn ceil_mode_counts_as_pytorch_does() {
        for (input, kernel, stride, ceil_mode, expected) in [
            (2, 3, 2, true, Some(1)),
            (1, 3, 2, true, None),
            (31, 3, 2, true, Some(15)),
            (32, 3, 2, true, Some(16)),
            (32, 3, 2, false, Some(15)),
            (2, 3, 2, false, None),
            (5, 2, 3, true, Some(2)),
            (3, 1, 3, true, Some(1)),
            (4, 1, 3, true, Some(2)),
        ] {
            assert_eq!(pool_size(input, kernel, stride, ceil_mode), expected);
        }
    }

    #[test]
    fn names_round_trip_and_unknown_ones_list_the_known() {
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
