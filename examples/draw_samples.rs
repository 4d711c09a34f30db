//! Draws the sample pictures of `assets/pictures`: a lake at dusk, and the same picture distorted in five ways.
//!
//! `cargo run --example draw_samples [FOLDER]` (default: `assets/pictures`)

use std::path::PathBuf;

use lpips_core::Picture;

const WIDTH: usize = 384;
const HEIGHT: usize = 256;
/// Samples a pixel, each way.
const FINE: usize = 3;

type Rgb = [f32; 3];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("assets/pictures"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let lake = render();
    for (name, picture) in [
        ("lake", lake.clone()),
        ("lake_blur", blur(&lake, 2.0)),
        ("lake_noise", noise(&lake, 0.09)),
        ("lake_jpeg", jpeg(&lake, 8)?),
        ("lake_smudge", smudge(&lake)),
        ("lake_dim", lake.iter().map(|rgb| rgb.map(|v| 0.5 + (v - 0.5) * 0.7)).collect()),
    ] {
        let bytes = picture.iter().flatten().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
        Picture::from_rgb8(WIDTH, HEIGHT, bytes)?.save_png(folder.join(format!("{name}.png")))?;
    }
    Ok(())
}

fn render() -> Vec<Rgb> {
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let mut sum = [0.0; 3];
            for i in 0..FINE * FINE {
                let fine = |at: usize, part: usize| (at as f32 + (part as f32 + 0.5) / FINE as f32) / HEIGHT as f32;
                let rgb = scene(fine(x, i % FINE), fine(y, i / FINE));
                sum = add(sum, rgb, 1.0 / (FINE * FINE) as f32);
            }
            pixels.push(sum);
        }
    }
    pixels
}

/// The colour at a point; the picture is 1.5 wide and 1 high, y grows downward.
fn scene(x: f32, y: f32) -> Rgb {
    const SHORE: f32 = 0.62;
    let tree = pines(x, y);
    if tree {
        return [0.035, 0.045, 0.06];
    }
    if y < SHORE {
        return land_and_sky(x, y);
    }
    // The lake: what stands above it, stretched and shaken by ripples that grow toward us.
    let depth = y - SHORE;
    let ripple = fbm(x * 9.0 / (0.15 + depth), depth.powf(0.6) * 90.0) - 0.5;
    let mirrored =
        land_and_sky(x + ripple * 0.05 * (0.2 + depth), SHORE - depth * 0.95 - ripple * 0.06 * (0.1 + depth));
    let shine = smooth(0.62, 0.8, fbm(x * 22.0, depth.powf(0.5) * 150.0)) * 0.18;
    let water = mix(mirrored, [0.05, 0.09, 0.16], 0.22 + depth * 0.55);
    add(water, [1.0, 0.72, 0.5], shine * (-((x - 0.98) * 5.0).powi(2)).exp())
}

fn land_and_sky(x: f32, y: f32) -> Rgb {
    let mut colour = sky(x, y);
    // Ridges from the farthest to the nearest: base height, relief, detail, share of haze.
    for (i, (base, relief, detail, haze)) in
        [(0.40, 0.16, 2.2, 0.72), (0.47, 0.14, 3.1, 0.5), (0.545, 0.10, 4.3, 0.28), (0.60, 0.07, 6.5, 0.08)]
            .iter()
            .enumerate()
    {
        let seed = i as f32 * 17.3;
        let ridge = base - relief * (1.0 - 2.0 * (fbm(x * detail + seed, seed) - 0.5).abs() * 1.6) + relief * 0.35;
        if y > ridge {
            let rough = fbm(x * 30.0 + seed, y * 46.0) - 0.5;
            let slope = fbm((x + 0.012) * detail + seed, seed) - fbm(x * detail + seed, seed);
            let lit = (0.16 + rough * 0.10 + slope * 3.0).clamp(0.02, 0.5);
            let rock = [lit * 0.95, lit * 0.85, lit * 1.1];
            let snow = smooth(0.05, 0.0, y - ridge + rough * 0.05) * f32::from(u8::from(i < 2)) * 0.55;
            let rock = mix(rock, [0.93, 0.80, 0.78], snow);
            colour = mix(rock, sky(x, y - 0.04), *haze);
        }
    }
    colour
}

fn sky(x: f32, y: f32) -> Rgb {
    let bands: [(f32, Rgb); 4] =
        [(0.0, [0.09, 0.13, 0.30]), (0.22, [0.36, 0.31, 0.50]), (0.40, [0.93, 0.53, 0.42]), (0.60, [1.0, 0.82, 0.56])];
    let y = y.max(0.0);
    let above = bands.iter().rposition(|(at, _)| *at <= y).unwrap_or(0).min(bands.len() - 2);
    let ((y0, low), (y1, high)) = (bands[above], bands[above + 1]);
    let mut colour = mix(low, high, smooth(y0, y1, y));
    let clouds = fbm(x * 2.6 + 3.0, y * 13.0);
    colour = mix(colour, [1.0, 0.66, 0.55], smooth(0.52, 0.78, clouds) * 0.6 * smooth(0.45, 0.2, y));
    let (dx, dy) = (x - 0.98, y - 0.335);
    let distance = dx.hypot(dy);
    colour = add(colour, [1.0, 0.62, 0.34], 0.5 * (-distance * 6.5).exp());
    mix(colour, [1.0, 0.95, 0.80], smooth(0.052, 0.047, distance))
}

