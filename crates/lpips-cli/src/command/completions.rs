//! `lpips completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::output::Result;

/// Print a completion script for a shell, to be put where that shell looks for them.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell to complete for.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "lpips", &mut script);
        Ok(std::io::Write::write_all(&mut std::io::stdout(), &script)?)
    }
}
