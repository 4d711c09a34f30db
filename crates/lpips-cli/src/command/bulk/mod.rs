//! Commands for many pairs.

pub(crate) mod dirs;
mod lines;
pub(crate) mod list;
pub(crate) mod merge;
mod options;
pub(crate) mod pairs;
pub(crate) mod report;
mod run;
pub(crate) mod summary;
pub(crate) mod video;

use std::path::Path;

use clap::Args;
use lpips_data::Problem;
use lpips_data::discover::Walk;
use serde_json::{Map, Value, json};

use self::options::Options;
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
    fn walk(&self, options: &Options) -> Walk {
        Walk {
            depth: self.depth,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            written: options.written(),
            skip_linked_folders: false,
        }
    }

    fn named(&self) -> Map<String, Value> {
        let mut named = Map::new();
        for (flag, globs) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            if !globs.is_empty() {
                named.insert(flag.to_string(), json!(globs));
            }
        }
        if let Some(depth) = self.depth {
            named.insert("--depth".to_string(), json!(depth));
        }
        named
    }
}

/// Prints the files that were left out, on standard error.
fn notes(problems: &[Problem]) {
    for problem in problems {
        output::note(&format!("{}: {}", problem.path.display(), problem.reason));
    }
}

/// Maximum number of names that a note lists.
const NAMES: usize = 10;

/// The first names, or with -v all, separated by commas.
fn text_list(names: &[Box<Path>]) -> String {
    let shown = if tracing::enabled!(tracing::Level::INFO) { names.len() } else { NAMES };
    let mut list: Vec<String> = names.iter().take(shown).map(|name| output::text(name)).collect();
    if names.len() > shown {
        list.push(format!("and {} more (-v names all)", names.len() - shown));
    }
    list.join(", ")
}
