//! Parts of a synthetic set, and an item's place in them.

use serde::{Deserialize, Serialize};

use crate::sets::Task;

/// Part of a set: triplets for training, triplets for validation, or pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Train,
    Val,
    Jnd,
}

/// A triplet or pair: its part, and its number in that.
pub(super) type Place = (Part, usize);

impl Part {
    /// Folder of the part in the set.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Train => "2afc/train/synthetic",
            Self::Val => "2afc/val/synthetic",
            Self::Jnd => "jnd/val/synthetic",
        }
    }

    /// Task of the part's items.
    pub(super) fn task(self) -> Task {
        match self {
            Self::Train | Self::Val => Task::TwoAfc,
            Self::Jnd => Task::Jnd,
        }
    }
}
