//! The convolution weights of one network.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::archive::Archive;
use super::origin::Origin;
use super::verify::{self, Named};
use crate::Network;
use crate::error::Result;
use crate::hash::content_hash;

/// The convolution weights of one network, checked: the tensors of its table in their shapes, all finite.
///
/// ```
/// use lpips_models::Network;
/// use lpips_models::weights::{Origin, Weights};
///
/// let weights = Weights::random(Network::SqueezeNet1_1, 7);
/// assert_eq!(weights.origin(), &Origin::Random(7));
/// assert_eq!(weights.is_official(), Some(false));
/// assert_eq!(weights.sha256(), Weights::random(Network::SqueezeNet1_1, 7).sha256());
/// ```
#[derive(Debug, Clone)]
pub struct Weights {
    pub(super) network: Network,
    pub(super) tensors: Vec<Named>,
    pub(super) origin: Origin,
    pub(super) sha256: Option<String>,
}

impl Weights {
    /// Reads the network's weights from an [`Archive`], whether official or not.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, holds NaN or infinity, or belongs to another network.
    pub fn from_archive(network: Network, archive: &Archive) -> Result<Self> {
        Self::from_archive_up_to(network, archive, network.architecture().features.len() - 1)
    }

    /// [`Self::from_archive`] of a file that may end after the layer at `last`, the last tap of a model.
    ///
    /// # Errors
    /// Those of [`Self::from_archive`].
    pub fn from_archive_up_to(network: Network, archive: &Archive, last: usize) -> Result<Self> {
        let tensors = verify::complete(network, archive, last)?;
        let sha256 = content_hash(numbers(&tensors));
        let origin = Origin::File(archive.path().to_path_buf());
        Ok(Self { network, tensors, origin, sha256: Some(sha256) })
    }

    /// The network they belong to.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The origin of the weights.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// SHA-256 over the tensors in table order as little-endian f32, in hex; the same for every file format.
    pub fn sha256(&self) -> String {
        self.sha256.clone().unwrap_or_else(|| content_hash(numbers(&self.tensors)))
    }

    /// Whether these are torchvision's ImageNet weights, number for number; `None` if no hash is known to compare with.
    pub fn is_official(&self) -> Option<bool> {
        let published = self.network.architecture().published?;
        Some(self.sha256() == published.sha256)
    }

    /// The tensors as constants of a type on a device, under torchvision's names, for
    /// [`Backbone::new`](crate::Backbone::new).
    ///
    /// # Errors
    /// An error of candle's: a device without memory for them, or without that type.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        self.clone().into_var_builder(dtype, device)
    }

    /// [`Self::var_builder`] by value: in f32 on the CPU no number is copied.
    ///
    /// # Errors
    /// Those of [`Self::var_builder`].
    pub fn into_var_builder(self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        let tensor =
            |(name, shape, data)| Ok((name, Tensor::from_vec::<_, f32>(data, shape, device)?.to_dtype(dtype)?));
        let tensors = self.tensors.into_iter().map(tensor).collect::<Result<HashMap<_, _>>>()?;
        Ok(VarBuilder::from_tensors(tensors, dtype, device))
    }
}

fn numbers(tensors: &[Named]) -> impl Iterator<Item = &[f32]> {
    tensors.iter().map(|(_, _, data)| data.as_slice())
}
