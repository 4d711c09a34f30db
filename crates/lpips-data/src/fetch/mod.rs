//! BAPPS, the Berkeley-Adobe Perceptual Patch Similarity dataset (Zhang et al., 2018), as its authors publish it: three
//! archives, fetched and unpacked.

mod download;
mod unpack;

pub use download::{BASE, Counts, Fetch, PARTS, Part, Step};
