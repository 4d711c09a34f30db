//! Tests of the feature cache, with random weights.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use lpips_models::Network;
use lpips_models::weights::Weights;

use super::*;
use crate::builder::Builder;
use crate::image::Picture;
use crate::version::Version;

fn builder(seed: u64, taps: &[&str]) -> Builder {
    let weights = Weights::random(Network::AlexNet, seed);
    Lpips::builder(Network::AlexNet).network_weights(weights).taps(taps.iter().copied()).lins(false)
}

/// A small network: an entry of a small picture takes some kilobytes.
fn small() -> Lpips {
    builder(1, &["conv1"]).build().unwrap()
}

fn picture(seed: u64, width: usize, height: usize) -> Picture {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Picture::from_rgb8(width, height, (0..3 * width * height).map(|_| next()).collect()).unwrap()
}

fn seen(lpips: &Lpips, picture: &Picture) -> Features {
    lpips.features(picture).unwrap()
}

fn values(features: &Features) -> Vec<Vec<f32>> {
    let numbers = |tap: &Tensor| tap.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    features.taps.iter().map(numbers).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let parts = fs::read_dir(folder).unwrap().map(|part| part.unwrap().path()).filter(|part| part.is_dir());
    parts.flat_map(|part| fs::read_dir(part).unwrap().map(|file| file.unwrap().path())).collect()
}

fn bytes_in(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn cached_features_roundtrip_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let lpips = builder(1, &["conv5", "conv2", "pool1"]).dtype(dtype).build().unwrap();
        let cache = FeatureCache::open(folder.path(), 1 << 30, Precision::F32).unwrap();
        let keyer = cache.keyer(&lpips).unwrap();
        let pictures = [picture(1, 64, 48), picture(2, 64, 48), picture(3, 31, 40)];
        for picture in &pictures {
            let (key, features) = (keyer.key(picture), seen(&lpips, picture));
            assert!(cache.get(&key, &lpips).is_none());
            cache.put(&key, &features).unwrap();
        }
        assert_eq!((cache.stats().hits, cache.stats().misses, cache.stats().stored), (0, 3, 3));
        // Storing an entry again takes no more room.
        cache.put(&keyer.key(&pictures[0]), &seen(&lpips, &pictures[0])).unwrap();
        assert_eq!(cache.stats().bytes, bytes_in(folder.path()));
        let later = FeatureCache::open(folder.path(), 1 << 30, Precision::F32).unwrap();
        for picture in &pictures {
            let (features, cached) = (seen(&lpips, picture), later.get(&keyer.key(picture), &lpips).unwrap());
            assert_eq!(cached.size(), picture.size());
            assert_eq!(values(&cached), values(&features));
            assert!(cached.taps.iter().all(|tap| tap.dtype() == dtype));
        }
        assert_eq!((later.stats().hits, later.stats().misses), (3, 0));
        let distance = |a: &Features, b: &Features| {
            let distance = lpips.compare_features(a, b).unwrap().distance().unwrap();
            distance.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let cached = |i: usize| later.get(&keyer.key(&pictures[i]), &lpips).unwrap();
        let fresh = distance(&seen(&lpips, &pictures[0]), &seen(&lpips, &pictures[1]));
        assert_eq!(distance(&cached(0), &cached(1)), fresh);
        assert_eq!(distance(&cached(0), &seen(&lpips, &pictures[1])), fresh);
    }
}

#[test]
fn damaged_entry_is_removed_and_misses() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), 1 << 30, Precision::F32).unwrap();
    let lpips = small();
    let keyer = cache.keyer(&lpips).unwrap();
    let keys = [1, 2].map(|seed| keyer.key(&picture(seed, 31, 31)));
    for (key, seed) in keys.iter().zip(1..) {
        cache.put(key, &seen(&lpips, &picture(seed, 31, 31))).unwrap();
    }
    let (path, good) = (cache.path(&keys[0]), fs::read(cache.path(&keys[0])).unwrap());
    let header = u64::from_le_bytes(*good.first_chunk().unwrap()) as usize + 8;
    assert!(header + 100 < good.len());

    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    for at in (0..header).chain((header..good.len()).step_by(61)).chain([good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        bad.push((format!("byte {at} changed"), bytes));
    }
    for length in [0, 7, 8, header - 1, header, good.len() - 1] {
        bad.push((format!("cut after {length} bytes"), good[..length].to_vec()));
    }
    bad.push(("longer".to_string(), [good.as_slice(), &[0]].concat()));
    bad.push(("far longer".to_string(), [good.as_slice(), &vec![0; 1 << 20]].concat()));
    bad.push(("another picture's".to_string(), fs::read(cache.path(&keys[1])).unwrap()));
    let foreign = HashMap::from([("conv1", Tensor::zeros((1, 7, 7, 64), DType::F32, &Device::Cpu).unwrap())]);
    candle_core::safetensors::save(&foreign, folder.path().join("foreign")).unwrap();
    bad.push(("foreign".to_string(), fs::read(folder.path().join("foreign")).unwrap()));
    bad.push(("text".to_string(), b"not found\n".to_vec()));
    for (what, bytes) in bad {
        fs::write(&path, bytes).unwrap();
        assert!(cache.get(&keys[0], &lpips).is_none(), "{what}");
        assert!(!path.exists(), "{what}");
    }
    assert_eq!(cache.stats().hits, 0);
    cache.put(&keys[0], &seen(&lpips, &picture(1, 31, 31))).unwrap();
    assert!(cache.get(&keys[0], &lpips).is_some() && cache.get(&keys[1], &lpips).is_some());
}

