//! What was measured: the small file beside a file of rows.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::results::format::Format;
use crate::results::schema::Columns;
use crate::source::shard::Shard;
use crate::{Error, Result};
use lpips_data::files;

/// What was measured, and whether all of it is there: what a run that goes on, and a merge, check against. It holds no times, so that
/// it is the same file after an undisturbed run and after one that was stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// The command's name.
    pub command: String,
    /// What decides numbers and rows, as it is to be read in messages: `"--crop": 64`. What is not given is not there.
    pub work: Map<String, Value>,
    /// What the rows have in common.
    #[serde(flatten)]
    pub columns: Columns,
    /// What tells metrics of one name apart, by metric.
    pub identities: Vec<String>,
    /// How the rows are written.
    pub format: Format,
    /// Which part of the work it is.
    pub shard: Shard,
    /// The number of rows of all shards together, if it is known.
    pub total: Option<u64>,
    /// What is there, once that is everything.
    pub complete: Option<Complete>,
}

/// What a finished run has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Rows, those that failed with them.
    pub rows: u64,
    /// Rows that failed.
    pub failures: u64,
}

impl RunFile {
    /// Where it is: the rows' file name and `.run`.
    pub fn path(rows: &Path) -> PathBuf {
        let mut name = rows.as_os_str().to_os_string();
        name.push(".run");
        name.into()
    }

    /// That of a file of rows.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn read(rows: &Path) -> Result<Self> {
        let path = Self::path(rows);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::file(rows, format!("has no run file {} beside it, which says what was measured", path.display()))
            }
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

    /// Where another is of other work, whatever part of it: how this was made, and how that one ("with --crop 64", "without
    /// --crop").
    pub fn difference(&self, other: &Self) -> Option<(String, String)> {
        let differ = |a: String, b: String| (a != b).then_some((a, b));
        let metrics = |run: &Self| format!("with {}", run.columns.metrics.join(", "));
        let identity = |at: usize| {
            let of = |run: &Self| {
                format!(
                    "with {} of {}",
                    run.identities.get(at).map_or("nothing", String::as_str),
                    run.columns.metrics[at]
                )
            };
            differ(of(self), of(other))
        };
        let layers = |run: &Self| {
            let layers: Vec<&str> = run.columns.layers.iter().flatten().map(String::as_str).collect();
            if layers.is_empty() {
                "without layers".to_string()
            } else {
                format!("with the layers {}", layers.join(", "))
            }
        };
        let triplets = |run: &Self| format!("of {}", if run.columns.triplets { "triplets" } else { "pairs" });
        let keys = self.work.keys().chain(other.work.keys());
        let total = self.total.zip(other.total);
        differ(format!("by `lpips {}`", self.command), format!("by `lpips {}`", other.command))
            .or_else(|| differ(metrics(self), metrics(other)))
            .or_else(|| keys.into_iter().find_map(|key| differ(option(key, &self.work), option(key, &other.work))))
            .or_else(|| (0..self.columns.metrics.len()).find_map(identity))
            .or_else(|| differ(layers(self), layers(other)))
            .or_else(|| differ(triplets(self), triplets(other)))
            .or_else(|| differ(format!("in {} shards", self.shard.of()), format!("in {} shards", other.shard.of())))
            .or_else(|| total.and_then(|(a, b)| differ(format!("of {a} rows in all"), format!("of {b} rows in all"))))
    }
}

/// An option as it is read in messages.
fn option(key: &str, work: &Map<String, Value>) -> String {
    match work.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => format!("without {key}"),
        Some(Value::Bool(true)) => format!("with {key}"),
        Some(Value::Array(values)) => format!("with {key} {}", values.iter().map(text).collect::<Vec<_>>().join(",")),
        Some(value) => format!("with {key} {}", text(value)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::results::format::tests::{columns, run};

    #[test]
    fn what_differs_is_named() {
        let base = RunFile { total: Some(6), ..run(&columns(2, false, false), Format::Jsonl) };
        assert_eq!(base.difference(&base), None);
        let other = |change: &dyn Fn(&mut RunFile)| {
            let mut other = base.clone();
            change(&mut other);
            let (a, b) = base.difference(&other).unwrap();
            // The other way round it is the same.
            assert_eq!(other.difference(&base), Some((b.clone(), a.clone())));
            format!("{a}, not {b}")
        };
        let work = |key: &str, value: Value| other(&|run| drop(run.work.insert(key.to_string(), value.clone())));
        assert_eq!(work("--crop", json!(32)), "with --crop 64, not with --crop 32");
        assert_eq!(work("--crop", Value::Null), "with --crop 64, not without --crop");
        assert_eq!(work("--resize", json!(true)), "without --resize, not with --resize");
        assert_eq!(work("--include", json!(["a", "b"])), "without --include, not with --include a,b");
        assert_eq!(other(&|run| run.command = "pairs".into()), "by `lpips dirs`, not by `lpips pairs`");
        assert_eq!(other(&|run| drop(run.columns.metrics.pop())), "with m0, m1, not with m0");
        assert_eq!(other(&|run| run.identities[1] = "ef".into()), "with id1 of m1, not with ef of m1");
        assert_eq!(other(&|run| run.columns.triplets = true), "of pairs, not of triplets");
        assert_eq!(other(&|run| run.shard = "1/2".parse().unwrap()), "in 1 shards, not in 2 shards");
        assert_eq!(other(&|run| run.total = Some(7)), "of 6 rows in all, not of 7 rows in all");
        let mut same = base.clone();
        same.work.insert("--resize".to_string(), json!(false));
        assert_eq!(base.difference(&same), None, "what is off is as what is not there");
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
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
