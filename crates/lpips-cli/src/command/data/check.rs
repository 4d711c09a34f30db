//! `lpips data check`

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use lpips_train::data::{Dataset, Look, Split};

use crate::output::{self, Failure, Result};

/// Look at every picture and judgment, and name each that can't be used.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// BAPPS roots, folders of triplets, or lists.
    #[arg(required = true)]
    roots: Vec<PathBuf>,

    /// Take the half of a BAPPS root that is for training.
    #[arg(long)]
    train: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result {
        let split = if self.train { Split::Train } else { Split::Val };
        let (dataset, mut problems) = Dataset::open(&self.roots, split)?;
        let bar = ProgressBar::new(dataset.items.len() as u64);
        problems.extend(dataset.check_pictures(Look::Pixels, || bar.inc(1)).0);
        bar.finish_and_clear();
        for (folder, count) in dataset.counts() {
            output::line(&format!("{count:>8} triplets  {folder}"))?;
        }
        for problem in &problems {
            output::line(&problem.to_string())?;
        }
        match problems.len() {
            0 => Ok(()),
            1 => Err(Failure::Work(Some("1 file can't be used".to_string()))),
            count => Err(Failure::Work(Some(format!("{count} files can't be used")))),
        }
    }
}
