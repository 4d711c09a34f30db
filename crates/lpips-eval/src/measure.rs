//! Measurement of a judgment set by several metrics: pictures are prefetched and each is decoded once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lpips_data::JudgmentSet;
use lpips_data::loader::{self, Prefetch};

use super::metric::{self, Metric};
use super::results::{Header, Results, ResultsLog};
use crate::Result;

/// Options of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureOptions {
    /// Pixels along a side that pictures are resized to, as in training; 64 as published.
    pub size: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Threads that decode pictures.
    pub workers: usize,
}

impl Default for MeasureOptions {
    fn default() -> Self {
        Self { size: 64, batch: 50, workers: std::thread::available_parallelism().map_or(2, usize::from) }
    }
}

/// Measures the distances of a set by every metric. With `details` they are appended to that file batch by batch, and
/// those that it holds already are not measured again. `progress` is called with the number of measured samples. `None`
/// where `stop` was set before the end.
///
/// # Errors
/// A picture that can't be read, one too small for a metric, or a file of other results.
pub fn measure<const N: usize>(
    set: &Arc<JudgmentSet<N>>,
    metrics: &[Metric],
    options: MeasureOptions,
    details: Option<&Path>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Option<Results>> {
    let mut results = Results::empty(set, Header::new(set, metrics, options.size, details.is_some())?);
    let (mut details, measured) = match details {
        Some(path) => {
            let (details, measured) = ResultsLog::open(path, &mut results, options.batch)?;
            (Some(details), measured)
        }
        None => (None, 0),
    };
    progress(measured);
    let (total, own) = (set.items.len(), set.clone());
    let batches = measured.div_ceil(options.batch)..total.div_ceil(options.batch);
    let first = batches.start;
    let decoded = Prefetch::start(batches, options.workers, move |batch| {
        let items = &own.items[batch * options.batch..total.min((batch + 1) * options.batch)];
        items.iter().map(|item| loader::load(&item.source, options.size)).collect::<lpips_data::Result<Vec<_>>>()
    });
    for (batch, samples) in (first..).zip(decoded) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let samples = samples?;
        let from = batch * options.batch;
        let range = from..from + samples.len();
        for distances in metric::distances(metrics, &samples)? {
            for (record, distances) in results.records[range.clone()].iter_mut().zip(distances) {
                record.distances.push(distances);
            }
        }
        if let Some(details) = &mut details {
            details.append(&results, &results.records[range.clone()])?;
        }
        progress(range.end);
    }
    Ok(Some(results))
}
