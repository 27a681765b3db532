//! The commands: one file each, with `Args` (whose doc comment is the help) and `run`.
//!
//! A command parses nothing and decides nothing: it asks the engine or the state, and hands what it got to `render/`.
//! To add one: copy `refresh.rs`, list it below, in [`dispatch`] and in `grammar.rs`.
#![allow(clippy::needless_pass_by_value, reason = "every `run` owns its arguments, whether it needs to or not")]

pub(crate) mod agent;
pub(crate) mod app;
pub(crate) mod apply;
pub(crate) mod cache;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod drift;
pub(crate) mod graph;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod members;
pub(crate) mod outputs;
pub(crate) mod plan;
pub(crate) mod provider;
pub(crate) mod publish;
mod publish_wait;
pub(crate) mod refresh;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod show;
mod signing;
pub(crate) mod state;
pub(crate) mod status;

mod duration;
mod selection;

pub(crate) use duration::duration;
pub(crate) use selection::Selection;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::grammar::Command;
use crate::session::Session;

/// Runs one command; without one, says what can be done next here.
///
/// # Errors
/// What the command fails with.
pub(crate) fn dispatch(command: Option<Command>, session: &Session) -> Result<Exit, Failure> {
    match command {
        None => status::next(session),
        Some(Command::Init(args)) => init::run(args, session),
        Some(Command::Plan(args)) => plan::run(args, session),
        Some(Command::Apply(args)) => apply::run(args, session),
        Some(Command::Destroy(args)) => destroy::run(args, session),
        Some(Command::Refresh(args)) => refresh::run(args, session),
        Some(Command::Drift(args)) => drift::run(args, session),
        Some(Command::Status(args)) => status::run(args, session),
        Some(Command::Members(args)) => members::run(args, session),
        Some(Command::Show(args)) => show::run(args, session),
        Some(Command::Outputs(args)) => outputs::run(args, session),
        Some(Command::Graph(args)) => graph::run(args, session),
        Some(Command::History(args)) => history::run(args, session),
        Some(Command::Import(args)) => import::run(args, session),
        Some(Command::Run(args)) => run::run(args, session),
        Some(Command::Identity(args)) => identity::run(args, session),
        Some(Command::Cache(args)) => cache::run(args, session),
        Some(Command::Publish(args)) => publish::run(*args, session),
        Some(Command::Manifest(args)) => manifest::run(args, session),
        Some(Command::Rollback(args)) => rollback::run(args, session),
        Some(Command::Agent(args)) => agent::run(args, session),
        Some(Command::Logs(args)) => logs::run(args, session),
        Some(Command::App(args)) => app::run(args, session),
        Some(Command::State(args)) => state::run(args, session),
        Some(Command::Provider(args)) => provider::run(args, session),
        Some(Command::Doctor(args)) => doctor::run(args, session),
        Some(Command::Completions(args)) => completions::run(args, session),
        Some(Command::Man(args)) => man::run(args, session),
        Some(Command::Internal(args)) => crate::internal::run(args, session),
    }
}
