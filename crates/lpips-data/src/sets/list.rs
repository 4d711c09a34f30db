//! Reader of lists: CSV or JSON lines with ref, p0, p1 and judge, or p0, p1 and same; paths are relative to the list.

use std::path::{Path, PathBuf};

use super::item::{Item, Source, fraction};
use super::judgment_set::JudgmentSet;
use super::task::Task;
use crate::error::{Error, Result};
use crate::problem::Problem;

/// One line: its number, and its fields (pictures, then the judgment) or why it can't be used.
type Line = (u64, Result<Vec<String>, String>);

/// Adds the items and problems of a list.
pub(super) fn scan<const N: usize>(
    list: &Path,
    dataset: &mut JudgmentSet<N>,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let names = Names::of(JudgmentSet::<N>::TASK);
    let text = std::fs::read_to_string(list).map_err(|error| Error::io(list, "read", &error))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = list.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let lines = match extension.as_str() {
        "csv" => csv_lines(list, text, &names)?,
        "jsonl" | "ndjson" => json_lines(text, &names),
        _ => {
            let reason = format!(
                "is neither a folder nor a list of {}s: expected a .csv or .jsonl with {names}",
                JudgmentSet::<N>::TASK.noun()
            );
            return Err(Error::file(list, reason));
        }
    };
    let number = dataset.folders.len();
    dataset.folders.push(list.display().to_string());
    let folder = list.parent().unwrap_or(Path::new(""));
    for (line, fields) in lines {
        let item = fields.and_then(|mut fields| {
            let judge = fields.pop().unwrap_or_default();
            let judge = judge.trim().parse().map_err(|_| format!("the judgment '{judge}' is no number"))?;
            let paths: Vec<PathBuf> = fields.iter().map(|name| folder.join(name.trim())).collect();
            let paths = paths.try_into().map_err(|_| format!("expected {names}"))?;
            Ok(Item { source: Source::Files(Box::new(paths)), judge: fraction(judge)?, folder: number })
        });
        match item {
            Ok(item) => dataset.items.push(item),
            Err(reason) => {
                problems.push(Problem { path: list.to_path_buf(), reason: format!("line {line}: {reason}") });
            }
        }
    }
    Ok(())
}

/// Names of a line's fields.
struct Names(Vec<&'static str>);

impl Names {
    fn of(task: Task) -> Self {
        Self([task.pictures(), &[task.vote()]].concat())
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (last, others) = self.0.split_last().ok_or(std::fmt::Error)?;
        write!(f, "{} and {last}", others.join(", "))
    }
}

/// Reads CSV; the fields go by the names of the first line, or without such a line by the usual order.
fn csv_lines(list: &Path, text: &str, names: &Names) -> Result<Vec<Line>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut order: Vec<usize> = (0..names.0.len()).collect();
    let mut lines = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Err(Error::file(list, format!("is no CSV that can be read: {error}"))),
        };
        let line = record.position().map_or(i as u64 + 1, csv::Position::line);
        if i == 0 && record.iter().any(|field| field.eq_ignore_ascii_case(names.0[0])) {
            for (place, name) in order.iter_mut().zip(&names.0) {
                let Some(found) = record.iter().position(|field| field.eq_ignore_ascii_case(name)) else {
                    return Err(Error::file(list, format!("lacks the column {name}: expected {names}")));
                };
                *place = found;
            }
            continue;
        }
        let field = |at: usize| record.get(at).filter(|field| !field.is_empty()).map(String::from);
        let fields: Option<Vec<String>> = order.iter().map(|at| field(*at)).collect();
        lines.push((line, fields.ok_or_else(|| format!("expected {names}"))));
    }
    Ok(lines)
}

/// Reads JSON lines.
fn json_lines(text: &str, names: &Names) -> Vec<Line> {
    let parse = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("is no JSON: {error}"))?;
        let field = |name: &str| match &value[name] {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!("lacks {name}: expected {names}")),
        };
        names.0.iter().map(|name| field(name)).collect()
    };
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(line, number)| (number, parse(line))).collect()
}
