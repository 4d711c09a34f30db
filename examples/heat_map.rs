//! Heat map of the differences between two pictures, over the reference.
//!
//! `cargo run --example heat_map [REFERENCE CANDIDATE OUT.png]`

use lpips_core::heatmap::{self, Style};
use lpips_core::{Lpips, Network, Picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args().skip(1);
    let mut next = |default: &str| paths.next().unwrap_or_else(|| default.to_string());
    let reference = Picture::open(next("assets/pictures/lake.png"))?;
    let candidate = Picture::open(next("assets/pictures/lake_smudge.png"))?;
    let out = next("target/heat_map.png");

    let lpips = Lpips::new(Network::AlexNet)?;
    let comparison = lpips.compare(&reference, &candidate)?;
    let style = Style::default().over(&reference);
    heatmap::draw(&comparison.map()?, &style)?.save_png(&out)?;
    println!("{out}");
    Ok(())
}
