//! The distances of every sample by every metric, and the file they are kept in.
//!
//! The file has one JSON object a line: first what was measured, then for each sample and metric the names of the pictures, the
//! distances, what people said and the score.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metric::{Distances, Metric};
use super::score::two_afc_score;
use lpips_data::files;
use lpips_data::sets::agreement;
use lpips_data::{Error, Result};
use lpips_data::{JudgmentSet, Source, Task};

/// What was measured: the same for two files that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// What people were asked.
    pub kind: Task,
    /// A hash of the pictures, their names and what people said.
    pub set: String,
    /// Pixels along a side that pictures were brought to.
    pub size: usize,
    /// How many samples there are.
    pub items: usize,
    /// Whether judgments are of `lpips data label`, with as many votes as came together for each.
    pub labelled_here: bool,
    /// The metrics' names.
    pub metrics: Vec<String>,
    /// What tells metrics of one name apart.
    pub identities: Vec<String>,
}

/// One sample: what people were shown and said, and what the metrics say.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The number of its dataset.
    pub dataset: usize,
    /// The pictures' files: reference, p0 and p1, or p0 and p1.
    pub files: Vec<PathBuf>,
    /// The fraction of people who preferred p1, or took both for the same.
    pub judge: f64,
    /// By metric: the distances of p0 and p1 from the reference, or that of p0 from p1.
    pub distances: Vec<Distances>,
}

impl Record {
    /// Of a triplet, the fraction of people who chose as this metric does.
    pub fn two_afc_score(&self, metric: usize) -> f64 {
        match self.distances[metric][..] {
            [d0, d1] => two_afc_score(d0, d1, self.judge),
            _ => f64::NAN,
        }
    }
}

/// All that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// What was measured.
    pub header: Header,
    /// The datasets' names.
    pub datasets: Vec<String>,
    /// The samples, dataset by dataset.
    pub records: Vec<Record>,
}

/// A sample and a metric, as a line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    dataset: String,
    metric: String,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    p0: String,
    p1: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d0: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judge: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    same: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
}

impl Line {
    fn distances(&self, kind: Task) -> Option<Distances> {
        match kind {
            Task::TwoAfc => self.d0.zip(self.d1).map(|(d0, d1)| vec![d0, d1]),
            Task::Jnd => self.d.map(|d| vec![d]),
        }
    }
}

impl Header {
    /// Of a set and metrics. Where they are to be written down every file is read, to tell other pictures of the same names apart.
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

    /// Refuses a file that holds something else than results of this kind, which would be lost.
    ///
    /// # Errors
    /// A file of other results or of none, or one that can't be read.
    pub fn check_file(&self, path: &Path) -> Result<()> {
        match std::fs::read(path) {
            Ok(bytes) => self.check(path, bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(path, "read", &error)),
        }
    }

    fn check(&self, path: &Path, first: &[u8]) -> Result<()> {
        let held: Self = serde_json::from_slice(first).map_err(|_| {
            Error::file(path, "holds something else than results: name another file, it would be overwritten")
        })?;
        match held.difference(self) {
            Some(difference) => {
                Err(Error::file(path, format!("holds results of {difference}: name another file, or remove it")))
            }
            None => Ok(()),
        }
    }

    /// What it has that another has not, if they differ.
    fn difference(&self, other: &Self) -> Option<String> {
        let differ = |what: &str, a: &dyn std::fmt::Display, b: &dyn std::fmt::Display| {
            let (a, b) = (a.to_string(), b.to_string());
            (a != b).then(|| format!("another {what} ({a}, not {b})"))
        };
        differ("kind", &self.kind, &other.kind)
            .or_else(|| differ("size of pictures", &self.size, &other.size))
            .or_else(|| differ("number of items", &self.items, &other.items))
            .or_else(|| differ("list of metrics", &self.metrics.join(", "), &other.metrics.join(", ")))
            .or_else(|| (self.set != other.set).then(|| "another set of pictures or judgments".to_string()))
            .or_else(|| (self.identities != other.identities).then(|| "other weights of a metric".to_string()))
    }
}

