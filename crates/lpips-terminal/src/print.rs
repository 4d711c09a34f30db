//! Results on standard output; notes and errors on standard error.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::logging::is_quiet;

/// Prints an error on standard error.
pub fn error(message: &str) {
    plain(&format!("error: {message}"));
}

/// Prints a note on standard error, unless `--quiet` is given.
pub fn note(message: &str) {
    if !is_quiet() {
        plain(&format!("note: {message}"));
    }
}

/// Prints a line on standard error, without a prefix.
pub fn plain(line: &str) {
    // Without standard error there is no place left for a report.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a line on standard output.
///
/// # Errors
/// Standard output can't be written; [`Failure::ReaderGone`] if its reader closed it.
pub fn line(text: &str) -> Result {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Prints each row as a line of JSON on standard output.
///
/// # Errors
/// See [`line()`].
pub fn json(rows: &[impl Serialize]) -> Result {
    let text = |row| serde_json::to_string(row).map_err(|error| Failure::work(error.to_string()));
    rows.iter().try_for_each(|row| line(&text(row)?))
}

/// A path as text; bytes that are not UTF-8 become U+FFFD.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Formats a table: all columns but the last are right-aligned, with two spaces between them.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let (width, last) = (widths[column], column + 1 == row.len());
                if last { cell.clone() } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ")
        })
        .collect()
}

/// Checks that `file`, which `flag` names, can be created: it is no folder, and its folder exists.
///
/// # Errors
/// Wrong usage, before any work is done.
pub fn check_file(flag: &str, file: &Path) -> Result {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() {
        return Err(Failure::usage(format!("{flag} {}: expected a file, and it is a folder", file.display())));
    }
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{flag} {}: there is no folder {}", file.display(), folder.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn table_columns_are_right_aligned_but_the_last() {
        let rows = [vec!["a".to_string(), "bb".to_string()], vec!["ccc".to_string(), "d".to_string()]];
        assert_eq!(table(&rows), ["  a  bb", "ccc  d"]);
        assert!(table(&[]).is_empty());
    }
}
