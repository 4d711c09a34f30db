//! LPIPS as a training loss: learns a filter that sharpens a blurred picture.
//!
//! `cargo run --release --example training_loss [STEPS]`

use candle_core::{Device, Tensor, Var};
use lpips_core::{Lpips, Network, Picture};
use lpips_train::{Adam, AdamConfig, Optimizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: u32 = std::env::args().nth(1).map_or(Ok(60), |steps| steps.parse())?;
    let open = |name: &str| {
        let picture = Picture::open(format!("assets/pictures/{name}.png"))?;
        // A part is enough, and faster.
        Ok::<_, lpips_core::Error>(picture.to_tensor(&Device::Cpu)?.narrow(2, 96, 96)?.narrow(3, 180, 128)?)
    };
    let (sharp, blurred) = (open("lake")?, open("lake_blur")?);

    // One 5x5 filter for each pair of channels, at first the identity.
    let mut filter = vec![0f32; 3 * 3 * 25];
    for c in 0..3 {
        filter[(c * 3 + c) * 25 + 12] = 1.0;
    }
    let filter = Var::from_vec(filter, (3, 3, 5, 5), &Device::Cpu)?;
    let sharpen = |x: &Tensor| x.conv2d(&filter, 2, 1, 1, 1);

    let lpips = Lpips::new(Network::AlexNet)?;
    let mut adam = Adam::new(vec![filter.clone()], AdamConfig { lr: 0.002, ..AdamConfig::default() })?;
    for step in 0..=steps {
        let output = sharpen(&blurred)?;
        let perceptual = lpips.forward(&sharp, &output)?.mean_all()?;
        // A small share of squared error holds the colours.
        let loss = (&perceptual + ((&output - &sharp)?.sqr()?.mean_all()? * 0.5)?)?;
        if step % 10 == 0 {
            println!(
                "step {step:>3}  loss {:.5}  of it LPIPS {:.5}",
                loss.to_scalar::<f32>()?,
                perceptual.to_scalar::<f32>()?
            );
        }
        adam.backward_step(&loss)?;
    }
    Ok(())
}
