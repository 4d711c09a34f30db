use super::*;

fn columns(metrics: &[&str], triplets: bool) -> Columns {
    Columns {
        metrics: metrics.iter().map(ToString::to_string).collect(),
        layers: vec![Vec::new(); metrics.len()],
        triplets,
    }
}

fn row(index: u64, reference: &str, candidate: &str, distances: &[f64]) -> Row {
    let of = |distance: &f64| MetricResult { distance: *distance, ..MetricResult::default() };
    let (reference, candidate) = (PathBuf::from(reference), PathBuf::from(candidate));
    Row { index, reference, candidate, second: None, outcome: Ok(distances.iter().map(of).collect()) }
}

/// Row `i` of `count` has the distance (7 i mod count) / count, every tenth fails.
fn report(count: u64, options: Options) -> Report {
    let mut report = Report::new(columns(&["alex", "l2"], false), options);
    for i in 0..count {
        let distance = (7 * i % count) as f64 / count as f64;
        let mut row = row(i, &format!("gt/{}/{i}.png", i % 3), &format!("out/{i}.png"), &[distance, distance / 2.0]);
        if i % 10 == 9 {
            row.outcome = Err(format!("out/{i}.png: is no picture"));
        }
        report.add(&row);
    }
    report
}

/// What the page's script reads.
fn data(html: &str) -> serde_json::Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_worst_come_first_and_the_sample_spans_the_rest() {
    let report = report(101, Options { worst: 5, sample: 4, ..Options::default() });
    let distance = |at: &usize| report.distances[2 * at];
    let (worst, sample) = report.choice();
    let all: Vec<f64> = report.order().iter().map(distance).collect();
    assert!(all.is_sorted_by(|a, b| a >= b) && all.len() == 91);
    assert_eq!(worst.iter().map(distance).collect::<Vec<_>>(), all[..5]);
    // The middles of four equal parts of the 86 others.
    assert_eq!(sample.iter().map(distance).collect::<Vec<_>>(), [10, 32, 53, 75].map(|at| all[5 + at]));
    assert_eq!(report.shown(), 9);
}

#[test]
fn few_pairs_are_all_shown_once() {
    let report = report(8, Options { worst: 5, sample: 40, ..Options::default() });
    let (worst, sample) = report.choice();
    let mut all = [worst, sample].concat();
    all.sort_unstable();
    assert_eq!(all, (0..8).collect::<Vec<_>>());
    assert_eq!(report.shown(), 8);
}

#[test]
fn the_order_is_of_the_metric_asked_for() {
    let mut report =
        Report::new(columns(&["alex", "l2"], true), Options { by: 1, worst: 1, sample: 0, ..Options::default() });
    for (index, distances) in [(0, [0.9, 0.1]), (1, [0.1, 0.2])] {
        let mut row = row(index, "a.png", "b.png", &distances);
        row.second = Some("c.png".into());
        report.add(&row);
    }
    assert_eq!(report.choice().0, [1]);
    assert_eq!(report.series(), ["alex", "alex (second)", "l2", "l2 (second)"]);
    let row = report.row(1);
    assert_eq!(row.second, Some(PathBuf::from("c.png")));
    assert!((row.outcome.unwrap()[1].distance - 0.2).abs() < 1e-12);
}

#[test]
fn too_many_rows_are_counted_and_the_worst_listed() {
    let report = report(1000, Options { rows: 150, worst: 10, sample: 10, ..Options::default() });
    let data = data(&report.html(None).unwrap());
    assert_eq!((data["count"].as_u64(), data["failed"].as_u64()), (Some(1000), Some(100)));
    assert_eq!(data["series"][0]["count"], 900);
    assert_eq!(data["rows"]["index"].as_array().unwrap().len(), 150);
    assert_eq!(data["rows"]["errors"].as_object().unwrap().len(), 100);
    let listed: Vec<f64> =
        data["rows"]["distances"][0].as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).collect();
    // The 10 worst, 10 of the others, and of what is left the worst 30.
    assert_eq!((listed.len(), listed.iter().filter(|d| **d > 0.95).count()), (50, 40), "{listed:?}");
}