#[test]
fn entry_with_nan_and_good_checksum_misses() {
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), 1 << 30, Precision::F32).unwrap();
    let (key, picture) = (cache.keyer(&lpips).unwrap().key(&picture(1, 31, 31)), picture(1, 31, 31));
    cache.put(&key, &seen(&lpips, &picture)).unwrap();
    let good = fs::read(cache.path(&key)).unwrap();
    let numbers = good.len() - 7 * 7 * 64 * 4;
    let checksum = |bytes: &[u8]| format!("{:08x}", crc32fast::hash(&bytes[numbers..]));
    let header = String::from_utf8(good[..numbers][8..].to_vec()).unwrap();
    assert!(header.contains(&checksum(&good)), "{header}");
    for (value, is_good) in [(2.5, true), (f32::NAN, false), (f32::INFINITY, false)] {
        let mut bytes = good.clone();
        bytes[numbers + 400..][..4].copy_from_slice(&value.to_le_bytes());
        let header = header.replace(&checksum(&good), &checksum(&bytes));
        bytes[8..numbers].copy_from_slice(header.as_bytes());
        fs::write(cache.path(&key), bytes).unwrap();
        assert_eq!(cache.get(&key, &lpips).is_some(), is_good);
        assert_eq!(cache.path(&key).exists(), is_good);
    }
}

#[test]
fn entry_is_a_safetensors_file() {
    let lpips = builder(1, &["conv1", "conv3"]).build().unwrap();
    let picture = picture(1, 37, 50);
    let features = seen(&lpips, &picture);
    for (precision, dtype) in [(Precision::F32, DType::F32), (Precision::F16, DType::F16)] {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(folder.path(), 1 << 30, precision).unwrap();
        let key = cache.keyer(&lpips).unwrap().key(&picture);
        let given = cache.put(&key, &features).unwrap();
        let tensors = candle_core::safetensors::load(cache.path(&key), &Device::Cpu).unwrap();
        assert_eq!(tensors.len(), 2);
        for (name, (tap, numbers)) in ["conv1", "conv3"].iter().zip(given.taps.iter().zip(values(&given))) {
            let tensor = &tensors[*name];
            assert_eq!((tensor.dims(), tensor.dtype()), (tap.dims(), dtype));
            let tensor = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            assert_eq!(tensor.to_vec1::<f32>().unwrap(), numbers);
        }
    }
}

