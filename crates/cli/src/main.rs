//! The `freehold` command: parses the command line, runs one command, and says how it ended.
//!
//! Logic lives in the crates below (`freehold-engine` above all); this one asks, tells and renders. Reading order: `grammar.rs` (what
//! can be typed), one file of `commands/`, `session.rs` (what a command has at hand), `render/` (how things look), `failure.rs`.

mod builtin;
mod commands;
mod complete;
mod exit;
mod failure;
mod grammar;
mod internal;
mod interrupt;
mod library;
mod places;
mod render;
mod reports;
mod session;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::exit::Exit;
use crate::grammar::{Cli, Color, Global};
use crate::session::Session;
use crate::ui::{Ui, Verbosity};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Started once per exchange with Nix, so before everything else.
    if let Some(code) = internal::early(&args) {
        return code;
    }
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    match Cli::try_parse_from(&args) {
        Ok(cli) => run(cli).into(),
        Err(error) => usage(&error, &args).into(),
    }
}

fn run(cli: Cli) -> Exit {
    let session = Session::new(ui(&cli.global), cli.global);
    let result = commands::dispatch(cli.command, &session).and_then(|exit| session.ui.finish().map(|()| exit));
    result.unwrap_or_else(|failure| {
        session.ui.failure(&failure);
        failure.exit
    })
}

/// Help and version are answers; everything else that clap says is a usage error.
fn usage(error: &clap::Error, args: &[OsString]) -> Exit {
    let asked = matches!(error.kind(), clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion);
    let own = args.iter().take_while(|arg| *arg != "--");
    if !asked && own.into_iter().any(|arg| arg == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default();
        let failure = failure::Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
        Ui::new(anstream::ColorChoice::Never, true, Verbosity::Normal).json(&failure.to_json());
    }
    // Nobody is left to tell when the streams are gone.
    let _ = error.print();
    if asked { Exit::Ok } else { Exit::Usage }
}

fn ui(global: &Global) -> Ui {
    let color = match global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    let verbosity = match (global.quiet, global.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Debug,
    };
    Ui::new(color, global.json, verbosity)
}
