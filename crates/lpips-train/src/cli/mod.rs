//! The commands of `lpips-train`, one file each.

pub(crate) mod augment;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod config;
mod flags;
pub(crate) mod train;

use lpips_terminal::{Failure, Result};

/// Conversion of the library's errors into the command's failures.
pub(crate) trait OrFail<T> {
    /// The value, or a failure with the error's message and exit code.
    fn or_fail(self) -> Result<T>;
}

impl<T> OrFail<T> for lpips_train::Result<T> {
    fn or_fail(self) -> Result<T> {
        self.map_err(|error| Failure::of(&error, error.is_usage()))
    }
}
