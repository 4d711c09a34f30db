//! Whole distances, one pair at a time: `cargo bench --bench distance`.
//!
//! The weights are made up, since the time does not depend on their values and two of the networks' are not in this repository.

use candle_core::{Device, Result, Tensor, Var};
use divan::Bencher;
use lpips_core::weights::Weights;
use lpips_core::{Lpips, Network};

const CASES: [(Network, usize); 6] = [
    (Network::AlexNet, 64),
    (Network::AlexNet, 256),
    (Network::SqueezeNet1_1, 64),
    (Network::SqueezeNet1_1, 256),
    (Network::Vgg16, 64),
    (Network::Vgg16, 256),
];

fn main() {
    divan::main();
}

fn names() -> impl Iterator<Item = String> {
    CASES.into_iter().map(|(network, size)| format!("{network} {size}"))
}

/// The metric of a case, and two pictures.
fn case(name: &str) -> (Lpips, [Tensor; 2]) {
    let at = names().position(|known| known == name).unwrap();
    let (network, size) = CASES[at];
    let lpips = Lpips::builder(network).network_weights(Weights::random(network, 0)).build().unwrap();
    let picture = |_| Tensor::rand(-1f32, 1f32, (1, 3, size, size), &Device::Cpu).unwrap();
    (lpips, [0, 1].map(picture))
}

fn read(distance: &Tensor) -> Result<Vec<f32>> {
    distance.flatten_all()?.to_vec1()
}

#[divan::bench(args = names(), max_time = 1, min_time = 0.2)]
fn forward(bencher: Bencher, name: &str) {
    let (lpips, [a, b]) = case(name);
    bencher.bench_local(|| read(&lpips.forward(&a, &b).unwrap()).unwrap());
}

#[divan::bench(args = names(), max_time = 1, min_time = 0.2)]
fn forward_and_backward(bencher: Bencher, name: &str) {
    let (lpips, [a, b]) = case(name);
    let b = Var::from_tensor(&b).unwrap();
    bencher.bench_local(|| {
        let distance = lpips.forward(&a, b.as_tensor()).unwrap();
        let gradient = distance.backward().unwrap().remove(&b).unwrap();
        (read(&distance).unwrap(), gradient)
    });
}
