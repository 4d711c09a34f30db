//! Properties of the metric: symmetry, batches, ranges, gradients, weights, memory.
#![cfg(feature = "bundled")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use candle_core::{DType, Device, Tensor, Var};
use lpips_core::{Accumulator, Error, Images, Lpips, Network, Range, Reduction, Size, Version};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

fn alex() -> Lpips {
    Lpips::new(Network::AlexNet).unwrap()
}

/// Random pictures in [-1, 1].
fn pictures(n: usize, height: usize, width: usize, seed: u64) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let data = (0..n * 3 * height * width).map(|_| next()).collect();
    Tensor::from_vec(data, (n, 3, height, width), CPU).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &Tensor, b: &Tensor, tolerance: f32) {
    assert_eq!(a.dims(), b.dims());
    for (a, b) in values(a).iter().zip(values(b)) {
        assert!((a - b).abs() <= tolerance, "{a} and {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn distance_is_symmetric_positive_and_the_sum_of_its_parts(height in 31usize..70, width in 31usize..70, n in 1usize..4, seed: u64) {
        let lpips = alex();
        let (a, b) = (pictures(n, height, width, seed), pictures(n, height, width, !seed));
        let ab = lpips.compare(&a, &b).unwrap();
        let distance = ab.distance().unwrap();
        prop_assert_eq!(distance.dims(), [n, 1, 1, 1]);
        prop_assert!(values(&distance).iter().all(|d| *d > 0.0 && d.is_finite()));
        close(&distance, &lpips.forward(&b, &a).unwrap(), 1e-6);
        let parts = ab.layers().unwrap();
        let sum = parts.iter().fold(distance.zeros_like().unwrap(), |sum, part| (sum + &part.distance).unwrap());
        close(&distance, &sum, 1e-6);
        let map = ab.map().unwrap();
        prop_assert_eq!(map.dims(), [n, 1, height, width]);
        prop_assert_eq!(values(&lpips.forward(&a, &a).unwrap()), vec![0.0; n]);
    }
}

#[test]
fn distance_alone_equals_distance_in_batch_within_rounding() {
    let lpips = alex();
    for (height, width) in [(64, 64), (31, 47), (80, 33)] {
        let (a, b) = (pictures(5, height, width, 21), pictures(5, height, width, 22));
        let together = values(&lpips.forward(&a, &b).unwrap());
        for (i, together) in together.into_iter().enumerate() {
            let one = |x: &Tensor| x.narrow(0, i, 1).unwrap();
            // Another number of pictures may be computed by another algorithm.
            let alone = values(&lpips.forward(&one(&a), &one(&b)).unwrap())[0];
            assert!((alone - together).abs() < 1e-6, "picture {i}: {alone} and {together}");
        }
    }
}

#[test]
fn one_picture_is_compared_with_all_of_a_batch() {
    let lpips = alex();
    let (reference, many) = (pictures(1, 40, 50, 1), pictures(3, 40, 50, 2));
    let together = lpips.forward(&reference, &many).unwrap();
    assert_eq!(together.dims(), [3, 1, 1, 1]);
    let features = lpips.features(&reference).unwrap();
    assert_eq!((features.batch(), features.size()), (1, Size { width: 50, height: 40 }));
    for i in 0..3 {
        let candidate = lpips.features(&many.narrow(0, i, 1).unwrap()).unwrap();
        let alone = lpips.compare_features(&features, &candidate).unwrap().distance().unwrap();
        close(&alone, &together.narrow(0, i, 1).unwrap(), 1e-6);
    }
    let error = lpips.forward(&pictures(2, 40, 50, 3), &many).unwrap_err();
    assert!(matches!(error, Error::BatchMismatch { a: 2, b: 3, .. }), "{error}");
}

#[test]
fn ranges_give_the_same_distance() {
    let lpips = alex();
    let bytes = Tensor::rand(0f32, 255f32, (1, 3, 40, 40), CPU).unwrap().to_dtype(DType::U8).unwrap();
    let other = pictures(1, 40, 40, 4);
    let unit = (bytes.to_dtype(DType::F32).unwrap() / 255.0).unwrap();
    let signed = (unit.affine(2.0, -1.0)).unwrap();
    let expected = lpips.forward(&signed, &other).unwrap();
    close(&lpips.forward(Images::bytes(&bytes), &other).unwrap(), &expected, 1e-5);
    close(&lpips.forward(Images::unit(&unit), &other).unwrap(), &expected, 1e-5);
    let floats = bytes.to_dtype(DType::F32).unwrap();
    close(&lpips.forward(Images::bytes(&floats), &other).unwrap(), &expected, 1e-5);
    let error = lpips.forward(&bytes, &other).unwrap_err().to_string();
    assert!(error.contains("Images::bytes"), "{error}");
}

#[test]
fn values_outside_their_range_are_refused_unless_tracked() {
    let lpips = alex();
    let good = pictures(1, 40, 50, 5);
    let off = |by: f32| {
        let mut data = values(&good);
        data[1234] = by;
        Tensor::from_vec(data, good.shape(), CPU).unwrap()
    };
    for value in [-1.003, 1.003] {
        assert!(lpips.forward(&good, &off(value)).is_ok(), "half a level of 8 bits is rounding");
    }
    for value in [-1.01, 1.01, 255.0] {
        let error = lpips.forward(&good, &off(value)).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { value: found, range: Range::Signed, .. } if found.to_bits() == f32::to_bits(value)),
            "{error}"
        );
        assert!(lpips.features(&off(value)).is_err());
    }
    // In [-1, 1] where [0, 1] is claimed.
    let error = lpips.forward(Images::unit(&good), Images::unit(&good)).unwrap_err().to_string();
    assert!(error.contains("[0, 1]") && error.contains("Images::bytes"), "{error}");
    // In [-1, 1] where 0..255 is claimed.
    assert!(lpips.forward(Images::bytes(&good), Images::bytes(&good)).is_err());
    let banded = Lpips::builder(Network::AlexNet).memory(1).build().unwrap();
    assert!(matches!(banded.forward(&good, &off(2.0)), Err(Error::OutOfRange { .. })));
    // An optimiser may leave the range.
    let tracked = Var::from_tensor(&off(1.5)).unwrap();
    let distance = lpips.forward(&good, tracked.as_tensor()).unwrap();
    assert!(distance.backward().unwrap().get(&tracked).is_some());
}