#[test]
fn folders_are_told_where_there_are_several() {
    let folders = data(&report(101, Options::default()).html(None).unwrap())["folders"].clone();
    let names: Vec<&str> = folders.as_array().unwrap().iter().map(|folder| folder["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    assert!(["gt/0", "gt/1", "gt/2"].iter().all(|name| names.contains(name)), "{names:?}");
    let means: Vec<f64> =
        folders.as_array().unwrap().iter().map(|folder| folder["means"][0].as_f64().unwrap()).collect();
    assert!(means.is_sorted_by(|a, b| a >= b));
    let mut one = Report::new(columns(&["alex"], false), Options::default());
    one.add(&row(0, "a/1.png", "b/1.png", &[0.5]));
    one.add(&row(1, "a/2.png", "b/2.png", &[0.5]));
    assert_eq!(data(&one.html(None).unwrap())["folders"], serde_json::json!([]));
}

#[test]
fn a_line_over_many_rows_has_few_points_and_gaps_where_all_failed() {
    let mut report = Report::new(columns(&["alex"], false), Options { timeline: true, ..Options::default() });
    for index in (0..4000).filter(|index| !(40..80).contains(index)) {
        report.add(&row(index, "a/f.png", "b/f.png", &[index as f64]));
    }
    let data = data(&report.html(None).unwrap());
    let line = &data["timeline"][0];
    assert_eq!((line["step"].as_u64(), line["points"].as_array().unwrap().len()), (Some(4), 1000));
    assert_eq!(line["points"][1], serde_json::json!([4.0, 5.5, 7.0]));
    assert!(line["points"][10].is_null() && line["points"][19].is_null() && !line["points"][20].is_null());
}

#[test]
fn no_name_can_end_the_data_or_fill_in_the_template() {
    let evil = "</script><script>alert(1)</script><!--{{title}}";
    let mut report =
        Report::new(columns(&[evil], false), Options { title: evil.into(), about: evil.into(), ..Options::default() });
    report.add(&row(0, evil, evil, &[0.5]));
    let mut failed = row(1, evil, evil, &[]);
    failed.outcome = Err(evil.to_string());
    report.add(&failed);
    let html = report.html(None).unwrap();
    assert_eq!(html.matches("</script>").count(), 2, "of the data and of the script");
    assert!(!html.contains("<script>alert"));
    let data = data(&html);
    assert_eq!((&data["about"], &data["series"][0]["name"]), (&evil.into(), &evil.into()));
    assert_eq!(data["rows"]["errors"]["1"], evil);
}

#[test]
fn the_policy_allows_this_script_and_style_and_nothing_else() {
    let html = report(3, Options::default()).html(None).unwrap();
    let policy = html.split_once("Content-Security-Policy\" content=\"").unwrap().1.split_once('"').unwrap().0;
    assert!(policy.starts_with("default-src 'none'; img-src data:; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(!html.contains("{{"), "all of the template is filled in");
}

#[test]
fn pictures_that_are_gone_leave_a_sentence_and_maps_have_one_scale() {
    let mut report = Report::new(columns(&["alex"], false), Options::default());
    for (index, distance) in [(0, 0.1), (1, 0.2), (2, 0.3)] {
        report.add(&row(index, "a.png", "b.png", &[distance]));
    }
    let mut opened = Vec::new();
    let mut load = |row: &Row| {
        opened.push(row.index);
        let of = |value| Picture::from_rgb8(600, 400, vec![value; 600 * 400 * 3]).unwrap();
        if row.index == 1 { Err("b.png: there is no such file".to_string()) } else { Ok((of(10), of(200))) }
    };
    let mut calls = 0;
    let mut of = |a: &Picture, _: &Picture| {
        calls += 1;
        let all = Tensor::full(calls as f32, (1, 1, a.height(), a.width()), &candle_core::Device::Cpu);
        all.map_err(|error| error.to_string())
    };
    let mut pictures = Pictures { load: &mut load, map: Some(Map { name: "alex", of: &mut of }) };
    let data = data(&report.html(Some(&mut pictures)).unwrap());
    assert_eq!(opened, [0, 1, 2], "in their order, though the last is the worst");
    let shown = &data["shown"];
    assert_eq!(shown[1]["problem"], "b.png: there is no such file");
    assert!(shown[1]["candidate"].is_null() && shown[1]["map"].is_null());
    assert_eq!(shown[0]["size"], serde_json::json!([600, 400]));
    assert_eq!((data["heat"]["top"].as_f64(), &data["heat"]["of"]), (Some(2.0), &"alex".into()));
    let png = |at: usize, role: &str| {
        let address = shown[at][role].as_str().unwrap().split_once("base64,").unwrap().1.to_string();
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, address).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    };
    assert_eq!(png(2, "candidate").dimensions(), (512, 341));
    assert_eq!(png(2, "map").get_pixel(5, 5).0, lpips_core::heatmap::colour(0.5));
    assert_eq!(png(0, "map").get_pixel(5, 5).0, lpips_core::heatmap::colour(1.0));
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let report = Report::new(columns(&["alex"], false), Options { timeline: true, ..Options::default() });
    let data = data(&report.html(None).unwrap());
    assert_eq!(
        (&data["count"], &data["series"][0]["count"], &data["shown"]),
        (&0.into(), &0.into(), &serde_json::json!([]))
    );
}
