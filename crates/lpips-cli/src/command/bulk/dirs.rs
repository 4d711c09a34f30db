//! `lpips dirs`: compares the pictures of two folders by their names.

use std::path::PathBuf;

use clap::Args;
use lpips_bulk::source::folders::{Folders, MatchBy};
use lpips_data::discover::Walk;
use serde_json::json;

use super::files::{Files, notes, text_list};
use super::options::{EXIT, METRICS, Options, PairPattern};
use super::run::Task;
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips dirs ground-truth renders
  lpips dirs ground-truth renders --metric alex,vgg,psnr,ssim --out results.jsonl --report report.html
  lpips dirs originals decoded --by stem --fail-above 0.1
  lpips dirs a b --out results.jsonl --resume   (resumes where it was stopped)";

/// Compare the pictures of two folders, by their names: the mean over a render's frames, a codec's pictures, a test
/// set.
///
/// Pictures are paired by their paths within the folders; pictures without a partner are named and left out.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{METRICS}\n\n{}\n\n{EXIT}", crate::command::ENVIRONMENT)
)]
pub(crate) struct Dirs {
    /// The folder of the references.
    reference: PathBuf,

    /// The folder of the candidates.
    candidate: PathBuf,

    /// Rule for pairing pictures: by their path within the folder, or by `stem`, the path without its ending (x.png with
    /// x.jpg).
    #[arg(long, value_name = "WHAT", default_value = "path", value_parser = ["path", "stem"])]
    by: String,

    /// Pair pictures as this list says (CSV or JSON lines; see `lpips list --help`), with paths within the two folders.
    #[arg(long, value_name = "FILE", conflicts_with = "by")]
    map: Option<PathBuf>,

    /// Fail if a picture of either folder has no partner.
    #[arg(long)]
    all_matched: bool,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    options: Options,
}

impl Dirs {
    pub(crate) fn run(&self) -> Result {
        self.options.check()?;
        let by = match (&self.map, self.by.as_str()) {
            (Some(map), _) => MatchBy::Map(map.clone()),
            (None, "stem") => MatchBy::Stem,
            _ => MatchBy::Path,
        };
        let walk: Walk = self.files.walk(&self.options);
        let folders = Folders::open(&self.reference, &self.candidate, &by, &walk)?;
        notes(&folders.notes);
        let unmatched = &folders.unmatched;
        for (folder, names) in [(&self.reference, &unmatched.reference), (&self.candidate, &unmatched.candidate)] {
            if !names.is_empty() {
                let folder = folder.display();
                output::note(&format!("only in {folder}, not compared ({}): {}", names.len(), text_list(names)));
            }
        }
        if self.all_matched && !(unmatched.reference.is_empty() && unmatched.candidate.is_empty()) {
            let message = "not every picture has a partner, as --all-matched requires: nothing was compared";
            return Err(Failure::Work(Some(message.to_string())));
        }
        let mut settings = self.files.settings();
        settings.insert("REFERENCE".to_string(), json!(output::text(&self.reference)));
        settings.insert("CANDIDATE".to_string(), json!(output::text(&self.candidate)));
        settings.insert("--by".to_string(), json!(self.by));
        if let Some(map) = &self.map {
            settings.insert("--map".to_string(), json!(output::text(map)));
        }
        let is_mapped = self.map.is_some();
        let task = Task {
            command: "dirs",
            settings,
            total: Some(folders.len()),
            triplets: false,
            pattern: PairPattern::Sparse,
            // A map may name a candidate twice.
            map_prefix: Some(self.candidate.as_path()).filter(|_| !is_mapped),
            video: None,
            each: None,
        };
        let pairs = (0..folders.len()).filter_map(move |index| folders.get(index)).map(Ok);
        self.options.run(task, pairs)?.result()
    }
}
