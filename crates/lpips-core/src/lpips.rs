//! The metric: distances between pictures.

use std::fmt;

use candle_core::{Device, Tensor};
use lpips_models::Backbone;
use lpips_models::ops;

use crate::comparison::Comparison;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::features::{FeatureSpec, Features};
use crate::head::Head;
#[cfg(feature = "image")]
use crate::image::Picture;
use crate::input::{self, Images};
use crate::pairs;
use crate::size::Size;
use crate::tile::{self, Memory, Need};
use crate::version::Version;

/// The learned perceptual image patch similarity: how far apart two pictures look to people, 0 for equal ones.
///
/// The same numbers as the published `lpips` package (0.1.4), to 1e-5.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::{Lpips, Network};
///
/// let lpips = Lpips::new(Network::AlexNet)?;
/// let a = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let b = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu)?;
/// let distance = lpips.forward(&a, &b)?;
/// assert_eq!(distance.dims(), [2, 1, 1, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Lpips {
    backbone: Backbone,
    head: Head,
    version: Version,
    memory: Memory,
}

impl fmt::Debug for Lpips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lpips")
            .field("network", &self.backbone.network())
            .field("version", &self.version)
            .field("taps", &self.tap_names())
            .field("lins", &self.has_lins())
            .field("dtype", &self.backbone.dtype())
            .field("device", &self.device().location())
            .finish_non_exhaustive()
    }
}

impl Lpips {
    pub(crate) fn from_parts(backbone: Backbone, head: Head, version: Version, memory: Memory) -> Self {
        Self { backbone, head, version, memory }
    }

    /// Distance of each pair, (N, 1, 1, 1), of batches of N pictures, or of one picture and N.
    ///
    /// A plain `&Tensor`, (N, 3, H, W), is taken to hold values in [-1, 1]; see [`Images`] for other ranges and for
    /// decoded pictures. Inputs on another device are moved to the metric's.
    ///
    /// Symmetric, at least 0, and 0 for equal pictures. Differentiable with respect to both pictures and, where they
    /// are variables, all weights; gradients are finite everywhere.
    ///
    /// # Errors
    /// Pictures that differ in size, are too small for the network, do not have three channels, or hold NaN, infinity
    /// or, unless gradients flow to them, values outside of their range; a device that runs out of memory even at the
    /// lowest bands.
    pub fn forward<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<Tensor> {
        self.compare(a, b)?.distance()
    }

    /// Distance of two decoded pictures of one size.
    ///
    /// ```
    /// use lpips_core::{Lpips, Network, Picture};
    ///
    /// let gray = Picture::from_rgb8(64, 64, vec![128; 64 * 64 * 3])?;
    /// let white = Picture::from_rgb8(64, 64, vec![255; 64 * 64 * 3])?;
    /// let lpips = Lpips::new(Network::AlexNet)?;
    /// assert!(lpips.distance(&gray, &white)? > 0.01);
    /// assert_eq!(lpips.distance(&gray, &gray)?, 0.0);
    /// # Ok::<(), lpips_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::forward`], and [`Error::NotFiniteDistance`].
    #[cfg(feature = "image")]
    pub fn distance(&self, a: &Picture, b: &Picture) -> Result<f32> {
        let values = self.compare(a, b)?.values()?;
        values.first().copied().ok_or(Error::NoPairs)
    }

