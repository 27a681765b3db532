//! The grammar: global flags and the list of commands. Help, manual, completion and reference are all made from it.
//!
//! No behaviour here. A command's own arguments stand in `commands/<name>.rs`, and their doc comments are its help.
//! To add a command: write that file (copy `commands/refresh.rs`), add a variant here and a line in `commands/mod.rs`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};

use crate::commands;

/// Plan and apply a deployment of resources written in Nix.
///
/// You describe what you run as resources in Nix; Freehold plans the change, makes it in dependency order, remembers what it made,
/// and takes it away again. Without a command it says what can be done next here.
#[derive(Debug, Parser)]
#[command(
    name = "freehold",
    bin_name = "freehold",
    version,
    max_term_width = 120,
    subcommand_help_heading = "Commands"
)]
#[command(
    after_help = "A deployment is found in this order: --file PATH; ./freehold.nix; the flake's attribute `freehold`; ./nixops4.nix; the flake's \
    attribute `nixops4`.\nstdout is data, stderr is talk; every command takes --json. Exit codes: 0 done, 1 failed, 2 changes (with \
    --detailed-exitcode), 64 usage, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The deployment: a Nix file, or a directory with a freehold.nix
    #[arg(short, long, global = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) file: Option<PathBuf>,
    /// Where the state is: a directory, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME [default: freehold.state beside the deployment]
    #[arg(long, global = true, value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub(crate) state: Option<String>,
    /// Nobody else writes to this state: use a store that cannot refuse a second writer
    #[arg(long, global = true)]
    pub(crate) single_writer: bool,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub(crate) color: Color,
    /// Say more; twice for finding faults
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Do not ask
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Show Nix's full traces in errors
    #[arg(long, global = true)]
    pub(crate) show_trace: bool,
    /// Use another flake for an input of the deployment's flake
    #[arg(long, global = true, num_args = 2, value_names = ["INPUT", "FLAKE"], action = clap::ArgAction::Append)]
    pub(crate) override_input: Vec<String>,
    /// Let the evaluator write and run anything (where the kernel's confinement is in the way)
    #[arg(long, global = true)]
    pub(crate) no_confine: bool,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// All commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::Args),
    Plan(commands::plan::Args),
    Apply(commands::apply::Args),
    Destroy(commands::destroy::Args),
    Refresh(commands::refresh::Args),
    Drift(commands::drift::Args),
    Status(commands::status::Args),
    Members(commands::members::Args),
    Show(commands::show::Args),
    Outputs(commands::outputs::Args),
    Graph(commands::graph::Args),
    History(commands::history::Args),
    Import(commands::import::Args),
    Run(commands::run::Args),
    Identity(commands::identity::Args),
    Cache(commands::cache::Args),
    Publish(Box<commands::publish::Args>),
    Manifest(commands::manifest::Args),
    Rollback(commands::rollback::Args),
    Agent(commands::agent::Args),
    Logs(commands::logs::Args),
    App(commands::app::Args),
    State(commands::state::Args),
    Provider(commands::provider::Args),
    Doctor(commands::doctor::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    #[command(hide = true)]
    Internal(crate::internal::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
