//! The operators one by one, on the shapes that the networks give them: `cargo bench -p lpips-models`.
//!
//! The sizes are those of the pictures, and each operator sees two of them, a pair. `item/s` of a convolution counts
//! its operations as the definition has them: `Gitem/s` is GFLOP/s effective.
#![allow(clippy::unwrap_used)] // A bench fails by panicking.

use std::fmt;

use candle_core::{Device, Result, Tensor, Var};
use divan::Bencher;
use divan::counter::ItemsCount;
use lpips_models::Network;
use lpips_models::arch::Layer;
use lpips_models::ops::conv::{ConvParams, ConvRelu};
use lpips_models::ops::input::{self, Affine};
use lpips_models::ops::pool::{PoolParams, max_pool as pool};
use lpips_models::ops::{self, head};

const SIZES: [usize; 2] = [64, 256];

fn main() {
    // On a thread of the kernels' own pool: entering it for every call would cost more than a small operator does.
    ops::in_pool(divan::main);
}

/// What one operator sees of a picture: pixels along one side, and channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Input {
    side: usize,
    channels: usize,
}

impl Input {
    fn tensor(self) -> Tensor {
        random((2, self.side, self.side, self.channels)).unwrap()
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}x{0}x{1}", self.side, self.channels)
    }
}

/// An operator of a network, for pictures of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case<T> {
    name: String,
    input: Input,
    operator: T,
}

impl<T> fmt::Display for Case<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.input)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conv {
    out: usize,
    kernel: usize,
    params: ConvParams,
}

impl Conv {
    /// The weight (out, in, kernel, kernel) and the bias.
    fn weights(self, channels: usize) -> (Tensor, Tensor) {
        let Self { out, kernel, .. } = self;
        (random((out, channels, kernel, kernel)).unwrap(), random(out).unwrap())
    }
}

fn random(shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Tensor::rand(-1f32, 1f32, shape, &Device::Cpu)
}

/// Every layer up to the last tap of every published network at every size: the size, the network, the layer and its
/// input.
fn layers() -> impl Iterator<Item = (usize, Network, &'static Layer, Input)> {
    let cases = SIZES.into_iter().flat_map(|size| Network::PUBLISHED.map(|network| (size, network)));
    cases.flat_map(|(size, network)| {
        let arch = network.architecture();
        let last = arch.positions(arch.taps).unwrap().into_iter().max().unwrap();
        let mut input = Input { side: size, channels: 3 };
        arch.features[..=last].iter().map(move |layer| {
            let before = input;
            input = Input { side: layer.size(before.side).unwrap(), channels: layer.channels(before.channels) };
            (size, network, layer, before)
        })
    })
}

/// Adds a case, if none of its shape is there yet.
fn add<T: PartialEq>(cases: &mut Vec<Case<T>>, name: String, input: Input, operator: T) {
    if cases.iter().all(|known| (known.input, &known.operator) != (input, &operator)) {
        cases.push(Case { name, input, operator });
    }
}

fn convolutions() -> Vec<Case<Conv>> {
    let mut cases = Vec::new();
    for (size, network, layer, input) in layers() {
        let mut conv = |part: &str, channels, out, kernel, stride, padding| {
            let name = format!("{network} {size} {}{part}", layer.name());
            add(
                &mut cases,
                name,
                Input { channels, ..input },
                Conv { out, kernel, params: ConvParams { stride, padding } },
            );
        };
        match *layer {
            Layer::Conv { out, kernel, stride, padding, .. } => conv("", input.channels, out, kernel, stride, padding),
            Layer::Fire { squeeze, expand, .. } => {
                conv(".squeeze", input.channels, squeeze, 1, 1, 0);
                conv(".expand1x1", squeeze, expand, 1, 1, 0);
                conv(".expand3x3", squeeze, expand, 3, 1, 1);
            }
            _ => {}
        }
    }
    cases
}

fn pools() -> Vec<Case<PoolParams>> {
    let mut cases = Vec::new();
    for (size, network, layer, input) in layers() {
        if let Layer::Pool { kernel, stride, ceil_mode, .. } = *layer {
            let name = format!("{network} {size} {}", layer.name());
            add(&mut cases, name, input, PoolParams { kernel, stride, ceil_mode });
        }
    }
    cases
}

