//! `freehold completions`.

use clap::ValueEnum;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Print a script that completes commands, flags and member paths in your shell
///
/// bash: `source <(freehold completions bash)`; zsh: the same; fish: `freehold completions fish | source`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells that we have scripts for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "freehold", "freehold", "freehold", &mut script)?;
    session.ui.raw(&script);
    Ok(Exit::Ok)
}
