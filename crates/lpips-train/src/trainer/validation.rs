//! The 2AFC score of held-out triplets during a training.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lpips_data::Dataset;
use lpips_data::augment::Augment;
use lpips_data::loader::Batching;
use lpips_eval::score::two_afc_score;

use crate::error::Result;
use crate::model::Model;
use crate::run_folder::Validation;
use crate::run_folder::checkpoint::Position;

/// The 2AFC score of a dataset, over all triplets and by folder: for each triplet the share of people who chose as
/// the distances do, one half at equal distances. `None` where `stop` was set before the end.
///
/// # Errors
/// A picture that can't be read.
pub(super) fn validate(
    model: &Model,
    batching: &Batching,
    dataset: &Arc<Dataset>,
    position: &Position,
    stop: &AtomicBool,
) -> Result<Option<Validation>> {
    let batching = Batching { shuffle: false, augment: Augment::default(), ..batching.clone() };
    let mut sums = vec![(0.0, 0usize); dataset.folders.len()];
    let mut ceiling = 0.0;
    for batch in batching.load(dataset, 0, 0, model.device()) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some(batch) = batch? else { continue };
        let (d0, d1) = model.distances(&batch)?;
        for ((number, d0), d1) in batch.numbers.iter().zip(d0).zip(d1) {
            let triplet = &dataset.items[*number as usize];
            let judge = f64::from(triplet.judge);
            let (sum, count) = &mut sums[triplet.folder];
            *sum += two_afc_score(d0.into(), d1.into(), judge);
            *count += 1;
            ceiling += judge.max(1.0 - judge);
        }
    }
    let total: usize = sums.iter().map(|(_, count)| count).sum();
    let mean = |sum: f64| sum / total.max(1) as f64;
    let (score, ceiling) = (mean(sums.iter().map(|(sum, _)| sum).sum()), mean(ceiling));
    let folders = dataset.folders.iter().cloned().zip(sums);
    let folders = folders.map(|(name, (sum, count))| (name, sum / count.max(1) as f64)).collect();
    let (epoch, step) = (position.epoch, position.step);
    Ok(Some(Validation { epoch, step, score, ceiling, folders }))
}
