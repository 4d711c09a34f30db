//! Score table: scores by dataset and metric with bootstrap intervals, and the human score.

use lpips_data::Task;
use lpips_data::sets::agreement;
use serde::Serialize;

use super::calibration::{BINS, bins};
use super::results::Results;
use super::score::{Point, average_precision, precision_recall};
use super::statistics::Bootstrap;
use crate::{Error, Result};

/// The dataset name of the rows over all datasets.
pub const ALL: &str = "all";
/// The metric name of the human score.
pub const HUMAN: &str = "human";

/// A score of a metric on a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreRow {
    /// The task: 2AFC or JND.
    pub kind: Task,
    /// The dataset's name, or [`ALL`].
    pub dataset: String,
    /// The metric's name, or [`HUMAN`].
    pub metric: String,
    /// The 2AFC score, or the mAP of just noticeable differences, in [0, 1].
    pub score: f64,
    /// The lower end of its bootstrap interval.
    pub low: f64,
    /// The upper end of its bootstrap interval.
    pub high: f64,
    /// The number of samples.
    pub n: usize,
}

/// Computes the scores of each dataset and, with several datasets, their mean, as in the paper. For triplets the human
/// score is added: the agreement of one vote with another, with `votes` votes a judgment, or as many as the judgments
/// suggest.
///
/// # Errors
/// A dataset without samples.
pub fn rows(results: &Results, bootstrap: &Bootstrap, votes: Option<u32>) -> Result<Vec<ScoreRow>> {
    let mut rows = Vec::new();
    for (name, members) in groups(results) {
        for metric in 0..results.header.metrics.len() {
            let metric_name = results.header.metrics[metric].clone();
            rows.push(match results.header.kind {
                Task::TwoAfc => {
                    of_means(Task::TwoAfc, &name, metric_name, &two_afc_scores(results, metric, &members), bootstrap)?
                }
                Task::Jnd => of_pairs(results, &name, (metric, metric_name), &members, bootstrap)?,
            });
        }
        if results.header.kind == Task::TwoAfc
            && let Some(agreements) = agreements(results, &members, votes)?
        {
            rows.push(of_means(Task::TwoAfc, &name, HUMAN.to_string(), &agreements, bootstrap)?);
        }
    }
    Ok(rows)
}

/// Groups the places of samples by dataset; with several datasets, a last group has them all.
pub(super) fn groups(results: &Results) -> Vec<(String, Vec<Vec<usize>>)> {
    let places = |dataset: usize| -> Vec<usize> {
        results.records.iter().enumerate().filter(|(_, record)| record.dataset == dataset).map(|(at, _)| at).collect()
    };
    let each: Vec<(String, Vec<usize>)> =
        results.datasets.iter().cloned().zip((0..).map(places)).filter(|(_, places)| !places.is_empty()).collect();
    let mut groups: Vec<_> = each.iter().map(|(name, places)| (name.clone(), vec![places.clone()])).collect();
    if each.len() > 1 {
        groups.push((ALL.to_string(), each.into_iter().map(|(_, places)| places).collect()));
    }
    groups
}

/// The 2AFC scores of triplets by dataset.
pub(super) fn two_afc_scores(results: &Results, metric: usize, members: &[Vec<usize>]) -> Vec<Vec<f64>> {
    let of = |places: &Vec<usize>| places.iter().map(|at| results.records[*at].two_afc_score(metric)).collect();
    members.iter().map(of).collect()
}

/// The mean of samples' means.
pub(super) fn mean_of_means(samples: &[Vec<f64>]) -> f64 {
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    samples.iter().map(mean).sum::<f64>() / samples.len() as f64
}

fn of_means(
    kind: Task,
    dataset: &str,
    metric: String,
    samples: &[Vec<f64>],
    bootstrap: &Bootstrap,
) -> Result<ScoreRow> {
    let score = mean_of_means(samples);
    let (low, high) = bootstrap.mean(samples)?;
    let n = samples.iter().map(Vec::len).sum();
    Ok(ScoreRow { kind, dataset: dataset.to_string(), metric, score, low, high, n })
}

