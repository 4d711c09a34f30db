//! Walks a network's table.

mod profile;
mod segment;
mod stream;

pub use profile::LayerProfile;
pub use segment::{Activations, Gradients, Segment};
pub use stream::{Bands, Stream};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::arch::{Layer, Network};
use crate::error::{Error, Result};
use crate::ops::{conv::ConvRelu, layout};
use crate::weights::verify::content_hash;

/// A batch of pictures so large that more would not change the choice of an algorithm.
const MANY: usize = 16;

/// A network's convolutional part with its weights: pictures in, tapped layers out.
///
/// Layers past the last tap are neither loaded nor computed.
#[derive(Debug, Clone)]
pub struct Backbone {
    network: Network,
    blocks: Vec<Block>,
    taps: Vec<usize>,
    dtype: DType,
    device: Device,
    is_batch_invariant: bool,
}

#[derive(Debug, Clone)]
enum Block {
    Conv(ConvRelu),
    Pool { kernel: usize, stride: usize, ceil_mode: bool },
    Fire { squeeze: ConvRelu, expand1x1: ConvRelu, expand3x3: ConvRelu },
}

impl Backbone {
    /// A network tapped at the named layers, with weights from `vb` under torchvision's names (`features.0.weight`).
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
                ConvRelu::new(&weight, &bias, conv.stride, conv.padding)
            });
            let mut next = || convs.next().unwrap_or_else(|| candle_core::bail!("the table is short of a convolution"));
            blocks.push(match *layer {
                Layer::Conv { .. } => Block::Conv(next()?),
                Layer::Pool { kernel, stride, ceil_mode, .. } => Block::Pool { kernel, stride, ceil_mode },
                Layer::Fire { .. } => Block::Fire { squeeze: next()?, expand1x1: next()?, expand3x3: next()? },
            });
            input = layer.channels(input);
        }
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        Ok(Self { network, blocks, taps, dtype, device, is_batch_invariant: false })
    }

    /// The same network, which computes a picture's features, on the CPU, to the same bits however many pictures are in a batch:
    /// every algorithm is chosen as for many, which on small pictures takes one alone a little longer.
    #[must_use]
    pub fn batch_invariant(mut self) -> Self {
        let of = |conv: ConvRelu| conv.chosen_for(MANY);
        let block = |block| match block {
            Block::Conv(conv) => Block::Conv(of(conv)),
            Block::Fire { squeeze, expand1x1, expand3x3 } => {
                Block::Fire { squeeze: of(squeeze), expand1x1: of(expand1x1), expand3x3: of(expand3x3) }
            }
            pool @ Block::Pool { .. } => pool,
        };
        self.blocks = self.blocks.into_iter().map(block).collect();
        self.is_batch_invariant = true;
        self
    }

    /// Whether it was made [`Self::batch_invariant`].
    pub fn is_batch_invariant(&self) -> bool {
        self.is_batch_invariant
    }

    /// The tapped layers' outputs, after their ReLU, for pictures `x` of shape (N, 3, H, W), in the network's order;
    /// each (N, C, H', W').
    ///
    /// Values are as the network was trained on: for ImageNet weights, RGB normalised by mean and standard deviation.
    ///
    /// # Errors
    /// A tensor that is no batch of three-channel pictures, or pictures smaller than [`Self::minimum_size`].
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.features_channels_last(&layout::to_channels_last(self.checked(x)?)?)?
            .iter()
            .map(|tap| Ok(layout::to_channels_first(tap)?))
            .collect()
    }

    /// [`Self::features`] in the operators' own shape: (N, H, W, 3) in, (N, H', W', C) out.
    ///
    /// # Errors
    /// Those of candle's operators; sizes are the caller's to check (see [`Self::check_size`]).
    pub fn features_channels_last(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let height = x.dims4()?.1;
        let mut taps = vec![None; self.taps.len()];
        self.stream(height, &Bands::whole())?.push(x, |tap, rows| {
            taps[tap] = Some(rows.clone());
            Ok(false)
        })?;
        Ok(taps.into_iter().flatten().collect())
    }

    fn checked<'a>(&self, x: &'a Tensor) -> Result<&'a Tensor> {
        match *x.dims() {
            [n, 3, height, width] if n > 0 => {
                self.check_size(height, width)?;
                Ok(x)
            }
            _ => Err(Error::Shape {
                what: "the input".to_string(),
                given: x.dims().to_vec(),
                expected: "(N, 3, H, W) with N at least 1".to_string(),
            }),
        }
    }

    /// Fine if pictures of this size, in pixels, leave something at every tap.
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

    /// The smallest side, in pixels, of a picture that this network can take.
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

    /// SHA-256 over the weights up to the last tap, in table order, as little-endian f32, in hex: where that is the network's last
    /// convolution, what [`Weights::sha256`](crate::weights::Weights::sha256) says of them.
    ///
    /// # Errors
    /// Those of candle: a device that can't be read from.
    pub fn fingerprint(&self) -> Result<String> {
        let operators = self.blocks.iter().flat_map(Block::operators);
        let convolutions = operators.flat_map(|operator| operator.convolutions().to_vec());
        let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let tensors = convolutions.flat_map(ConvRelu::weights).map(numbers);
        Ok(content_hash(tensors.collect::<candle_core::Result<Vec<_>>>()?))
    }

    /// The type of weights and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
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
    fn every_network_gives_the_shapes_its_table_says() {
        for network in Network::ALL {
            let arch = network.architecture();
            let names: Vec<_> = arch.layer_names().collect();
            let backbone = zeros(network, &names);
            let (height, width) = (backbone.minimum_size(), backbone.minimum_size() + 5);
            let x = Tensor::zeros((2, 3, height, width), DType::F32, &Device::Cpu).unwrap();
            let taps = backbone.features(&x).unwrap();
            assert_eq!(taps.len(), names.len());
            for (position, (tap, channels)) in taps.iter().zip(backbone.tap_channels()).enumerate() {
                let size = |side| arch.size_at(position, side).unwrap();
                assert_eq!(tap.dims(), [2, channels, size(height), size(width)], "{network}");
            }
            let small = x.narrow(2, 0, height - 1).unwrap();
            let error = backbone.features(&small).unwrap_err().to_string();
            assert!(error.contains(&format!("{height}x{height}")), "{error}");
        }
    }

    /// Every kind of layer in a row, as on a device without kernels of ours: values, and gradients to picture and weights.
    #[test]
    fn the_composed_operators_make_the_same_networks() {
        use crate::ops::testing::{Noise, composing, values};
        for (network, size) in [(Network::AlexNet, 63), (Network::SqueezeNet1_1, 40), (Network::Vgg11, 34)] {
            let arch = network.architecture();
            let mut noise = Noise::new(4);
            let vars = VarMap::new();
            for (name, shape) in arch.tensors(arch.features.len() - 1) {
                let fan_in: usize = shape[1..].iter().product();
                let scale = if shape.len() > 1 { (6.0 / fan_in as f64).sqrt() } else { 0.05 };
                let var = candle_core::Var::from_tensor(&(noise.tensor(shape) * scale).unwrap()).unwrap();
                vars.data().lock().unwrap().insert(name, var);
            }
            let x = candle_core::Var::from_tensor(&noise.tensor((2, 3, size, size + 7))).unwrap();
            let run = |vb: &VarBuilder<'_>| {
                let taps = Backbone::new(network, arch.taps, vb).unwrap().features(&x).unwrap();
                let loss =
                    taps.iter().map(|tap| tap.sqr().unwrap().mean_all().unwrap()).reduce(|a, b| (a + b).unwrap());
                let grads = loss.unwrap().backward().unwrap();
                let mut all: Vec<Vec<f32>> = taps.iter().map(values).collect();
                all.push(values(grads.get(&x).unwrap()));
                for (name, _) in arch.tensors(arch.features.len() - 1) {
                    let data = vars.data().lock().unwrap();
                    all.extend(grads.get(&data[&name]).map(values));
                }
                all
            };
            let variable = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
            let constants =
                vars.data().lock().unwrap().iter().map(|(k, v)| (k.clone(), v.as_detached_tensor())).collect();
            let constant = VarBuilder::from_tensors(constants, DType::F32, &Device::Cpu);
            for vb in [&variable, &constant] {
                let (ours, theirs) = (run(vb), composing(|| run(vb)));
                assert_eq!(ours.len(), theirs.len());
                for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
                    let size = norm(&mut b.iter().copied());
                    assert!(size > 0.0 && difference <= 1e-3 * size, "{network}, tensor {i}: {difference} of {size}");
                }
            }
        }
    }

    #[test]
    fn only_what_the_last_tap_needs_is_loaded() {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        Backbone::new(Network::AlexNet, &["conv2", "conv1"], &vb).unwrap();
        assert_eq!(vars.all_vars().len(), 4);
    }

    #[test]
    fn the_fingerprint_is_that_of_the_weights_up_to_the_last_tap() {
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
    fn taps_come_in_the_networks_order() {
        assert_eq!(zeros(Network::AlexNet, &["conv3", "pool1"]).taps(), ["pool1", "conv3"]);
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let none: [&str; 0] = [];
        assert!(Backbone::new(Network::AlexNet, &none, &vb).is_err());
        assert!(Backbone::new(Network::AlexNet, &["conv1", "conv1"], &vb).is_err());
        assert!(Backbone::new(Network::AlexNet, &["fire2"], &vb).is_err());
    }

    #[test]
    fn refuses_what_is_no_picture() {
        let backbone = zeros(Network::AlexNet, &["conv1"]);
        for shape in [vec![1, 1, 64, 64], vec![3, 64, 64], vec![1, 4, 64, 64], vec![0, 3, 64, 64]] {
            let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            assert!(matches!(backbone.features(&x), Err(Error::Shape { .. })));
        }
    }
}
