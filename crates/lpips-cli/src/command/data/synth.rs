//! `lpips data synth`

use std::path::{Path, PathBuf};

use clap::Args;
use lpips_data::distort::Distortion;
use lpips_data::synth::{self, Event, Made};
use lpips_terminal::ThreadArgs;
use lpips_terminal::progress::ProgressBar;

use crate::command::stop_flag;
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "\
Examples:
  lpips data synth --from photos --preview sheet.png           preview the distortions
  lpips data synth --from photos --out set                     2000 triplets to train on, 500 to validate
  lpips data synth --from photos --out ask --unlabelled --train 0 --val 200
  lpips data synth --from photos --out set --distortions noise,jpeg --size 128";

const HOW: &str = "\
References are square patches, cut out of the pictures at random places and scales. Validation uses other pictures than \
training: both together need at least two.

Labels are synthetic: no person was asked. p0 and p1 of a triplet show one distortion, with one random draw, at two \
strengths at least 0.25 apart, and the judgment names the weaker one as nearer: 0 for p0, 1 for p1. Triplets are drawn \
until the stronger one is visible and the two differ; no metric decides which is nearer. This orders strengths; it does \
not say which of two distortions people mind more. Of the pairs that --jnd adds, about half are \
equal to the last byte (same = 1) and the others strongly distorted (same = 0).

With --unlabelled p0 and p1 show different distortions, one or two after the other, at random strengths, and there are no \
labels: `lpips data label` asks people for them.

manifest.jsonl in ROOT records how each triplet was made: picture, place, distortions, strengths and seeds. The same \
command with the same pictures gives the same bytes; after Ctrl-C it resumes the set.";

/// Make triplets from a folder of pictures by the LPIPS paper's traditional distortions.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{HOW}\n\nFamilies and distortions for --distortions:\n{}\n\n{EXAMPLES}", families())
)]
pub(crate) struct Synth {
    /// Folder of pictures, searched with its subfolders.
    #[arg(long, value_name = "PICTURES")]
    from: PathBuf,

    /// Folder for the set: missing, empty, or begun by the same command.
    #[arg(long, value_name = "ROOT", required_unless_present = "preview")]
    out: Option<PathBuf>,

    /// Number of triplets for training.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    train: usize,

    /// Number of triplets for validation.
    #[arg(long, value_name = "N", default_value_t = 500)]
    val: usize,

    /// Number of pairs (JND, just noticeable differences) for validation.
    #[arg(long, value_name = "N", default_value_t = 0)]
    jnd: usize,

    /// Side of a patch in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 64)]
    size: usize,

    /// Seed of all random draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Make no labels: people give them with `lpips data label`.
    #[arg(long)]
    unlabelled: bool,

    /// Names of distortions or families, separated by commas [default: all].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    distortions: Vec<String>,

    /// Leave out pictures that can't be read.
    #[arg(long)]
    skip_broken: bool,

    /// Draw a contact sheet of one patch under every distortion at strengths from 0 to 1; without --out nothing else is
    /// made.
    #[arg(long, value_name = "OUT.png")]
    preview: Option<PathBuf>,

    #[command(flatten)]
    threads: ThreadArgs,
}

/// Names of the distortions, one line for each family.
fn families() -> String {
    let line = |family: &&str| {
        let members = Distortion::all().into_iter().filter(|distortion| distortion.family() == *family);
        format!("  {family}: {}", members.map(Distortion::name).collect::<Vec<_>>().join(", "))
    };
    Distortion::families().iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Synth {
    pub(crate) fn run(&self) -> Result {
        let distortions =
            if self.distortions.is_empty() { Distortion::all() } else { Distortion::named(&self.distortions)? };
        self.threads.start()?;
        let synth = synth::Synth {
            from: self.from.clone(),
            train: self.train,
            val: self.val,
            jnd: self.jnd,
            size: self.size,
            seed: self.seed,
            labelled: !self.unlabelled,
            distortions,
            skip_broken: self.skip_broken,
        };
        if let Some(sheet) = &self.preview {
            preview(&synth, sheet)?;
        }
        self.out.as_ref().map_or(Ok(()), |out| self.make(&synth, out))
    }

    fn make(&self, synth: &synth::Synth, out: &Path) -> Result {
        // Files are written whole or not at all, so stopping at once loses no data either.
        let stop = stop_flag("stopping (once more: at once)")?;
        let bar = output::bar("");
        let made = synth.write(out, &|event| report(&bar, event), &stop);
        bar.finish_and_clear();
        let Made { done, resumed, wanted, train_pictures, val_pictures } = made?;
        if done < wanted {
            output::note(&format!("stopped after {done} of {wanted}; the same command resumes the set"));
            return Err(Failure::Stopped);
        }
        let root = out.display();
        if resumed > 0 {
            output::note(&format!("{resumed} of {wanted} were there already"));
        }
        for (count, unit, folder, pictures) in [
            (self.train, "triplets", "2afc/train", train_pictures),
            (self.val, "triplets", "2afc/val", val_pictures),
            (self.jnd, "pairs", "jnd/val", val_pictures),
        ] {
            if count > 0 {
                let pictures = if pictures == 1 { "1 picture".to_string() } else { format!("{pictures} pictures") };
                output::line(&format!("{count:>8} {unit:<8}  {root}/{folder}/synthetic, from {pictures}"))?;
            }
        }
        let next = match (self.unlabelled, self.train, self.val) {
            (true, ..) => format!("lpips data label {root}"),
            (_, 0, _) => format!("lpips data check {root}"),
            (_, _, 0) => format!("lpips-train --data {root}"),
            _ => format!("lpips-train --data {root} --val {root}"),
        };
        output::note(&format!("next: `{next}`"));
        Ok(())
    }
}

fn preview(synth: &synth::Synth, sheet: &Path) -> Result {
    if sheet.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        let sheet = sheet.display();
        return Err(Failure::usage(format!("--preview {sheet}: the sheet is a PNG: name a file that ends in .png")));
    }
    let bar = output::bar("");
    let picture = synth.preview(&|event| report(&bar, event));
    bar.finish_and_clear();
    picture?.save_png(sheet)?;
    output::line(&format!("drew {}", sheet.display()))
}

/// Draws a progress event.
fn report(bar: &ProgressBar, event: Event) {
    match event {
        Event::Checking(count) => {
            bar.set_message("checking the pictures");
            bar.set_length(bar.position() + count as u64);
        }
        Event::Making(count) => {
            bar.set_message("making");
            bar.reset();
            bar.set_length(count as u64);
        }
        Event::Checked | Event::Made => bar.inc(1),
        Event::Note(note) => bar.suspend(|| output::note(&note)),
        _ => {}
    }
}
