//! `lpips data fetch`

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use lpips_data::Outcome;
use lpips_data::fetch::{BASE, Fetch as Work, PARTS, Part, Step};
use lpips_terminal::progress::{ProgressBar, bytes_bar};

use crate::command::stop_flag;
use crate::output::{self, Failure, Progress, Result};

/// Download a published set of judgments and unpack it.
///
/// The set is BAPPS, the Berkeley-Adobe Perceptual Patch Similarity dataset (Zhang et al., 2018). After an
/// interruption, by Ctrl-C or otherwise, the same command resumes the work; parts that are complete stay as they are.
/// An archive that lies in ROOT already is unpacked without a download, and stays there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = after())]
pub(crate) struct Fetch {
    /// Name of the set.
    #[arg(value_enum)]
    set: Set,

    /// Folder for the set, as ROOT/2afc and ROOT/jnd.
    #[arg(long, value_name = "ROOT")]
    out: PathBuf,

    /// Download only these parts, separated by commas.
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,

    /// Keep the downloaded archives in ROOT after they are unpacked.
    #[arg(long)]
    keep_archives: bool,

    /// Download the archives from this address, to which their names are appended, instead of the authors' own.
    #[arg(long, value_name = "BASE_URL", default_value = BASE, hide_default_value = true)]
    from: String,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PARTS.map(|part| part.name))
}

const EXAMPLE: &str = "Example:\n  lpips data fetch bapps --out bapps --only 2afc-val";

const EXAMPLES: &str = "\
Examples:
  lpips data fetch bapps --out bapps
  lpips data fetch bapps --out bapps --only 2afc-val,jnd
  lpips data check bapps
  lpips eval 2afc --data bapps
  lpips-train --data bapps

The repository that publishes BAPPS is under the 2-clause BSD licence. It names no terms for the pictures, which were \
made from other collections: check those before you use them.
https://github.com/richzhang/PerceptualSimilarity

No checksums are published. The unpacked triplets are counted, and each judgment is read; `lpips data check` \
decodes every pixel.";

/// End of the long help: the parts with their sizes, and examples.
fn after() -> String {
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let rows = PARTS.map(|part| vec![format!("  {:<10}", part.name), gigabytes(part.bytes), part.holds.to_string()]);
    let all = PARTS.map(|part| part.unpacked()).iter().sum();
    let largest = PARTS.map(|part| part.bytes).into_iter().max().unwrap_or(0);
    format!(
        "Parts, with the size of their archives:\n{}\nAll of them take about {} on the disk, and {} while they are \
         unpacked.\n\n{EXAMPLES}",
        output::table(&rows).join("\n"),
        gigabytes(all),
        gigabytes(all + largest),
    )
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Set {
    Bapps,
}

impl Fetch {
    pub(crate) fn run(&self) -> Result {
        let Set::Bapps = self.set;
        let mut work = Work::new(&self.out);
        work.base.clone_from(&self.from);
        work.keep_archives = self.keep_archives;
        work.parts.retain(|part| self.only.is_empty() || self.only.iter().any(|name| name == part.name));
        // Incomplete parts have temporary names, so stopping at once loses no data either.
        let stop = stop_flag("stopping (once more: at once)")?;
        let bar = bytes_bar("");
        let ended = work.run(&stop, &mut |part, step| report(&work, &bar, part, step));
        bar.finish_and_clear();
        match ended? {
            Outcome::Stopped => {
                output::note("stopped; the same command resumes the download");
                Err(Failure::Stopped)
            }
            Outcome::Complete => self.count(&work),
        }
    }

    fn count(&self, work: &Work) -> Result {
        let mut broken = 0;
        for part in &work.parts {
            let counting = Progress::start(&format!("counting {}", part.name));
            let (counts, problems) = work.count(part)?;
            drop(counting);
            let unit = if part.name == "jnd" { "pairs" } else { "triplets" };
            for (folder, count) in counts {
                output::line(&format!("{count:>8} {unit:<8}  {folder}"))?;
            }
            for problem in &problems {
                output::line(&problem.to_string())?;
            }
            broken += problems.len();
        }
        if broken > 0 {
            return Err(Failure::Work(Some(format!("{broken} files can't be used: --skip-broken leaves them out"))));
        }
        let root = self.out.display();
        let next: Vec<String> = next(&work.parts).iter().map(|command| format!("`{command} --data {root}`")).collect();
        output::note(&format!("next: {}", next.join(", or ")));
        Ok(())
    }
}

/// Commands that these parts alone are enough for.
fn next(parts: &[Part]) -> Vec<&'static str> {
    let has = |name: &str| parts.iter().any(|part| part.name == name);
    let mut commands = Vec::new();
    if has("2afc-val") {
        commands.push("lpips eval 2afc");
    } else if has("jnd") {
        commands.push("lpips eval jnd");
    }
    if has("2afc-train") {
        commands.push("lpips-train");
    }
    commands
}

/// Draws a step of the download.
fn report(work: &Work, bar: &ProgressBar, part: &Part, step: Step) {
    let (what, position, total) = match step {
        Step::Skipped => {
            return output::note(&format!("{} is in {} already", part.name, work.folder(part).display()));
        }
        Step::Downloading(position, total) => ("downloading", position, total),
        Step::Unpacking(position, total) => ("unpacking", position, Some(total)),
        _ => return,
    };
    let message = format!("{what} {}", part.name);
    if bar.message() != message {
        bar.reset();
        bar.set_message(message);
    }
    match total {
        Some(total) => bar.set_length(total),
        None => bar.unset_length(),
    }
    bar.set_position(position);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_next_commands_need_only_the_fetched_parts() {
        let [train, val, jnd] = PARTS;
        for (parts, commands) in [
            (&[train, val, jnd][..], &["lpips eval 2afc", "lpips-train"][..]),
            (&[val, jnd], &["lpips eval 2afc"]),
            (&[train, jnd], &["lpips eval jnd", "lpips-train"]),
            (&[jnd], &["lpips eval jnd"]),
            (&[train], &["lpips-train"]),
        ] {
            assert_eq!(next(parts), commands, "{parts:?}");
        }
    }
}
