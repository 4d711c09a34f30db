//! `lpips completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::output::Result;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lpips completions bash > ~/.local/share/bash-completion/completions/lpips
  lpips completions zsh > ~/.zfunc/_lpips
  lpips completions fish > ~/.config/fish/completions/lpips.fish")]
pub(crate) struct Completions {
    /// Shell that reads the script.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "lpips", &mut script);
        Ok(std::io::Write::write_all(&mut std::io::stdout(), &script)?)
    }
}
