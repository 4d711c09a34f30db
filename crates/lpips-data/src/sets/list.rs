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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::{Dataset, Pairs};

    fn read<const N: usize>(name: &str, content: &str) -> Result<(JudgmentSet<N>, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(name);
        std::fs::write(&list, content).unwrap();
        let (mut set, mut problems) = (JudgmentSet::default(), Vec::new());
        scan(&list, &mut set, &mut problems)?;
        Ok((set, problems.into_iter().map(|problem: Problem| problem.reason).collect()))
    }

    fn names<const N: usize>(set: &JudgmentSet<N>) -> Vec<Vec<String>> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let files = |item: &Item<N>| match &item.source {
            Source::Files(files) => files.iter().map(name).collect(),
            Source::Sample { .. } => Vec::new(),
        };
        set.items.iter().map(files).collect()
    }

    #[test]
    fn csv_list_columns_go_by_name_in_any_order() {
        let text = "\u{feff}judge, P1 ,ref,p0,note\n0.25,b.png,r.png,\"a,1.png\",x\n";
        let (set, problems): (Dataset, _) = read("list.csv", text).unwrap();
        assert_eq!((names(&set), problems.len()), (vec![vec!["r.png".into(), "a,1.png".into(), "b.png".into()]], 0));
        assert!((set.items[0].judge - 0.25).abs() < 1e-9);
    }

    #[test]
    fn csv_list_without_names_is_in_the_usual_order_and_bad_lines_are_problems() {
        let text = "a.png,b.png,1\n\na.png,b.png\nc.png,d.png,1.5\ne.png,f.png,many\ng.png,h.png,0\n";
        let (set, problems): (Pairs, _) = read("list.CSV", text).unwrap();
        assert_eq!(names(&set), [["a.png", "b.png"], ["g.png", "h.png"]]);
        assert_eq!(
            problems,
            [
                "line 3: expected p0, p1 and same",
                "line 4: the judgment is 1.5: expected a fraction of people, from 0 to 1",
                "line 5: the judgment 'many' is no number",
            ]
        );
    }

    #[test]
    fn csv_list_lacking_a_column_is_an_error() {
        let error = read::<3>("list.csv", "ref,p0,p1\nr,a,b\n").unwrap_err().to_string();
        assert!(error.ends_with("list.csv: lacks the column judge: expected ref, p0, p1 and judge"), "{error}");
    }

    #[test]
    fn json_list_reads_numbers_and_texts_and_names_bad_lines() {
        let text = "{\"p0\":\"a.png\",\"p1\":\"b.png\",\"same\":0.5}\n\n{\"p0\":\"a.png\"}\nnonsense\n";
        let (set, problems): (Pairs, _) = read("list.jsonl", text).unwrap();
        assert_eq!(names(&set), [["a.png", "b.png"]]);
        assert!(
            problems[0] == "line 3: lacks p1: expected p0, p1 and same"
                && problems[1].starts_with("line 4: is no JSON")
        );
    }

    #[test]
    fn list_of_another_extension_is_refused() {
        let error = read::<3>("list.txt", "").unwrap_err().to_string();
        assert!(error.contains("expected a .csv or .jsonl with ref, p0, p1 and judge"), "{error}");
    }
}
