//! Parity with the published package on real pictures and real weights of all three networks (ignored without them).

use candle_core::{Device, Tensor, Var};
use lpips_core::{Lpips, Network, Picture, Version};
use lpips_workspace::{largest_difference, relative_l2, shared, values};

fn picture(name: &str) -> Tensor {
    Picture::open(shared("images").join(name)).unwrap().to_tensor(&Device::Cpu).unwrap()
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)"]
fn distances_and_layers_equal_published_package() {
    let text = std::fs::read_to_string(shared("golden/distances.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.len(), 81);
    let mut worst = 0f32;
    for row in rows {
        let network: Network = row["net"].as_str().unwrap().parse().unwrap();
        let version: Version = row["version"].as_str().unwrap().parse().unwrap();
        let mut builder = Lpips::builder(network).version(version);
        if !row["lin"].as_bool().unwrap() {
            builder = builder.lins(false);
        }
        let comparison = builder
            .build()
            .unwrap()
            .compare(&picture(row["a"].as_str().unwrap()), &picture(row["b"].as_str().unwrap()))
            .unwrap();
        let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
        let mut ours = comparison.values().unwrap();
        let mut theirs = vec![number(&row["distance"])];
        for ((_, part), expected) in comparison.layer_values().unwrap().iter().zip(row["per_layer"].as_array().unwrap())
        {
            ours.extend(part);
            theirs.push(number(expected));
        }
        let difference = largest_difference(&ours, &theirs);
        assert!(difference < 1e-5, "{row}: {ours:?}");
        worst = worst.max(difference);
    }
    println!("largest difference of any distance or part: {worst:e}");
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)"]
fn maps_taps_and_gradients_equal_published_package() {
    for network in Network::PUBLISHED {
        let file = shared("golden").join(format!("tensors-{network}.safetensors"));
        let golden = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        let golden = |name: &str| &golden[name];
        let lpips = Lpips::new(network).unwrap();

        for (tag, a, b) in [("ex", "ex_ref", "ex_p0"), ("coffee", "coffee_203x131", "coffee_203x131_shift")] {
            let (a, b) = (picture(&format!("{a}.png")), picture(&format!("{b}.png")));
            let map = lpips.compare(&a, &b).unwrap().map().unwrap();
            let expected = golden(&format!("map.{tag}"));
            assert_eq!(map.dims(), expected.dims());
            let difference = largest_difference(&values(&map).unwrap(), &values(expected).unwrap());
            println!("{network} map {tag}: {difference:e}");
            assert!(difference < 1e-5, "{network} map {tag}: {difference}");
        }

        // The backbone's input is the output of the scaling layer.
        let channels = |v: [f32; 3]| Tensor::new(&v, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap();
        let scaled = picture("ex_ref.png")
            .broadcast_sub(&channels([-0.030, -0.088, -0.188]))
            .unwrap()
            .broadcast_div(&channels([0.458, 0.448, 0.450]))
            .unwrap();
        for (i, tap) in lpips.backbone().features(&scaled).unwrap().iter().enumerate() {
            let expected = golden(&format!("tap{i}.ex_ref"));
            assert_eq!(tap.dims(), expected.dims());
            let expected = values(expected).unwrap();
            let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
            let difference = largest_difference(&values(tap).unwrap(), &expected) / largest;
            println!("{network} tap {i}: {difference:e}");
            assert!(difference < 1e-3, "{network} tap {i}: {difference}");
        }

        let b = Var::from_tensor(&picture("ex_p0.png")).unwrap();
        let distance = lpips.forward(&picture("ex_ref.png"), b.as_tensor()).unwrap();
        let gradient = values(distance.backward().unwrap().get(&b).unwrap()).unwrap();
        assert!(gradient.iter().all(|v| v.is_finite()));
        let difference = relative_l2(&gradient, &values(golden("grad.ex_p0")).unwrap());
        println!("{network} gradient: {difference:e}");
        assert!(difference < 1e-4, "{network} gradient: {difference}");
    }
}
