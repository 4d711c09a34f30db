//! Parity with the published package on AlexNet's bundled weights, and on all three networks with weights that any language
//! can rebuild. `tests/fixtures/make_fixtures.py` wrote the expected numbers.

use candle_core::{Device, Tensor, Var};
use lpips_core::{Lpips, Network, Picture, Version};
use lpips_workspace::{here, largest_difference, pattern_tensor, patterned_weights, relative_l2, values};

/// File of weights made of the pattern.
fn patterned(network: Network, folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join(format!("{network}.safetensors"));
    if !path.exists() {
        let tensors = patterned_weights(network).unwrap();
        candle_core::safetensors::save(&tensors, &path).unwrap();
    }
    path
}

fn builder(network: Network, real: bool, folder: &tempfile::TempDir) -> lpips_core::Builder {
    let builder = Lpips::builder(network);
    if real { builder } else { builder.weights(patterned(network, folder)) }
}

fn input(name: &str) -> Tensor {
    match name.strip_prefix("pattern ").and_then(|rest| rest.split_once(' ')) {
        Some((seed, shape)) => {
            let shape: Vec<usize> = shape.split('x').map(|size| size.parse().unwrap()).collect();
            pattern_tensor(seed, &shape, 2.0).unwrap()
        }
        None => Picture::open(here(&format!("assets/pictures/{name}.png"))).unwrap().to_tensor(&Device::Cpu).unwrap(),
    }
}

fn floats(json: &serde_json::Value) -> Vec<f32> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

#[test]
fn distances_and_layers_equal_published_package() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(here("tests/fixtures/published.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.len(), 24);
    for row in rows {
        let network: Network = row["net"].as_str().unwrap().parse().unwrap();
        let version: Version = row["version"].as_str().unwrap().parse().unwrap();
        let mut builder = builder(network, row["real"].as_bool().unwrap(), &folder).version(version);
        if !row["lin"].as_bool().unwrap() {
            builder = builder.lins(false);
        }
        let lpips = builder.build().unwrap();
        let (a, b) = (input(row["a"].as_str().unwrap()), input(row["b"].as_str().unwrap()));
        let comparison = lpips.compare(&a, &b).unwrap();
        let what = format!("{network} {version} lin {} on {}, {}", row["lin"], row["a"], row["b"]);
        let distance = comparison.values().unwrap();
        assert!(largest_difference(&distance, &floats(&row["distance"])) < 1e-5, "{what}: {distance:?}");
        let layers = comparison.layer_values().unwrap();
        let expected = row["layers"].as_array().unwrap();
        assert_eq!(layers.len(), expected.len());
        for ((name, part), expected) in layers.iter().zip(expected) {
            for (part, expected) in part.iter().zip(floats(expected)) {
                // Deep layers of made-up weights have parts of 3e-4, for which 1e-5 alone would be no test.
                assert!((part - expected).abs() < 1e-6 + 1e-4 * expected, "{what}: {name} {part}");
            }
        }
    }
}

#[test]
fn maps_and_gradients_equal_published_package() {
    let folder = tempfile::tempdir().unwrap();
    let expected = candle_core::safetensors::load(here("tests/fixtures/published.safetensors"), &Device::Cpu).unwrap();
    for (network, real, tag) in [
        (Network::AlexNet, true, "alex.real"),
        (Network::AlexNet, false, "alex.pattern"),
        (Network::Vgg16, false, "vgg.pattern"),
        (Network::SqueezeNet1_1, false, "squeeze.pattern"),
    ] {
        let expected = |what: &str| values(&expected[&format!("{tag}.{what}")]).unwrap();
        let lpips = builder(network, real, &folder).build().unwrap();
        let a = input("pattern a 1x3x35x50");
        let b = Var::from_tensor(&input("pattern b 1x3x35x50")).unwrap();
        let comparison = lpips.compare(&a, b.as_tensor()).unwrap();
        let map = comparison.map().unwrap();
        assert_eq!(map.dims(), [1, 1, 35, 50]);
        let difference = largest_difference(&values(&map).unwrap(), &expected("map"));
        assert!(difference < 1e-5, "{tag}: map differs by {difference}");
        let grads = comparison.distance().unwrap().backward().unwrap();
        let gradient = values(grads.get(&b).unwrap()).unwrap();
        let difference = relative_l2(&gradient, &expected("grad"));
        assert!(difference < 1e-4, "{tag}: gradient differs by {difference}");
    }
}

/// The published `BCERankingLoss` and PyTorch's BCE with logits: values, probabilities and gradients.
#[test]
fn losses_and_gradients_equal_published_package() {
    use lpips_core::{Loss, LossKind};

    let all = candle_core::safetensors::load(here("tests/fixtures/losses.safetensors"), &Device::Cpu).unwrap();
    let close = |what: &str, ours: &Tensor, theirs: &str| {
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (ours, theirs) in values(ours).iter().zip(values(&all[theirs])) {
            assert!((ours - theirs).abs() < 1e-6, "{what}: {ours} and {theirs}");
        }
    };
    let vb = candle_nn::VarBuilder::from_tensors(all.clone(), candle_core::DType::F32, &Device::Cpu);
    let (d0, d1) = (Var::from_tensor(&all["d0"]).unwrap(), Var::from_tensor(&all["d1"]).unwrap());
    let ranking = Loss::new(LossKind::Ranking, &vb).unwrap();
    let loss = ranking.forward(&d0, &d1, &all["judge"]).unwrap();
    close("loss", &loss, "loss");
    close("probabilities", &ranking.probabilities(&d0, &d1).unwrap(), "prob");
    let grads = loss.backward().unwrap();
    close("gradient of d0", grads.get(&d0).unwrap(), "grad_d0");
    close("gradient of d1", grads.get(&d1).unwrap(), "grad_d1");
    let logistic = Loss::new(LossKind::Logistic, &vb).unwrap().forward(&d0, &d1, &all["judge"]).unwrap();
    close("logistic loss", &logistic, "logistic_loss");
}
