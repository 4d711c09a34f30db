//! `lpips-train check`

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use lpips_train::data::{Dataset, Look, Problem, Split};

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
        // One root after the other, so that one which can't be read does not hide what is wrong with the next.
        for root in &self.data {
            let (dataset, found) = match Dataset::open(std::slice::from_ref(root), split) {
                Err(lpips_train::Error::File { path, reason }) => {
                    problems.push(Problem { path, reason });
                    continue;
                }
                other => other?,
            };
            problems.extend(found);
            let bar = ProgressBar::new(dataset.items.len() as u64);
            problems.extend(dataset.check_pictures(Look::Pixels, || bar.inc(1)).0);
            bar.finish_and_clear();
            for (folder, count) in dataset.counts() {
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
