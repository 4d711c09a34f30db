use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::results::encoder::RowEncoder;
use crate::results::names::from_bytes;
use crate::results::run_file::RunFile;
use crate::results::schema::MetricResult;
use crate::source::shard::Shard;

/// Columns of `metrics` metrics: `m0` with two layers if `layers`, the others with none.
pub(crate) fn columns(metrics: usize, triplets: bool, layers: bool) -> Columns {
    let own = |at: usize| if layers && at == 0 { vec!["conv1".to_string(), "conv2".to_string()] } else { Vec::new() };
    Columns {
        metrics: (0..metrics).map(|at| format!("m{at}")).collect(),
        layers: (0..metrics).map(own).collect(),
        triplets,
    }
}

pub(crate) fn run(columns: &Columns, format: Format) -> RunFile {
    RunFile {
        command: "dirs".to_string(),
        work: [("--crop".to_string(), json!(64)), ("A".to_string(), json!("renders"))].into_iter().collect(),
        columns: columns.clone(),
        identities: (0..columns.metrics.len()).map(|at| format!("id{at}")).collect(),
        format,
        shard: Shard::default(),
        total: None,
        complete: None,
    }
}

/// Paths with quotes, line breaks, other scripts and bytes that are not UTF-8.
fn any_name() -> BoxedStrategy<PathBuf> {
    let text = prop_oneof!["[a-c]{1,2}/[a-z]{1,6}\\.png", "[ -~]{0,12}", "([,\"\n\r'\\\\{}#\u{fffd}ä🦀]|[a-z]){0,8}"];
    let text = text.prop_map(PathBuf::from);
    if cfg!(unix) {
        prop_oneof![4 => text, 1 => prop::collection::vec(1u8.., 0..8).prop_map(|bytes| from_bytes(&bytes))].boxed()
    } else {
        text.boxed()
    }
}

/// Rows from index 0 on, some of them failed; without tiles for formats that have none.
pub(crate) fn any_rows(columns: &Columns, tiles: bool, most: usize) -> BoxedStrategy<Vec<Row>> {
    let number = prop_oneof![
        (0u32..1 << 20).prop_map(|n| f64::from(n as f32 / 1e6)),
        any::<f64>().prop_filter("finite", |number| number.is_finite())
    ];
    let triplets = columns.triplets;
    let own = move |layers: usize, numbers: Vec<f64>, tile: usize| MetricResult {
        distance: numbers[0],
        second: triplets.then_some(numbers[1]),
        layers: numbers[2..2 + layers].to_vec(),
        tiles: numbers[4..].iter().copied().take(if tiles { tile } else { 0 }).collect(),
    };
    let measured: Vec<_> = columns
        .layers
        .iter()
        .map(|layers| {
            let layers = layers.len();
            (prop::collection::vec(number.clone(), 8), 0usize..4)
                .prop_map(move |(numbers, tile)| own(layers, numbers, tile))
        })
        .collect();
    let outcome = prop_oneof![4 => measured.prop_map(Ok), 1 => "[ -~\n\"ä]{1,20}".prop_map(Err)];
    let row = (any_name(), any_name(), "[a-z]{1,4}", outcome);
    let rows = prop::collection::vec(row, 0..most).prop_map(move |rows| {
        let row = |(index, (reference, candidate, second, outcome)): (usize, (PathBuf, PathBuf, String, _))| Row {
            index: index as u64,
            reference,
            candidate,
            second: triplets.then(|| second.into()),
            outcome,
        };
        rows.into_iter().enumerate().map(row).collect()
    });
    rows.boxed()
}

pub(crate) fn any_columns() -> impl Strategy<Value = Columns> {
    (1usize..4, any::<bool>(), any::<bool>()).prop_map(|(metrics, triplets, layers)| columns(metrics, triplets, layers))
}

fn written(format: Format, columns: &Columns, rows: &[Row]) -> Vec<u8> {
    let mut writer = RowEncoder::new(format, columns, Vec::new()).unwrap();
    for row in rows {
        writer.add(row).unwrap();
    }
    writer.finish().unwrap()
}

fn example() -> Vec<Row> {
    let measured = |distance, layers: &[f64], tiles: &[f64]| MetricResult {
        distance,
        second: Some(distance / 2.0),
        layers: layers.to_vec(),
        tiles: tiles.to_vec(),
    };
    vec![
        Row {
            index: 0,
            reference: "a,b/\"x\".png".into(),
            candidate: "two\nlines.png".into(),
            second: Some("s.png".into()),
            outcome: Ok(vec![measured(0.25, &[0.125, 0.5], &[0.1, 0.4]), measured(1e-7, &[], &[])]),
        },
        Row {
            index: 1,
            reference: "r.png".into(),
            candidate: "c.png".into(),
            second: Some("s.png".into()),
            outcome: Err("c.png: is 0 bytes, not \"a picture\"".into()),
        },
    ]
}

