//! Reader of lists: CSV or JSON lines with ref, p0, p1 and judge, or p0, p1 and same; paths are relative to the list.

use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::item::{Item, Source, fraction};
use super::judgment_set::JudgmentSet;
use super::task::Task;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::records::{CsvRecords, Format, JsonLines, LineError, Text};

/// Fields of a line (pictures, then the judgment), or why it can't be used.
type Fields = Result<Vec<String>, String>;

/// Adds the items and problems of a list.
pub(super) fn scan<const N: usize>(
    list: &Path,
    dataset: &mut JudgmentSet<N>,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let names = Names::of(JudgmentSet::<N>::TASK);
    let Some(format) = Format::of_path(list) else {
        let reason = format!(
            "is neither a folder nor a list of {}s: expected a .csv or .jsonl with {names}",
            JudgmentSet::<N>::TASK.noun()
        );
        return Err(Error::file(list, reason));
    };
    let text = Text::open(list)?;
    let number = dataset.folders.len();
    dataset.folders.push(list.display().to_string());
    let folder = list.parent().unwrap_or(Path::new(""));
    let add = |line: u64, fields: Fields| {
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
    };
    match format {
        Format::Csv => read_csv(list, text.stream, &names, add),
        Format::Jsonl => read_json(list, text.stream, &names, add),
    }
}

/// Error of a line that ends the reading.
fn broken(list: &Path, (line, reason): LineError) -> Error {
    Error::file(list, format!("line {line}: {reason}"))
}

/// Names of a line's fields.
struct Names(Vec<&'static str>);

impl Names {
    fn of(task: Task) -> Self {
        Self([task.pictures(), &[task.vote()]].concat())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, others) = self.0.split_last().ok_or(fmt::Error)?;
        write!(f, "{} and {last}", others.join(", "))
    }
}

/// Reads CSV; the fields go by the names of the first line, or without such a line by the usual order.
fn read_csv(list: &Path, stream: impl BufRead, names: &Names, mut add: impl FnMut(u64, Fields)) -> Result<()> {
    let mut records = CsvRecords::new(stream);
    let mut order: Vec<usize> = (0..names.0.len()).collect();
    let mut is_first = true;
    while let Some(line) = records.read().map_err(|error| broken(list, error))? {
        let is_name = |field: &[u8], name: &str| field.eq_ignore_ascii_case(name.as_bytes());
        let fields = records.fields();
        if std::mem::take(&mut is_first) && fields.iter().any(|field| is_name(field, names.0[0])) {
            for (place, name) in order.iter_mut().zip(&names.0) {
                let found = fields.iter().position(|field| is_name(field, name));
                *place =
                    found.ok_or_else(|| Error::file(list, format!("lacks the column {name}: expected {names}")))?;
            }
            continue;
        }
        let field = |at: &usize| match fields.get(*at) {
            Some(field) if !field.is_empty() => {
                String::from_utf8(field.to_vec()).map_err(|_| "is not in UTF-8".to_string())
            }
            _ => Err(format!("expected {names}")),
        };
        add(line, order.iter().map(field).collect());
    }
    Ok(())
}

/// Reads JSON lines.
fn read_json(list: &Path, stream: impl BufRead, names: &Names, mut add: impl FnMut(u64, Fields)) -> Result<()> {
    let parse = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("is no JSON: {error}"))?;
        let field = |name: &str| match &value[name] {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!("lacks {name}: expected {names}")),
        };
        names.0.iter().map(|name| field(name)).collect()
    };
    let mut lines = JsonLines::new(stream);
    while let Some((line, text)) = lines.read().map_err(|error| broken(list, error))? {
        add(line, parse(&text));
    }
    Ok(())
}
