//! What goes to standard output and standard error, and how a run ends.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Why a command did not end well, in one sentence.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A picture or a weight failed: exit code 1. Without a message where each failure was told when it happened.
    Work(Option<String>),
    /// Wrong usage: exit code 2.
    Usage(String),
    /// Something is above the limit that was given; told already: exit code 3.
    Above,
    /// It was asked to stop: exit code 130.
    Stopped,
    /// Whoever read standard output has stopped: nobody is left to tell.
    ReaderGone,
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Work(message) => message.as_deref(),
            Self::Usage(message) => Some(message),
            Self::Above | Self::Stopped | Self::ReaderGone => None,
        }
    }
}

impl From<lpips_core::Error> for Failure {
    fn from(error: lpips_core::Error) -> Self {
        use lpips_core::Error as Core;
        match error {
            Core::Choice(message) => Self::Usage(message),
            Core::Model(model) => model.into(),
            other => Self::Work(Some(other.to_string())),
        }
    }
}

impl From<lpips_models::Error> for Failure {
    fn from(error: lpips_models::Error) -> Self {
        use lpips_models::Error as Model;
        match error {
            Model::UnknownLayer { .. } | Model::UnknownNetwork { .. } | Model::Taps(_) => {
                Self::Usage(error.to_string())
            }
            other => Self::Work(Some(other.to_string())),
        }
    }
}

impl From<lpips_train::Error> for Failure {
    fn from(error: lpips_train::Error) -> Self {
        use lpips_train::Error as Train;
        match error {
            Train::Choice(message) => Self::Usage(message),
            Train::Metric(error) => error.into(),
            Train::Stream(error) => error.into(),
            other => Self::Work(Some(other.to_string())),
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output: the only input or output that a command does by itself.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Work(Some(format!("can't write to standard output: {error}"))),
        }
    }
}

/// One line on standard error.
pub(crate) fn error(message: &str) {
    // Where even standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {message}");
}

/// One line on standard error that is no error; nothing with --quiet.
pub(crate) fn note(message: &str) {
    if tracing::enabled!(tracing::Level::WARN) {
        let _ = writeln!(io::stderr(), "note: {message}");
    }
}

/// A line that goes with an error, on standard error.
pub(crate) fn plain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// How far long work has come, on standard error: on a terminal only, and not with --quiet.
pub(crate) fn bar(what: &str) -> ProgressBar {
    drawn(what, "{msg} {bar:24} {pos}/{len}, {eta} left")
}

/// As [`bar`], of pairs, and how many a second; there may be no saying how many there are.
pub(crate) fn pairs_bar(what: &str, total: Option<u64>) -> ProgressBar {
    if let Some(total) = total {
        let bar = drawn(what, "{msg} {bar:24} {pos}/{len}, {per_sec:.1}, {eta} left");
        bar.set_length(total);
        return bar;
    }
    let bar = drawn(what, "{spinner} {msg} {pos}, {per_sec:.1}, {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// As [`bar`], of bytes.
pub(crate) fn bytes_bar(what: &str) -> ProgressBar {
    drawn(what, "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})")
}

fn drawn(what: &str, template: &str) -> ProgressBar {
    let shown = io::stderr().is_terminal() && tracing::enabled!(tracing::Level::WARN);
    let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(what.to_string())
}

/// Refuses a place for a file, before any work is done, that is a folder or in none.
pub(crate) fn check_file(flag: &str, file: &Path) -> Result {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() {
        return Err(Failure::usage(format!("{flag} {}: expected a file, and it is a folder", file.display())));
    }
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{flag} {}: there is no folder {}", file.display(), folder.display())));
    }
    Ok(())
}

/// What is being done, on standard error while it lasts: on a terminal only, and not with --quiet.
pub(crate) struct Progress(bool);

impl Progress {
    pub(crate) fn start(what: &str) -> Self {
        let shown = io::stderr().is_terminal() && tracing::enabled!(tracing::Level::WARN);
        if shown {
            let _ = write!(io::stderr(), "\r\x1b[2K{what} ...");
        }
        Self(shown)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

/// One line on standard output.
pub(crate) fn line(text: &str) -> Result {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Each row as a line of JSON on standard output.
pub(crate) fn json(rows: &[impl Serialize]) -> Result {
    let text = |row| serde_json::to_string(row).map_err(|error| Failure::Work(Some(error.to_string())));
    rows.iter().try_for_each(|row| line(&text(row)?))
}

/// A path as people and JSON read it.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Lines of columns, all but the last aligned: numbers to the right, and two blanks between.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
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
