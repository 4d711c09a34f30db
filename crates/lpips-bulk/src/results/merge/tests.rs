use proptest::prelude::*;

use super::*;
use crate::results::format::Format;
use crate::results::format::tests::{any_columns, any_rows, columns, run};
use crate::results::schema::{Columns, MetricResult};
use crate::results::summary::Summary;
use crate::results::writer::ResultsWriter;

fn failures<'a>(rows: impl Iterator<Item = &'a Row>) -> u64 {
    rows.filter(|row| row.outcome.is_err()).count() as u64
}

/// Writes the results of one shard.
fn measure(path: &Path, format: Format, columns: &Columns, shard: &str, rows: &[Row]) {
    let shard: Shard = shard.parse().unwrap();
    let run = RunFile { shard, total: None, ..run(columns, format) };
    let mut output = ResultsWriter::create(path, run, true).unwrap();
    let own = || rows.iter().filter(|row| shard.contains(row.index));
    own().for_each(|row| output.add(row).unwrap());
    output.finish(failures(own()), rows.len() as u64).unwrap();
}

fn rows(count: u64) -> Vec<Row> {
    let row = |index| Row {
        index,
        reference: format!("{index}.png").into(),
        candidate: "c.png".into(),
        second: None,
        outcome: Ok(vec![MetricResult { distance: index as f64, ..MetricResult::default() }]),
    };
    (0..count).map(row).collect()
}

/// The files of `of` shards of 10 rows.
fn shards(folder: &Path, of: u64) -> Vec<PathBuf> {
    let part = |number: u64| {
        let path = folder.join(format!("{number}.jsonl"));
        measure(&path, Format::Jsonl, &columns(1, false, false), &format!("{number}/{of}"), &rows(10));
        path
    };
    (1..=of).map(part).collect()
}