#[test]
fn key_depends_on_everything_that_decides_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let open = |precision| FeatureCache::open(folder.path(), 1 << 20, precision).unwrap();
    let cache = open(Precision::F32);
    let picture = picture(1, 32, 48);
    let key = |lpips: &Lpips| cache.keyer(lpips).unwrap().key(&picture);
    let network = |network| Lpips::builder(network).network_weights(Weights::random(network, 1)).lins(false);
    let lpips = builder(1, &["conv1"]).build().unwrap();
    let keyer = cache.keyer(&lpips).unwrap();

    let rgb = picture.to_rgb8().into_owned();
    let mut other = rgb.clone();
    other[100] ^= 1;
    let mut sixteen = Vec::new();
    let wide: Vec<u16> = rgb.iter().map(|value| u16::from(*value) * 257).collect();
    let image = ::image::ImageBuffer::<::image::Rgb<u16>, _>::from_raw(32, 48, wide).unwrap();
    image.write_to(&mut std::io::Cursor::new(&mut sixteen), ::image::ImageFormat::Png).unwrap();
    let file = folder.path().join("sixteen.png");
    fs::write(&file, sixteen).unwrap();

    let mut keys = vec![
        key(&lpips),
        keyer.key(&Picture::from_rgb8(32, 48, other).unwrap()),
        keyer.key(&Picture::from_rgb8(48, 32, rgb).unwrap()),
        keyer.key(&Picture::open(file).unwrap()),
        key(&builder(2, &["conv1"]).build().unwrap()),
        key(&builder(1, &["conv1", "conv2"]).build().unwrap()),
        key(&builder(1, &["pool1"]).build().unwrap()),
        key(&builder(1, &["conv1"]).version(Version::V0_0).build().unwrap()),
        key(&builder(1, &["conv1"]).dtype(DType::F16).build().unwrap()),
        open(Precision::F16).keyer(&lpips).unwrap().key(&picture),
    ];
    keys.extend(Network::ALL.map(|name| key(&network(name).build().unwrap())));
    let names: HashSet<String> = keys.iter().map(Key::to_string).collect();
    assert_eq!(names.len(), keys.len());
    assert!(names.iter().all(|name| name.len() == 64));

    // Heads come after the features, and names are no pixels.
    let lins: HashMap<_, _> =
        [("lin0.weight".to_string(), Tensor::ones((1, 64, 1, 1), DType::F32, &Device::Cpu).unwrap())]
            .into_iter()
            .chain(lpips_tensors(1))
            .collect();
    let vb = VarBuilder::from_tensors(lins, DType::F32, &Device::Cpu);
    let with_lins = Lpips::builder(Network::AlexNet).taps(["conv1"]).build_on(&vb).unwrap();
    assert!(with_lins.has_lins());
    assert_eq!(key(&with_lins), keys[0]);
    assert_eq!(open(Precision::F32).keyer(&lpips).unwrap().key(&picture.clone()), keys[0]);
}

/// AlexNet's tensors by name, drawn at random.
fn lpips_tensors(seed: u64) -> HashMap<String, Tensor> {
    let arch = Network::AlexNet.architecture();
    let vb = Weights::random(Network::AlexNet, seed).var_builder(DType::F32, &Device::Cpu).unwrap();
    let tensors = arch.tensors(arch.features.len() - 1).into_iter();
    tensors.map(|(name, shape)| (name.clone(), vb.get(shape, &name).unwrap())).collect()
}

