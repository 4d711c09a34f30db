//! The distortions that the LPIPS paper calls traditional, each at a strength.
//!
//! Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, table 2; with brightness
//! and hue besides. The parameters here are this crate's own, not the paper's. Lengths are in parts of a patch's side, values
//! of pixels from 0 to 1 as files have them (sRGB). A strength acts on the size of a change and never on its kind: what is drawn
//! at random (a direction, the pattern of noise) is the same at every strength. The mean squared error rises with the
//! strength; of what moves pixels, only where the picture does not repeat itself: a shift by its period brings it back.

mod blur;
mod compression;
pub mod contact_sheet;
mod distortion;
mod noise;
mod photometric;
mod spatial;

pub use distortion::Distortion;
