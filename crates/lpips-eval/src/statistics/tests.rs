#![allow(clippy::float_cmp)] // Where nothing is rounded.

use lpips_data::rng::{Rng, Stream};

use super::*;

#[derive(serde::Deserialize)]
struct Row {
    name: String,
    differences: Vec<f64>,
    t: f64,
    t_p: f64,
    w: f64,
    w_p: f64,
}

/// t and p.
const WELCH: (f64, f64) = (2.3816525581123345, 0.0645610305680502);

#[test]
fn t_test_and_wilcoxon_agree_with_scipy() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../../tests/fixtures/statistics.json")).unwrap();
    assert_eq!(rows.len(), 8);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1e-3);
    for Row { name, differences, t, t_p, w, w_p } in rows {
        let student = paired_t(std::slice::from_ref(&differences)).unwrap();
        assert!(close(student.statistic, t) && close(student.p, t_p), "{name}: {student:?} for {t} and {t_p}");
        let ranks = wilcoxon(&differences).unwrap();
        assert!(close(ranks.statistic, w) && close(ranks.p, w_p), "{name}: {ranks:?} for {w} and {w_p}");
    }
}

#[test]
fn t_test_and_wilcoxon_of_equal_scores_give_p_one() {
    assert_eq!(paired_t(&[vec![0.0; 5]]).unwrap().p, 1.0);
    assert_eq!(wilcoxon(&[0.0; 5]).unwrap().p, 1.0);
    // Nor are those that are all the same: how far they vary is not known.
    let same = paired_t(&[vec![0.5; 5]]).unwrap();
    assert!(same.statistic.is_nan() && same.p == 1.0 && effect_size(&[vec![0.5; 5]]).unwrap().is_nan());
    assert!(paired_t(&[vec![1.0]]).is_err() && wilcoxon(&[]).is_err());
    assert!(paired_t(&[vec![1.0, f64::NAN]]).is_err());
}

#[test]
fn t_test_of_several_samples_is_of_the_mean_of_their_means() {
    // Welch's test of two samples is that of the mean of one and the other turned round: scipy.stats.ttest_ind(a, b,
    // equal_var=False).
    let (a, b) = (vec![1.0, 2.0, 4.0, 3.5], vec![0.5, 1.0, -0.5, 2.0, 1.5, 0.0]);
    let test = paired_t(&[a.clone(), b.iter().map(|v| -v).collect()]).unwrap();
    assert!((test.statistic - WELCH.0).abs() < 1e-9 && (test.p - WELCH.1).abs() < 1e-9, "{test:?}");
    // A large sample against a small one: the test goes where the mean of means goes.
    let (large, small) = ((0..90).map(|i| -0.1 - 0.01 * f64::from(i % 3)).collect(), vec![0.9, 1.0, 1.1]);
    assert!(paired_t(&[large, small]).unwrap().statistic > 0.0);
}

#[test]
fn holm_correction_steps_down() {
    let corrected = holm(&[0.01, 0.04, 0.03, 0.9]);
    for (corrected, expected) in corrected.iter().zip([0.04, 0.09, 0.09, 0.9]) {
        assert!((corrected - expected).abs() < 1e-12, "{corrected} for {expected}");
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn bootstrap_interval_covers_the_mean_at_its_level() {
    // Five votes a triplet, as scores have: of 400 sets of 100 about 380 intervals must hold the true mean.
    let mut held = 0;
    for set in 0..400 {
        let mut rng = Rng::new(set, Stream::Samples, (0, 0));
        let values: Vec<f64> = (0..100).map(|_| (0..5).filter(|_| rng.chance(0.7)).count() as f64 / 5.0).collect();
        let bootstrap = Bootstrap { resamples: 400, seed: set, ..Bootstrap::default() };
        let (low, high) = bootstrap.mean(std::slice::from_ref(&values)).unwrap();
        held += usize::from((low..=high).contains(&0.7));
    }
    // Six standard deviations of the count.
    assert!((354..=397).contains(&held), "{held} of 400");
}

#[test]
fn bootstrap_interval_is_the_same_on_any_number_of_threads() {
    let values: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
    let run = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bootstrap = Bootstrap { level: 0.9, resamples: 100, seed };
        pool.install(|| bootstrap.mean(&[values.clone(), values[..9].to_vec()]).unwrap())
    };
    assert_eq!(run(1, 3), run(4, 3));
    assert_ne!(run(1, 3), run(1, 4));
}

#[test]
fn quantile_interpolates_as_numpy() {
    let sorted = [0.1, 0.2, 0.4, 0.8];
    for (part, expected) in [(0.0, 0.1), (0.25, 0.175), (0.5, 0.3), (1.0, 0.8)] {
        let found = quantile(&sorted, part);
        assert!((found - expected).abs() < 1e-12, "{part}: {found}");
    }
    assert_eq!((median(&sorted), median(&sorted[..3])), (f64::midpoint(0.2, 0.4), 0.2));
}

#[test]
fn mean_is_compensated_for_rounding() {
    assert_eq!(mean([1.0, 1e16, -1e16]), 1.0 / 3.0);
    assert_eq!((mean([]), mean_and_variance(&[1.0, 3.0])), (0.0, (2.0, 1.0)));
}