impl Results {
    /// A set without any distances yet.
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
        Self { header, datasets: short_names(&set.folders), records: set.items.iter().map(item).collect() }
    }

    /// Reads a file back that is complete.
    ///
    /// # Errors
    /// A file that can't be read, is none of these, or is not complete.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
        // The last line may have been cut short.
        let mut lines = text[..text.rfind('\n').map_or(0, |at| at + 1)].lines();
        let header: Header = lines
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .filter(|header: &Header| !header.metrics.is_empty() && header.metrics.len() == header.identities.len())
            .ok_or_else(|| Error::file(path, "holds no results: expected what `lpips eval --details` writes"))?;
        let (mut datasets, mut records) = (Vec::<String>::new(), Vec::<Record>::new());
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let count = header.metrics.len();
        for (number, line) in (2..).zip(lines) {
            let damaged = |reason: String| Error::file(path, format!("line {number}: {reason}"));
            let line: Line = serde_json::from_str(line)
                .map_err(|error| damaged(format!("is no result that can be read: {error}")))?;
            let metric = (number - 2) % count.max(1);
            if Some(&line.metric) != header.metrics.get(metric) {
                return Err(damaged(format!("is of the metric {}, out of turn", line.metric)));
            }
            let dataset = *numbers.entry(line.dataset.clone()).or_insert_with(|| {
                datasets.push(line.dataset.clone());
                datasets.len() - 1
            });
            let (Some(distances), Some(judge)) = (line.distances(header.kind), line.judge.or(line.same)) else {
                return Err(damaged("lacks distances or what people said".to_string()));
            };
            if !(0.0..=1.0).contains(&judge) {
                return Err(damaged(format!("the judgment is {judge}: expected a fraction of people, from 0 to 1")));
            }
            if metric == 0 {
                let files = line.reference.into_iter().chain([line.p0, line.p1]).map(PathBuf::from).collect();
                records.push(Record { dataset, files, judge, distances: Vec::new() });
            }
            if let Some(record) = records.last_mut() {
                record.distances.push(distances);
            }
        }
        let complete = records.iter().filter(|record| record.distances.len() == count).count();
        if complete < header.items || complete == 0 {
            let all = header.items;
            let reason =
                format!("holds {complete} of {all} {}s: run the command that began it again", header.kind.noun());
            return Err(Error::file(path, reason));
        }
        Ok(Self { header, datasets, records })
    }

    /// The same samples, by the metrics of both; what both have measured counts once.
    ///
    /// # Errors
    /// Results of other sets.
    pub fn joined(mut self, other: &Self) -> Result<Self> {
        let of = |header: &Header| (header.kind, header.set.clone(), header.size);
        if of(&self.header) != of(&other.header) || self.records.len() != other.records.len() {
            return Err(Error::Data(format!(
                "the results are of different sets: {} and {}; expected both of the same pictures and judgments, at one size",
                self.described(),
                other.described()
            )));
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

    /// Writes them as [`Self::read`] takes them.
    ///
    /// # Errors
    /// A folder that can't be written to, or a full disk.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = self.head()?;
        for record in &self.records {
            bytes.extend(self.lines(record)?);
        }
        files::write(path, &bytes)
    }

    fn head(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(&self.header).map_err(|error| Error::Data(error.to_string()))?;
        line.push(b'\n');
        Ok(line)
    }

    fn described(&self) -> String {
        let Header { kind, size, items, .. } = &self.header;
        format!("{items} {}s of {} at {size} pixels", kind.noun(), self.datasets.join(", "))
    }

    fn lines(&self, record: &Record) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let is_2afc = self.header.kind == Task::TwoAfc;
        for (at, metric) in self.header.metrics.iter().enumerate() {
            let distance = |i: usize| record.distances[at].get(i).copied();
            let picture = |from_last: usize| record.files[record.files.len() - from_last].display().to_string();
            let line = Line {
                dataset: self.datasets[record.dataset].clone(),
                metric: metric.clone(),
                reference: is_2afc.then(|| picture(3)),
                p0: picture(2),
                p1: picture(1),
                d0: distance(0).filter(|_| is_2afc),
                d1: distance(1),
                d: distance(0).filter(|_| !is_2afc),
                judge: is_2afc.then_some(record.judge),
                same: (!is_2afc).then_some(record.judge),
                score: is_2afc.then(|| record.two_afc_score(at)),
            };
            serde_json::to_writer(&mut bytes, &line).map_err(|error| Error::Data(error.to_string()))?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

/// The file, to be written sample by sample.
#[derive(Debug)]
pub struct ResultsLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl ResultsLog {
    /// Opens a file for results, and takes over the distances that it holds already: how many samples are measured. Those are a
    /// multiple of `batch`, so that the rest is measured in the same batches as in one go.
    ///
    /// # Errors
    /// A file of other results, or one that can't be written.
    pub fn open(path: &Path, results: &mut Results, batch: usize) -> Result<(Self, usize)> {
        let fail = |error: std::io::Error| Error::io(path, "written", &error);
        let held = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(path, "read", &error)),
        };
        // The last line may have been cut short.
        let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut lines = held[..whole].split_inclusive(|byte| *byte == b'\n');
        let mut keep = 0;
        let mut measured = 0;
        if let Some(first) = lines.next() {
            results.header.check(path, first)?;
            keep = first.len();
            let lines: Vec<&[u8]> = lines.collect();
            let count = results.header.metrics.len();
            let items = lines.len() / count;
            measured = if items == results.records.len() { items } else { items - items % batch };
            for (record, lines) in results.records.iter_mut().zip(lines[..measured * count].chunks(count)) {
                for line in lines {
                    let reason = |what: &str| Error::file(path, format!("holds a line that can't be read: {what}"));
                    let parsed: Line = serde_json::from_slice(line).map_err(|error| reason(&error.to_string()))?;
                    let distances = parsed.distances(results.header.kind);
                    record.distances.push(distances.ok_or_else(|| reason("it lacks distances"))?);
                    keep += line.len();
                }
            }
        } else if !held.is_empty() {
            // Not even a first line.
            results.header.check(path, &held)?;
        }
        let file = OpenOptions::new().create(true).append(true).truncate(false).open(path).map_err(fail)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::file(path, "is being written by another run: wait for it, or name another file"));
        }
        file.set_len(keep as u64).map_err(fail)?;
        let mut details = Self { path: path.to_path_buf(), file: BufWriter::new(file) };
        if keep == 0 {
            details.append(&results.head()?)?;
        }
        Ok((details, measured))
    }

    /// Adds samples that have been measured.
    ///
    /// # Errors
    /// A full disk.
    pub fn add(&mut self, results: &Results, records: &[Record]) -> Result<()> {
        for record in records {
            let lines = results.lines(record)?;
            self.append(&lines)?;
        }
        self.file.flush().map_err(|error| Error::io(&self.path, "written", &error))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io(&self.path, "written", &error))
    }
}

/// Names of folders as short as tells them apart: their last parts.
fn short_names(folders: &[String]) -> Vec<String> {
    let parts = |folder: &String| -> Vec<String> {
        let is_name = |part: &Component| matches!(part, Component::Normal(_));
        Path::new(folder)
            .components()
            .filter(is_name)
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let all: Vec<Vec<String>> = folders.iter().map(parts).collect();
    let last = |parts: &Vec<String>, count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let longest = all.iter().map(Vec::len).max().unwrap_or_default();
    let unique = |count: &usize| {
        let names: std::collections::HashSet<String> = all.iter().map(|parts| last(parts, *count)).collect();
        names.len() == all.len()
    };
    let count = (1..=longest).find(unique);
    match count {
        Some(count) => all.iter().map(|parts| last(parts, count)).collect(),
        // The same folder twice.
        None => folders.iter().zip(1..).map(|(folder, i)| format!("{folder} ({i})")).collect(),
    }
}
