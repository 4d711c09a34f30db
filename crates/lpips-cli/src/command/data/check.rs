//! `lpips data check` and `lpips data stats`

use std::path::PathBuf;

use clap::Args;
use lpips_data::sets::stats::{self, Stats};
use lpips_data::{CheckDepth, Dataset, JudgmentSet, Pairs, Problem, Task};

use crate::output::{self, Failure, Result};

/// Look at every picture and judgment, and name each that can't be used.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lpips data check bapps")]
pub(crate) struct Check {
    /// BAPPS roots, folders of triplets or pairs, or lists (.csv, .jsonl).
    #[arg(required = true)]
    roots: Vec<PathBuf>,
}

/// Say what sets are made of: how many triplets and pairs, sizes of pictures, and how far people agree.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lpips data stats bapps --json")]
pub(crate) struct Statistics {
    /// BAPPS roots, folders of triplets or pairs, or lists (.csv, .jsonl).
    #[arg(required = true)]
    roots: Vec<PathBuf>,

    /// Print one JSON object a line for each dataset.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result {
        let (counts, problems) = look(&self.roots, CheckDepth::Pixels, counts::<3>, counts::<2>)?;
        for (folder, count, kind) in counts {
            output::line(&format!("{count:>8} {:<8}  {folder}", format!("{}s", kind.noun())))?;
        }
        for problem in &problems {
            output::line(&problem.to_string())?;
        }
        unusable(&problems)
    }
}

impl Statistics {
    pub(crate) fn run(&self) -> Result {
        let (stats, problems) = look(&self.roots, CheckDepth::Headers, stats::of::<3>, stats::of::<2>)?;
        if self.json {
            output::json(&stats)?;
        } else {
            print(&stats)?;
        }
        for problem in &problems {
            output::error(&problem.to_string());
        }
        unusable(&problems)
    }
}

/// Each dataset's folder, and how many triplets or pairs it has.
fn counts<const N: usize>(set: &JudgmentSet<N>) -> Vec<(String, usize, Task)> {
    set.counts().into_iter().map(|(folder, count)| (folder.to_string(), count, JudgmentSet::<N>::TASK)).collect()
}

/// Looks at all there is in the roots, and at what is wrong.
fn look<T>(
    roots: &[PathBuf],
    look: CheckDepth,
    triplets: fn(&Dataset) -> Vec<T>,
    pairs: fn(&Pairs) -> Vec<T>,
) -> Result<(Vec<T>, Vec<Problem>)> {
    let bar = output::bar("looking at the pictures");
    let progress = |count: Option<usize>| match count {
        Some(count) => bar.inc_length(count as u64),
        None => bar.inc(1),
    };
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for root in roots {
        let parts = stats::parts(root)?;
        if parts.is_empty() {
            problems.push(Problem { path: root.clone(), reason: "there is no such file or folder".to_string() });
        }
        for (kind, split) in parts {
            match kind {
                Task::TwoAfc => {
                    let (set, found) = stats::look(root, split, look, &progress);
                    all.extend(triplets(&set));
                    problems.extend(found);
                }
                Task::Jnd => {
                    let (set, found) = stats::look(root, split, look, &progress);
                    all.extend(pairs(&set));
                    problems.extend(found);
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok((all, problems))
}

fn unusable(problems: &[Problem]) -> Result {
    match problems.len() {
        0 => Ok(()),
        1 => Err(Failure::Work(Some("1 file can't be used".to_string()))),
        count => Err(Failure::Work(Some(format!("{count} files can't be used")))),
    }
}

fn print(stats: &[Stats]) -> Result {
    let head = ["kind", "n", "references", "mean", "unanimous", "votes", "human", "sizes", "folder"];
    let mut lines = vec![head.map(String::from).to_vec()];
    for dataset in stats {
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_string());
        let sizes: Vec<&str> = dataset.sizes.keys().map(String::as_str).collect();
        let sizes = match sizes[..] {
            [] => "-".to_string(),
            [one] => one.to_string(),
            [first, ..] => format!("{first} and {} more", sizes.len() - 1),
        };
        lines.push(vec![
            dataset.kind.to_string(),
            dataset.items.to_string(),
            dataset.references.to_string(),
            format!("{:.3}", dataset.mean),
            format!("{:.3}", dataset.unanimous),
            known(dataset.votes.map(|votes| votes.to_string())),
            known(dataset.human.map(|human| format!("{human:.3}"))),
            sizes,
            dataset.folder.clone(),
        ]);
    }
    output::table(&lines).iter().try_for_each(|line| output::line(line))
}