/// Whether a point lies on one of the trees at the edges.
fn pines(x: f32, y: f32) -> bool {
    (0..11).any(|i| {
        let random = |salt: u32| hash(i, salt);
        let left = i < 6;
        let foot = if left { random(1) * 0.34 } else { 1.5 - random(1) * 0.26 };
        let height = 0.24 + 0.42 * random(2) * (1.0 - (foot - if left { 0.0 } else { 1.5 }).abs() * 1.6).max(0.2);
        let up = (1.02 - y) / height;
        if !(0.0..=1.0).contains(&up) {
            return false;
        }
        let layers = 13.0;
        let jag = (up * layers).fract();
        let ragged = 0.75 + 0.5 * hash((up * layers) as u32 + i * 31, 5 + u32::from(x > foot));
        let reach = 0.17 * height.sqrt() * (1.0 - up) * (1.0 - 0.55 * jag) * ragged + 0.003;
        (x - foot).abs() < reach
    })
}

fn blur(picture: &[Rgb], sigma: f32) -> Vec<Rgb> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let pass = |source: &[Rgb], across: bool| -> Vec<Rgb> {
        let pixel = |at: usize| {
            let (x, y) = ((at % WIDTH) as isize, (at / WIDTH) as isize);
            (-reach..=reach).zip(&weights).fold([0.0; 3], |sum, (d, weight)| {
                let (x, y) = if across { (x + d, y) } else { (x, y + d) };
                let (x, y) = (x.clamp(0, WIDTH as isize - 1), y.clamp(0, HEIGHT as isize - 1));
                add(sum, source[y as usize * WIDTH + x as usize], weight / total)
            })
        };
        (0..WIDTH * HEIGHT).map(pixel).collect()
    };
    pass(&pass(picture, true), false)
}

/// Blurred in one place only: the mountain on the right.
fn smudge(picture: &[Rgb]) -> Vec<Rgb> {
    let blurred = blur(picture, 3.0);
    let share = |at: usize| {
        let (x, y) = ((at % WIDTH) as f32 / HEIGHT as f32, (at / WIDTH) as f32 / HEIGHT as f32);
        smooth(0.22, 0.14, (x - 1.12).hypot(y - 0.42))
    };
    picture.iter().zip(&blurred).enumerate().map(|(at, (sharp, soft))| mix(*sharp, *soft, share(at))).collect()
}

fn noise(picture: &[Rgb], sigma: f32) -> Vec<Rgb> {
    let gauss = |at: usize, c: u32| (0..12).map(|i| hash(at as u32, 100 + 12 * c + i)).sum::<f32>() - 6.0;
    picture.iter().enumerate().map(|(at, rgb)| [0, 1, 2].map(|c| rgb[c as usize] + sigma * gauss(at, c))).collect()
}

fn jpeg(picture: &[Rgb], quality: u8) -> Result<Vec<Rgb>, image::ImageError> {
    let bytes: Vec<u8> = picture.iter().flatten().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality).encode(
        &bytes,
        WIDTH as u32,
        HEIGHT as u32,
        image::ExtendedColorType::Rgb8,
    )?;
    let decoded = image::load_from_memory(&file)?.into_rgb8();
    Ok(decoded.pixels().map(|pixel| pixel.0.map(|v| f32::from(v) / 255.0)).collect())
}

/// A number in [0, 1) from two whole ones.
fn hash(a: u32, b: u32) -> f32 {
    let mut h = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// Smooth noise in [0, 1): random values on a grid of whole numbers, and between them an S-curve.
fn value_noise(x: f32, y: f32) -> f32 {
    let (xi, yi) = (x.floor(), y.floor());
    let corner = |dx: i32, dy: i32| hash((xi as i32 + dx) as u32, (yi as i32 + dy) as u32 ^ 0x5bd1);
    let (u, v) = (smooth(0.0, 1.0, x - xi), smooth(0.0, 1.0, y - yi));
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
    top + (bottom - top) * v
}

/// Five octaves of noise, in [0, 1).
fn fbm(x: f32, y: f32) -> f32 {
    let octave = |i: i32| {
        let scale = 2f32.powi(i);
        value_noise(x * scale + i as f32 * 7.1, y * scale) / (2.0 * scale)
    };
    (0..5).map(octave).sum()
}

fn smooth(from: f32, to: f32, at: f32) -> f32 {
    let t = ((at - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share.clamp(0.0, 1.0))
}

fn add(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + b[i] * share)
}
