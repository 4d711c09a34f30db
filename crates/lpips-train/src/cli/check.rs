//! `lpips-train check`

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use lpips_data::sets::stats;
use lpips_data::{CheckDepth, Dataset, Split};

use super::{Failure, Result, print};

/// Look at every picture and judgment, and name each that can't be used.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// BAPPS roots, folders of triplets, or lists.
    #[arg(long, value_name = "ROOT", required = true, num_args = 1..)]
    data: Vec<PathBuf>,

    /// Take the half of a BAPPS root that is for validation.
    #[arg(long)]
    val: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result<()> {
        let split = if self.val { Split::Val } else { Split::Train };
        let mut problems = Vec::new();
        for root in &self.data {
            let bar = ProgressBar::new(0);
            let (set, found): (Dataset, _) = stats::check_root(root, split, CheckDepth::Pixels, &|count| match count {
                Some(count) => bar.inc_length(count as u64),
                None => bar.inc(1),
            });
            bar.finish_and_clear();
            problems.extend(found);
            for (folder, count) in set.counts() {
                print(&format!("{count:>8} triplets  {folder}"))?;
            }
        }
        for problem in &problems {
            print(&problem.to_string())?;
        }
        match problems.len() {
            0 => Ok(()),
            1 => Err(Failure::Error("1 file can't be used".to_string())),
            count => Err(Failure::Error(format!("{count} files can't be used"))),
        }
    }
}
