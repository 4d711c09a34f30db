//! The `lpips-train` command; see the crate's README.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::cli::Failure;

/// Trains LPIPS on people's judgments of which of two pictures is the more similar to a third (2AFC).
///
/// Without --data it trains on a small built-in set of samples, to show how it works.
#[derive(Debug, Parser)]
#[command(name = "lpips-train", version, max_term_width = 100)]
#[command(args_override_self = true)]
struct Arguments {
    /// Say more about what is done (twice: everything).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    verbose: u8,

    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 101)]
    quiet: bool,

    #[command(flatten)]
    train: cli::train::Train,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(cli::check::Check),
    Augment(cli::augment::Preview),
    Config(cli::config::Show),
    Bench(cli::bench::Bench),
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // A training's settings before another command would be ignored.
    let is_given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let global = ["quiet", "verbose"];
    if let (Some(name), Some(id)) = (
        matches.subcommand_name(),
        matches.ids().filter(is_given).find(|id| !global.contains(&id.as_str()) && id.as_str() != "Train"),
    ) {
        let flag = id.as_str().replace('_', "-");
        let message = format!("--{flag} is a setting of a training, and does not go before the command {name}\n");
        Arguments::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .without_time()
        .with_target(false)
        .init();
    let result = match arguments.command {
        None => arguments.train.run(arguments.quiet),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Augment(preview)) => preview.run(),
        Some(Command::Config(show)) => show.run(),
        Some(Command::Bench(bench)) => bench.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Stopped) => ExitCode::from(130),
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Error(message)) => {
            cli::error(&message);
            ExitCode::from(1)
        }
    }
}
