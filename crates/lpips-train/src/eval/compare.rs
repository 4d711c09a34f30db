//! Whether one metric really beats another: paired tests on the scores of the same triplets.

use serde::Serialize;

use super::results::Results;
use super::statistics::{Bootstrap, effect_size, holm, paired_t, wilcoxon};
use super::table::groups;
use crate::data::Kind;
use crate::error::{Error, Result};

/// Two metrics on one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The dataset's name, or [`super::table::ALL`].
    pub dataset: String,
    /// The first metric.
    pub a: String,
    /// The other.
    pub b: String,
    /// Over how many triplets.
    pub n: usize,
    /// The first metric's 2AFC score.
    pub score_a: f64,
    /// The other's.
    pub score_b: f64,
    /// The other's less the first's.
    pub difference: f64,
    /// The lower end of the difference's interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The mean of the triplets' differences in units of their standard deviation (Cohen's d of paired samples).
    pub effect: f64,
    /// Student's t of the triplets' differences.
    pub t: f64,
    /// Its two-sided p.
    pub t_p: f64,
    /// The same with Holm's correction for all comparisons made at once.
    pub t_p_holm: f64,
    /// Wilcoxon's smaller sum of signed ranks.
    pub wilcoxon: f64,
    /// Its two-sided p.
    pub wilcoxon_p: f64,
    /// The same with Holm's correction.
    pub wilcoxon_p_holm: f64,
}

impl Difference {
    /// The metric that is better at a level of significance, by the corrected t test; `None` where that is not shown.
    pub fn better(&self, alpha: f64) -> Option<&str> {
        let better = if self.difference > 0.0 { &self.b } else { &self.a };
        (self.t_p_holm < alpha).then_some(better)
    }
}

/// Compares the first metric with each other, by dataset and over all.
///
/// # Errors
/// Pairs rather than triplets, fewer than two metrics, or a dataset of fewer than two triplets.
pub fn differences(results: &Results, bootstrap: &Bootstrap) -> Result<Vec<Difference>> {
    let metrics = &results.header.metrics;
    if results.header.kind != Kind::TwoAfc {
        return Err(Error::Choice(
            "pairs have no scores of their own to be compared: expected triplets, judged by 2AFC".to_string(),
        ));
    }
    if metrics.len() < 2 {
        return Err(Error::Choice(format!("{} was given alone: expected another metric", metrics.join(", "))));
    }
    let mut found = Vec::new();
    for (dataset, members) in groups(results) {
        let credits = |metric: usize| -> Vec<Vec<f64>> {
            let of = |places: &Vec<usize>| places.iter().map(|at| results.answers[*at].credit(metric)).collect();
            members.iter().map(of).collect()
        };
        let first = credits(0);
        for other in 1..metrics.len() {
            let (a, b) = (metrics[0].clone(), metrics[other].clone());
            found.push(difference(dataset.clone(), (a, b), (&first, &credits(other)), bootstrap)?);
        }
    }
    let corrected = |p: fn(&Difference) -> f64| holm(&found.iter().map(p).collect::<Vec<_>>());
    let (t, ranks) = (corrected(|d| d.t_p), corrected(|d| d.wilcoxon_p));
    for (difference, (t, ranks)) in found.iter_mut().zip(t.into_iter().zip(ranks)) {
        (difference.t_p_holm, difference.wilcoxon_p_holm) = (t, ranks);
    }
    Ok(found)
}

fn difference(
    dataset: String,
    (a, b): (String, String),
    (first, other): (&[Vec<f64>], &[Vec<f64>]),
    bootstrap: &Bootstrap,
) -> Result<Difference> {
    let by_dataset: Vec<Vec<f64>> =
        first.iter().zip(other).map(|(first, other)| first.iter().zip(other).map(|(a, b)| b - a).collect()).collect();
    let all: Vec<f64> = by_dataset.iter().flatten().copied().collect();
    if all.len() < 2 {
        return Err(Error::Data(format!("{dataset} has {} triplets: expected at least 2 to compare on", all.len())));
    }
    let samples: Vec<&[f64]> = by_dataset.iter().map(Vec::as_slice).collect();
    let mean = |samples: &[Vec<f64>]| {
        samples.iter().map(|values| values.iter().sum::<f64>() / values.len() as f64).sum::<f64>()
            / samples.len() as f64
    };
    let (low, high) = bootstrap.mean(&samples)?;
    let (t, ranks) = (paired_t(&all)?, wilcoxon(&all)?);
    Ok(Difference {
        dataset,
        a,
        b,
        n: all.len(),
        score_a: mean(first),
        score_b: mean(other),
        difference: mean(&by_dataset),
        low,
        high,
        effect: effect_size(&all)?,
        t: t.statistic,
        t_p: t.p,
        t_p_holm: t.p,
        wilcoxon: ranks.statistic,
        wilcoxon_p: ranks.p,
        wilcoxon_p_holm: ranks.p,
    })
}
