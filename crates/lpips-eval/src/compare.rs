//! Comparison of metrics by paired tests on the 2AFC scores of the same triplets.

use lpips_data::Task;
use serde::Serialize;

use super::results::Results;
use super::statistics::{Bootstrap, effect_size, holm, paired_t, wilcoxon};
use super::table::{groups, mean_of_means, two_afc_scores};
use crate::{Error, Result};

/// The difference of two metrics' 2AFC scores on one dataset, with its interval and tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreDifference {
    /// The dataset's name, or [`super::table::ALL`].
    pub dataset: String,
    /// The first metric.
    pub a: String,
    /// The other.
    pub b: String,
    /// The number of triplets.
    pub n: usize,
    /// The first metric's 2AFC score.
    pub score_a: f64,
    /// The other's.
    pub score_b: f64,
    /// The other's score minus the first's.
    pub difference: f64,
    /// The lower end of the bootstrap interval of the difference.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Cohen's d of the triplets' differences: their mean in units of their standard deviation.
    pub effect: f64,
    /// Student's t of the triplets' differences; NaN without variance.
    pub t: f64,
    /// The two-sided p-value of `t`.
    pub t_p: f64,
    /// `t_p` with Holm's correction for all comparisons.
    pub t_p_holm: f64,
    /// Wilcoxon's smaller sum of signed ranks; `None` over several datasets.
    pub wilcoxon: Option<f64>,
    /// The two-sided p-value of `wilcoxon`.
    pub wilcoxon_p: Option<f64>,
    /// `wilcoxon_p` with Holm's correction for all comparisons.
    pub wilcoxon_p_holm: Option<f64>,
}

impl ScoreDifference {
    /// The better metric at significance level `alpha` by the corrected t test; `None` where the difference is not
    /// significant.
    pub fn better(&self, alpha: f64) -> Option<&str> {
        let better = if self.difference > 0.0 { &self.b } else { &self.a };
        (self.t_p_holm < alpha).then_some(better)
    }
}

/// Compares the first metric with each other one, by dataset and over all datasets.
///
/// # Errors
/// Pairs rather than triplets, fewer than two metrics, or a dataset of fewer than two triplets.
pub fn differences(results: &Results, bootstrap: &Bootstrap) -> Result<Vec<ScoreDifference>> {
    let metrics = &results.header.metrics;
    if results.header.kind != Task::TwoAfc {
        return Err(Error::ComparisonOfPairs);
    }
    if metrics.len() < 2 {
        return Err(Error::ComparisonOfOne { metric: metrics.join(", ") });
    }
    let mut found = Vec::new();
    for (dataset, members) in groups(results) {
        let first = two_afc_scores(results, 0, &members);
        for other in 1..metrics.len() {
            let (a, b) = (metrics[0].clone(), metrics[other].clone());
            found.push(difference(
                dataset.clone(),
                (a, b),
                (&first, &two_afc_scores(results, other, &members)),
                bootstrap,
            )?);
        }
    }
    let t = holm(&found.iter().map(|difference| difference.t_p).collect::<Vec<_>>());
    let ranks = holm(&found.iter().filter_map(|difference| difference.wilcoxon_p).collect::<Vec<_>>());
    let mut ranks = ranks.into_iter();
    for (difference, t) in found.iter_mut().zip(t) {
        difference.t_p_holm = t;
        difference.wilcoxon_p_holm = difference.wilcoxon_p.and_then(|_| ranks.next());
    }
    Ok(found)
}

fn difference(
    dataset: String,
    (a, b): (String, String),
    (first, other): (&[Vec<f64>], &[Vec<f64>]),
    bootstrap: &Bootstrap,
) -> Result<ScoreDifference> {
    // Rounded, as scores are fractions of votes: equal differences are ties to the last bit.
    let less = |(a, b): (&f64, &f64)| ((b - a) * 1e9).round() / 1e9;
    let samples: Vec<Vec<f64>> =
        first.iter().zip(other).map(|(first, other)| first.iter().zip(other).map(less).collect()).collect();
    if let Some(few) = samples.iter().find(|sample| sample.len() < 2) {
        let part = if samples.len() > 1 { "one of its datasets" } else { "it" };
        return Err(Error::TooFewTriplets { dataset, part, count: few.len() });
    }
    let (low, high) = bootstrap.mean(&samples)?;
    let t = paired_t(&samples)?;
    // Ranks over several datasets would weigh these by their size, and the score does not.
    let ranks = if let [sample] = &samples[..] { Some(wilcoxon(sample)?) } else { None };
    Ok(ScoreDifference {
        dataset,
        a,
        b,
        n: samples.iter().map(Vec::len).sum(),
        score_a: mean_of_means(first),
        score_b: mean_of_means(other),
        difference: mean_of_means(&samples),
        low,
        high,
        effect: effect_size(&samples)?,
        t: t.statistic,
        t_p: t.p,
        t_p_holm: t.p,
        wilcoxon: ranks.map(|ranks| ranks.statistic),
        wilcoxon_p: ranks.map(|ranks| ranks.p),
        wilcoxon_p_holm: ranks.map(|ranks| ranks.p),
    })
}
