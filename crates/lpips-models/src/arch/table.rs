//! Tables of layers: a network as a list of named [`Layer`]s, with the shapes derived from it.

use crate::error::{Error, Result};

/// One row of a network's table: a layer's operation and its name.
///
/// Every convolution is followed by a ReLU; a tap is the output of that.
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
        /// Whether a last window that overlaps the edge counts.
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
        /// Channels of each of the two expansions; the layer's output has twice as many.
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

    /// Output pixels along one side for `input` pixels, or `None` where they are too few.
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
    /// A commit, or a branch. A file is accepted only if its tensors' hash is the official one.
    pub revision: &'static str,
    /// The path inside the repository.
    pub file: &'static str,
}

/// The identity of a network's official ImageNet weights, and the places they are found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// SHA-256 over the convolutions' tensors in table order (weight, then bias) as little-endian f32, in hex.
    pub sha256: &'static str,
    /// The file name of torchvision's checkpoint in PyTorch's cache.
    pub torchvision: &'static str,
    /// Places on the Hugging Face hub, best first.
    pub hub: &'static [HubFile],
}

/// The initialisation of a network's convolutions, as in torchvision. Fan-in and fan-out are the input's and output's
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

/// A network as a table of layers: its convolutional part.
///
/// ```
/// use lpips_models::Network;
///
/// let alexnet = Network::AlexNet.architecture();
/// let taps = alexnet.positions(alexnet.taps)?;
/// assert_eq!(alexnet.size_at(taps[0], 64), Some(15));
/// assert_eq!(alexnet.minimum_size(taps[4]), 31);
/// assert_eq!(alexnet.tensors(taps[0])[0], ("features.0.weight".to_string(), vec![64, 3, 11, 11]));
/// # Ok::<(), lpips_models::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Architecture {
    /// The network's name in torchvision, e.g. `vgg16`.
    pub id: &'static str,
    /// The convolutional part, from the picture on.
    pub features: &'static [Layer],
    /// The layers tapped by default; for the three networks of the paper those of the published package.
    pub taps: &'static [&'static str],
    /// The initialisation before training.
    pub initialiser: Initialiser,
    /// The official weights; `None` where no hash is known, so that weights load from an explicit path only.
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
            return Err(Error::NoTaps { known: self.layer_names().collect::<Vec<_>>().join(", ") });
        }
        if let Some(twice) = positions.windows(2).find(|p| p[0] == p[1]) {
            return Err(Error::RepeatedTap { layer: self.features[twice[0]].name() });
        }
        Ok(positions)
    }

    /// Output channels of each layer.
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

    /// The smallest side in pixels for which the layer at `last` has an output.
    pub fn minimum_size(&self, last: usize) -> usize {
        (1..=u16::MAX as usize).find(|&size| self.size_at(last, size).is_some()).unwrap_or(usize::MAX)
    }

    /// Names (torchvision's, e.g. `features.0.weight`) and shapes of all tensors up to the layer at `last`, in table
    /// order: each convolution's weight (out, in, kernel, kernel), then its bias (out).
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
        Err(Error::UnknownTensor { network: self.id, name: name.to_string() })
    }
}

/// One convolution of a layer, with its derived shape.
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

pub(super) const fn conv(
    name: &'static str,
    index: usize,
    out: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Layer {
    Layer::Conv { name, index, out, kernel, stride, padding }
}

pub(super) const fn pool(name: &'static str, kernel: usize, stride: usize, ceil_mode: bool) -> Layer {
    Layer::Pool { name, kernel, stride, ceil_mode }
}

pub(super) const fn fire(name: &'static str, index: usize, squeeze: usize, expand: usize) -> Layer {
    Layer::Fire { name, index, squeeze, expand }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_size_ceil_mode_equals_pytorch() {
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
}
