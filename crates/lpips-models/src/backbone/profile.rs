//! Profiles of a backbone's layers: shapes, algorithms, cost, and each layer run alone.

use candle_core::Tensor;

use super::model::Backbone;
use super::operator::Block;
use crate::error::Result;
use crate::ops::plan::Plan;

/// One layer of a [`Backbone`], for an input of a known shape.
#[derive(Debug, Clone)]
pub struct LayerProfile<'a> {
    /// The layer's name, e.g. `conv1`.
    pub name: &'static str,
    /// The shape of the input, (N, H, W, C).
    pub input: [usize; 4],
    /// The shape of the output, (N, H', W', C').
    pub output: [usize; 4],
    /// Whether the layer is tapped.
    pub tapped: bool,
    /// The plan of each of its convolutions, in the order of their weights; none for pooling.
    pub convolutions: Vec<Plan>,
    block: &'a Block,
}

impl LayerProfile<'_> {
    /// Runs this layer alone: (N, H, W, C) in, (N, H', W', C') out.
    ///
    /// # Errors
    /// An input with other channels than the layer takes, or with too few pixels for it.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.block.forward(x)
    }

    /// Floating-point operations of its convolutions as they are defined ([`Plan::flops`]).
    pub fn flops(&self) -> f64 {
        self.convolutions.iter().map(|plan| plan.flops).sum()
    }

    /// Floating-point operations of the multiply-adds that are executed ([`Plan::executed_flops`]).
    pub fn executed_flops(&self) -> f64 {
        self.convolutions.iter().map(|plan| plan.executed_flops).sum()
    }
}

impl Backbone {
    /// The layers up to the last tap, for `pictures` pictures of `height` by `width` pixels.
    ///
    /// # Errors
    /// Pictures smaller than [`Self::minimum_size`].
    pub fn layers(&self, pictures: usize, height: usize, width: usize) -> Result<Vec<LayerProfile<'_>>> {
        self.check_size(height, width)?;
        let arch = self.network.architecture();
        let mut input = [pictures, height, width, 3];
        let mut layers = Vec::with_capacity(self.blocks.len());
        for (position, (block, layer)) in self.blocks.iter().zip(arch.features).enumerate() {
            let [n, h, w, c] = input;
            // Never the fallback: the size was checked.
            let size = |side| layer.size(side).unwrap_or(0);
            let output = [n, size(h), size(w), layer.channels(c)];
            let mut convolutions = Vec::new();
            let mut channels = c;
            for operator in block.operators() {
                for conv in operator.convolutions() {
                    convolutions.push(conv.plan((n, h, w, channels))?);
                }
                channels = operator.channels(channels);
            }
            let tapped = self.taps.contains(&position);
            layers.push(LayerProfile { name: layer.name(), input, output, tapped, convolutions, block });
            input = output;
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::VarBuilder;

    use crate::{Backbone, Network};

    #[test]
    fn layer_profiles_run_one_by_one_equal_network() {
        for network in Network::PUBLISHED {
            let vb = crate::weights::Weights::random(network, 1).var_builder(DType::F32, &Device::Cpu).unwrap();
            let backbone = Backbone::new(network, network.architecture().taps, &vb).unwrap();
            let (height, width) = (40, 47);
            let x = Tensor::rand(-1f32, 1f32, (2, height, width, 3), &Device::Cpu).unwrap();
            let expected = backbone.features_channels_last(&x).unwrap();
            let mut x = x;
            let mut taps = Vec::new();
            for layer in backbone.layers(2, height, width).unwrap() {
                assert_eq!(x.dims(), layer.input, "{network} {}", layer.name);
                x = layer.forward(&x).unwrap();
                assert_eq!(x.dims(), layer.output, "{network} {}", layer.name);
                assert!(
                    layer.executed_flops() <= layer.flops() && layer.flops() > 0.0 || layer.name.starts_with("pool")
                );
                if layer.tapped {
                    taps.push(x.clone());
                }
            }
            assert_eq!(taps.len(), expected.len());
            for (a, b) in taps.iter().zip(&expected) {
                let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(difference <= 1e-6, "{network}: {difference}");
            }
        }
    }

    #[test]
    fn layer_flops_equal_definition() {
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let flops = |network, tap: &str| {
            let backbone = Backbone::new(network, &[tap], &vb).unwrap();
            let layers = backbone.layers(2, 64, 64).unwrap();
            layers.last().unwrap().flops() as usize
        };
        assert_eq!(flops(Network::AlexNet, "conv1"), 2 * 2 * 11 * 11 * 3 * 64 * 15 * 15);
        assert_eq!(flops(Network::Vgg16, "conv1_2"), 2 * 2 * 9 * 64 * 64 * 64 * 64);
        // fire2 of version 1.1 at 15x15 pixels: 64 channels to 16, then 16 to 64 twice.
        let fire = 64 * 16 + 16 * 64 + 9 * 16 * 64;
        assert_eq!(flops(Network::SqueezeNet1_1, "fire2"), 2 * 2 * 15 * 15 * fire);
        let backbone = Backbone::new(Network::AlexNet, &["conv5"], &vb).unwrap();
        assert!(backbone.layers(1, 30, 64).unwrap_err().to_string().contains("31x31"));
    }
}