#[test]
fn rows_are_written_as_documented() {
    let columns = columns(2, true, true);
    let text = |format| String::from_utf8(written(format, &columns, &example())).unwrap();
    let lines = [
        concat!(
            r#"{"index":0,"reference":"a,b/\"x\".png","candidate":"two\nlines.png","second":"s.png","distance":0.25,"#,
            r#""second_distance":0.125,"distances":{"m0":0.25,"m1":1e-7},"second_distances":{"m0":0.125,"m1":5e-8},"#,
            r#""layers":{"m0":{"conv1":0.125,"conv2":0.5}},"tiles":{"m0":[0.1,0.4]}}"#
        ),
        r#"{"index":1,"reference":"r.png","candidate":"c.png","second":"s.png","error":"c.png: is 0 bytes, not \"a picture\""}"#,
    ];
    assert_eq!(text(Format::Jsonl), format!("{}\n{}\n", lines[0], lines[1]));
    assert_eq!(text(Format::Json), format!("[\n{},\n{}\n]\n", lines[0], lines[1]));
    let csv = "index,reference,candidate,second,m0,m1,second_m0,second_m1,m0.conv1,m0.conv2,error\n\
        0,\"a,b/\"\"x\"\".png\",\"two\nlines.png\",s.png,0.25,1e-7,0.125,5e-8,0.125,0.5,\n\
        1,r.png,c.png,s.png,,,,,,,\"c.png: is 0 bytes, not \"\"a picture\"\"\"\n";
    assert_eq!(text(Format::Csv), csv);
}

