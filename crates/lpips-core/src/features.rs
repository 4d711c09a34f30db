//! Features: the tapped activations of a backbone for a batch of pictures.

use std::fmt;

use candle_core::Tensor;
use lpips_models::Network;

use crate::error::Result;
use crate::size::Size;
use crate::version::Version;

/// Features of a batch of pictures: the activations of each tapped layer, (N, H', W', C), in the network's type.
///
/// Computed once by [`Lpips::features`](crate::Lpips::features), compared many times by
/// [`Lpips::compare_features`](crate::Lpips::compare_features).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use lpips_core::{Lpips, Network, Size};
///
/// let lpips = Lpips::new(Network::AlexNet)?;
/// let pictures = Tensor::rand(-1f32, 1f32, (2, 3, 48, 64), &Device::Cpu)?;
/// let features = lpips.features(&pictures)?;
/// assert_eq!((features.batch(), features.size()), (2, Size { width: 64, height: 48 }));
/// let (first, second) = (features.picture(0)?, features.picture(1)?);
/// assert!(lpips.compare_features(&first, &second)?.values()?[0] > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Features {
    pub(crate) taps: Vec<Tensor>,
    pub(crate) size: Size,
    pub(crate) spec: FeatureSpec,
}

/// Network, version and taps of features; equal for features that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeatureSpec {
    pub(crate) network: Network,
    pub(crate) version: Version,
    pub(crate) taps: Vec<&'static str>,
}

impl fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} tapped at {}", self.network, self.version, self.taps.join(", "))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Features");
        debug.field("batch", &self.batch()).field("size", &self.size).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Features {
    /// Number of pictures.
    pub fn batch(&self) -> usize {
        self.taps.first().map_or(0, |tap| tap.dims()[0])
    }

    /// Size of the pictures in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Features of one of the pictures, counted from 0, in memory of their own.
    ///
    /// # Errors
    /// An index outside the batch.
    pub fn picture(&self, index: usize) -> Result<Self> {
        let taps = self.taps.iter().map(|tap| tap.narrow(0, index, 1)?.force_contiguous());
        Ok(Self { taps: taps.collect::<candle_core::Result<_>>()?, size: self.size, spec: self.spec.clone() })
    }

    /// Bytes of memory that the features take.
    pub fn size_in_bytes(&self) -> usize {
        self.taps.iter().map(|tap| tap.elem_count() * tap.dtype().size_in_bytes()).sum()
    }
}
