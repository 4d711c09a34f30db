use candle_core::{DType, Tensor, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::Level;
use crate::ops::cpu::geometry::Geometry;
use crate::ops::plan::Algorithm;
use crate::ops::testing::{Noise, at_every_level, by_algorithm, check_gradient, close, device, gradients, values};

/// A stride of 1 and the padding that keeps the size.
fn same(k: usize) -> ConvParams {
    ConvParams { stride: 1, padding: k / 2 }
}

/// Straight from the definition: (N, H, W, C) and (O, C, K, K) to (N, H', W', O).
fn naive(x: &[f32], weight: &[f32], bias: &[f32], g: &Geometry) -> Vec<f32> {
    let mut out = Vec::new();
    for n in 0..g.n {
        for oy in 0..g.oh {
            for ox in 0..g.ow {
                for (o, b) in bias.iter().enumerate() {
                    let mut sum = f64::from(*b);
                    for ky in 0..g.k {
                        for kx in 0..g.k {
                            let iy = (oy * g.stride + ky) as isize - g.top as isize;
                            let ix = (ox * g.stride + kx) as isize - g.left as isize;
                            if iy < 0 || ix < 0 || iy >= g.h as isize || ix >= g.w as isize {
                                continue;
                            }
                            for c in 0..g.c {
                                let x = x[((n * g.h + iy as usize) * g.w + ix as usize) * g.c + c];
                                let w = weight[((o * g.c + c) * g.k + ky) * g.k + kx];
                                sum += f64::from(x) * f64::from(w);
                            }
                        }
                    }
                    out.push(sum.max(0.0) as f32);
                }
            }
        }
    }
    out
}

/// Runs `f` at every SIMD level and by every algorithm.
fn everywhere(mut f: impl FnMut(Level, Algorithm)) {
    at_every_level(|level| {
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            by_algorithm(algorithm, || f(level, algorithm));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn conv_equals_the_definition_on_every_path(
        n in 1usize..6, h in 1usize..15, w in 1usize..15, c in 1usize..19, oc in 1usize..83,
        k in 1usize..6, stride in 1usize..5, padding in 0usize..4, seed: u64,
    ) {
        prop_assume!(padding < k && h + 2 * padding >= k && w + 2 * padding >= k);
        let mut noise = Noise::new(seed);
        let (data, bias) = (noise.take(n * h * w * c), noise.take(oc));
        // As a network's: a sum stays near one, however many it is of.
        let scale = ((c * k * k) as f32).sqrt().recip();
        let weight: Vec<f32> = noise.take(oc * c * k * k).iter().map(|w| w * scale).collect();
        let x = Var::from_vec(data.clone(), (n, h, w, c), &device()).unwrap();
        let wv = Var::from_vec(weight.clone(), (oc, c, k, k), &device()).unwrap();
        let bv = Var::from_vec(bias.clone(), oc, &device()).unwrap();
        let op = ConvRelu::new(&wv, &bv, ConvParams { stride, padding }).unwrap();
        let g = op.geometry((n, h, w, c)).unwrap();
        let expected = naive(&data, &weight, &bias, &g);
        let other = composed::forward(&x, op.weights(), padding, &g).unwrap();
        close(&values(&other), &expected, 2e-5);
        // An output within rounding of 0 may pass its gradient on one path only.
        let sure = expected.iter().all(|v| *v == 0.0 || *v > 1e-4);
        let weights = noise.tensor(other.shape());
        let theirs = gradients(&other, &weights, [&x, &wv, &bv]);
        everywhere(|_, _| {
            let y = op.forward(&x).unwrap();
            close(&values(&y), &expected, 2e-5);
            let (weight, bias) = (wv.as_detached_tensor(), bv.as_detached_tensor());
            let constant = ConvRelu::new(&weight, &bias, ConvParams { stride, padding }).unwrap();
            assert_eq!(values(&constant.forward(&x.detach()).unwrap()), values(&y));

            let ours = gradients(&y, &weights, [&x, &wv, &bv]);
            let [dx] = gradients(&constant.forward(&x).unwrap(), &weights, [&x]);
            assert_eq!(dx, ours[0]);
            if sure {
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    let largest = theirs.iter().fold(1f32, |m, v| m.max(v.abs()));
                    close(ours, theirs, 1e-4 * largest);
                }
            }
        });
    }

    #[test]
    fn side_by_side_equals_two_convolutions(
        n in 1usize..3, h in 1usize..9, w in 1usize..9, c in 1usize..20, out in 1usize..40, seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let x = noise.tensor((n, h, w, c));
        let pair = [1, 3].map(|k| ConvRelu::new(&noise.tensor((out, c, k, k)), &noise.tensor(out), same(k)).unwrap());
        everywhere(|_, _| {
            let y = ConvRelu::side_by_side([&pair[0], &pair[1]], &x).unwrap();
            let parts = pair.each_ref().map(|conv| conv.forward(&x).unwrap());
            assert_eq!(values(&y), values(&Tensor::cat(&parts, 3).unwrap()));
        });
    }

    #[test]
    fn conv_gradients_equal_finite_differences(
        n in 1usize..3, h in 3usize..8, w in 3usize..8, c in 1usize..4, oc in 1usize..5,
        k in 1usize..4, stride in 1usize..4, padding in 0usize..3, seed: u64,
    ) {
        prop_assume!(padding < k);
        let mut noise = Noise::new(seed);
        let x = Var::from_tensor(&noise.tensor((n, h, w, c))).unwrap();
        let weight = Var::from_tensor(&noise.tensor((oc, c, k, k))).unwrap();
        let bias = Var::from_tensor(&noise.tensor(oc)).unwrap();
        let f = |x: &Tensor, w: &Tensor, b: &Tensor| {
            ConvRelu::new(w, b, ConvParams { stride, padding }).unwrap().forward(x).unwrap()
        };
        let y = f(&x, &weight, &bias);
        let weights = noise.tensor(y.shape());
        let [dx, dw, db] = gradients(&y, &weights, [&x, &weight, &bias]);
        check_gradient(&x, &weights, |x| f(x, &weight, &bias), &dx, seed);
        check_gradient(&weight, &weights, |w| f(&x, w, &bias), &dw, seed);
        check_gradient(&bias, &weights, |b| f(&x, &weight, b), &db, seed);
    }
}

/// Sizes at which the work is split in every way there is: many tiles, few tiles of many channels, tasks by pixels and
/// by panels of channels, rows of the kernel.
#[test]
fn conv_equals_definition_for_large_shapes() {
    for (n, h, w, c, oc, k, stride) in [
        (2, 40, 41, 20, 70, 3, 1),
        (1, 9, 7, 300, 130, 3, 1),
        (2, 21, 19, 24, 40, 5, 1),
        (1, 61, 50, 3, 64, 11, 4),
        (3, 30, 30, 64, 16, 1, 1),
        (1, 70, 90, 8, 8, 3, 1),
        (1, 5, 5, 500, 20, 3, 1),
    ] {
        let mut noise = Noise::new(7);
        let padding = k / 2;
        let (x, bias) = (noise.tensor((n, h, w, c)), noise.tensor(oc));
        let weight = (noise.tensor((oc, c, k, k)) * (1.0 / (c as f64 * (k * k) as f64).sqrt())).unwrap();
        let op = ConvRelu::new(&weight, &bias, ConvParams { stride, padding }).unwrap();
        let g = op.geometry((n, h, w, c)).unwrap();
        let expected = naive(&values(&x), &values(&weight), &values(&bias), &g);
        everywhere(|_, algorithm| {
            let tolerance = if algorithm == Algorithm::Direct { 1e-5 } else { 3e-5 };
            close(&values(&op.forward(&x).unwrap()), &expected, tolerance);
        });
    }
}

/// More tiles of many channels than are in work at a time.
#[test]
fn winograd_equals_direct_for_several_large_groups() {
    let mut noise = Noise::new(8);
    let x = noise.tensor((1, 95, 94, 140));
    let weight = (noise.tensor((480, 140, 3, 3)) * (1.0 / 1260f64.sqrt())).unwrap();
    let op = ConvRelu::new(&weight, &noise.tensor(480), same(3)).unwrap();
    at_every_level(|_| {
        let run = |algorithm| by_algorithm(algorithm, || values(&op.forward(&x).unwrap()));
        close(&run(Algorithm::Winograd), &run(Algorithm::Direct), 3e-5);
    });
}

#[test]
fn conv_uses_the_current_value_of_a_variable() {
    let mut noise = Noise::new(5);
    let weight = Var::from_tensor(&noise.tensor((4, 3, 3, 3))).unwrap();
    let op = ConvRelu::new(&weight, &noise.tensor(4), same(3)).unwrap();
    let x = noise.tensor((1, 5, 5, 3));
    let before = values(&op.forward(&x).unwrap());
    weight.set(&noise.tensor((4, 3, 3, 3))).unwrap();
    assert_ne!(before, values(&op.forward(&x).unwrap()));
}

#[test]
fn conv_same_bits_with_any_number_of_threads() {
    let mut noise = Noise::new(9);
    // So many tiles that one thread takes them whole, and five go by frequencies.
    let x = Var::from_tensor(&noise.tensor((3, 29, 31, 16))).unwrap();
    let weight = Var::from_tensor(&noise.tensor((40, 16, 3, 3))).unwrap();
    let bias = Var::from_tensor(&noise.tensor(40)).unwrap();
    let weights = noise.tensor((3, 29, 31, 40));
    for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                by_algorithm(algorithm, || {
                    let op = ConvRelu::new(&weight, &bias, same(3)).unwrap();
                    let y = op.forward(&x).unwrap();
                    (values(&y), gradients(&y, &weights, [&x, &weight, &bias]))
                })
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}

#[test]
fn conv_keeps_16_bit_types_and_is_close() {
    let mut noise = Noise::new(2);
    let (x, w, b) = (noise.tensor((1, 6, 6, 3)), noise.tensor((4, 3, 3, 3)), noise.tensor(4));
    let exact = ConvRelu::new(&w, &b, same(3)).unwrap().forward(&x).unwrap();
    for (dtype, tolerance) in [(DType::F16, 1e-2), (DType::BF16, 1e-1)] {
        let to = |t: &Tensor| t.to_dtype(dtype).unwrap();
        let y = ConvRelu::new(&to(&w), &to(&b), same(3)).unwrap().forward(&to(&x)).unwrap();
        assert_eq!(y.dtype(), dtype);
        close(&values(&y), &values(&exact), tolerance);
    }
}

#[test]
fn conv_refuses_shapes_that_do_not_fit() {
    let mut noise = Noise::new(3);
    let op = ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(4), ConvParams::default()).unwrap();
    assert!(op.forward(&noise.tensor((1, 2, 9, 3))).is_err());
    assert!(op.forward(&noise.tensor((1, 9, 9, 4))).is_err());
    assert!(ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(5), ConvParams::default()).is_err());
    assert!(
        ConvRelu::new(&noise.tensor((4, 3, 3, 3)), &noise.tensor(4), ConvParams { stride: 0, padding: 0 }).is_err()
    );
}
