//! One reference compared with many candidates: the reference goes through the network once.
//!
//! `cargo run --example one_against_many [REFERENCE CANDIDATE...]`

use lpips_core::{Lpips, Network, Picture};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths =
            ["", "_blur", "_dim", "_jpeg", "_noise", "_smudge"].map(|s| format!("assets/pictures/lake{s}.png")).into();
    }
    let lpips = Lpips::new(Network::AlexNet)?;
    let reference = lpips.cache_reference(&Picture::open(&paths[0])?)?;
    let mut distances = Vec::new();
    for path in &paths[1..] {
        let distance = lpips.compare_to(&reference, &Picture::open(path)?)?.values()?[0];
        distances.push((distance, path));
    }
    distances.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (distance, path) in distances {
        println!("{distance:.5}  {path}");
    }
    Ok(())
}
