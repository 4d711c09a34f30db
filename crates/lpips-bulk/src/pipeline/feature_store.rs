//! What networks see in pictures, kept on disk from one run to the next.

use std::sync::Arc;

use lpips_core::cache::{FeatureCache, Keyer};
use lpips_core::{Features, Picture};

use crate::Result;
use crate::pipeline::Work;
use crate::pipeline::image_cache::Slot;
use crate::pipeline::measure::Look;
use lpips_eval::metric::Metric;

/// A cache, and by look what gives pictures their keys.
#[derive(Debug)]
pub(super) struct Stored {
    cache: Arc<FeatureCache>,
    keyers: Vec<Keyer>,
}

impl Stored {
    pub(super) fn new(cache: Arc<FeatureCache>, looks: &[Look], metrics: &[Metric]) -> Result<Self> {
        let lpips = looks.iter().filter_map(|look| look.lpips(metrics));
        let keyers = lpips.map(|lpips| cache.keyer(lpips)).collect::<lpips_core::Result<_>>()?;
        Ok(Self { cache, keyers })
    }

    /// Gives a slot what is known of its picture.
    pub(super) fn recall(&self, slot: &Slot, picture: &Picture, work: &Work) {
        for (number, (look, keyer)) in work.looks.iter().zip(&self.keyers).enumerate() {
            let found = look.lpips(&work.metrics).and_then(|lpips| self.cache.get(&keyer.key(picture), lpips));
            if let Some(features) = found {
                slot.remember(number, Arc::new(features));
            }
        }
    }

    /// Keeps what a look sees in a picture; gives it as it will be found.
    pub(super) fn keep(&self, number: usize, picture: &Picture, features: &Features) -> Result<Features> {
        Ok(self.cache.put(&self.keyers[number].key(picture), features)?)
    }
}
