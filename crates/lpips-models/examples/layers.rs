#![allow(unsafe_code)]
use candle_core::{Device, Tensor};
use lpips_models::{ops, ops::conv::ConvRelu};
use std::time::Instant;
fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(std::env::var("T").map_or(2, |t| t.parse().unwrap())).build_global().unwrap();
    // n:h:c:oc:k:stride:pad
    for case in std::env::args().skip(1) {
        let p: Vec<usize> = case.split(':').map(|v| v.parse().unwrap()).collect();
        let [n, h, c, oc, k, s, pad] = p[..] else { panic!() };
        let w = (Tensor::randn(0f32, 1f32, (oc, c, k, k), &Device::Cpu).unwrap() * (2.0 / (c * k * k) as f64).sqrt()).unwrap();
        let b = Tensor::randn(0f32, 1f32, oc, &Device::Cpu).unwrap();
        let x = Tensor::rand(0f32, 1f32, (n, h, h, c), &Device::Cpu).unwrap();
        let mut line = format!("{case:<24}");
        for algo in ["d", "w"] {
            if algo == "w" && (s != 1 || (k != 3 && k != 5)) { continue; }
            unsafe { std::env::set_var("LPIPS_ALGO", algo) };
            let conv = ConvRelu::new(&w, &b, s, pad).unwrap();
            let y = conv.forward(&x).unwrap();
            let flop = 2.0 * (y.elem_count() * c * k * k) as f64;
            let mut ts = vec![];
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < 0.4 || ts.len() < 5 {
                let t = Instant::now();
                ops::in_pool(|| { let y = conv.forward(&x).unwrap(); ops::recycle(&y).unwrap(); });
                ts.push(t.elapsed().as_secs_f64() * 1e3);
            }
            ts.sort_by(f64::total_cmp);
            line += &format!(" {algo}: {:8.3} ms {:4.0} GF/s (best {:4.0})", ts[ts.len() / 2], flop / ts[ts.len() / 2] * 1e-6, flop / ts[0] * 1e-6);
        }
        println!("{line}");
    }
}
