//! Feature cache with real pictures and real weights.

use lpips_core::cache::{FeatureCache, Precision};
use lpips_core::{Features, Lpips, Network, Picture};
use lpips_workspace::{here, shared};

/// Features of a picture, the same from a cache, and the bytes of the cache.
fn fresh_and_cached(lpips: &Lpips, picture: &Picture, precision: Precision) -> (Features, Features, u64) {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), 1 << 30, precision).unwrap();
    let key = cache.keyer(lpips).unwrap().key(picture);
    let features = lpips.features(picture).unwrap();
    let given = cache.put(&key, &features).unwrap();
    let cached = cache.get(&key, lpips).unwrap();
    assert_eq!(distance(lpips, &given, &cached).to_bits(), 0);
    (features, cached, cache.stats().bytes)
}

fn distance(lpips: &Lpips, a: &Features, b: &Features) -> f32 {
    lpips.compare_features(a, b).unwrap().values().unwrap()[0]
}

/// The largest change of the distance of any two of these pictures, of one size, and those two's distance.
fn change(lpips: &Lpips, pictures: &[Picture], precision: Precision) -> (f32, f32) {
    let all: Vec<_> = pictures.iter().map(|picture| fresh_and_cached(lpips, picture, precision)).collect();
    let mut worst = (0f32, 0f32);
    for (i, a) in all.iter().enumerate() {
        // With itself too: what is 0 stays 0.
        for b in &all[i..] {
            let expected = distance(lpips, &a.0, &b.0);
            for cached in [distance(lpips, &a.1, &b.1), distance(lpips, &a.0, &b.1)] {
                let change = (cached - expected).abs();
                worst = if change >= worst.0 { (change, expected) } else { worst };
            }
        }
    }
    worst
}

#[test]
fn cached_distances_equal_uncached_ones() {
    let lpips = Lpips::new(Network::AlexNet).unwrap();
    let names = ["lake", "lake_blur", "lake_dim", "lake_jpeg", "lake_noise", "lake_smudge"];
    let pictures = names.map(|name| Picture::open(here("assets/pictures").join(format!("{name}.png"))).unwrap());
    assert_eq!(change(&lpips, &pictures, Precision::F32).0.to_bits(), 0);
    let (change, distance) = change(&lpips, &pictures, Precision::F16);
    println!("alex, f16: a change of {change:e} at most, of {distance}");
    assert!(change > 0.0 && change < 1e-4, "{change} of {distance}");
}

#[test]
#[ignore = "needs LPIPS_SHARED_DIR (reference data) and LPIPS_WEIGHTS_DIR (VGG-16, SqueezeNet)"]
fn cached_f16_distances_are_close_on_real_pictures() {
    let open = |name: &str| Picture::open(shared("images").join(name)).unwrap();
    let sets: [&[&str]; 4] = [
        &["astronaut_256.png", "astronaut_256_blur2.png", "astronaut_256_jpeg10.png", "astronaut_256_noise20.png"],
        &["coffee_203x131.png", "coffee_203x131_shift.png"],
        &["coffee_35.png", "coffee_35_noise.png"],
        &["ex_ref.png", "ex_p0.png", "ex_p1.png", "black_64.png", "white_64.png"],
    ];
    for network in Network::PUBLISHED {
        let lpips = Lpips::new(network).unwrap();
        for precision in [Precision::F32, Precision::F16] {
            let bytes = fresh_and_cached(&lpips, &open("astronaut_256.png"), precision).2;
            println!("{network} {precision:?}: {bytes} bytes for 256x256 pixels");
            for names in sets {
                let pictures: Vec<_> = names.iter().map(|name| open(name)).collect();
                let (change, distance) = change(&lpips, &pictures, precision);
                println!("{network} {precision:?}: {change:e} at most, of {distance}, for {}", names.join(" "));
                let bound = if precision == Precision::F32 { 0.0 } else { 1e-4 };
                assert!(change <= bound, "{network} {precision:?}: {change} of {distance}");
            }
        }
    }
}
