//! Traditional distortions of the LPIPS paper, each with a strength from 0 to 1.
//!
//! Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, table 2, with
//! brightness and hue added. The parameters are this crate's own, not the paper's. Lengths are fractions of a patch's
//! side; pixel values are in [0, 1], sRGB-encoded. The strength scales a change and never selects it: random draws (a
//! direction, the pattern of noise) are the same at every strength. The mean squared error rises with the strength; for
//! spatial distortions only where the picture does not repeat itself, as a shift by its period restores it.

mod blur;
mod compression;
pub mod contact_sheet;
mod distortion;
mod noise;
mod photometric;
mod spatial;

pub use distortion::Distortion;
