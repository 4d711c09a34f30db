//! Flags that choose the files of folders, and notes on the files that were left out.

use std::path::Path;

use clap::Args;
use lpips_data::Problem;
use lpips_data::discover::Walk;
use serde_json::{Map, Value, json};

use super::options::Options;
use crate::output;

/// Flags that choose the files of folders.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Use only files that match one of these globs, by name (*.png) or by path within the folder (val/**).
    #[arg(long, value_name = "GLOB", help_heading = "Files")]
    include: Vec<String>,

    /// Leave out files and folders that match one of these globs.
    #[arg(long, value_name = "GLOB", help_heading = "Files")]
    exclude: Vec<String>,

    /// Depth of subfolders: 1 is the folder alone [default: all].
    #[arg(long, value_name = "N", help_heading = "Files")]
    depth: Option<usize>,
}

impl Files {
    pub(super) fn walk(&self, options: &Options) -> Walk {
        Walk {
            depth: self.depth,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            written: options.written(),
            skip_linked_folders: false,
        }
    }

    /// Settings that decide the files, for the run file.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        for (flag, globs) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            if !globs.is_empty() {
                settings.insert(flag.to_string(), json!(globs));
            }
        }
        if let Some(depth) = self.depth {
            settings.insert("--depth".to_string(), json!(depth));
        }
        settings
    }
}

/// Prints the files that were left out, on standard error.
pub(super) fn notes(problems: &[Problem]) {
    for problem in problems {
        output::note(&format!("{}: {}", problem.path.display(), problem.reason));
    }
}

/// Maximum number of names that a note lists.
const NAMES: usize = 10;

/// The first names, or with -v all, separated by commas.
pub(super) fn text_list(names: &[Box<Path>]) -> String {
    let shown = if tracing::enabled!(tracing::Level::INFO) { names.len() } else { NAMES };
    let mut list: Vec<String> = names.iter().take(shown).map(|name| output::text(name)).collect();
    if names.len() > shown {
        list.push(format!("and {} more (-v names all)", names.len() - shown));
    }
    list.join(", ")
}
