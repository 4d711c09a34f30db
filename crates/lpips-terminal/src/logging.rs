//! The log on standard error, and the flags `-v` and `-q`.

use std::io::IsTerminal;

use clap::{ArgAction, Args};
use tracing::level_filters::LevelFilter;

/// Amount of log on standard error: `--verbose`, `--quiet`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Verbosity {
    /// Log more of what is done (twice: everything).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    pub verbose: u8,

    /// Print nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 101)]
    pub quiet: bool,
}

impl Verbosity {
    /// Starts the log on standard error. Call once, before anything is logged.
    pub fn start(self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (_, 0) => LevelFilter::WARN,
            (_, 1) => LevelFilter::INFO,
            _ => LevelFilter::DEBUG,
        };
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .without_time()
            .with_target(false)
            .init();
    }
}

/// Whether notes and progress are wanted: not with `--quiet`.
pub fn is_quiet() -> bool {
    !tracing::enabled!(tracing::Level::WARN)
}
