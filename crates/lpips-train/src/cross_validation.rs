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

/// Trains on a set in a folder of its own, or goes on with what was begun there: the metric that comes of it. `None` where `stop`
/// was set before the end.
///
/// # Errors
/// A folder that holds another training, and those of [`Trainer::run`].
pub fn train(
    config: &Config,
    set: Dataset,
    out: &Path,
    (finder, device): (&Finder, &Device),
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Event<'_>, u64),
) -> Result<Option<Lpips>> {
    let latest = run_folder::latest_checkpoint(out);
    let resumes = latest.exists();
    let splits = Splits { train: Arc::new(set), val: None };
    let mut trainer = Trainer::new(config.clone(), splits, finder, device, resumes)?;
    let mut cached = Vec::new();
    if resumes {
        let checkpoint = Checkpoint::load(&latest)?;
        cached.clone_from(&checkpoint.cached);
        trainer.restore(checkpoint, &latest)?;
    }
    let steps = trainer.total_steps();
    let ended = trainer.run(&mut RunFolder::open(out, config)?, &cached, stop, &mut |event| tell(event, steps))?;
    Ok(match ended {
        Outcome::Complete => Some(trainer.model().lpips()?),
        Outcome::Stopped => None,
    })
}
