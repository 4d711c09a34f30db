//! Picture files and pictures in memory.

mod decoder;
mod picture;

pub use decoder::Decoder;
pub use picture::Picture;
#[cfg(feature = "cache")]
pub(crate) use picture::Pixels;

/// Extensions of the picture files that [`Decoder`] reads, in lower case.
pub const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"];
