//! `lpips data check` and `lpips data stats`

use std::path::PathBuf;

use clap::Args;
use lpips_data::sets::stats::{self, Stats};
use lpips_data::{CheckDepth, Dataset, JudgmentSet, Pairs, Problem, Task};

use crate::output::{self, Failure, Result};

/// Check every picture and judgment of a set, and name each that can't be used.
///
/// Every picture is decoded to its last pixel. The exit code is 1 where a file can't be used.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lpips data check bapps\n  lpips data check triplets.csv pairs.jsonl")]
pub(crate) struct Check {
    /// BAPPS roots, folders of triplets or pairs, or lists (.csv, .jsonl).
    #[arg(required = true)]
    roots: Vec<PathBuf>,
}

/// Print statistics of a set: numbers of triplets and pairs, picture sizes, and agreement of the votes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lpips data stats bapps --json")]
pub(crate) struct Statistics {
    /// BAPPS roots, folders of triplets or pairs, or lists (.csv, .jsonl).
    #[arg(required = true)]
    roots: Vec<PathBuf>,

    /// Print one JSON object per line, one for each folder or list.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result {
        let (counts, problems) = check_roots(&self.roots, CheckDepth::Pixels, counts::<3>, counts::<2>)?;
        for (folder, count, task) in counts {
            output::line(&format!("{count:>8} {:<8}  {folder}", format!("{}s", task.noun())))?;
        }
        for problem in &problems {
            output::line(&problem.to_string())?;
        }
        unusable(&problems)
    }
}

impl Statistics {
    pub(crate) fn run(&self) -> Result {
        let (stats, problems) = check_roots(&self.roots, CheckDepth::Headers, stats::of::<3>, stats::of::<2>)?;
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

/// Folders or lists of a set, with their numbers of items.
fn counts<const N: usize>(set: &JudgmentSet<N>) -> Vec<(String, usize, Task)> {
    set.counts().into_iter().map(|(folder, count)| (folder.to_string(), count, JudgmentSet::<N>::TASK)).collect()
}

/// Checks every part of the roots.
fn check_roots<T>(
    roots: &[PathBuf],
    depth: CheckDepth,
    triplets: fn(&Dataset) -> Vec<T>,
    pairs: fn(&Pairs) -> Vec<T>,
) -> Result<(Vec<T>, Vec<Problem>)> {
    let bar = output::bar("checking the pictures");
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
        for (task, split) in parts {
            match task {
                Task::TwoAfc => {
                    let (set, found) = stats::check_root(root, split, depth, &progress);
                    all.extend(triplets(&set));
                    problems.extend(found);
                }
                Task::Jnd => {
                    let (set, found) = stats::check_root(root, split, depth, &progress);
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
            dataset.task.to_string(),
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