    /// Comparison of batches as [`Self::forward`] takes them: distances, their parts by layer, and maps.
    ///
    /// Pictures that would take more memory than allowed ([`Builder::memory`](crate::Builder::memory)) go through the
    /// network band by band, to the same results (bit for bit on the CPU), unless gradients are to flow through it.
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub fn compare<'a>(&self, a: impl Into<Images<'a>>, b: impl Into<Images<'a>>) -> Result<Comparison> {
        let batches = [a.into(), b.into()];
        let (size, pairs) = input::broadcast(batches[0], batches[1])?;
        self.compare_stacked(&batches, size, &pairs)
    }

    /// Comparison of decoded pictures by their indices, from 0: one that is in several pairs goes through the network
    /// once. The comparison's first axis is that of `pairs`.
    ///
    /// # Errors
    /// Those of [`Self::forward`], and an index outside `pictures`.
    #[cfg(feature = "image")]
    pub fn compare_pictures(&self, pictures: &[&Picture], pairs: &[(usize, usize)]) -> Result<Comparison> {
        pairs::check(pairs, (pictures.len(), pictures.len()))?;
        let size = common_size(pictures)?;
        self.compare_stacked(&images(pictures), size, pairs)
    }

    /// Compares pairs among batches stacked in this order.
    fn compare_stacked(&self, batches: &[Images<'_>], size: Size, pairs: &[(usize, usize)]) -> Result<Comparison> {
        self.backbone.check_size(size.height, size.width)?;
        let count = batches.iter().map(Images::batch).sum();
        let held = batches.iter().map(Images::size_in_bytes).sum();
        let tracked =
            batches.iter().any(Images::is_tracked) || self.backbone.has_variables() || self.head.has_variables();
        let need = Need::of(&self.backbone, count, pairs.len(), size, held)?;
        let room = if tracked { need.whole } else { need.room(self.memory, &self.backbone).min(need.whole) };
        let rows = |from, rows| input::channels_last(batches, (from, rows), self.version, self.device());
        let attempt = |room| {
            let bands = need.bands(&self.backbone, count, size, room)?;
            let maps = tile::maps((&self.backbone, &self.head), pairs, size, &bands, rows)?;
            Ok(Comparison::new(self.tap_names().into_iter().zip(maps).collect(), size))
        };
        // Bands would save nothing where gradients keep all of them.
        ops::in_pool(|| if tracked { attempt(room) } else { tile::with_less(room, attempt) })
    }

    /// Features of a batch of pictures, to be compared with [`Self::compare_features`].
    ///
    /// They are whole taps, hundreds of bytes for each pixel, whatever memory is allowed: where pictures may be large,
    /// check [`Self::fits_in_memory`] first, and use [`Self::compare`] if they do not fit.
    ///
    /// The number of pictures may change the last bits of the features, as it decides how convolutions are computed:
    /// distances between features of batches of different size are those of [`Self::forward`] to about 1e-7. See
    /// [`Builder::batch_invariant`](crate::Builder::batch_invariant).
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub fn features<'a>(&self, images: impl Into<Images<'a>>) -> Result<Features> {
        let images = images.into();
        self.features_of(&[images], images.size()?)
    }

    /// Features of decoded pictures of one size, in one batch.
    ///
    /// # Errors
    /// Those of [`Self::features`], and pictures of different sizes.
    #[cfg(feature = "image")]
    pub fn features_of_pictures(&self, pictures: &[&Picture]) -> Result<Features> {
        let size = common_size(pictures)?;
        self.features_of(&images(pictures), size)
    }

    fn features_of(&self, batches: &[Images<'_>], size: Size) -> Result<Features> {
        ops::in_pool(|| {
            self.backbone.check_size(size.height, size.width)?;
            let pictures = input::channels_last(batches, (0, size.height), self.version, self.device())?;
            let taps = self.backbone.features_channels_last(&pictures)?;
            ops::recycle(pictures, Some(&taps[0]))?;
            Ok(Features { taps, size, spec: self.spec() })
        })
    }

    /// Comparison of features of this metric's network: as many with as many, or one with many.
    ///
    /// # Errors
    /// Pictures that differ in size, or features made by another network, version or choice of taps.
    pub fn compare_features(&self, a: &Features, b: &Features) -> Result<Comparison> {
        self.compare_feature_pairs(a, b, &pairs::broadcast(a.batch(), b.batch())?)
    }

    /// Comparison of features by the indices of pictures in `a` and in `b`, from 0. The comparison's first axis is that
    /// of `pairs`.
    ///
    /// # Errors
    /// Those of [`Self::compare_features`], and an index outside its batch.
    pub fn compare_feature_pairs(&self, a: &Features, b: &Features, pairs: &[(usize, usize)]) -> Result<Comparison> {
        pairs::same_size(a.size, b.size)?;
        pairs::check(pairs, (a.batch(), b.batch()))?;
        let own = self.spec();
        if let Some(other) = [a, b].into_iter().find(|features| features.spec != own) {
            return Err(Error::FeatureMismatch { features: other.spec.to_string(), metric: own.to_string() });
        }
        ops::in_pool(|| {
            let maps = self.head.distances(&a.taps, &b.taps, pairs, None)?;
            Ok(Comparison::new(own.taps.into_iter().zip(maps).collect(), a.size))
        })
    }

    /// Whether the features of two pictures of this size, or a comparison of the two as a whole, fit in the memory
    /// allowed ([`Builder::memory`](crate::Builder::memory)). Where they do not, [`Self::compare`] works band by band,
    /// and [`Self::features`] takes more than that.
    ///
    /// # Errors
    /// Pictures that are too small for the network.
    pub fn fits_in_memory(&self, size: Size) -> Result<bool> {
        tile::fits(self.memory, &self.backbone, 2, size)
    }

    /// Number of pairs of this size, from 1 to `most`, that fit as a whole in the memory allowed; 1 where not even one
    /// does, as [`Self::compare_pictures`] takes a single pair band by band.
    ///
    /// # Errors
    /// Pictures that are too small for the network.
    pub fn max_batch(&self, most: usize, size: Size) -> Result<usize> {
        let mut pairs = most.max(1);
        while pairs > 1 && !tile::fits(self.memory, &self.backbone, 2 * pairs, size)? {
            pairs /= 2;
        }
        Ok(pairs)
    }

    /// Names of the tapped layers, in the order of the network.
    pub fn tap_names(&self) -> Vec<&'static str> {
        self.backbone.taps()
    }

    /// Network under the metric.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// Version of LPIPS: the scaling of the input and the published lin heads.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether channels are weighted by lin heads; `false` for the baseline.
    pub fn has_lins(&self) -> bool {
        self.head.has_lins()
    }

    /// Device of the weights, on which distances are computed.
    pub fn device(&self) -> &Device {
        self.backbone.device()
    }

    /// Choices of network, version, heads and taps, from which [`Lpips::load`] builds the same metric.
    pub fn config(&self) -> Config {
        let network = self.backbone.network();
        let taps = self.tap_names();
        let mut config = Config::new(network);
        config.version = self.version;
        config.lins = self.has_lins();
        config.taps = (taps != network.architecture().taps).then(|| taps.into_iter().map(String::from).collect());
        config.batch_invariant = self.backbone.is_batch_invariant();
        config
    }

    pub(crate) fn spec(&self) -> FeatureSpec {
        FeatureSpec { network: self.backbone.network(), version: self.version, taps: self.tap_names() }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn memory(&self) -> Memory {
        self.memory
    }
}

#[cfg(feature = "image")]
fn images<'a>(pictures: &[&'a Picture]) -> Vec<Images<'a>> {
    pictures.iter().map(|picture| Images::from(*picture)).collect()
}

/// Size of pictures, which is the same for all.
#[cfg(feature = "image")]
fn common_size(pictures: &[&Picture]) -> Result<Size> {
    let first = pictures.first().ok_or(Error::NoPictures)?.size();
    pictures.iter().try_for_each(|picture| pairs::same_size(first, picture.size()))?;
    Ok(first)
}
