//! One judged item: its pictures and the fraction of votes.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// `N` pictures and the judgment on them: a triplet (`N` = 3) or a pair (`N` = 2).
#[derive(Debug, Clone, PartialEq)]
pub struct Item<const N: usize> {
    /// The pictures.
    pub source: Source<N>,
    /// Fraction of votes that preferred p1, or that took p0 and p1 for the same, in [0, 1].
    pub judge: f32,
    /// Index of the item's folder in [`JudgmentSet::folders`](super::JudgmentSet::folders).
    pub folder: usize,
}

/// Reference, p0 and p1.
pub type Triplet = Item<3>;

/// Location of an item's pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<const N: usize> {
    /// Files: reference, p0, p1, or p0 and p1.
    Files(Box<[PathBuf; N]>),
    /// A built-in sample, drawn by [`builtin_samples`](crate::builtin_samples).
    Sample {
        /// Seed of the set.
        seed: u64,
        /// Number of the sample within the set.
        index: u64,
    },
}

impl<const N: usize> Source<N> {
    /// Name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Files(files) => files[0].display().to_string(),
            Self::Sample { index, .. } => format!("sample {index}"),
        }
    }

    /// SHA-256 of the first picture's file (a triplet's reference): equal where a picture occurs in several items.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn first_digest(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Files(files) => {
                let bytes = std::fs::read(&files[0]).map_err(|error| Error::io(&files[0], "read", &error))?;
                Sha256::digest(bytes).to_vec()
            }
            Self::Sample { seed, index } => format!("{seed} {index}").into_bytes(),
        })
    }
}

/// Checks that a judgment is a fraction in [0, 1].
pub(crate) fn fraction(judge: f64) -> Result<f32, String> {
    if (0.0..=1.0).contains(&judge) {
        Ok(judge as f32)
    } else {
        Err(format!("the judgment is {judge}: expected a fraction of people, from 0 to 1"))
    }
}
