//! Results of an evaluation: the distances of every sample by every metric, in memory and as JSON lines.
//!
//! A file of results begins with its [`Header`]; then it has a line for each sample and metric with the names of the
//! pictures, the distances, the judgment and the 2AFC score.

mod line;
mod log;
mod names;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lpips_data::journal;
use lpips_data::sets::agreement;
use lpips_data::{JudgmentSet, Source, Task, files};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::line::Line;
use crate::metric::{Distances, Metric};
use crate::score::two_afc_score;
use crate::{Error, Result};

pub use log::ResultsLog;

/// Settings of an evaluation: results of equal settings can be resumed and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The task: 2AFC or JND.
    pub kind: Task,
    /// A hash of the pictures, their names and the judgments.
    pub set: String,
    /// Pixels along a side that pictures are resized to.
    pub size: usize,
    /// The number of samples.
    pub items: usize,
    /// Whether judgments are from `lpips data label`, with varying numbers of votes.
    pub labelled_here: bool,
    /// The metrics' names.
    pub metrics: Vec<String>,
    /// The metrics' identities, which differ where metrics of one name do; see [`Metric::identity`].
    pub identities: Vec<String>,
}

/// A sample: its pictures, the judgment on them, and the metrics' distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The number of its dataset.
    pub dataset: usize,
    /// The pictures' files: reference, p0 and p1, or p0 and p1.
    pub files: Vec<PathBuf>,
    /// The fraction of people who preferred p1, or judged both the same, in [0, 1].
    pub judge: f64,
    /// By metric: the distances of p0 and p1 from the reference, or that of p0 from p1.
    pub distances: Vec<Distances>,
}

impl Record {
    /// The 2AFC score of a triplet by a metric, in [0, 1]; NaN for a pair.
    pub fn two_afc_score(&self, metric: usize) -> f64 {
        match self.distances[metric][..] {
            [d0, d1] => two_afc_score(d0, d1, self.judge),
            _ => f64::NAN,
        }
    }
}

/// Results of an evaluation.
///
/// ```
/// use lpips_data::Task;
/// use lpips_eval::results::{Header, Record, Results};
///
/// let header = Header {
///     kind: Task::TwoAfc,
///     set: "a hash".to_string(),
///     size: 64,
///     items: 1,
///     labelled_here: false,
///     metrics: vec!["alex".to_string()],
///     identities: vec!["alex".to_string()],
/// };
/// let files = ["ref.png", "p0.png", "p1.png"].map(Into::into).to_vec();
/// let record = Record { dataset: 0, files, judge: 0.2, distances: vec![vec![0.1, 0.3]] };
/// let results = Results { header, datasets: vec!["cnn".to_string()], records: vec![record] };
/// assert_eq!(results.records[0].two_afc_score(0), 0.8);
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("results.jsonl");
/// results.write(&path)?;
/// assert_eq!(Results::read(&path)?, results);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The settings.
    pub header: Header,
    /// The datasets' names.
    pub datasets: Vec<String>,
    /// The samples, dataset by dataset.
    pub records: Vec<Record>,
}

impl journal::Header for Header {
    const HOLDS: &'static str = "results";

    fn settings(&self) -> Value {
        // The identity of a published metric is its name.
        let own = self.identities.iter().filter(|identity| !self.metrics.contains(identity));
        json!({
            "the kind of judgments": self.kind,
            "the size of pictures": self.size,
            "the number of items": self.items,
            "the list of metrics": self.metrics,
            "the set of pictures and judgments": self.set,
            "the list of weights": own.collect::<Vec<_>>(),
        })
    }
}

impl Header {
    /// Builds the settings of metrics on a set. For results that are `written` to a file, the set's hash includes the
    /// contents of its pictures, so that other pictures of the same names are recognised.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn new<const N: usize>(set: &JudgmentSet<N>, metrics: &[Metric], size: usize, written: bool) -> Result<Self> {
        Ok(Self {
            kind: JudgmentSet::<N>::TASK,
            set: if written { set.content_digest()? } else { set.digest() },
            size,
            items: set.items.len(),
            labelled_here: set.labelled_here,
            metrics: metrics.iter().map(|metric| metric.name().to_string()).collect(),
            identities: metrics.iter().map(|metric| metric.identity().to_string()).collect(),
        })
    }

    /// Checks that a file is missing or holds results of these settings, before it is written.
    ///
    /// # Errors
    /// A file of other settings or of something else, or one that can't be read.
    pub fn check_file(&self, path: &Path) -> Result<()> {
        Ok(journal::check_file(path, self)?)
    }
}

