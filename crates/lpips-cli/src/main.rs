//! The `lpips` command; see the crate's README.
#![forbid(unsafe_code)]

mod command;
#[cfg(feature = "label")]
mod label;
mod output;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::output::Failure;

/// How far apart two pictures look to people: LPIPS, the learned perceptual image patch similarity.
#[derive(Debug, Parser)]
#[command(name = "lpips", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// Say more about what is done (twice: everything).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    verbose: u8,

    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 101)]
    quiet: bool,

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
    let level = match (cli.quiet, cli.verbose) {
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::error(message);
            }
            match failure {
                Failure::Work(_) => ExitCode::from(1),
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Above => ExitCode::from(3),
                Failure::Stopped => ExitCode::from(130),
                Failure::ReaderGone => ExitCode::SUCCESS,
            }
        }
    }
}
