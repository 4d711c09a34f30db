//! `lpips-train check`: the former name of `lpips data check`, accepted for one more release.

use std::path::PathBuf;

use clap::Args;
use lpips_data::sets::stats;
use lpips_data::{CheckDepth, Dataset, Split};
use lpips_terminal::{Failure, Result, bar, line, note};

/// Check every picture and judgment. Superseded by `lpips data check`, which checks all parts of a set.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lpips data check 2afc/train")]
pub(crate) struct Check {
    /// BAPPS roots, folders of triplets, or lists.
    #[arg(long, value_name = "ROOT", required = true, num_args = 1..)]
    data: Vec<PathBuf>,

    /// Check the half of a BAPPS root that is for validation.
    #[arg(long)]
    val: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result {
        note("`lpips data check ROOT` replaces this command, which the next release removes");
        let split = if self.val { Split::Val } else { Split::Train };
        let mut problems = Vec::new();
        for root in &self.data {
            let bar = bar("checking the pictures");
            let (set, found): (Dataset, _) = stats::check_root(root, split, CheckDepth::Pixels, &|count| match count {
                Some(count) => bar.inc_length(count as u64),
                None => bar.inc(1),
            });
            bar.finish_and_clear();
            problems.extend(found);
            for (folder, count) in set.counts() {
                line(&format!("{count:>8} triplets  {folder}"))?;
            }
        }
        for problem in &problems {
            line(&problem.to_string())?;
        }
        match problems.len() {
            0 => Ok(()),
            1 => Err(Failure::work("1 file can't be used")),
            count => Err(Failure::work(format!("{count} files can't be used"))),
        }
    }
}
