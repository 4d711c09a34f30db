//! Forward and backward passes between two taps, for training with or without cached activations.
//!
//! candle's backward pass allocates three large tensors for every operator's gradient. On the CPU this one allocates
//! one, in recycled memory; elsewhere it is candle's.

use candle_core::{Tensor, Var};

use super::model::Backbone;
use super::operator::{Block, Operator};
use crate::error::Result;
use crate::ops;
use crate::ops::conv::{ConvRelu, OutputGrad};
use crate::ops::{pool, sum};

/// The layers from one tap, or the pictures, to the next tap.
#[derive(Debug, Clone)]
pub struct Segment {
    blocks: Vec<Block>,
    /// The blocks with detached weights, for our kernels: candle records no graph of them.
    detached: Vec<Block>,
    /// The names of each convolution's tensors, without `.weight` and `.bias`.
    keys: Vec<String>,
}

/// A segment's activations, as its backward pass needs them.
#[derive(Debug)]
pub struct Activations {
    /// The input, where candle records the graph.
    leaf: Option<Var>,
    /// The outputs of the operators, or of the last where candle records the graph.
    values: Vec<Tensor>,
}

/// The gradients of a segment's input and weights.
#[derive(Debug)]
pub struct Gradients {
    /// The input's, if it was wanted.
    pub input: Option<Tensor>,
    /// The weights', by torchvision's names.
    pub weights: Vec<(String, Tensor)>,
}

impl Backbone {
    /// The network as segments, from the pictures to the last tap, each of which ends with a tap.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let (mut start, mut input) = (0, 3);
        let features = self.network.architecture().features;
        for &tap in &self.taps {
            let mut keys = Vec::new();
            for layer in &features[start..=tap] {
                keys.extend(layer.convolutions(input).into_iter().map(|conv| conv.key));
                input = layer.channels(input);
            }
            let blocks = self.blocks[start..=tap].to_vec();
            let detached = blocks.iter().map(|block| block.map_convolutions(ConvRelu::detached)).collect();
            segments.push(Segment { blocks, detached, keys });
            start = tap + 1;
        }
        segments
    }
}

impl Segment {
    fn operators(blocks: &[Block]) -> Vec<&Operator> {
        blocks.iter().flat_map(Block::operators).collect()
    }

    /// Computes the segment's activations for an input (N, H, W, C) through which no gradients flow.
    ///
    /// # Errors
    /// Those of candle, and an input that is too small.
    pub fn forward(&self, x: &Tensor) -> Result<Activations> {
        if ops::has_kernels(x) {
            let mut values: Vec<Tensor> = Vec::new();
            for operator in Self::operators(&self.detached) {
                let y = operator.forward_whole(values.last().unwrap_or(x))?;
                values.push(y);
            }
            return Ok(Activations { leaf: None, values });
        }
        let leaf = Var::from_tensor(x)?;
        let mut y = leaf.as_tensor().clone();
        for operator in Self::operators(&self.blocks) {
            y = operator.forward_whole(&y)?;
        }
        Ok(Activations { leaf: Some(leaf), values: vec![y] })
    }

    /// Computes the gradients of the input and the weights from the gradient of the tap. `x` is the input of
    /// [`Self::forward`], and `activations` its output.
    ///
    /// Consumes `activations` and `grad`: their storage is recycled and must not be aliased.
    ///
    /// # Errors
    /// Those of candle.
    pub fn backward(&self, x: &Tensor, activations: Activations, grad: Tensor, wants_input: bool) -> Result<Gradients> {
        let Activations { leaf, mut values } = activations;
        let mut weights = Vec::new();
        let mut keys = self.keys.iter().rev();
        let mut name = |[weight, bias]: [Option<Tensor>; 2]| {
            if let Some(key) = keys.next() {
                weights.extend(weight.map(|weight| (format!("{key}.weight"), weight)));
                weights.extend(bias.map(|bias| (format!("{key}.bias"), bias)));
            }
        };
        if let Some(leaf) = leaf {
            let y = values.pop().ok_or_else(no_layers)?;
            let grads = (y * grad)?.sum_all()?.backward()?;
            for conv in Self::operators(&self.blocks).iter().rev().flat_map(|op| op.convolutions().iter().rev()) {
                name(conv.weights().map(|weight| grads.get(weight).map(Tensor::detach)));
            }
            return Ok(Gradients { input: grads.get(&leaf).map(Tensor::detach), weights });
        }
        let mut grad = grad;
        let operators = Self::operators(&self.detached);
        for (i, operator) in operators.iter().enumerate().rev() {
            let y = values.pop().ok_or_else(no_layers)?;
            let (input, wants) = (values.last().unwrap_or(x), i > 0 || wants_input);
            let dx = match operator {
                Operator::Pool(params) if wants => Some(pool::backward(input, *params, &grad)?),
                Operator::Pool(_) => None,
                Operator::Conv(conv) => {
                    let [dx, dw, db] = conv.backward(input, &OutputGrad { y: &y, grad: &grad, offset: 0 }, wants)?;
                    name([dw, db]);
                    dx
                }
                Operator::SideBySide([first, second]) => {
                    let of_second = OutputGrad { y: &y, grad: &grad, offset: first.channels() };
                    let [dx, dw, db] = second.backward(input, &of_second, wants)?;
                    name([dw, db]);
                    let [other, dw, db] = first.backward(input, &OutputGrad { offset: 0, ..of_second }, wants)?;
                    name([dw, db]);
                    match (dx, other) {
                        (Some(dx), Some(other)) => Some(sum::add_in_place(dx, other)?),
                        _ => None,
                    }
                }
            };
            ops::recycle(y, None)?;
            ops::recycle(grad, None)?;
            match dx {
                Some(dx) => grad = dx,
                None => return Ok(Gradients { input: None, weights }),
            }
        }
        Ok(Gradients { input: Some(grad), weights })
    }
}

