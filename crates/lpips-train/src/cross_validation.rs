//! Cross-validation: trains one model per fold, each in a run folder of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use lpips_core::Lpips;
use lpips_core::weights::Finder;
use lpips_data::{Dataset, Outcome};

use crate::config::Config;
use crate::error::Result;
use crate::run_folder::checkpoint::Checkpoint;
use crate::run_folder::{self, RunFolder};
use crate::trainer::{Event, Splits, Trainer};

/// Trains on the triplets of `set`, or resumes the training in the run folder `out`. `report` is called for each event,
/// with the number of steps of the whole run. Returns the trained metric, or `None` where `stop` was set before the
/// end.
///
/// # Errors
/// A folder that holds another training, and those of [`Trainer::run`].
pub fn train(
    config: &Config,
    set: Dataset,
    out: &Path,
    (finder, device): (&Finder, &Device),
    stop: &AtomicBool,
    report: &mut dyn FnMut(&Event<'_>, u64),
) -> Result<Option<Lpips>> {
    let latest = run_folder::latest_checkpoint(out);
    let checkpoint = if latest.exists() { Some(Checkpoint::load(&latest)?) } else { None };
    let splits = Splits { train: Arc::new(set), val: None };
    let mut trainer = Trainer::new(config.clone(), splits, finder, device, checkpoint.is_some())?;
    let mut cached = Vec::new();
    if let Some(checkpoint) = checkpoint {
        cached.clone_from(&checkpoint.cached);
        trainer.restore(checkpoint, &latest)?;
    }
    let steps = trainer.total_steps();
    let mut folder = RunFolder::open(out, config)?;
    Ok(match trainer.run(&mut folder, &cached, stop, &mut |event| report(event, steps))? {
        Outcome::Complete => Some(trainer.model().lpips()?),
        Outcome::Stopped => None,
    })
}