#[cfg(feature = "image")]
#[test]
fn pictures_give_the_bits_of_their_tensors() {
    use lpips_core::Picture;
    let lpips = Lpips::builder(Network::AlexNet).batch_invariant(true).build().unwrap();
    let picture = |seed: usize| {
        let rgb = (0..64 * 48 * 3).map(|i| (i * (seed + 3) * 37 % 251) as u8).collect();
        Picture::from_rgb8(64, 48, rgb).unwrap()
    };
    let deep = Picture::from_rgb16(64, 48, (0..64 * 48 * 3).map(|i| (i * 977 % 65_521) as u16).collect()).unwrap();
    let (a, b) = (picture(1), picture(2));
    let tensor = |picture: &Picture| picture.to_values(CPU).unwrap();
    for (a, b) in [(&a, &b), (&a, &deep), (&deep, &b)] {
        let ((ta, ra), (tb, rb)) = (tensor(a), tensor(b));
        let expected = lpips.compare(Images::new(&ta, ra), Images::new(&tb, rb)).unwrap().values().unwrap();
        assert_eq!(lpips.compare(a, b).unwrap().values().unwrap(), expected);
        assert_eq!(vec![lpips.distance(a, b).unwrap()], expected);
        let reference = lpips.cache_reference(a).unwrap();
        assert_eq!(lpips.compare_to(&reference, b).unwrap().values().unwrap(), expected);
        assert_eq!(lpips.compare_to(&reference, Images::new(&tb, rb)).unwrap().values().unwrap(), expected);
        assert_eq!(lpips.compare_pictures(&[a, b], &[(0, 1)]).unwrap().values().unwrap(), expected);
    }
    let error = lpips.distance(&a, &a.crop(0, 0, 40, 48).unwrap()).unwrap_err().to_string();
    assert!(error.contains("64x48") && error.contains("40x48"), "{error}");
}

