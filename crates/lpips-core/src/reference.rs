//! One picture that meets many.

use candle_core::Tensor;

use crate::error::Result;
use crate::input::{Images, Range};
use crate::lpips::{Comparison, Features, Lpips};
use crate::tile;

/// Pictures that others are compared with one after the other: what the network sees in them is computed once, where there is
/// memory to keep it. Made by [`Lpips::cache_reference`], used by [`Lpips::compare_to`].
#[derive(Debug, Clone)]
pub struct Reference {
    pictures: Tensor,
    range: Range,
    features: Option<Features>,
}

impl Lpips {
    /// Keeps what the network sees in pictures (N, 3, H, W) for many comparisons. Where it has no room in memory
    /// ([`Builder::memory`](crate::Builder::memory)), or the device runs out of it, the pictures alone are kept, and each
    /// comparison takes them through the network again.
    ///
    /// # Errors
    /// Those of [`Self::features`].
    pub fn cache_reference<'a>(&self, pictures: impl Into<Images<'a>>) -> Result<Reference> {
        let pictures = pictures.into();
        let (height, width) = pictures.size()?;
        let fits = self.has_room(pictures.batch() + 1, height, width)?;
        let features = if fits { tile::unless_out_of_memory(self.features(pictures))? } else { None };
        let (pictures, range) = pictures.parts();
        Ok(Reference { pictures: pictures.clone(), range, features })
    }

    /// [`Self::compare`] of a reference with pictures.
    ///
    /// # Errors
    /// Those of [`Self::compare`], and a reference made by another network, version or choice of taps.
    pub fn compare_to<'a>(&self, reference: &Reference, pictures: impl Into<Images<'a>>) -> Result<Comparison> {
        let pictures = pictures.into();
        if let Some(features) = &reference.features {
            let seen = self.features(pictures).and_then(|seen| self.compare_features(features, &seen));
            if let Some(comparison) = tile::unless_out_of_memory(seen)? {
                return Ok(comparison);
            }
        }
        self.compare(Images::new(&reference.pictures, reference.range), pictures)
    }
}
