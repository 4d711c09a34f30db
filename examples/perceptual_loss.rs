//! Turns noise into a picture by minimising the LPIPS distance to a target with Adam.
//!
//! `cargo run --release --example perceptual_loss [STEPS [FOLDER]]` writes a frame every 20 steps and prints the
//! distance.

use std::path::PathBuf;

use candle_core::{Device, Tensor, Var};
use lpips_core::{Lpips, Network, Picture};
use lpips_train::{Adam, AdamConfig, Optimizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let steps: u32 = arguments.next().map_or(Ok(300), |steps| steps.parse())?;
    let folder = arguments.next().map_or_else(|| PathBuf::from("target/perceptual_loss"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;

    let lpips = Lpips::new(Network::AlexNet)?;
    let target = Picture::open("assets/pictures/lake.png")?.resize(144, 96)?.to_tensor(&Device::Cpu)?;
    let target_features = lpips.features(&target)?;
    let picture = Var::from_tensor(&Tensor::rand(-1f32, 1f32, target.shape(), &Device::Cpu)?)?;
    let config = AdamConfig { lr: 0.02, beta1: 0.9, ..AdamConfig::default() };
    let mut adam = Adam::new(vec![picture.clone()], config)?;

    for step in 0..=steps {
        let comparison = lpips.compare_features(&target_features, &lpips.features(picture.as_tensor())?)?;
        if step % 20 == 0 || step == steps {
            println!("step {step:>4}  distance {:.5}", comparison.values()?[0]);
            Picture::from_tensor(&picture)?.save_png(folder.join(format!("{step:04}.png")))?;
        }
        if step < steps {
            adam.backward_step(&comparison.distance()?)?;
            // Clamped to the range of pictures.
            picture.set(&picture.as_detached_tensor().clamp(-1f32, 1f32)?)?;
        }
    }
    println!("frames are in {}", folder.display());
    Ok(())
}