#[test]
fn loaded_config_gives_the_same_distances() {
    use lpips_core::Config;
    let (lpips, vars) =
        Lpips::builder(Network::AlexNet).taps(["conv2", "conv5"]).lins(false).build_variables().unwrap();
    let config = lpips.config();
    assert_eq!((config.lins, config.taps.as_deref().map(<[String]>::len)), (false, Some(2)));
    // Not of the map itself, which makes up what it does not hold.
    let tensors =
        vars.data().lock().unwrap().iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, CPU);
    let loaded = Lpips::load(&config, vb.clone()).unwrap();
    let (a, b) = (pictures(1, 40, 40, 1), pictures(1, 40, 40, 2));
    assert_eq!(loaded.compare(&a, &b).unwrap().values().unwrap(), lpips.compare(&a, &b).unwrap().values().unwrap());
    assert_eq!(loaded.config(), config);
    // A part of the configuration that the weights do not have.
    let mut wrong = Config::new(Network::AlexNet);
    assert!(Lpips::load(&wrong, &vb).is_err());
    wrong.taps = Some(vec!["conv9".to_string()]);
    assert!(matches!(Lpips::load(&wrong, &vb), Err(Error::UnknownTap { name, .. }) if name == "conv9"));
}

#[test]
fn debug_shows_choices_but_no_numbers() {
    let lpips = alex();
    let text = format!("{lpips:?} {:?}", lpips.features(&pictures(1, 40, 40, 1)).unwrap());
    assert!(text.contains("AlexNet") && text.contains("batch: 1") && text.len() < 600, "{text}");
}

