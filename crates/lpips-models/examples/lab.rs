use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use lpips_models::{Backbone, Network, ops};
use std::collections::HashMap;
use std::time::Instant;
fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(std::env::var("T").map_or(2, |t| t.parse().unwrap())).build_global().unwrap();
    for case in std::env::args().skip(1) {
        let p: Vec<&str> = case.split(':').collect();
        let net: Network = p[0].parse().unwrap();
        let (size, batch): (usize, usize) = (p[1].parse().unwrap(), p[2].parse().unwrap());
        let arch = net.architecture();
        let mut m = HashMap::new();
        for (name, shape) in arch.tensors(arch.features.len() - 1) {
            let fan: usize = shape[1..].iter().product();
            let t = (Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap() * (2.0 / fan as f64).sqrt()).unwrap();
            m.insert(name, t);
        }
        let vb = VarBuilder::from_tensors(m, DType::F32, &Device::Cpu);
        let b = Backbone::new(net, arch.taps, &vb).unwrap();
        let x = Tensor::rand(-1f32, 1f32, (2 * batch, size, size, 3), &Device::Cpu).unwrap();
        let mut ts = vec![];
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < 2.0 || ts.len() < 5 {
            let t = Instant::now();
            ops::in_pool(|| {
                let taps = b.features_channels_last(&x).unwrap();
                for t in &taps { ops::recycle(t).unwrap(); }
            });
            ts.push(t.elapsed().as_secs_f64() * 1e3);
        }
        ts.sort_by(f64::total_cmp);
        println!("{case}: median {:.3} min {:.3} ms", ts[ts.len() / 2], ts[0]);
    }
}
