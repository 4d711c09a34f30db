use std::path::PathBuf;

use candle_core::Tensor;
use lpips_core::Picture;

use super::*;
use crate::results::schema::MetricResult;

fn columns(metrics: &[&str], triplets: bool) -> Columns {
    Columns { triplets, ..Columns::new(metrics.iter().copied()) }
}

fn row(index: u64, reference: &str, candidate: &str, distances: &[f64]) -> Row {
    let of = |distance: &f64| MetricResult { distance: *distance, ..MetricResult::default() };
    let (reference, candidate) = (PathBuf::from(reference), PathBuf::from(candidate));
    Row { index, reference, candidate, second: None, outcome: Ok(distances.iter().map(of).collect()) }
}

/// Row `i` of `count` has the distance (7 i mod count) / count; every tenth row has failed.
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

/// The data that the page's script reads.
fn data(html: &str) -> serde_json::Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn report_of_too_many_rows_counts_all_and_lists_the_worst() {
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
fn report_lists_folders_where_there_are_several() {
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
fn report_timeline_of_many_rows_has_few_points_and_gaps() {
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
fn report_escapes_names_with_script_tags_and_template_braces() {
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
fn report_policy_allows_its_own_script_and_style_only() {
    let html = report(3, Options::default()).html(None).unwrap();
    let policy = html.split_once("Content-Security-Policy\" content=\"").unwrap().1.split_once('"').unwrap().0;
    assert!(policy.starts_with("default-src 'none'; img-src data:; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(!html.contains("{{"), "every name of the template is filled in");
}

#[test]
fn report_with_a_missing_picture_shows_the_reason_and_scales_maps_together() {
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
    let mut compute = |a: &Picture, _: &Picture| {
        calls += 1;
        let all = Tensor::full(calls as f32, (1, 1, a.height(), a.width()), &candle_core::Device::Cpu);
        all.map_err(|error| error.to_string())
    };
    let mut pictures = Pictures { load: &mut load, maps: Some(HeatMaps { metric: "alex", compute: &mut compute }) };
    let data = data(&report.html(Some(&mut pictures)).unwrap());
    assert_eq!(opened, [0, 1, 2], "in the order of rows, though the last is the worst");
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
fn report_without_rows_is_a_page() {
    let report = Report::new(columns(&["alex"], false), Options { timeline: true, ..Options::default() });
    let data = data(&report.html(None).unwrap());
    assert_eq!(
        (&data["count"], &data["series"][0]["count"], &data["shown"]),
        (&0.into(), &0.into(), &serde_json::json!([]))
    );
}
