//! Decodes the pictures of an item.

use crate::builtin_samples;
use crate::error::{Error, Result};
use crate::float_image::FloatImage;
use crate::sets::Source;

/// Pictures of an item, `size` pixels each way: reference, p0 and p1 of a triplet, or p0 and p1 of a pair.
///
/// Files are resized as in [`FloatImage::open`].
///
/// # Errors
/// A picture that can't be read.
pub fn load<const N: usize>(source: &Source<N>, size: usize) -> Result<[FloatImage; N]> {
    let pictures = match source {
        Source::Files(files) => files.iter().map(|path| FloatImage::open(path, size)).collect::<Result<Vec<_>>>()?,
        Source::Sample { seed, index } => builtin_samples::draw(*seed, *index, size).into(),
    };
    let expected = |pictures: Vec<_>| Error::argument(format!("{} pictures were given: expected {N}", pictures.len()));
    pictures.try_into().map_err(expected)
}
