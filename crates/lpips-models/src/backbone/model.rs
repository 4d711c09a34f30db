//! A network with its weights.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::operator::{Block, Operator};
use crate::arch::{Layer, Network};
use crate::error::{Error, Result};
use crate::hash::content_hash;
use crate::ops::conv::{ConvParams, ConvRelu};
use crate::ops::pool::PoolParams;

/// A batch size above which the choice of algorithm does not change.
const MANY: usize = 16;

/// A network's convolutional part with its weights: pictures in, tapped layers out.
///
/// Layers past the last tap are neither loaded nor computed.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use lpips_models::{Backbone, Network, weights::Weights};
///
/// let vb = Weights::random(Network::SqueezeNet1_1, 1).var_builder(DType::F32, &Device::Cpu)?;
/// let backbone = Backbone::new(Network::SqueezeNet1_1, &["conv1", "fire3"], &vb)?;
/// assert_eq!(backbone.tap_channels(), [64, 128]);
///
/// let x = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?;
/// let taps = backbone.features(&x)?;
/// assert_eq!(taps[1].dims(), [1, 128, 15, 15]);
/// // As a candle module it returns the last tap.
/// assert_eq!(backbone.forward(&x)?.dims(), taps[1].dims());
/// # Ok::<(), lpips_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Backbone {
    pub(super) network: Network,
    pub(super) blocks: Vec<Block>,
    /// Positions in the table.
    pub(super) taps: Vec<usize>,
    pub(super) dtype: DType,
    device: Device,
    is_batch_invariant: bool,
}

impl Backbone {
    /// Creates a network tapped at the named layers, with weights from `vb` under torchvision's names
    /// (`features.0.weight`).
    ///
    /// Constants give a frozen network, and gradients then flow to the pictures only; with a VarBuilder over a VarMap
    /// they flow to the weights too. The type and the device are the VarBuilder's.
    ///
    /// # Errors
    /// An unknown layer name, or a weight that `vb` does not have or has in another shape.
    pub fn new(network: Network, taps: &[impl AsRef<str>], vb: &VarBuilder<'_>) -> Result<Self> {
        let arch = network.architecture();
        let taps = arch.positions(taps)?;
        let last = taps[taps.len() - 1];
        let mut input = 3;
        let mut blocks = Vec::with_capacity(last + 1);
        for layer in &arch.features[..=last] {
            let mut convs = layer.convolutions(input).into_iter().map(|conv| {
                let vb = vb.pp(&conv.key);
                let weight = vb.get((conv.out, conv.input, conv.kernel, conv.kernel), "weight")?;
                let bias = vb.get(conv.out, "bias")?;
                ConvRelu::new(&weight, &bias, ConvParams { stride: conv.stride, padding: conv.padding })
            });
            let mut next = || convs.next().unwrap_or_else(|| candle_core::bail!("the table is short of a convolution"));
            blocks.push(Block::new(match *layer {
                Layer::Conv { .. } => vec![Operator::Conv(next()?)],
                Layer::Pool { kernel, stride, ceil_mode, .. } => {
                    vec![Operator::Pool(PoolParams { kernel, stride, ceil_mode })]
                }
                // The squeeze, then the expansions by 1x1 and by 3x3.
                Layer::Fire { .. } => vec![Operator::Conv(next()?), Operator::SideBySide([next()?, next()?])],
            }));
            input = layer.channels(input);
        }
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        Ok(Self { network, blocks, taps, dtype, device, is_batch_invariant: false })
    }

    /// Makes a picture's features on the CPU independent of the size of its batch, to the bit: every algorithm is
    /// chosen as for a large batch, which on small pictures takes a single one a little longer.
    #[must_use]
    pub fn batch_invariant(mut self) -> Self {
        let chosen = |conv: &ConvRelu| conv.clone().chosen_for(MANY);
        self.blocks = self.blocks.iter().map(|block| block.map_convolutions(chosen)).collect();
        self.is_batch_invariant = true;
        self
    }

    /// Whether [`Self::batch_invariant`] was called.
    pub fn is_batch_invariant(&self) -> bool {
        self.is_batch_invariant
    }

    /// Checks that pictures of this size, in pixels, have an output at every tap.
    ///
    /// # Errors
    /// [`Error::TooSmall`], which names the smallest size.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let minimum = self.minimum_size();
        if height < minimum || width < minimum {
            return Err(Error::TooSmall { network: self.network.name(), width, height, minimum });
        }
        Ok(())
    }

    /// The smallest side, in pixels, of a picture for this network.
    pub fn minimum_size(&self) -> usize {
        self.network.architecture().minimum_size(self.blocks.len() - 1)
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The tapped layers' names, in the network's order.
    pub fn taps(&self) -> Vec<&'static str> {
        let features = self.network.architecture().features;
        self.taps.iter().map(|&at| features[at].name()).collect()
    }

    /// The tapped layers' channels, in the same order.
    pub fn tap_channels(&self) -> Vec<usize> {
        let channels = self.network.architecture().channels();
        self.taps.iter().map(|&at| channels[at]).collect()
    }

    /// SHA-256 over the weights up to the last tap, in table order, as little-endian f32, in hex: where that is the
    /// network's last convolution, equal to [`Weights::sha256`](crate::weights::Weights::sha256).
    ///
    /// # Errors
    /// An error of candle's: a device that can't be read from.
    pub fn fingerprint(&self) -> Result<String> {
        let convolutions = self.blocks.iter().flat_map(Block::operators).flat_map(Operator::convolutions);
        let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let tensors = convolutions.flat_map(ConvRelu::weights).map(numbers);
        Ok(content_hash(tensors.collect::<candle_core::Result<Vec<_>>>()?))
    }

    /// The type of weights and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device of the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether any of the weights is a variable, so that gradients flow to it.
    pub fn has_variables(&self) -> bool {
        self.blocks.iter().flat_map(Block::operators).flat_map(Operator::convolutions).any(ConvRelu::has_variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::{VarBuilder, VarMap};

    fn zeros(network: Network, taps: &[&str]) -> Backbone {
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        Backbone::new(network, taps, &vb).unwrap()
    }

    #[test]
    fn backbone_loads_weights_up_to_the_last_tap_only() {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        Backbone::new(Network::AlexNet, &["conv2", "conv1"], &vb).unwrap();
        assert_eq!(vars.all_vars().len(), 4);
    }

    #[test]
    fn fingerprint_equals_weights_sha256_up_to_the_last_tap() {
        use crate::weights::Weights;
        for network in Network::ALL {
            let weights = Weights::random(network, 3);
            let vb = weights.var_builder(DType::F32, &Device::Cpu).unwrap();
            let last = network.architecture().layer_names().last().unwrap();
            let fingerprint = |taps: &[&str], vb| Backbone::new(network, taps, vb).unwrap().fingerprint().unwrap();
            assert_eq!(fingerprint(&[last], &vb), weights.sha256(), "{network}");
            let first = network.architecture().layer_names().next().unwrap();
            assert_ne!(fingerprint(&[first], &vb), weights.sha256(), "{network}");
        }
    }

    #[test]
    fn taps_are_sorted_and_bad_choices_refused() {
        assert_eq!(zeros(Network::AlexNet, &["conv3", "pool1"]).taps(), ["pool1", "conv3"]);
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let none: [&str; 0] = [];
        assert!(Backbone::new(Network::AlexNet, &none, &vb).is_err());
        assert!(Backbone::new(Network::AlexNet, &["conv1", "conv1"], &vb).is_err());
        assert!(Backbone::new(Network::AlexNet, &["fire2"], &vb).is_err());
    }
}
