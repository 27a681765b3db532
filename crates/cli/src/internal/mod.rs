//! `freehold internal …`: what Freehold calls itself with. Not for people, and without promises.
//!
//! [`early`] is before everything else in `main`, because Nix starts the bridge once per exchange.

pub(crate) mod manual;

mod generate;
mod reference;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::builtin;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// What Freehold calls itself with
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a built-in provider on standard input and output
    Provider { name: String },
    /// Hold the evaluator's end of a conversation with Nix
    EvalBridge { args: Vec<OsString> },
    /// Write everything that is made from code, as a tree like the repository's
    Generate { dir: PathBuf },
    /// Look after one instance of a service: what the runtime `process` starts
    Supervise { dir: PathBuf },
    /// Print the directory of the Nix library
    Library,
}

/// The commands that are started often: `internal eval-bridge …` and `internal provider NAME`.
pub(crate) fn early(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1)? != "internal" {
        return None;
    }
    match args.get(2)?.to_str()? {
        "supervise" => {
            let supervised = freehold_runtime::process::supervise(std::path::Path::new(args.get(3)?));
            Some(if supervised.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        "eval-bridge" => Some(freehold_eval::bridge_main(args.iter().skip(3).cloned())),
        "provider" => {
            let builtin = builtin::find(args.get(3)?.to_str()?)?;
            let code = freehold_provider::sdk::serve((builtin.provider)());
            Some(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
        }
        _ => None,
    }
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    match args.command {
        // `early` took those that can be served.
        Command::Provider { name } => {
            let names: Vec<&str> = builtin::ALL.iter().map(|b| b.name).collect();
            Err(Failure::usage(format!("there is no built-in provider `{name}`"))
                .hint(format!("there are {}", names.join(", "))))
        }
        Command::Supervise { .. } => Err(Failure::usage("a supervisor is started by the agent, with a directory")),
        Command::EvalBridge { .. } => Err(Failure::usage("the bridge is started by Nix")),
        Command::Generate { dir } => {
            for (path, contents) in generate::files()? {
                let file = dir.join(path);
                fs_err::create_dir_all(file.parent().unwrap_or(&dir))?;
                fs_err::write(file, contents)?;
            }
            Ok(Exit::Ok)
        }
        Command::Library => {
            session.ui.data(&format!("{}\n", crate::library::directory()?.display()));
            Ok(Exit::Ok)
        }
    }
}