fn of_pairs(
    results: &Results,
    dataset: &str,
    (metric, name): (usize, String),
    members: &[Vec<usize>],
    bootstrap: &Bootstrap,
) -> Result<ScoreRow> {
    let samples: Vec<Vec<(f64, f64)>> = members.iter().map(|places| pairs(results, metric, places)).collect();
    let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
    let score = mean(samples.iter().map(|pairs| average_precision(&precision_recall(pairs))).collect());
    if score.is_nan() {
        return Err(Error::NoSamePair { dataset: dataset.to_string() });
    }
    let sizes: Vec<usize> = samples.iter().map(Vec::len).collect();
    let (low, high) = bootstrap.interval(&sizes, |places| {
        let of = |(pairs, places): (&Vec<(f64, f64)>, &Vec<usize>)| {
            let drawn: Vec<(f64, f64)> = places.iter().map(|at| pairs[*at]).collect();
            average_precision(&precision_recall(&drawn))
        };
        mean(samples.iter().zip(places).map(of).collect())
    })?;
    let (kind, n) = (Task::Jnd, sizes.iter().sum());
    Ok(ScoreRow { kind, dataset: dataset.to_string(), metric: name, score, low, high, n })
}

/// Distances and judgments of pairs.
fn pairs(results: &Results, metric: usize, places: &[usize]) -> Vec<(f64, f64)> {
    let of = |at: &usize| (results.records[*at].distances[metric][0], results.records[*at].judge);
    places.iter().map(of).collect()
}

/// The precision-recall curve of one metric over the pairs of all datasets.
pub fn curve(results: &Results, metric: usize) -> Vec<Point> {
    let places: Vec<usize> = (0..results.records.len()).collect();
    precision_recall(&pairs(results, metric, &places))
}

/// Writes the curves behind the charts as CSV: for pairs by metric and threshold, for triplets by metric and bin of
/// predictions.
///
/// # Errors
/// Values that can't be encoded.
pub fn curves_csv(results: &Results) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head: &[&str] = match results.header.kind {
        Task::TwoAfc => &["metric", "predicted", "judged", "n"],
        Task::Jnd => &["metric", "threshold", "share", "precision", "recall", "accuracy"],
    };
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for (metric, name) in results.header.metrics.iter().enumerate() {
        let named = |values: &[f64]| [name.clone()].into_iter().chain(values.iter().map(f64::to_string)).collect();
        match results.header.kind {
            Task::TwoAfc => rows.extend(
                bins(results, metric, BINS).iter().map(|bin| named(&[bin.predicted, bin.judged, bin.n as f64])),
            ),
            Task::Jnd => rows.extend(
                curve(results, metric)
                    .iter()
                    .map(|p| named(&[p.threshold, p.share, p.precision, p.recall, p.accuracy])),
            ),
        }
    }
    let failed = |error: &dyn std::fmt::Display| Error::Encode { what: "curves", reason: error.to_string() };
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The agreement of one vote with another on each triplet; `None` where the number of votes is not known.
fn agreements(results: &Results, members: &[Vec<usize>], votes: Option<u32>) -> Result<Option<Vec<Vec<f64>>>> {
    let of = |places: &Vec<usize>| {
        let judges: Vec<f64> = places.iter().map(|at| results.records[*at].judge).collect();
        match votes {
            Some(votes) if !agreement::fits(&judges, votes) => {
                let judgment =
                    judges.iter().copied().find(|judge| !agreement::fits(&[*judge], votes)).unwrap_or_default();
                Err(Error::VoteCount { judgment, votes })
            }
            Some(votes) => Ok(agreement::agreements(&judges, votes)),
            None if results.header.labelled_here => Ok(None),
            None => Ok(agreement::votes_behind(&judges).and_then(|votes| agreement::agreements(&judges, votes))),
        }
    };
    members.iter().map(of).collect()
}
