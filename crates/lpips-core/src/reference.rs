//! Cached features of a reference, for many comparisons.

use candle_core::Tensor;

use crate::comparison::Comparison;
use crate::error::Result;
use crate::features::Features;
#[cfg(feature = "image")]
use crate::image::Picture;
use crate::input::{Images, Source};
use crate::lpips::Lpips;
use crate::range::Range;
use crate::tile;

/// A reference with its features, if they fit in memory. Made by [`Lpips::cache_reference`], used by
/// [`Lpips::compare_to`].
///
/// ```
/// use lpips_core::{Lpips, Network, Picture};
///
/// let reference = Picture::from_rgb8(64, 64, vec![128; 64 * 64 * 3])?;
/// let candidates = [0, 128, 255].map(|v| Picture::from_rgb8(64, 64, vec![v; 64 * 64 * 3]).unwrap());
/// let lpips = Lpips::new(Network::AlexNet)?;
///
/// let reference = lpips.cache_reference(&reference)?;
/// for candidate in &candidates {
///     println!("{:.4}", lpips.compare_to(&reference, candidate)?.values()?[0]);
/// }
/// # assert_eq!(lpips.compare_to(&reference, &candidates[1])?.values()?, [0.0]);
/// # Ok::<(), lpips_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reference {
    pictures: Owned,
    features: Option<Features>,
}

/// Pictures held for the comparisons for which there are no features.
#[derive(Debug, Clone)]
enum Owned {
    Tensor(Tensor, Range),
    #[cfg(feature = "image")]
    Picture(Picture),
}

impl Owned {
    fn images(&self) -> Images<'_> {
        match self {
            Self::Tensor(tensor, range) => Images::new(tensor, *range),
            #[cfg(feature = "image")]
            Self::Picture(picture) => Images::from(picture),
        }
    }
}

impl Lpips {
    /// Caches the features of a reference, or of a batch of N, for many comparisons.
    ///
    /// Where they do not fit in memory ([`Builder::memory`](crate::Builder::memory)), or the device runs out of it, the
    /// pictures alone are held, and each comparison takes them through the network again.
    ///
    /// # Errors
    /// Those of [`Self::features`].
    pub fn cache_reference<'a>(&self, pictures: impl Into<Images<'a>>) -> Result<Reference> {
        let pictures = pictures.into();
        let fits = tile::fits(self.memory(), self.backbone(), pictures.batch() + 1, pictures.size()?)?;
        let features = if fits { tile::unless_out_of_memory(self.features(pictures))? } else { None };
        let pictures = match pictures.source() {
            Source::Tensor(tensor, range) => Owned::Tensor(tensor.clone(), range),
            #[cfg(feature = "image")]
            Source::Picture(picture) => Owned::Picture(picture.clone()),
        };
        Ok(Reference { pictures, features })
    }

    /// Comparison of a cached reference with pictures, as [`Self::compare`] does it.
    ///
    /// # Errors
    /// Those of [`Self::compare`], and a reference cached for another network, version or choice of taps.
    pub fn compare_to<'a>(&self, reference: &Reference, pictures: impl Into<Images<'a>>) -> Result<Comparison> {
        let pictures = pictures.into();
        if let Some(features) = &reference.features {
            let compared = self.features(pictures).and_then(|other| self.compare_features(features, &other));
            if let Some(comparison) = tile::unless_out_of_memory(compared)? {
                return Ok(comparison);
            }
        }
        self.compare(reference.pictures.images(), pictures)
    }
}
