//! `cellstate completions`.

use super::{Cli, Done, files};
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate completions bash > ~/.local/share/bash-completion/completions/cellstate
  cellstate completions zsh > ~/.zfunc/_cellstate
  cellstate completions fish > ~/.config/fish/completions/cellstate.fish";

#[derive(Args)]
pub(super) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(a: &Arguments) -> Done {
    let mut script = Vec::new();
    generate(a.shell, &mut Cli::command(), "cellstate", &mut script);
    files::print(&String::from_utf8_lossy(&script))
}