fn taps() -> Vec<Case<()>> {
    let mut cases = Vec::new();
    for (size, network, layer, input) in layers() {
        if network.architecture().taps.contains(&layer.name()) {
            let out = Input { side: layer.size(input.side).unwrap(), channels: layer.channels(input.channels) };
            add(&mut cases, format!("{network} {size} {}", layer.name()), out, ());
        }
    }
    cases
}

/// Operations of the definition.
fn flops(case: &Case<Conv>, y: &Tensor) -> ItemsCount {
    let Conv { kernel, .. } = case.operator;
    ItemsCount::new(2 * y.elem_count() * kernel * kernel * case.input.channels)
}

#[divan::bench(args = convolutions(), max_time = 0.1)]
fn conv(bencher: Bencher, case: &Case<Conv>) {
    let (weight, bias) = case.operator.weights(case.input.channels);
    let conv = ConvRelu::new(&weight, &bias, case.operator.params).unwrap();
    let x = case.input.tensor();
    let y = conv.forward(&x).unwrap();
    bencher.counter(flops(case, &y)).bench_local(|| ops::recycle(conv.forward(&x).unwrap(), None).unwrap());
}

#[divan::bench(args = convolutions(), max_time = 0.1)]
fn conv_input_gradient(bencher: Bencher, case: &Case<Conv>) {
    let (weight, bias) = case.operator.weights(case.input.channels);
    let conv = ConvRelu::new(&weight, &bias, case.operator.params).unwrap();
    let x = Var::from_tensor(&case.input.tensor()).unwrap();
    let y = conv.forward(&x).unwrap();
    bencher.counter(flops(case, &y)).bench_local(|| y.backward().unwrap());
}

#[divan::bench(args = convolutions(), max_time = 0.1)]
fn conv_weight_gradient(bencher: Bencher, case: &Case<Conv>) {
    let (weight, bias) = case.operator.weights(case.input.channels);
    let (weight, bias) = (Var::from_tensor(&weight).unwrap(), Var::from_tensor(&bias).unwrap());
    let conv = ConvRelu::new(&weight, &bias, case.operator.params).unwrap();
    let y = conv.forward(&case.input.tensor()).unwrap();
    bencher.counter(flops(case, &y)).bench_local(|| y.backward().unwrap());
}

#[divan::bench(args = pools(), max_time = 0.1)]
fn max_pool(bencher: Bencher, case: &Case<PoolParams>) {
    let x = case.input.tensor();
    bencher.bench_local(|| ops::recycle(pool(&x, case.operator).unwrap(), None).unwrap());
}

#[divan::bench(args = pools(), max_time = 0.1)]
fn max_pool_gradient(bencher: Bencher, case: &Case<PoolParams>) {
    let x = Var::from_tensor(&case.input.tensor()).unwrap();
    let y = pool(&x, case.operator).unwrap();
    bencher.bench_local(|| y.backward().unwrap());
}

#[divan::bench(args = taps(), max_time = 0.1)]
fn head_distance(bencher: Bencher, case: &Case<()>) {
    let (x, lin) = (case.input.tensor(), random(case.input.channels).unwrap());
    bencher.bench_local(|| head::distance(&x, &x, Some(&lin), &[(0, 1)], None).unwrap());
}

#[divan::bench(args = taps(), max_time = 0.1)]
fn head_gradient(bencher: Bencher, case: &Case<()>) {
    let (x, lin) = (Var::from_tensor(&case.input.tensor()).unwrap(), random(case.input.channels).unwrap());
    let distance = head::distance(&x, &x, Some(&lin), &[(0, 1)], None).unwrap();
    bencher.bench_local(|| distance.backward().unwrap());
}

const AFFINE: Affine = Affine { scale: [2.0; 3], shift: [-0.5; 3] };

#[divan::bench(args = SIZES, max_time = 0.1)]
fn input_channels_last(bencher: Bencher, side: usize) {
    let [a, b] = [0, 1].map(|_| random((1, 3, side, side)).unwrap());
    bencher.bench_local(|| {
        let y = input::channels_last(&[(&a, AFFINE), (&b, AFFINE)]).unwrap();
        ops::recycle(y, None).unwrap();
    });
}

#[divan::bench(args = SIZES, max_time = 0.1)]
fn input_gradient(bencher: Bencher, side: usize) {
    let [a, b] = [0, 1].map(|_| Var::from_tensor(&random((1, 3, side, side)).unwrap()).unwrap());
    let y = input::channels_last(&[(&a, AFFINE), (&b, AFFINE)]).unwrap();
    bencher.bench_local(|| y.backward().unwrap());
}