impl Results {
    /// The samples of a set, without distances.
    pub fn empty<const N: usize>(set: &JudgmentSet<N>, header: Header) -> Self {
        let item = |item: &lpips_data::Item<N>| Record {
            dataset: item.folder,
            files: match &item.source {
                Source::Files(files) => files.to_vec(),
                Source::Sample { .. } => vec![PathBuf::from(item.source.name()); N],
            },
            judge: agreement::fraction(item.judge),
            distances: Vec::new(),
        };
        Self { header, datasets: names::short(&set.folders), records: set.items.iter().map(item).collect() }
    }

    /// Reads a complete file of results.
    ///
    /// # Errors
    /// A file that can't be read, holds something else, or is not complete.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| lpips_data::Error::io(path, "read", &error))?;
        // The last line may have been cut short.
        let mut lines = text[..text.rfind('\n').map_or(0, |at| at + 1)].lines();
        let header: Header = lines
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .filter(|header: &Header| !header.metrics.is_empty() && header.metrics.len() == header.identities.len())
            .ok_or_else(|| {
                Error::results_file(path, "holds no results: expected a file that `lpips eval --details` has written")
            })?;
        let (mut datasets, mut records) = (Vec::<String>::new(), Vec::<Record>::new());
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let count = header.metrics.len();
        for (number, line) in (2..).zip(lines) {
            let damaged = |reason: String| Error::results_file(path, format!("line {number}: {reason}"));
            let line: Line = serde_json::from_str(line)
                .map_err(|error| damaged(format!("is no result that can be read: {error}")))?;
            let metric = (number - 2) % count;
            if line.metric != header.metrics[metric] {
                return Err(damaged(format!("is of the metric {}, out of turn", line.metric)));
            }
            let dataset = *numbers.entry(line.dataset.clone()).or_insert_with(|| {
                datasets.push(line.dataset.clone());
                datasets.len() - 1
            });
            let (Some(distances), Some(judge)) = (line.distances(header.kind), line.judgment()) else {
                return Err(damaged("lacks distances or the judgment".to_string()));
            };
            if !(0.0..=1.0).contains(&judge) {
                return Err(damaged(format!("the judgment is {judge}: expected a fraction of people, from 0 to 1")));
            }
            if metric == 0 {
                records.push(Record { dataset, files: line.files(), judge, distances: Vec::new() });
            }
            if let Some(record) = records.last_mut() {
                record.distances.push(distances);
            }
        }
        let complete = records.iter().filter(|record| record.distances.len() == count).count();
        if complete < header.items || complete == 0 {
            let (all, noun) = (header.items, header.kind.noun());
            let reason = format!("holds {complete} of {all} {noun}s: run the command that began it again");
            return Err(Error::results_file(path, reason));
        }
        Ok(Self { header, datasets, records })
    }

    /// Joins the metrics of two results on the same samples; a metric of both counts once.
    ///
    /// # Errors
    /// Results of different sets.
    pub fn joined(mut self, other: &Self) -> Result<Self> {
        let of = |header: &Header| (header.kind, header.set.clone(), header.size);
        if of(&self.header) != of(&other.header) || self.records.len() != other.records.len() {
            return Err(Error::DifferentSets { first: self.description(), second: other.description() });
        }
        for (at, identity) in other.header.identities.iter().enumerate() {
            if self.header.identities.contains(identity) {
                continue;
            }
            self.header.metrics.push(other.header.metrics[at].clone());
            self.header.identities.push(identity.clone());
            for (own, other) in self.records.iter_mut().zip(&other.records) {
                own.distances.push(other.distances[at].clone());
            }
        }
        Ok(self)
    }

    /// Writes a file of results, whole or not at all.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = line::encode(&self.header)?;
        for record in &self.records {
            bytes.extend(self.lines(record)?);
        }
        Ok(files::write(path, &bytes)?)
    }

    fn description(&self) -> String {
        let Header { kind, size, items, .. } = &self.header;
        format!("{items} {}s of {} at {size} pixels", kind.noun(), self.datasets.join(", "))
    }

    /// A record as lines of a file, one for each metric.
    fn lines(&self, record: &Record) -> Result<Vec<u8>> {
        let (kind, dataset) = (self.header.kind, &self.datasets[record.dataset]);
        let mut bytes = Vec::new();
        for (at, metric) in self.header.metrics.iter().enumerate() {
            bytes.extend(line::encode(&Line::new(kind, dataset, (at, metric.as_str()), record))?);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
