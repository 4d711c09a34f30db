//! `lpips list`: compares the pairs or triplets of a list as they come.

use std::path::PathBuf;

use clap::Args;
use lpips_bulk::source::list::{self, List};
use serde_json::{Map, json};

use super::options::{EXIT, METRICS, Options, PairPattern};
use super::run::Task;
use crate::output::{self, Result};

const EXAMPLES: &str = "Examples:
  lpips list pairs.csv --metric alex,vgg --out results.csv
  lpips list triplets.jsonl --root pictures --format jsonl
  find-pairs | lpips list - --format jsonl | jq .distance";

/// Compare the pairs or triplets of a list, one result a row, in their order, as they come.
///
/// A list is CSV with columns reference and candidate, and of triplets second (or ref, p0, p1; or two or three columns
/// without names), or JSON lines with these keys.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{METRICS}\n\n{}\n\n{EXIT}", crate::command::ENVIRONMENT)
)]
pub(crate) struct Lists {
    /// The list, or - for standard input.
    list: PathBuf,

    /// Format of the list: csv or jsonl [default: by its name, or by its first character].
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "jsonl"])]
    list_format: Option<String>,

    /// The folder that the list's paths start from [default: the current one].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

impl Lists {
    pub(crate) fn run(&self) -> Result {
        self.options.check()?;
        let format = self.list_format.as_deref().map(|name| match name {
            "csv" => list::Format::Csv,
            _ => list::Format::Jsonl,
        });
        let list = List::open(&self.list, list::Options { format, root: self.root.clone() })?;
        let mut settings = Map::new();
        settings.insert("LIST".to_string(), json!(output::text(&self.list)));
        if let Some(root) = &self.root {
            settings.insert("--root".to_string(), json!(output::text(root)));
        }
        let task = Task {
            command: "list",
            settings,
            total: None,
            triplets: list.triplets(),
            pattern: PairPattern::Sparse,
            map_prefix: None,
            video: None,
            each: None,
        };
        self.options.run(task, list)?.result()
    }
}
