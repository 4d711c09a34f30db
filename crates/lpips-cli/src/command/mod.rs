//! One file per command.

pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod weights;
