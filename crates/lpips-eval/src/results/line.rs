//! Lines of a file of results.

use std::path::PathBuf;

use lpips_data::Task;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::metric::Distances;
use crate::{Error, Result};

/// One line of a details file: the distance or distances of one sample by one metric.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) dataset: String,
    pub(super) metric: String,
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
    /// The line of a record by one metric, given by its place and name.
    pub(super) fn new(kind: Task, dataset: &str, (at, metric): (usize, &str), record: &Record) -> Self {
        let is_2afc = kind == Task::TwoAfc;
        let distance = |i: usize| record.distances[at].get(i).copied();
        let picture = |from_last: usize| record.files[record.files.len() - from_last].display().to_string();
        Self {
            dataset: dataset.to_string(),
            metric: metric.to_string(),
            reference: is_2afc.then(|| picture(3)),
            p0: picture(2),
            p1: picture(1),
            d0: distance(0).filter(|_| is_2afc),
            d1: distance(1),
            d: distance(0).filter(|_| !is_2afc),
            judge: is_2afc.then_some(record.judge),
            same: (!is_2afc).then_some(record.judge),
            score: is_2afc.then(|| record.two_afc_score(at)),
        }
    }

    pub(super) fn distances(&self, kind: Task) -> Option<Distances> {
        match kind {
            Task::TwoAfc => self.d0.zip(self.d1).map(|(d0, d1)| vec![d0, d1]),
            Task::Jnd => self.d.map(|d| vec![d]),
        }
    }

    pub(super) fn judgment(&self) -> Option<f64> {
        self.judge.or(self.same)
    }

    /// The pictures' files, in the order of [`Record::files`].
    pub(super) fn files(self) -> Vec<PathBuf> {
        self.reference.into_iter().chain([self.p0, self.p1]).map(PathBuf::from).collect()
    }
}

/// A value as a line of JSON.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let failed = |error: serde_json::Error| Error::Encode { what: "results", reason: error.to_string() };
    let mut line = serde_json::to_vec(value).map_err(failed)?;
    line.push(b'\n');
    Ok(line)
}
