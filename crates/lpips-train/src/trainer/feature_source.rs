//! The source of a frozen backbone's features: computed for each batch, or read from the run's feature cache.

use std::path::Path;

use lpips_core::Size;
use lpips_core::training::PairIndex;
use lpips_data::loader::Batch;

use super::triplet_cache::TripletCache;
use crate::config::Config;
use crate::error::Result;
use crate::model::{BatchFeatures, Model};

/// The source of the backbone's features in the phase `lin`.
#[derive(Debug)]
pub(super) enum FeatureSource {
    /// The backbone computes them in every step.
    Computed,
    /// The cache holds them from the first epoch on. The backbone computes those that are missing.
    Cached(TripletCache),
}

impl FeatureSource {
    /// Opens the source that a configuration names. The cache is a file at `path`, with room for the features of
    /// `triplets` triplets, of which it holds those of the numbers `held` from an earlier run.
    ///
    /// # Errors
    /// A file that can't be opened.
    pub(super) fn open(config: &Config, model: &Model, path: &Path, triplets: usize, held: &[u32]) -> Result<Self> {
        if !config.run.cache_features {
            return Ok(Self::Computed);
        }
        let size = config.data.size;
        let lpips = model.lpips()?;
        let layers = lpips.backbone().layers(1, size, size).map_err(lpips_core::Error::from)?;
        let shapes = layers.iter().filter(|layer| layer.tapped).map(|layer| {
            let [_, h, w, c] = layer.output;
            [h, w, c]
        });
        let limit = (config.run.cache_limit * 1e9) as u64;
        TripletCache::open(path.to_path_buf(), triplets, shapes.collect(), limit, held).map(Self::Cached)
    }

    /// The cache, where there is one.
    pub(super) fn cache(&self) -> Option<&TripletCache> {
        match self {
            Self::Computed => None,
            Self::Cached(cache) => Some(cache),
        }
    }

    /// The features of a batch.
    ///
    /// # Errors
    /// Pictures that are too small for the network, a cache that can't be read or written, and errors of candle.
    pub(super) fn features(&mut self, model: &Model, batch: &Batch) -> Result<BatchFeatures> {
        let cache = match self {
            Self::Cached(cache) if model.is_settled() => cache,
            _ => return model.features(batch),
        };
        let numbers = &batch.numbers;
        let missing = cache.missing(numbers);
        if missing.len() == numbers.len() {
            let features = model.features(batch)?;
            cache.put(numbers, &features.taps)?;
            return Ok(features);
        }
        let computed = if missing.is_empty() { Vec::new() } else { model.features(&batch.select(&missing)?)?.taps };
        let taps = cache.get(numbers, &missing, &computed, model.device())?;
        if !missing.is_empty() {
            let numbers: Vec<u32> = missing.iter().map(|place| numbers[*place as usize]).collect();
            cache.put(&numbers, &computed)?;
        }
        let (n, _, height, width) = batch.reference.dims4()?;
        Ok(BatchFeatures { taps, pairs: PairIndex::triplets(n, Size { width, height }) })
    }
}
