//! The `lpips` command; see the crate's README.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lpips_terminal::{self as output, Verbosity};

/// How far apart two pictures look to people: LPIPS, the learned perceptual image patch similarity.
#[derive(Debug, Parser)]
#[command(name = "lpips", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    verbosity: Verbosity,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(command::compare::Compare),
    Dirs(command::bulk::dirs::Dirs),
    Pairs(command::bulk::pairs::Pairs),
    List(command::bulk::list::Lists),
    Video(command::bulk::video::Video),
    Merge(command::bulk::merge::Merge),
    Report(command::bulk::report::Report),
    Bench(command::bench::Bench),
    Eval(command::eval::Eval),
    Data(command::data::Data),
    Weights(command::weights::Weights),
    Completions(command::completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.verbosity.start();
    let result = match cli.command {
        Command::Compare(compare) => compare.run(),
        Command::Dirs(dirs) => dirs.run(),
        Command::Pairs(pairs) => pairs.run(),
        Command::List(list) => list.run(),
        Command::Video(video) => video.run(),
        Command::Merge(merge) => merge.run(),
        Command::Report(report) => report.run(),
        Command::Bench(bench) => bench.run(),
        Command::Eval(eval) => eval.run(),
        Command::Data(data) => data.run(),
        Command::Weights(weights) => weights.run(),
        Command::Completions(completions) => completions.run(),
    };
    output::exit_code(&result)
}
