//! Where weights come from, how a file of them is read, and how the right ones are known.
//!
//! [`Weights::find`] tries, in this order: an explicit path; the folder named by `LPIPS_WEIGHTS_DIR`; the weights bundled
//! into the binary (AlexNet, feature `bundled`); PyTorch's hub cache; the Hugging Face cache; and a download from the
//! Hugging Face hub (feature `hub`). Everything but an explicit path is taken only if its numbers are the official ones.

mod format;
#[cfg(feature = "hub")]
mod hub;
mod pickle;
mod random;
mod source;
pub(crate) mod verify;

pub use format::Archive;
pub use source::{Finder, Origin, Progress};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

use crate::Network;
use crate::error::Result;

/// A tensor: its name, its shape and its elements.
type Named = (String, Vec<usize>, Vec<f32>);

/// The convolution weights of one network, checked: the tensors of its table in their shapes, all finite.
#[derive(Debug, Clone)]
pub struct Weights {
    network: Network,
    tensors: Vec<Named>,
    origin: Origin,
    sha256: Option<String>,
}

impl Weights {
    /// The official weights of `network`, from the first of the usual places that has them.
    ///
    /// Same as [`Finder::default`] and [`Finder::find`].
    ///
    /// # Errors
    /// No place has them (the message says which were tried and where to put which file), or a place that was named on
    /// purpose has something else.
    pub fn find(network: Network) -> Result<Self> {
        Finder::default().find(network)
    }

    /// The network's weights out of a file that was opened with [`Archive::open`], whether official or not.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, holds NaN or infinity, or belongs to another network.
    pub fn from_archive(network: Network, archive: &Archive) -> Result<Self> {
        Self::from_archive_up_to(network, archive, network.architecture().features.len() - 1)
    }

    /// [`Self::from_archive`] of a file that may end after the layer at `last`: a model with its last tap there needs no more.
    ///
    /// # Errors
    /// Those of [`Self::from_archive`].
    pub fn from_archive_up_to(network: Network, archive: &Archive, last: usize) -> Result<Self> {
        let tensors = verify::complete(network, archive, last)?;
        let sha256 = verify::content_hash(numbers(&tensors));
        let origin = Origin::File(archive.path().to_path_buf());
        Ok(Self { network, tensors, origin, sha256: Some(sha256) })
    }

    /// The network they belong to.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Where they came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// SHA-256 over the tensors in table order as little-endian f32, in hex; the same for every file format.
    pub fn sha256(&self) -> String {
        self.sha256.clone().unwrap_or_else(|| verify::content_hash(numbers(&self.tensors)))
    }

    /// Whether these are torchvision's ImageNet weights, number for number; `None` if no hash is known to compare with.
    pub fn is_official(&self) -> Option<bool> {
        let published = self.network.architecture().published?;
        Some(self.sha256() == published.sha256)
    }

    /// The tensors as constants of a type on a device, under torchvision's names, for [`Backbone::new`](crate::Backbone::new).
    ///
    /// # Errors
    /// Those of candle: a device without memory for them, or without that type.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        self.clone().into_var_builder(dtype, device)
    }

    /// [`Self::var_builder`] of weights that are not needed any more: in f32 on the CPU no number is copied.
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

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
