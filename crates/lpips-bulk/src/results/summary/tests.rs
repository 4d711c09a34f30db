use proptest::prelude::*;

use super::*;
use crate::results::format::tests::columns;
use crate::results::schema::MetricResult;

fn row(index: u64, reference: &str, distances: &[f64]) -> Row {
    let outcome = match distances {
        [] => Err("broken".to_string()),
        _ => Ok(distances.iter().map(|&distance| MetricResult { distance, ..MetricResult::default() }).collect()),
    };
    Row { index, reference: reference.into(), candidate: format!("c{index}").into(), second: None, outcome }
}

fn totals(columns: &Columns, rows: &[Row]) -> Totals {
    let mut summary = Summary::new(columns);
    for row in rows {
        summary.add(row);
    }
    summary.totals()
}

fn of(values: &[f64]) -> Stats {
    let rows: Vec<Row> = (0..).zip(values).map(|(index, value)| row(index, "r", &[*value])).collect();
    totals(&columns(1, false, false), &rows).metrics.remove(0).stats.unwrap()
}

#[test]
fn summary_statistics_equal_numpy() {
    // numpy 2.4: mean(a), std(a) / sqrt(len(a)), median(a), percentile(a, [1, 5, 25, 50, 75, 95, 99]).
    let odd: Vec<f64> = (0..101).map(|i| ((i * 7919) % 1009) as f64 / 1009.0 * 0.7).collect();
    let even = [0.31, 0.07, 0.25, 0.62, 0.11, 0.48];
    for (values, mean, error, percentiles, min, max) in [
        (
            &odd[..],
            0.3551413515979942,
            0.02033815037229002,
            [
                0.01456888007928642,
                0.03746283448959365,
                0.1838453914767096,
                0.3558969276511397,
                0.5279484638255698,
                0.6715559960356788,
                0.694449950445986,
            ],
            0,
            33,
        ),
        (
            &even,
            0.3066666666666667,
            0.07925579777834227,
            [0.07200000000000001, 0.08, 0.14500000000000002, 0.28, 0.4375, 0.585, 0.613],
            1,
            3,
        ),
    ] {
        let stats = of(values);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        near(stats.mean, mean);
        near(stats.error, error);
        near(stats.median, percentiles[3]);
        stats.percentiles.iter().zip(percentiles).for_each(|(own, other)| near(*own, other));
        assert_eq!((stats.min.index, stats.max.index), (min, max));
        near(stats.max.distance, values[max as usize]);
    }
}

#[test]
fn summary_mean_compensates_rounding() {
    let cancelled = of(&[1.0, 1e100, 1.0, -1e100]);
    assert_eq!((cancelled.mean, cancelled.median), (0.5, 1.0));
    let tenth = of(&vec![0.1; 1_000_000]);
    assert_eq!((tenth.mean, tenth.median, tenth.error), (0.1, 0.1, 0.0));
}

#[test]
fn summary_separates_failures_folders_and_second_candidates() {
    let columns = columns(2, true, false);
    let mut rows = vec![
        row(0, "b/1.png", &[0.5, 5.0]),
        row(1, "a/1.png", &[0.25, 2.0]),
        row(2, "a/2.png", &[]),
        row(3, "b/2.png", &[1.0, 1.0]),
        row(4, "c/1.png", &[]),
    ];
    for row in &mut rows {
        row.second = Some(format!("s{}", row.index).into());
        row.outcome.iter_mut().flatten().for_each(|own| own.second = Some(own.distance * 2.0));
    }
    let totals = totals(&columns, &rows);
    assert_eq!((totals.rows, totals.failures), (5, 2));
    let names: Vec<_> = totals.metrics.iter().map(|metric| (metric.name.as_str(), metric.count)).collect();
    assert_eq!(names, [("m0", 3), ("m1", 3), ("second_m0", 3), ("second_m1", 3)]);
    let second = totals.metrics[3].stats.as_ref().unwrap();
    assert_eq!((second.max.distance, second.max.candidate.to_str()), (10.0, Some("s0")));
    assert_eq!((second.min.distance, second.min.reference.to_str()), (2.0, Some("b/2.png")));
    let folder =
        |name: &str, count, means: &[Option<f64>]| Folder { folder: name.into(), count, means: means.to_vec() };
    let means = |values: [f64; 4]| values.map(Some);
    assert_eq!(
        totals.folders,
        [
            folder("a", 1, &means([0.25, 2.0, 0.5, 4.0])),
            folder("b", 2, &means([0.75, 3.0, 1.5, 6.0])),
            folder("c", 0, &[None; 4])
        ]
    );
}

#[test]
fn summary_extremes_are_the_first_of_equal_rows() {
    let columns = columns(1, false, false);
    let found = totals(&columns, &[row(0, "a/r", &[1.0]), row(1, "a/s", &[1.0]), row(2, "a/t", &[1.0])]);
    let stats = found.metrics[0].stats.as_ref().unwrap();
    assert_eq!((stats.min.index, stats.max.index), (0, 0));
    assert_eq!(found.folders, []);
    let none = totals(&columns, &[row(0, "a/r", &[])]);
    assert_eq!((none.metrics[0].count, &none.metrics[0].stats), (0, &None));
}

#[test]
fn summary_json_is_as_documented() {
    let columns = columns(1, false, false);
    let found = totals(&columns, &[row(0, "a/r", &[0.25]), row(1, "b/r", &[])]);
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        serde_json::json!({
            "rows": 2, "failures": 1,
            "metrics": [{
                "name": "m0", "count": 1, "mean": 0.25, "error": 0.0, "median": 0.25,
                "min": {"distance": 0.25, "index": 0, "reference": "a/r", "candidate": "c0"},
                "max": {"distance": 0.25, "index": 0, "reference": "a/r", "candidate": "c0"},
                "percentiles": {"1": 0.25, "5": 0.25, "25": 0.25, "50": 0.25, "75": 0.25, "95": 0.25, "99": 0.25}
            }],
            "folders": [
                {"folder": "a", "count": 1, "means": [0.25]},
                {"folder": "b", "count": 0, "means": [null]}
            ]
        })
    );
}

proptest! {
    #[test]
    fn summary_statistics_lie_between_the_extremes(values in prop::collection::vec(-1e3..1e3f64, 1..60)) {
        let stats = of(&values);
        let (min, max) = (stats.min.distance, stats.max.distance);
        prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
        for pair in [min].iter().chain(&stats.percentiles).chain([&max]).collect::<Vec<_>>().windows(2) {
            prop_assert!(*pair[0] <= *pair[1] + 1e-12);
        }
        prop_assert!((stats.median - stats.percentiles[3]).abs() < 1e-9);
        let n = values.len() as f64;
        let plain = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - plain).powi(2)).sum::<f64>() / n;
        prop_assert!((stats.mean - plain).abs() < 1e-9 && (stats.error - (variance / n).sqrt()).abs() < 1e-9);
    }
}
