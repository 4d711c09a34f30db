//! The sets of triplets that a training uses.

use std::path::PathBuf;
use std::sync::Arc;

use lpips_data::{CheckDepth, Dataset, Split};

use crate::config::Config;
use crate::error::Result;

/// Triplets to train on and to score.
///
/// ```
/// use lpips_data::CheckDepth;
/// use lpips_train::{Config, Splits};
///
/// // Without `data.train`: the built-in samples.
/// let splits = Splits::open(&Config::default(), CheckDepth::Headers, &|_| ())?;
/// assert_eq!(splits.train.items.len(), 400);
/// assert_eq!(splits.val.map_or(0, |val| val.items.len()), 200);
/// # Ok::<(), lpips_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Splits {
    /// The triplets that are trained on.
    pub train: Arc<Dataset>,
    /// The held-out triplets that are scored after each epoch.
    pub val: Option<Arc<Dataset>>,
}

/// Triplets of the built-in set to train on, and to score.
const SAMPLES: (usize, usize) = (400, 200);

impl Splits {
    /// Opens and checks the triplets that a configuration names, or the built-in samples where `data.train` is empty.
    /// `progress` is called as [`Dataset::open_for_training`] does it.
    ///
    /// # Errors
    /// See [`Dataset::open_for_training`].
    pub fn open(config: &Config, depth: CheckDepth, progress: &(dyn Fn(Option<usize>) + Sync)) -> Result<Self> {
        let data = &config.data;
        if data.train.is_empty() {
            // The seeds do not follow `run.seed`, so that both sets stay what they are.
            let val = Dataset::samples(2, SAMPLES.1);
            return Ok(Self { train: Arc::new(Dataset::samples(1, SAMPLES.0)), val: Some(Arc::new(val)) });
        }
        let open = |roots: &[PathBuf], split| -> Result<Arc<Dataset>> {
            Ok(Arc::new(Dataset::open_for_training(roots, split, data.skip_broken, depth, progress)?))
        };
        let train = open(&data.train, Split::Train)?;
        let val = if data.val.is_empty() { None } else { Some(open(&data.val, Split::Val)?) };
        Ok(Self { train, val })
    }
}
