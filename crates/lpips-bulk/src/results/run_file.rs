//! Run files: the settings of a run and its state, in a small JSON file beside its rows.

use std::io;
use std::path::{Path, PathBuf};

use lpips_data::diff::{Difference, differences};
use lpips_data::files;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::results::format::Format;
use crate::results::schema::Columns;
use crate::source::shard::Shard;
use crate::{Error, Result};

/// The settings of a run, and whether its rows are complete. Resuming and merging compare them. It holds no times: an
/// undisturbed run and one that was stopped and resumed end in the same file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// The command's name.
    pub command: String,
    /// The options that decide numbers and rows, by their names in messages (`"--crop": 64`), without those not given.
    pub work: Map<String, Value>,
    /// The columns of the rows.
    #[serde(flatten)]
    pub columns: Columns,
    /// For each metric the identity of its weights.
    pub identities: Vec<String>,
    /// The format of the rows.
    pub format: Format,
    /// The part of the work in this file.
    pub shard: Shard,
    /// Number of rows of all shards together, where it is known.
    pub total: Option<u64>,
    /// The counts of complete results.
    pub complete: Option<Complete>,
}

/// Counts of the rows of a finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// All rows, failed ones included.
    pub rows: u64,
    /// Failed rows.
    pub failures: u64,
}

impl RunFile {
    /// The run file of an unsharded run that has not finished, without options.
    pub fn new(command: &str, columns: Columns, format: Format) -> Self {
        Self {
            command: command.to_string(),
            work: Map::new(),
            identities: vec![String::new(); columns.metrics.len()],
            columns,
            format,
            shard: Shard::default(),
            total: None,
            complete: None,
        }
    }

    /// The path of the run file beside a file of rows: the rows' path and `.run`.
    pub fn path(rows: &Path) -> PathBuf {
        let mut name = rows.as_os_str().to_os_string();
        name.push(".run");
        name.into()
    }

    /// Reads the run file beside a file of rows.
    ///
    /// # Errors
    /// A run file that is missing or can't be read.
    pub fn read(rows: &Path) -> Result<Self> {
        let path = Self::path(rows);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::file(
                rows,
                format!("has no run file {} beside it, which holds the settings of the run", path.display()),
            ),
            _ => Error::io(&path, "read", &error),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| Error::file(&path, format!("is no run file: {error}")))
    }

    /// Writes it beside a file of rows, whole or not at all.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write(&self, rows: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::invalid(error.to_string()))?;
        bytes.push(b'\n');
        Ok(files::write(&Self::path(rows), &bytes)?)
    }

    /// Records the end of a run that wrote `rows` rows; `complete` holds failures and total of complete results.
    pub(super) fn finish(&mut self, rows: u64, complete: Option<(u64, u64)>) {
        self.complete = complete.map(|(failures, _)| Complete { rows, failures });
        self.total = complete.map(|(_, total)| total).or(self.total);
    }

    /// The first setting that makes another run one of other work, whichever shards the two are.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        let is_total_known = self.total.is_some() && other.total.is_some();
        let settings = |run: &Self| run.settings(is_total_known);
        differences(&settings(self), &settings(other)).into_iter().next()
    }

    /// The difference in shard or format of two runs of the same work.
    pub(super) fn difference_of_part(&self, other: &Self) -> Option<Difference> {
        let part = |run: &Self| json!({"--shard": run.shard.to_string(), "format": run.format.name()});
        differences(&part(self), &part(other)).into_iter().next()
    }

    /// The settings that must be equal, by their names in messages. An option that is false counts as not given.
    fn settings(&self, with_total: bool) -> Value {
        let mut settings = Map::new();
        settings.insert("command".to_string(), json!(self.command));
        settings.insert("list of metrics".to_string(), json!(self.columns.metrics));
        let given = self.work.iter().filter(|(_, value)| **value != Value::Bool(false));
        settings.extend(given.map(|(key, value)| (key.clone(), value.clone())));
        let weights = self.columns.metrics.iter().zip(&self.identities);
        for (at, (metric, identity)) in weights.enumerate() {
            let is_first = !self.columns.metrics[..at].contains(metric);
            let key =
                if is_first { format!("weights of {metric}") } else { format!("weights of {metric} ({})", at + 1) };
            settings.insert(key, json!(identity));
        }
        let layers: Vec<&String> = self.columns.layers.iter().flatten().collect();
        settings.insert("list of layers".to_string(), if layers.is_empty() { Value::Null } else { json!(layers) });
        let kind = if self.columns.triplets { "triplet" } else { "pair" };
        settings.insert("kind of row".to_string(), json!(kind));
        settings.insert("number of shards".to_string(), json!(self.shard.shards()));
        if with_total {
            settings.insert("number of rows".to_string(), json!(self.total));
        }
        Value::Object(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::format::tests::{columns, run};

    #[test]
    fn run_file_difference_names_the_setting() {
        let base = RunFile { total: Some(6), ..run(&columns(2, false, false), Format::Jsonl) };
        assert_eq!(base.difference(&base), None);
        let other = |change: &dyn Fn(&mut RunFile)| {
            let mut other = base.clone();
            change(&mut other);
            let difference = base.difference(&other).unwrap();
            assert_eq!(other.difference(&base).unwrap().key, difference.key, "the same in the other direction");
            difference.to_string()
        };
        let work = |key: &str, value: Value| other(&|run| drop(run.work.insert(key.to_string(), value.clone())));
        assert_eq!(work("--crop", json!(32)), "--crop was 64 and is 32");
        assert_eq!(work("--crop", Value::Null), "--crop was 64 and is not given");
        assert_eq!(work("--resize", json!(true)), "--resize was not given and is true");
        assert_eq!(work("--include", json!(["a", "b"])), "--include was not given and is a,b");
        assert_eq!(other(&|run| run.command = "pairs".into()), "command was dirs and is pairs");
        assert_eq!(other(&|run| drop(run.columns.metrics.pop())), "list of metrics was m0,m1 and is m0");
        assert_eq!(other(&|run| run.identities[1] = "ef".into()), "weights of m1 was id1 and is ef");
        assert_eq!(other(&|run| run.columns.triplets = true), "kind of row was pair and is triplet");
        assert_eq!(other(&|run| run.shard = "1/2".parse().unwrap()), "number of shards was 1 and is 2");
        assert_eq!(other(&|run| run.total = Some(7)), "number of rows was 6 and is 7");
        let mut same = base.clone();
        same.work.insert("--resize".to_string(), json!(false));
        same.format = Format::Csv;
        same.total = None;
        assert_eq!(base.difference(&same), None);
        assert_eq!(base.difference_of_part(&same).unwrap().to_string(), "format was jsonl and is csv");
    }

    #[test]
    fn run_file_roundtrip() {
        let folder = tempfile::tempdir().unwrap();
        let rows = folder.path().join("rows.jsonl");
        assert!(RunFile::read(&rows).unwrap_err().to_string().contains("rows.jsonl.run beside it"));
        let mut run = run(&columns(2, true, true), Format::Csv);
        run.complete = Some(Complete { rows: 6, failures: 1 });
        run.write(&rows).unwrap();
        assert_eq!(RunFile::read(&rows).unwrap(), run);
        std::fs::write(RunFile::path(&rows), "{}").unwrap();
        assert!(RunFile::read(&rows).unwrap_err().to_string().contains("is no run file"));
    }
}
