//! The distance between two pictures, its parts by layer, and what another network says.
//!
//! `cargo run --example one_pair [REFERENCE CANDIDATE]`

use candle_core::Device;
use lpips_core::{Lpips, Network, Picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args().skip(1);
    let reference = paths.next().unwrap_or_else(|| "assets/pictures/lake.png".to_string());
    let candidate = paths.next().unwrap_or_else(|| "assets/pictures/lake_jpeg.png".to_string());
    let a = Picture::open(reference)?.to_tensor(&Device::Cpu)?;
    let b = Picture::open(candidate)?.to_tensor(&Device::Cpu)?;

    let lpips = Lpips::new(Network::AlexNet)?;
    let comparison = lpips.compare(&a, &b)?;
    println!("alex      {:.5}", comparison.distance()?.flatten_all()?.to_vec1::<f32>()?[0]);
    for layer in comparison.layers()? {
        println!("  {:<8}{:.5}", layer.name, layer.distance.flatten_all()?.to_vec1::<f32>()?[0]);
    }
    // VGG-16's weights are fetched on first use; without a network there is nothing to show.
    match Lpips::new(Network::Vgg16) {
        Ok(lpips) => println!("vgg       {:.5}", lpips.forward(&a, &b)?.flatten_all()?.to_vec1::<f32>()?[0]),
        Err(error) => println!("vgg       not compared: {error}"),
    }
    Ok(())
}
