//! Features of pictures on disk, reused from one run to the next.

use std::sync::Arc;

use lpips_core::cache::{FeatureCache, Keyer};
use lpips_core::{Features, Lpips, Picture};

use super::image_cache::CachedImage;
use crate::Result;

/// A feature cache on disk and the keys of each backbone's features.
#[derive(Debug)]
pub(super) struct FeatureStore {
    cache: Arc<FeatureCache>,
    /// By backbone.
    keyers: Vec<(Lpips, Keyer)>,
}

impl FeatureStore {
    /// A store of the features of these backbones, each named by one metric on it.
    ///
    /// # Errors
    /// Weights that can't be read from their device.
    pub(super) fn new<'a>(cache: Arc<FeatureCache>, backbones: impl Iterator<Item = &'a Lpips>) -> Result<Self> {
        let keyers = backbones.map(|lpips| Ok((lpips.clone(), cache.keyer(lpips)?)));
        let keyers = keyers.collect::<lpips_core::Result<_>>()?;
        Ok(Self { cache, keyers })
    }

    /// Loads the stored features of a picture into its image.
    pub(super) fn load(&self, picture: &Picture, into: &CachedImage) {
        for (backbone, (lpips, keyer)) in self.keyers.iter().enumerate() {
            if let Some(features) = self.cache.get(&keyer.key(picture), lpips) {
                into.insert(backbone, Arc::new(features));
            }
        }
    }

    /// Stores a picture's features, and returns them with the precision of the store.
    ///
    /// # Errors
    /// Features that can't be read from their device.
    pub(super) fn insert(&self, backbone: usize, picture: &Picture, features: &Features) -> Result<Features> {
        let (_, keyer) = &self.keyers[backbone];
        Ok(self.cache.put(&keyer.key(picture), features)?)
    }
}