#[test]
fn single_metric_is_written_as_distance() {
    let columns = columns(1, false, false);
    let row = Row {
        second: None,
        outcome: Ok(vec![MetricResult { distance: 0.5, ..MetricResult::default() }]),
        ..example().remove(1)
    };
    let text = |format| String::from_utf8(written(format, &columns, std::slice::from_ref(&row))).unwrap();
    assert_eq!(text(Format::Jsonl), "{\"index\":1,\"reference\":\"r.png\",\"candidate\":\"c.png\",\"distance\":0.5}\n");
    assert_eq!(text(Format::Csv), "index,reference,candidate,distance,error\n1,r.png,c.png,0.5,\n");
    assert_eq!(String::from_utf8(written(Format::Json, &columns, &[])).unwrap(), "[\n]\n");
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_utf8_keep_their_bytes() {
    let columns = columns(1, false, false);
    let row = Row { reference: from_bytes(b"caf\xe9/1.png"), second: None, ..example().remove(1) };
    let lines = written(Format::Jsonl, &columns, std::slice::from_ref(&row));
    let value: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!(
        (&value["reference"], &value["reference_base64"]),
        (&json!("caf\u{fffd}/1.png"), &json!("Y2Fm6S8xLnBuZw=="))
    );
    assert!(value.get("candidate_base64").is_none());
    assert_eq!(Format::Jsonl.parser(&columns).parse(&columns, &lines), Ok(row.clone()));
    let csv = written(Format::Csv, &columns, &[row]);
    assert!(csv.windows(7).any(|bytes| bytes == b",caf\xe9/1"), "CSV holds the bytes");
}

#[test]
fn malformed_line_gives_the_reason() {
    let columns = columns(2, false, true);
    let wrong = |format: Format, line: &str| format.parser(&columns).parse(&columns, line.as_bytes()).unwrap_err();
    let front = r#"{"index":0,"reference":"a","candidate":"b""#;
    assert!(wrong(Format::Jsonl, "{\"index\":0").contains("EOF"));
    assert!(wrong(Format::Jsonl, &format!("{front}}}\n")).contains("lacks the distance of m0"));
    assert!(
        wrong(Format::Jsonl, &format!(r#"{front},"distances":{{"m0":1.0,"m1":2.0}}}}"#))
            .contains("lacks the layer conv1 of m0")
    );
    assert!(wrong(Format::Csv, "0,a,b,1.0\n").contains("has 4 columns, not 8"));
    assert!(wrong(Format::Csv, "0,a,b,1.0,,1.0,1.0,\n").contains("lacks the distance of m1"));
    assert!(wrong(Format::Csv, "0,a,b,1.0,x,1.0,1.0,\n").contains("has 'x' in the column m1, which is no number"));
    assert!(wrong(Format::Csv, "0,a,b,1.0,NaN,1.0,1.0,\n").contains("has 'NaN' in the column m1, which is no number"));
    assert!(
        wrong(Format::Csv, "zero,a,b,1.0,1.0,1.0,1.0,\n")
            .contains("has 'zero' in the column index, which is no number")
    );
}

#[test]
fn row_with_nan_is_refused_by_every_text_format() {
    for format in [Format::Jsonl, Format::Csv, Format::Json] {
        let mut writer = RowEncoder::new(format, &columns(1, false, false), Vec::new()).unwrap();
        let outcome = Ok(vec![MetricResult { distance: f64::NAN, ..MetricResult::default() }]);
        let error = writer.add(&Row { outcome, ..example().remove(1) }).unwrap_err().to_string();
        assert_eq!(error, "row 1 has a distance that is no finite number");
    }
}

#[test]
fn format_is_known_by_name_and_extension() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
        assert_eq!(Format::of_path(Path::new(&format!("a.b/c.{}", format.name().to_uppercase()))), Some(format));
    }
    assert_eq!(Format::of_path(Path::new("results")), None);
    assert!("xml".parse::<Format>().unwrap_err().to_string().contains("jsonl, csv, json or parquet"));
    assert_eq!(Format::Parquet.check().is_ok(), cfg!(feature = "parquet"));
}

proptest! {
    #[test]
    fn rows_roundtrip_exactly_in_text_formats(
        (columns, rows) in any_columns().prop_flat_map(|columns| (Just(columns.clone()), any_rows(&columns, true, 6)))
    ) {
        for row in &rows {
            let mut line = Vec::new();
            Format::Jsonl.write_row(&columns, row, &mut line).unwrap();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            prop_assert_eq!(&Format::Jsonl.parser(&columns).parse(&columns, &line).unwrap(), row);

            line.clear();
            Format::Csv.write_row(&columns, row, &mut line).unwrap();
            let mut flat = row.clone();
            flat.outcome.iter_mut().flatten().for_each(|own| own.tiles.clear());
            prop_assert_eq!(Format::Csv.parser(&columns).parse(&columns, &line).unwrap(), flat);
        }
        let json: Vec<serde_json::Value> = serde_json::from_slice(&written(Format::Json, &columns, &rows)).unwrap();
        prop_assert_eq!(json.len(), rows.len());
        for (value, row) in json.iter().zip(&rows) {
            let line = serde_json::to_vec(value).unwrap();
            prop_assert_eq!(&Format::Json.parser(&columns).parse(&columns, &line).unwrap(), row);
        }
    }
}

#[cfg(feature = "parquet")]
mod in_parquet {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::{Field, Row as Record};

    use super::*;

    fn read(bytes: Vec<u8>) -> Vec<Record> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        std::fs::write(&path, bytes).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
    }

    fn fields(record: &Record) -> Vec<(String, Field)> {
        record.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn rows_roundtrip_exactly_in_parquet(
            (columns, rows) in any_columns().prop_flat_map(|columns| (Just(columns.clone()), any_rows(&columns, false, 20)))
        ) {
            let records = read(written(Format::Parquet, &columns, &rows));
            prop_assert_eq!(records.len(), rows.len());
            for (record, row) in records.iter().zip(&rows) {
                let text = |path: &Path| Field::Str(path.to_string_lossy().into_owned());
                let mut expected = vec![
                    ("index".to_string(), Field::Long(row.index as i64)),
                    ("reference".to_string(), text(&row.reference)),
                    ("candidate".to_string(), text(&row.candidate)),
                ];
                expected.extend(row.second.as_ref().map(|second| ("second".to_string(), text(second))));
                let numbers = flat_table::numbers(&columns, row).into_iter().map(|number| number.map_or(Field::Null, Field::Double));
                expected.extend(flat_table::names(&columns).into_iter().zip(numbers));
                let error = row.outcome.as_ref().err().map_or(Field::Null, |error| Field::Str(error.clone()));
                expected.push(("error".to_string(), error));
                prop_assert_eq!(fields(record), expected);
            }
        }
    }

    #[test]
    fn parquet_of_many_rows_has_row_groups() {
        let columns = columns(1, false, false);
        let outcome = |index: u64| Ok(vec![MetricResult { distance: index as f64, ..MetricResult::default() }]);
        let rows: Vec<Row> = (0..70_000)
            .map(|index| Row {
                index,
                reference: "r".into(),
                candidate: "c".into(),
                second: None,
                outcome: outcome(index),
            })
            .collect();
        let records = read(written(Format::Parquet, &columns, &rows));
        let indices: Vec<Field> = records.iter().map(|record| fields(record)[0].1.clone()).collect();
        assert_eq!(indices, (0..70_000).map(Field::Long).collect::<Vec<_>>());
    }
}