fn refused(paths: &[PathBuf], partial: bool) -> String {
    match Merge::open(paths, partial) {
        Err(error) => error.to_string(),
        Ok(merge) => merge.collect::<Result<Vec<Row>>>().unwrap_err().to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn merged_shards_equal_one_run_byte_for_byte(
        (columns, rows) in any_columns().prop_flat_map(|columns| (Just(columns.clone()), any_rows(&columns, false, 24))),
        of in 1u64..6,
    ) {
        for format in [Format::Jsonl, Format::Csv] {
            let folder = tempfile::tempdir().unwrap();
            let (whole, merged) = (folder.path().join("whole"), folder.path().join("merged"));
            measure(&whole, format, &columns, "1/1", &rows);
            let part = |number: u64| {
                let path = folder.path().join(format!("part{number}"));
                measure(&path, format, &columns, &format!("{number}/{of}"), &rows);
                path
            };
            // In any order.
            let parts: Vec<PathBuf> = (1..=of).rev().map(part).collect();
            let merge = Merge::open(&parts, false).unwrap();
            let said = merge.run().clone();
            let mut output = ResultsWriter::whole(&merged, said.clone(), false).unwrap();
            let (mut summary, mut all) = (Summary::new(&columns), Summary::new(&columns));
            for row in merge {
                let row = row.unwrap();
                output.add(&row).unwrap();
                summary.add(&row);
            }
            output.finish(summary.counts().1, summary.counts().0).unwrap();
            for name in [|path: &Path| path.to_path_buf(), RunFile::path] {
                prop_assert!(std::fs::read(name(&merged)).unwrap() == std::fs::read(name(&whole)).unwrap());
            }
            prop_assert_eq!(said, RunFile::read(&whole).unwrap());
            for row in &rows {
                all.add(row);
            }
            // As text, in which NaN equals itself.
            prop_assert_eq!(format!("{:?}", summary.totals()), format!("{:?}", all.totals()));
        }
    }
}

#[test]
fn merge_refuses_missing_repeated_and_foreign_parts() {
    let folder = tempfile::tempdir().unwrap();
    let parts = shards(folder.path(), 4);
    let text = refused(&[parts[1].clone()], false);
    assert!(text.contains("shards 1, 3, 4 of 4 are missing") && text.contains("--partial"), "{text}");
    let text = refused(&parts[..3], false);
    assert!(text.contains("shard 4 of 4 is missing"), "{text}");
    let text = refused(&[&parts[..], &parts[2..3]].concat(), false);
    assert!(text.contains("3.jsonl: is shard 3/4, as ") && text.contains("name each part once"), "{text}");
    assert!(refused(&[], false).contains("nothing to merge"));
    assert!(refused(&[folder.path().join("none.jsonl")], false).contains("none.jsonl.run beside it"));

    let other = folder.path().join("other.jsonl");
    measure(&other, Format::Jsonl, &columns(1, false, false), "2/3", &rows(10));
    let text = refused(&[parts[0].clone(), other.clone()], true);
    assert!(
        text.contains("other.jsonl: is of another run: number of shards is 3 in ")
            && text.contains("other.jsonl and 4 in "),
        "{text}"
    );
    measure(&other, Format::Jsonl, &columns(1, false, false), "2/4", &rows(11));
    let text = refused(&[parts[0].clone(), other], true);
    assert!(text.contains("number of rows is 11 in "), "{text}");
}

#[test]
fn merge_with_partial_takes_the_whole_rows_of_incomplete_parts() {
    let folder = tempfile::tempdir().unwrap();
    let parts = shards(folder.path(), 4);
    let mut stopped = RunFile::read(&parts[1]).unwrap();
    stopped.complete = None;
    stopped.write(&parts[1]).unwrap();
    let text = std::fs::read_to_string(&parts[1]).unwrap();
    std::fs::write(&parts[1], &text[..text.len() - 3]).unwrap();
    assert!(refused(&parts, false).contains("2.jsonl: is not complete"));
    // Shard 4 is missing, and row 9 of shard 2 is torn.
    let merge = Merge::open(&parts[..3], true).unwrap();
    assert_eq!(merge.run().complete, None);
    let indices: Vec<u64> = merge.map(|row| row.unwrap().index).collect();
    assert_eq!(indices, [0, 1, 2, 4, 5, 6, 8]);
}

#[test]
fn merge_of_a_changed_part_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let parts = shards(folder.path(), 2);
    let text = std::fs::read_to_string(&parts[1]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |lines: &[&str]| {
        std::fs::write(&parts[1], lines.join("\n") + "\n").unwrap();
        refused(&parts, false)
    };
    let gap = with(&[&lines[..1], &lines[2..]].concat());
    assert!(gap.contains("2.jsonl: line 2 is row 5, and row 3 of shard 2/2 is due"), "{gap}");
    let double = with(&[&lines[..2], &lines[1..]].concat());
    assert!(double.contains("line 3 is row 3, and row 5 of shard 2/2 is due"), "{double}");
    let short = with(&lines[..3]);
    assert!(short.contains("has 3 whole rows, and its run file says 5"), "{short}");
    let long = with(&[&lines[..], &[r#"{"index":11,"reference":"a","candidate":"b","error":"e"}"#]].concat());
    assert!(long.contains("has 6 whole rows, and its run file says 5"), "{long}");
    let unreadable = with(&[&lines[..2], &["{"], &lines[3..]].concat());
    assert!(unreadable.contains("2.jsonl: line 3 is no readable row"), "{unreadable}");
}

#[test]
fn csv_error_counts_the_lines_within_quotes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let mut rows = rows(3);
    rows[1].candidate = "two\nlines".into();
    measure(&path, Format::Csv, &columns(1, false, false), "1/1", &rows);
    let text = std::fs::read_to_string(&path).unwrap().replace("2,2.png", "two,2.png");
    std::fs::write(&path, text).unwrap();
    let error = refused(std::slice::from_ref(&path), false);
    assert!(error.contains("rows.csv: line 5 is no readable row: has 'two' in the column index"), "{error}");
    std::fs::write(&path, "a,b\n").unwrap();
    assert!(
        refused(&[path], false).contains("line 1 is not the expected one, index,reference,candidate,distance,error")
    );
}

#[test]
fn merge_of_thousands_of_parts_opens_one_file_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (of, columns) = (3000, columns(1, false, false));
    let run = RunFile { total: Some(2 * of), ..run(&columns, Format::Jsonl) };
    let parts: Vec<PathBuf> = (1..=of)
        .map(|number| {
            let path = folder.path().join(number.to_string());
            let shard = format!("{number}/{of}").parse().unwrap();
            RunFile { shard, complete: Some(Complete { rows: 2, failures: 2 }), ..run.clone() }.write(&path).unwrap();
            let line =
                |index| format!("{{\"index\":{index},\"reference\":\"a\",\"candidate\":\"b\",\"error\":\"e\"}}\n");
            std::fs::write(&path, line(number - 1) + &line(of + number - 1)).unwrap();
            path
        })
        .collect();
    let indices: Vec<u64> = Merge::open(&parts, false).unwrap().map(|row| row.unwrap().index).collect();
    assert!(indices == (0..2 * of).collect::<Vec<_>>());
}
