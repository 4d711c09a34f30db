//! Distance between two pictures, its parts by layer, and the distance by another network.
//!
//! `cargo run --example one_pair [REFERENCE CANDIDATE]`

use lpips_core::{Lpips, Network, Picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args().skip(1);
    let reference = paths.next().unwrap_or_else(|| "assets/pictures/lake.png".to_string());
    let candidate = paths.next().unwrap_or_else(|| "assets/pictures/lake_jpeg.png".to_string());
    let (a, b) = (Picture::open(reference)?, Picture::open(candidate)?);

    let lpips = Lpips::new(Network::AlexNet)?;
    let comparison = lpips.compare(&a, &b)?;
    println!("alex      {:.5}", comparison.values()?[0]);
    for (layer, part) in comparison.layer_values()? {
        println!("  {layer:<8}{:.5}", part[0]);
    }
    // VGG-16's weights are downloaded on first use.
    match Lpips::new(Network::Vgg16) {
        Ok(lpips) => println!("vgg       {:.5}", lpips.distance(&a, &b)?),
        Err(error) => println!("vgg       not compared: {error}"),
    }
    Ok(())
}
