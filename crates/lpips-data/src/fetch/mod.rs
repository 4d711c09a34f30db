//! Download of BAPPS, the Berkeley-Adobe Perceptual Patch Similarity dataset (Zhang et al., 2018), from its authors' three
//! archives.

mod download;
mod parts;
mod unpack;

pub use download::{Counts, Fetch, Step};
pub use parts::{BASE, PARTS, Part};