impl Activations {
    /// The output of the segment: the tap.
    ///
    /// # Errors
    /// Never: a segment has at least one layer.
    pub fn output(&self) -> Result<Tensor> {
        Ok(self.values.last().ok_or_else(no_layers)?.detach())
    }

    /// Drops all activations but the output, and recycles their memory.
    ///
    /// # Errors
    /// Those of candle.
    pub fn into_output(mut self) -> Result<Tensor> {
        let tap = self.values.pop().ok_or_else(no_layers)?.detach();
        for value in self.values {
            ops::recycle(value, None)?;
        }
        Ok(tap)
    }
}

fn no_layers() -> candle_core::Error {
    candle_core::Error::Msg("a segment has no layers".to_string())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::{VarBuilder, VarMap};

    use super::*;
    use crate::Network;
    use crate::ops::testing::{Noise, close, composing, values};

    /// All weights' gradients of the sum of `weights` times the taps, and the picture's.
    fn by_segments(backbone: &Backbone, x: &Tensor, weights: &[Tensor]) -> Vec<(String, Vec<f32>)> {
        let segments = backbone.segments();
        let mut kept = Vec::new();
        for segment in &segments {
            let input = kept.last().map_or_else(|| x.clone(), |kept: &Activations| kept.output().unwrap());
            kept.push(segment.forward(&input).unwrap());
        }
        let mut all = Vec::new();
        let mut back: Option<Tensor> = None;
        for (segment, weight) in segments.iter().zip(weights).rev() {
            let run = kept.pop().unwrap();
            let input = kept.last().map_or_else(|| x.clone(), |kept| kept.output().unwrap());
            let grad = weight.copy().unwrap();
            let grad =
                back.take().map_or_else(|| grad.clone(), |back| sum::add_in_place(back, grad.copy().unwrap()).unwrap());
            let gradients = segment.backward(&input, run, grad, true).unwrap();
            all.extend(gradients.weights.iter().map(|(name, gradient)| (name.clone(), values(gradient))));
            back = gradients.input;
        }
        all.push(("x".to_string(), values(&back.unwrap())));
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    #[test]
    fn segment_gradients_equal_whole_network() {
        for (network, size) in [(Network::AlexNet, 64), (Network::SqueezeNet1_1, 49), (Network::Vgg11, 34)] {
            let arch = network.architecture();
            let mut noise = Noise::new(3);
            let vars = VarMap::new();
            let start = crate::weights::Weights::random(network, 1).var_builder(DType::F32, &Device::Cpu).unwrap();
            for (name, shape) in arch.tensors(arch.features.len() - 1) {
                let var = Var::from_tensor(&start.get(shape, &name).unwrap()).unwrap();
                vars.data().lock().unwrap().insert(name, var);
            }
            let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
            let backbone = Backbone::new(network, arch.taps, &vb).unwrap();
            let x = noise.tensor((2, size, size + 3, 3));
            let leaf = Var::from_tensor(&x).unwrap();
            let taps = backbone.features_channels_last(&leaf).unwrap();
            let weights: Vec<Tensor> = taps.iter().map(|tap| noise.tensor(tap.shape())).collect();
            let loss = taps.iter().zip(&weights).map(|(tap, weight)| (tap * weight).unwrap().sum_all().unwrap());
            let grads = loss.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap();
            let mut expected = vec![("x".to_string(), values(grads.get(&leaf).unwrap()))];
            for (name, var) in &*vars.data().lock().unwrap() {
                expected.extend(grads.get(var).map(|gradient| (name.clone(), values(gradient))));
            }
            expected.sort_by(|(a, _), (b, _)| a.cmp(b));
            for ours in [by_segments(&backbone, &x, &weights), composing(|| by_segments(&backbone, &x, &weights))] {
                assert_eq!(ours.len(), expected.len(), "{network}");
                for ((name, ours), (known, expected)) in ours.iter().zip(&expected) {
                    assert_eq!(name, known);
                    let largest = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                    close(ours, expected, 1e-3 * largest);
                }
            }
        }
    }

    #[test]
    fn segment_outputs_equal_taps() {
        let vb = crate::weights::Weights::random(Network::AlexNet, 1).var_builder(DType::F32, &Device::Cpu).unwrap();
        let backbone = Backbone::new(Network::AlexNet, &["pool1", "conv3"], &vb).unwrap();
        let x = Noise::new(1).tensor((1, 40, 50, 3));
        let expected = backbone.features_channels_last(&x).unwrap();
        let mut input = x;
        for (segment, expected) in backbone.segments().iter().zip(&expected) {
            input = segment.forward(&input).unwrap().into_output().unwrap();
            close(&values(&input), &values(expected), 1e-6);
        }
    }
}
