//! Conversion of luma and chroma to red, green and blue.

pub(in crate::video) mod planes;
mod standard;

pub(in crate::video) use planes::{Chroma, Planes};
pub use standard::{ColourMatrix, ColourRange};
