//! The two judgment tasks of BAPPS: 2AFC and JND.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Judgment task: two-alternative forced choice or just-noticeable difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// Two-alternative forced choice (2AFC): which of p0 and p1 is the more similar to the reference?
    #[serde(rename = "2afc")]
    TwoAfc,
    /// Just-noticeable difference (JND): did p0 and p1, each shown for a moment, look the same?
    #[serde(rename = "jnd")]
    Jnd,
}

impl Task {
    /// Name of the task (`2afc` or `jnd`), and of its folder in a BAPPS root.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoAfc => "2afc",
            Self::Jnd => "jnd",
        }
    }

    /// Names of the picture folders, and of the picture fields of a list.
    pub fn pictures(self) -> &'static [&'static str] {
        match self {
            Self::TwoAfc => &["ref", "p0", "p1"],
            Self::Jnd => &["p0", "p1"],
        }
    }

    /// Name of the judgment folder and field: the fraction of votes for p1 (`judge`), or for "same" (`same`).
    pub fn vote(self) -> &'static str {
        match self {
            Self::TwoAfc => "judge",
            Self::Jnd => "same",
        }
    }

    /// Noun for one item of the task: `triplet` or `pair`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::TwoAfc => "triplet",
            Self::Jnd => "pair",
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let task = [Self::TwoAfc, Self::Jnd].into_iter().find(|task| task.name() == name);
        task.ok_or_else(|| Error::UnknownTask { name: name.to_string() })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
