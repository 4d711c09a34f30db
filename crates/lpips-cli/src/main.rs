//! The command `lpips`; see the crate's README.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lpips_terminal::{self as output, Verbosity};

const EXAMPLES: &str = "Examples:
  lpips compare reference.png candidate.png
  lpips dirs ground-truth renders --out results.jsonl --report report.html
  lpips help compare";

/// Measure how far apart two pictures look to people: LPIPS, the learned perceptual image patch similarity.
#[derive(Debug, Parser)]
#[command(name = "lpips", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
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

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    fn check(command: &mut Command, path: &str) {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example"), "`{path} --help` has no example:\n{help}");
        // clap adds the command `help` by itself.
        for child in command.get_subcommands_mut().filter(|child| child.get_name() != "help") {
            let path = format!("{path} {}", child.get_name());
            check(child, &path);
        }
    }

    #[test]
    fn long_help_of_every_subcommand_has_an_example() {
        check(&mut Cli::command(), "lpips");
    }

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