#[test]
fn forward_names_wrong_inputs() {
    let lpips = alex();
    let good = pictures(1, 40, 50, 5);
    let text = |a: &Tensor, b: &Tensor| lpips.forward(a, b).unwrap_err().to_string();
    let error = text(&good, &pictures(1, 50, 40, 5));
    assert!(error.contains("50x40") && error.contains("40x50"), "{error}");
    let small = pictures(1, 30, 64, 5);
    let error = text(&small, &small);
    assert!(error.contains("64x30") && error.contains("31x31"), "{error}");
    let gray = good.narrow(1, 0, 1).unwrap();
    assert!(text(&gray, &gray).contains("1 channels"));
    assert!(text(&good.squeeze(0).unwrap(), &good).contains("(N, 3, H, W)"));
    assert!(text(&good.narrow(0, 0, 0).unwrap(), &good).contains("no batch"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut data = values(&good);
        data[1234] = bad;
        let bad = Tensor::from_vec(data, good.shape(), CPU).unwrap();
        assert!(text(&good, &bad).contains("NaN or infinite"));
    }
}

#[test]
fn gradients_are_finite_for_flat_and_equal_pictures() {
    let lpips = alex();
    // Black pictures leave whole feature columns at zero; equal ones have no difference.
    for (a, b) in [
        (Tensor::full(-1f32, (1, 3, 48, 48), CPU).unwrap(), Tensor::full(1f32, (1, 3, 48, 48), CPU).unwrap()),
        (Tensor::full(-1f32, (1, 3, 48, 48), CPU).unwrap(), Tensor::full(-1f32, (1, 3, 48, 48), CPU).unwrap()),
        (pictures(1, 48, 48, 6), pictures(1, 48, 48, 6)),
    ] {
        let (a, b) = (Var::from_tensor(&a).unwrap(), Var::from_tensor(&b).unwrap());
        let comparison = lpips.compare(a.as_tensor(), b.as_tensor()).unwrap();
        let loss =
            (comparison.distance().unwrap().sum_all().unwrap() + comparison.map().unwrap().sum_all().unwrap()).unwrap();
        let grads = loss.backward().unwrap();
        for var in [&a, &b] {
            assert!(values(grads.get(var).unwrap()).iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn build_variables_gives_gradients_to_all_weights() {
    let (lpips, vars) = Lpips::builder(Network::AlexNet).build_variables().unwrap();
    let (a, b) = (pictures(2, 40, 40, 7), pictures(2, 40, 40, 8));
    let distance = lpips.forward(&a, &b).unwrap();
    close(&distance, &alex().forward(&a, &b).unwrap(), 1e-6);
    let loss = distance.sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let data = vars.data().lock().unwrap();
    assert_eq!(data.len(), 15);
    for (name, var) in data.iter() {
        let gradient = values(grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient")));
        assert!(gradient.iter().all(|v| v.is_finite()) && gradient.iter().any(|v| *v != 0.0), "{name}");
    }
    // The distance is linear in the lin heads, so their gradients give the distance back.
    let through: f32 = (0..5)
        .map(|i| {
            let var = &data[&format!("lin{i}.weight")];
            values(grads.get(var).unwrap()).iter().zip(values(var)).map(|(g, w)| g * w).sum::<f32>()
        })
        .sum();
    assert!((through - loss.to_scalar::<f32>().unwrap()).abs() < 1e-4);
    drop(data);

    // And against a difference in one convolution weight.
    let var = vars.data().lock().unwrap()["features.3.weight"].clone();
    let gradient = values(grads.get(&var).unwrap());
    let at = (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).unwrap();
    let original = values(&var);
    let moved = |by: f32| {
        let mut data = original.clone();
        data[at] += by;
        var.set(&Tensor::from_vec(data, var.shape(), CPU).unwrap()).unwrap();
        lpips.forward(&a, &b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
    assert!((slope - gradient[at]).abs() < 0.05 * gradient[at].abs() + 1e-4, "{slope} and {}", gradient[at]);
}

#[test]
fn half_types_are_close_to_f32() {
    let (a, b) = (pictures(1, 64, 64, 9), pictures(1, 64, 64, 10));
    let exact = alex().forward(&a, &b).unwrap();
    for (dtype, tolerance) in [(DType::F16, 2e-3), (DType::BF16, 2e-2)] {
        let lpips = Lpips::builder(Network::AlexNet).dtype(dtype).build().unwrap();
        let b = Var::from_tensor(&b).unwrap();
        let distance = lpips.forward(&a, b.as_tensor()).unwrap();
        assert_eq!(distance.dtype(), DType::F32);
        close(&distance, &exact, tolerance);
        let grads = distance.backward().unwrap();
        assert!(values(grads.get(&b).unwrap()).iter().all(|v| v.is_finite()));
    }
    let error = Lpips::builder(Network::AlexNet).dtype(DType::F64).build().unwrap_err().to_string();
    assert!(error.contains("F64"), "{error}");
}

#[test]
fn builder_taps_any_layers() {
    let lpips = Lpips::builder(Network::AlexNet).taps(["pool1", "conv4"]).lins(false).build().unwrap();
    let layers = lpips.compare(&pictures(1, 40, 40, 11), &pictures(1, 40, 40, 12)).unwrap().layers().unwrap();
    assert_eq!(layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), ["pool1", "conv4"]);
    let error = Lpips::builder(Network::AlexNet).taps(["pool1"]).build().unwrap_err().to_string();
    assert!(error.contains("lin heads"), "{error}");
    let error = Lpips::builder(Network::AlexNet).taps(["conv6"]).build().unwrap_err().to_string();
    assert!(error.contains("conv6") && error.contains("conv5"), "{error}");
    // Named in another order, the published taps are still the published taps.
    let turned = Lpips::builder(Network::AlexNet).taps(["conv5", "conv1", "conv2", "conv4", "conv3"]).build().unwrap();
    assert!(turned.has_lins());
}

#[test]
fn versions_give_different_distances() {
    let (a, b) = (pictures(1, 40, 40, 13), pictures(1, 40, 40, 14));
    let old = Lpips::builder(Network::AlexNet).version(Version::V0_0).build().unwrap();
    assert_ne!(values(&old.forward(&a, &b).unwrap()), values(&alex().forward(&a, &b).unwrap()));
    assert!("0.2".parse::<Version>().is_err());
}

#[test]
fn builder_loads_heads_and_whole_models_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let (lpips, vars) = Lpips::builder(Network::AlexNet).build_variables().unwrap();
    for i in 0..5 {
        let var = vars.data().lock().unwrap()[&format!("lin{i}.weight")].clone();
        var.set(&(var.as_tensor() * 2.0).unwrap()).unwrap();
    }
    let whole = folder.path().join("whole.safetensors");
    vars.save(&whole).unwrap();
    let (a, b) = (pictures(1, 40, 40, 15), pictures(1, 40, 40, 16));
    let doubled = (alex().forward(&a, &b).unwrap() * 2.0).unwrap();
    close(&lpips.forward(&a, &b).unwrap(), &doubled, 1e-5);
    let loaded = Lpips::builder(Network::AlexNet).weights(&whole).build().unwrap();
    close(&loaded.forward(&a, &b).unwrap(), &doubled, 1e-5);

    let tensors = candle_core::safetensors::load(&whole, CPU).unwrap();
    let part = |keep: &dyn Fn(&str) -> bool, name: &str| {
        let part = tensors.iter().filter(|(key, _)| keep(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let path = folder.path().join(name);
        candle_core::safetensors::save(&part, &path).unwrap();
        path
    };
    let heads = part(&|key| key.starts_with("lin"), "heads.safetensors");
    let trunk = part(&|key| key.starts_with("features"), "trunk.safetensors");
    for files in [vec![&heads], vec![&heads, &trunk], vec![&trunk, &heads]] {
        let builder = files.iter().fold(Lpips::builder(Network::AlexNet), lpips_core::Builder::weights);
        close(&builder.build().unwrap().forward(&a, &b).unwrap(), &doubled, 1e-5);
    }
    let twice = Lpips::builder(Network::AlexNet).weights(&heads).weights(&whole).build().unwrap_err().to_string();
    assert!(twice.contains("give each part once"), "{twice}");
    let short = part(&|key| key.starts_with("lin") && key != "lin2.weight", "short.safetensors");
    let error = Lpips::builder(Network::AlexNet).weights(&short).build().unwrap_err().to_string();
    assert!(error.contains("lin2.weight"), "{error}");
    // A head that is missing, be it the first, is missed.
    let late = part(&|key| key.starts_with("lin") && key != "lin0.weight", "late.safetensors");
    let error = Lpips::builder(Network::AlexNet).weights(&late).build().unwrap_err().to_string();
    assert!(error.contains("no tensor lin0.weight"), "{error}");
    let baseline = Lpips::builder(Network::AlexNet).weights(&heads).lins(false).build().unwrap();
    assert!(!baseline.has_lins());
    let fewer =
        Lpips::builder(Network::AlexNet).taps(["conv1", "conv2"]).weights(&heads).build().unwrap_err().to_string();
    assert!(fewer.contains("lin2.weight") && fewer.contains("only 2"), "{fewer}");
}

#[test]
fn negative_lin_heads_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, vars) = Lpips::builder(Network::AlexNet).build_variables().unwrap();
    let var = vars.data().lock().unwrap()["lin3.weight"].clone();
    var.set(&var.neg().unwrap()).unwrap();
    let path = folder.path().join("negative.safetensors");
    vars.save(&path).unwrap();
    let error = Lpips::builder(Network::AlexNet).weights(&path).build().unwrap_err().to_string();
    assert!(error.contains("lin3.weight") && error.contains("0 or above"), "{error}");
}

#[test]
fn features_of_other_taps_or_version_are_refused() {
    let picture = pictures(1, 40, 40, 23);
    let build = |builder: lpips_core::Builder| builder.build().unwrap();
    let tapped = |layer: &str| build(Lpips::builder(Network::AlexNet).taps([layer]).lins(false));
    let (four, five) = (tapped("conv4"), tapped("conv5"));
    let error = four
        .compare_features(&four.features(&picture).unwrap(), &five.features(&picture).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("conv4") && error.contains("conv5"), "{error}");
    let old = build(Lpips::builder(Network::AlexNet).version(Version::V0_0));
    assert!(alex().compare_features(&alex().features(&picture).unwrap(), &old.features(&picture).unwrap()).is_err());
}

#[test]
fn accumulator_reduces_to_mean_sum_or_all() {
    let batches =
        [(pictures(2, 40, 40, 17), pictures(2, 40, 40, 18)), (pictures(1, 50, 40, 19), pictures(1, 50, 40, 20))];
    let all: Vec<f32> = batches.iter().flat_map(|(a, b)| values(&alex().forward(a, b).unwrap())).collect();
    let run = |reduction| {
        let mut metric = Accumulator::new(alex(), reduction);
        for (a, b) in &batches {
            metric.update(a, b).unwrap();
        }
        assert_eq!(metric.count(), 3);
        metric
    };
    let sum: f32 = all.iter().sum();
    let scalar = |metric: &Accumulator| metric.compute().unwrap().to_scalar::<f32>().unwrap();
    assert!((scalar(&run(Reduction::Sum)) - sum).abs() < 1e-5);
    assert!((scalar(&run(Reduction::Mean)) - sum / 3.0).abs() < 1e-5);
    assert_eq!(values(&run(Reduction::None).compute().unwrap()), all);
    let mut metric = run(Reduction::Mean);
    metric.reset();
    assert!(metric.compute().is_err());
    assert!(metric.update(&batches[0].0, &batches[1].1).is_err());
    assert_eq!(metric.count(), 0);
}

#[test]
fn stack_and_compare_taps_equal_compare() {
    let lpips = alex();
    let (a, b) = (pictures(1, 40, 53, 1), pictures(3, 40, 53, 2));
    let stack = lpips.stack(&a, &b).unwrap();
    let taps = lpips.backbone().features_channels_last(&stack.pictures).unwrap();
    let whole = lpips.compare(&a, &b).unwrap();
    let steps = lpips.compare_taps(&stack.pairing, &taps, None).unwrap();
    close(&whole.distance().unwrap(), &steps.distance().unwrap(), 0.0);
    close(&whole.map().unwrap(), &steps.map().unwrap(), 0.0);
    for wrong in [taps[..4].to_vec(), taps.iter().map(|tap| tap.narrow(0, 0, 3).unwrap()).collect()] {
        let error = lpips.compare_taps(&stack.pairing, &wrong, None).unwrap_err().to_string();
        assert!(error.contains("expected 5") && error.contains("4 pictures"), "{error}");
    }
}

#[test]
fn loaded_weights_of_another_network_are_refused() {
    use lpips_core::weights::Weights;
    let (a, b) = (pictures(1, 31, 31, 1), pictures(1, 31, 31, 2));
    let built = |weights| Lpips::builder(Network::AlexNet).network_weights(weights).build();
    let official = built(Weights::find(Network::AlexNet).unwrap()).unwrap();
    close(&official.forward(&a, &b).unwrap(), &alex().forward(&a, &b).unwrap(), 0.0);
    let distance = built(Weights::random(Network::AlexNet, 7)).unwrap().forward(&a, &b).unwrap();
    assert!(values(&distance)[0] > 0.0 && values(&distance)[0].is_finite());
    let error = built(Weights::random(Network::Vgg11, 7)).unwrap_err().to_string();
    assert!(error.contains("vgg11") && error.contains("alex"), "{error}");
}

/// Distance, parts and map, whole and band by band.
fn bands_equal_whole(network: Network, n: usize, height: usize, width: usize, memory: usize) {
    let builder = || {
        let weights = lpips_core::weights::Weights::random(network, 3);
        let builder = Lpips::builder(network).network_weights(weights);
        // Lin heads are published for three networks.
        if Network::PUBLISHED.contains(&network) { builder } else { builder.lins(false) }
    };
    let (whole, banded) = (builder().memory(1 << 40).build().unwrap(), builder().memory(memory).build().unwrap());
    let size = Size { width, height };
    assert!(whole.fits_in_memory(size).unwrap() && !banded.fits_in_memory(size).unwrap());
    let (a, b) = (pictures(n, height, width, 5), pictures(1, height, width, 6));
    let (x, y) = (whole.compare(&a, &b).unwrap(), banded.compare(&a, &b).unwrap());
    assert_eq!(values(&x.distance().unwrap()), values(&y.distance().unwrap()));
    assert_eq!(values(&x.map().unwrap()), values(&y.map().unwrap()));
    for (x, y) in x.layers().unwrap().iter().zip(&y.layers().unwrap()) {
        assert_eq!((x.name, values(&x.distance)), (y.name, values(&y.distance)));
    }
    let against =
        |lpips: &Lpips| lpips.compare_to(&lpips.cache_reference(&b).unwrap(), &a).unwrap().distance().unwrap();
    close(&against(&whole), &x.distance().unwrap(), 1e-5);
    assert_eq!(values(&against(&banded)), values(&x.distance().unwrap()));
    assert_eq!(values(&banded.forward(&a, &a).unwrap()), vec![0.0; n]);
    // The range goes with each band.
    let unit = |x: &Tensor| (x.affine(0.5, 0.5)).unwrap();
    let distance = banded.forward(Images::unit(&unit(&a)), Images::unit(&unit(&b))).unwrap();
    close(&distance, &x.distance().unwrap(), 1e-4);
}

#[test]
fn little_memory_changes_no_number_of_any_network() {
    for network in Network::ALL {
        bands_equal_whole(network, 1, 150, 67, 1);
        bands_equal_whole(network, 2, 47, 90, 100 << 20);
        let least =
            Lpips::builder(network).network_weights(lpips_core::weights::Weights::random(network, 3)).lins(false);
        let least = least.build().unwrap().backbone().minimum_size();
        bands_equal_whole(network, 1, least, least, 1);
    }
}

#[test]
fn wrong_inputs_are_refused_in_bands_too() {
    let lpips = Lpips::builder(Network::AlexNet).memory(1).build().unwrap();
    let a = pictures(1, 120, 50, 1);
    assert!(matches!(lpips.compare(&a, &pictures(1, 121, 50, 1)), Err(Error::SizeMismatch { .. })));
    assert!(lpips.compare(&a.narrow(2, 0, 30).unwrap(), &a.narrow(2, 0, 30).unwrap()).is_err());
    assert!(lpips.fits_in_memory(Size { width: 50, height: 30 }).is_err());
    // One bad value in the last row.
    let mut bad = values(&a);
    *bad.last_mut().unwrap() = f32::NAN;
    let bad = Tensor::from_vec(bad, a.dims(), CPU).unwrap();
    assert!(lpips.compare(&a, &bad).unwrap_err().to_string().contains("NaN"));
    // Gradients need the whole.
    let var = Var::from_tensor(&a).unwrap();
    let loss = lpips.forward(var.as_tensor(), &pictures(1, 120, 50, 2)).unwrap().sum_all().unwrap();
    assert!(loss.backward().unwrap().get(&var).is_some());
}
