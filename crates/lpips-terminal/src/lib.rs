//! Terminal code shared by the binaries `lpips` and `lpips-train`: flags, logging, output, progress bars, exit codes and signals.
#![forbid(unsafe_code)]

pub mod args;
pub mod failure;
pub mod logging;
pub mod print;
pub mod progress;
pub mod signal;

pub use self::args::{Background, ComputeArgs, DecodeArgs, ThreadArgs};
pub use self::failure::{Failure, Result, exit_code};
pub use self::logging::Verbosity;
pub use self::print::{check_file, error, json, line, note, plain, table, text};
pub use self::progress::{Progress, bar, pairs_bar};
pub use self::signal::stop_flag;
