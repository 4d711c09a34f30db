//! Unusable files: which, and why.

use std::fmt;
use std::path::PathBuf;

/// A file that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Why it can't be used.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Joins the first five messages and counts the others.
pub(crate) fn first_few<T: fmt::Display>(messages: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = messages.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match messages.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", shown.join("; "))
}
