//! Lists of triplets: CSV or JSON lines, each with ref, p0, p1 and judge; paths are relative to the list.

use std::path::{Path, PathBuf};

use super::{Dataset, Problem, Source, Triplet, fraction};
use crate::error::{Error, Result};

const FIELDS: [&str; 4] = ["ref", "p0", "p1", "judge"];

/// One line: its number and either its four fields or what is wrong with it.
type Line = (u64, Result<[String; 4], String>);

/// Adds the triplets of a list.
pub(super) fn scan(list: &Path, dataset: &mut Dataset, problems: &mut Vec<Problem>) -> Result<()> {
    let text = std::fs::read_to_string(list).map_err(|error| Error::io(list, "read", &error))?;
    let extension = list.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let lines = match extension.as_str() {
        "csv" => csv_lines(list, &text)?,
        "jsonl" | "ndjson" => json_lines(&text),
        _ => {
            let reason =
                "is neither a folder nor a list of triplets: expected a .csv or .jsonl with ref, p0, p1 and judge";
            return Err(Error::file(list, reason));
        }
    };
    let number = dataset.folders.len();
    dataset.folders.push(list.display().to_string());
    let folder = list.parent().unwrap_or(Path::new(""));
    for (line, fields) in lines {
        let triplet = fields.and_then(|[reference, p0, p1, judge]| {
            let judge = judge.trim().parse().map_err(|_| format!("the judgment '{judge}' is no number"))?;
            let path = |name: String| -> PathBuf { folder.join(name.trim()) };
            let source = Source::Files(Box::new([reference, p0, p1].map(path)));
            Ok(Triplet { source, judge: fraction(judge)?, folder: number })
        });
        match triplet {
            Ok(triplet) => dataset.triplets.push(triplet),
            Err(reason) => {
                problems.push(Problem { path: list.to_path_buf(), reason: format!("line {line}: {reason}") });
            }
        }
    }
    Ok(())
}

/// With a line of names the fields go by name, without one in the order ref, p0, p1, judge.
fn csv_lines(list: &Path, text: &str) -> Result<Vec<Line>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut order = [0, 1, 2, 3];
    let mut lines = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Err(Error::file(list, format!("is no CSV that can be read: {error}"))),
        };
        let line = record.position().map_or(i as u64 + 1, csv::Position::line);
        if i == 0 && record.iter().any(|field| field.eq_ignore_ascii_case(FIELDS[0])) {
            for (place, name) in order.iter_mut().zip(FIELDS) {
                let Some(found) = record.iter().position(|field| field.eq_ignore_ascii_case(name)) else {
                    return Err(Error::file(list, format!("lacks the column {name}: expected ref, p0, p1 and judge")));
                };
                *place = found;
            }
            continue;
        }
        let field = |at: usize| record.get(at).filter(|field| !field.is_empty()).map(String::from);
        let fields = match order.map(field) {
            [Some(reference), Some(p0), Some(p1), Some(judge)] => Ok([reference, p0, p1, judge]),
            _ => Err("expected ref, p0, p1 and judge".to_string()),
        };
        lines.push((line, fields));
    }
    Ok(lines)
}

fn json_lines(text: &str) -> Vec<Line> {
    let parse = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("is no JSON: {error}"))?;
        let field = |name: &str| match &value[name] {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!("lacks {name}: expected ref, p0, p1 and judge")),
        };
        let [reference, p0, p1, judge] = FIELDS.map(field);
        Ok([reference?, p0?, p1?, judge?])
    };
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(line, number)| (number, parse(line))).collect()
}