#[test]
fn eviction_removes_least_recently_used_first() {
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = FeatureCache::open(path, u64::MAX, Precision::F32).unwrap();
    let keyer = first.keyer(&lpips).unwrap();
    let pictures: Vec<Picture> = (0..12).map(|seed| picture(seed, 31, 31)).collect();
    let keys: Vec<Key> = pictures.iter().map(|picture| keyer.key(picture)).collect();
    for (i, (key, picture)) in keys.iter().zip(&pictures).take(10).enumerate() {
        first.put(key, &seen(&lpips, picture)).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(10_000 - 10 * i as u64);
        File::options().append(true).open(first.path(key)).unwrap().set_modified(long_ago).unwrap();
    }
    let size = first.stats().bytes / 10;
    let there = || (0..12).filter(|i| first.path(&keys[*i]).exists()).collect::<Vec<_>>();
    assert_eq!(first.stats().bytes, bytes_in(path));

    // Room for ten and a half; four fifths of it for eight.
    let cache = FeatureCache::open(path, 10 * size + size / 2, Precision::F32).unwrap();
    assert_eq!(there().len(), 10);
    assert!(cache.get(&keys[0], &lpips).is_some());
    assert!(cache.get(&keys[4], &lpips).is_some());
    cache.put(&keys[10], &seen(&lpips, &pictures[10])).unwrap();
    assert_eq!(there(), [0, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(cache.stats().bytes, bytes_in(path));

    // A lower limit holds from the start; an evicted entry is a miss.
    FeatureCache::open(path, 5 * size, Precision::F32).unwrap();
    assert_eq!(there(), [0, 4, 9, 10]);
    assert!(cache.get(&keys[5], &lpips).is_none());
    let none = FeatureCache::open(path, size / 2, Precision::F32).unwrap();
    assert!(there().is_empty());
    none.put(&keys[11], &seen(&lpips, &pictures[11])).unwrap();
    assert!(there().is_empty());
    assert_eq!((none.stats().stored, none.stats().bytes), (0, 0));
}

#[test]
fn entries_of_other_processes_are_counted() {
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let limit = 1 << 20;
    let caches: Vec<_> = (0..3).map(|_| FeatureCache::open(folder.path(), limit, Precision::F32).unwrap()).collect();
    let keyer = caches[0].keyer(&lpips).unwrap();
    for seed in 0..400 {
        let picture = picture(seed, 31, 31);
        caches[seed as usize % 3].put(&keyer.key(&picture), &seen(&lpips, &picture)).unwrap();
        let held = bytes_in(folder.path());
        // Each may have stored a twentieth that the others have not counted, and one entry.
        assert!(held <= limit + 3 * (limit / 20 + 20_000), "{held} after {seed}");
    }
    assert!(caches.iter().all(|cache| cache.stats().stored > 100));
}

/// Stores and reads entries of a folder, more than fit.
fn use_it(folder: &Path, limit: u64, from: u64) {
    let lpips = small();
    let cache = FeatureCache::open(folder, limit, Precision::F32).unwrap();
    let keyer = cache.keyer(&lpips).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (cache, keyer, lpips) = (&cache, &keyer, &lpips);
            scope.spawn(move || {
                for seed in 0..150 {
                    // Every third picture is shared by all threads.
                    let seed = if seed % 3 == 0 { seed } else { from + 1000 * thread + seed };
                    let picture = picture(seed, 31, 31);
                    let key = keyer.key(&picture);
                    let features = cache.get(&key, lpips);
                    let expected = seen(lpips, &picture);
                    if let Some(features) = features {
                        assert_eq!(values(&features), values(&expected));
                    } else {
                        cache.put(&key, &expected).unwrap();
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses, 300);
    assert_eq!(stats.stored, stats.misses);
    assert!(!cache.has_warned.load(Ordering::Relaxed));
}

/// The folder of [`processes_share_one_cache_folder`], where this is one of them.
const FOLDER: &str = "LPIPS_TEST_CACHE_FOLDER";
const LIMIT: u64 = 1 << 20;

#[test]
#[ignore = "run by processes_share_one_cache_folder"]
fn cache_process_of_several() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    use_it(Path::new(&folder), LIMIT, 10_000 + 10_000 * u64::from(std::process::id()));
}

#[test]
fn processes_share_one_cache_folder() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "cache::tests::cache_process_of_several"])
                .env(FOLDER, folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
    let held = bytes_in(folder.path());
    assert!(held > LIMIT / 2 && held <= LIMIT + 3 * (LIMIT / 20 + 20_000), "{held}");
    assert!(files(folder.path()).iter().all(|file| file.extension().is_some_and(|name| name == "safetensors")));
    let after = FeatureCache::open(folder.path(), LIMIT, Precision::F32).unwrap();
    assert!(after.stats().bytes <= LIMIT);
    assert_eq!(after.stats().bytes, bytes_in(folder.path()));
}

#[test]
fn unwritable_entry_is_skipped_with_one_warning() {
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = FeatureCache::open(&path, 1 << 20, Precision::F32).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("cache of features"), "{error}");
    }

    let cache = FeatureCache::open(folder.path(), 1 << 20, Precision::F32).unwrap();
    let picture = picture(1, 31, 31);
    let key = cache.keyer(&lpips).unwrap().key(&picture);
    // A file in place of its folder.
    let part = cache.path(&key).parent().unwrap().to_path_buf();
    fs::write(&part, "in the way").unwrap();
    for _ in 0..2 {
        cache.put(&key, &seen(&lpips, &picture)).unwrap();
        assert!(cache.get(&key, &lpips).is_none());
    }
    assert!(cache.has_warned.load(Ordering::Relaxed));
    assert_eq!((cache.stats().stored, cache.stats().bytes), (0, 0));
    // Later it is stored again, and a folder that has vanished is created again.
    fs::remove_file(&part).unwrap();
    for _ in 0..2 {
        cache.put(&key, &seen(&lpips, &picture)).unwrap();
        assert!(cache.get(&key, &lpips).is_some());
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(cache.get(&key, &lpips).is_none());
    }
}

#[cfg(unix)]
#[test]
fn read_only_folder_is_refused_by_open_and_skipped_by_put() {
    use std::os::unix::fs::PermissionsExt;
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    let cache = FeatureCache::open(folder.path(), 1 << 20, Precision::F32).unwrap();
    mode(0o555);
    if fs::write(folder.path().join("probe"), "").is_ok() {
        println!("skipped: this user may write anywhere");
        return;
    }
    let error = FeatureCache::open(folder.path(), 1 << 20, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("can't be written to") && error.contains("permission denied"), "{error}");
    let picture = picture(1, 31, 31);
    cache.put(&cache.keyer(&lpips).unwrap().key(&picture), &seen(&lpips, &picture)).unwrap();
    assert_eq!(cache.stats().stored, 0);
    mode(0o755);
}

