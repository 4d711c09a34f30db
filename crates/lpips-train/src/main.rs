//! The `lpips-train` command; see the crate's README.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use lpips_terminal::{Verbosity, exit_code};

/// Train LPIPS on people's judgments of which of two pictures is more similar to a third (2AFC).
///
/// Without --data it trains on a small built-in set of samples, to show how it works.
#[derive(Debug, Parser)]
#[command(name = "lpips-train", version, max_term_width = 100)]
#[command(args_override_self = true)]
#[command(after_help = "Examples:
  lpips-train --phase lin
  lpips-train --phase lin --data 2afc/train --val 2afc/val --out run
  lpips-train --resume run

`lpips-train config` prints all settings with their meaning.")]
struct Arguments {
    #[command(flatten)]
    verbosity: Verbosity,

    #[command(flatten)]
    train: cli::train::Train,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(hide = true)]
    Check(cli::check::Check),
    Augment(cli::augment::Preview),
    Config(cli::config::Show),
    Bench(cli::bench::Bench),
}

fn main() -> ExitCode {
    let mut command = Arguments::command();
    let matches = command.get_matches_mut();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Settings of a training before another command would be ignored.
    let is_given = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        !arg.is_global_set() && matches.ids().any(|known| known == id) && {
            matches.value_source(id) == Some(ValueSource::CommandLine)
        }
    };
    let flag = command.get_arguments().find(is_given).and_then(clap::Arg::get_long);
    let misplaced = flag.zip(matches.subcommand_name()).map(|(flag, name)| {
        format!("--{flag} is a setting of a training, and does not go before the command {name}\n")
    });
    if let Some(message) = misplaced {
        command.error(ErrorKind::ArgumentConflict, message).exit();
    }
    arguments.verbosity.start();
    exit_code(&match arguments.command {
        None => arguments.train.run(arguments.verbosity.quiet),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Augment(preview)) => preview.run(),
        Some(Command::Config(show)) => show.run(),
        Some(Command::Bench(bench)) => bench.run(),
    })
}