#[test]
fn put_refuses_features_of_other_size_or_several_pictures() {
    let lpips = small();
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), 1 << 20, Precision::F32).unwrap();
    let key = cache.keyer(&lpips).unwrap().key(&picture(1, 31, 40));
    let two = Tensor::zeros((2, 3, 40, 31), DType::F32, &Device::Cpu).unwrap();
    for features in [seen(&lpips, &picture(1, 40, 31)), lpips.features(&two).unwrap()] {
        let error = cache.put(&key, &features).unwrap_err().to_string();
        assert!(error.contains("expected one of 31x40"), "{error}");
    }
}

#[test]
fn abandoned_temporary_files_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("ab");
    fs::create_dir_all(&part).unwrap();
    let old = SystemTime::now() - Duration::from_hours(2);
    let make = |path: PathBuf, time: SystemTime| {
        fs::write(&path, vec![0; 1000]).unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let left = [make(part.join(".unfinishedOld"), old), make(folder.path().join(".unfinishedOld"), old)];
    let own = |first: &str| format!("{first}{}.safetensors", "0".repeat(62));
    let cached = [
        make(part.join(".unfinishedNew"), SystemTime::now()),
        make(part.join("notes.txt"), old),
        make(part.join("model.safetensors"), old),
        make(part.join(own("cd")), old),
        make(folder.path().join(own("ab")), old),
    ];
    let entry = make(part.join(own("ab")), old);
    // All of it is over the limit, and the entry alone is the cache's.
    let cache = FeatureCache::open(folder.path(), 500, Precision::F32).unwrap();
    assert_eq!(cache.stats().bytes, 0);
    assert!(left.iter().chain([&entry]).all(|path| !path.exists()));
    assert!(cached.iter().all(|path| path.exists()));
}

#[test]
fn f16_halves_entries_and_falls_back_to_f32_on_overflow() {
    let folder = tempfile::tempdir().unwrap();
    let lpips = small();
    let picture = picture(1, 31, 31);
    let features = seen(&lpips, &picture);
    let (single, half) = [Precision::F32, Precision::F16]
        .map(|precision| {
            let cache = FeatureCache::open(folder.path().join(format!("{precision:?}")), 1 << 30, precision).unwrap();
            let key = cache.keyer(&lpips).unwrap().key(&picture);
            cache.put(&key, &features).unwrap();
            (cache.get(&key, &lpips).unwrap(), cache.stats().bytes)
        })
        .into();
    let numbers = 7 * 7 * 64;
    assert_eq!(single.1 - half.1, 2 * numbers);
    assert_eq!(values(&single.0), values(&features));
    for dtype in [DType::F16, DType::BF16] {
        let lpips = builder(1, &["conv1"]).dtype(dtype).build().unwrap();
        let cache = FeatureCache::open(folder.path(), 1 << 30, Precision::F16).unwrap();
        let key = cache.keyer(&lpips).unwrap().key(&picture);
        let given = cache.put(&key, &seen(&lpips, &picture)).unwrap();
        assert_eq!(values(&given), values(&cache.get(&key, &lpips).unwrap()));
    }
    let worst = values(&features)[0]
        .iter()
        .zip(&values(&half.0)[0])
        .map(|(a, b)| (a - b).abs() / a.abs().max(1e-4))
        .fold(0f32, f32::max);
    assert!(worst > 0.0 && worst <= 2f32.powi(-11), "{worst}");

    // Weights so large that numbers pass what f16 reaches, and then what f32 does.
    for (scale, is_cached) in [(1e6, true), (3e38, false)] {
        let tensors = lpips_tensors(1).into_iter().map(|(name, tensor)| (name, (tensor * scale).unwrap())).collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let lpips = Lpips::builder(Network::AlexNet).taps(["conv1"]).lins(false).build_on(&vb).unwrap();
        let cache = FeatureCache::open(folder.path(), 1 << 30, Precision::F16).unwrap();
        let (key, features) = (cache.keyer(&lpips).unwrap().key(&picture), seen(&lpips, &picture));
        let largest = values(&features)[0].iter().copied().fold(0f32, f32::max);
        assert!(largest > 65_504.0 && largest.is_finite() == is_cached, "{largest}");
        cache.put(&key, &features).unwrap();
        let cached = cache.get(&key, &lpips).map(|cached| values(&cached));
        assert_eq!(cached, is_cached.then(|| values(&features)));
    }
}
