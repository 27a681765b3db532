//! `freehold run`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_protocol::v1::OutputStream;
use serde_json::json;

use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Session, Tuning};

/// Run an operation of a resource: backup, verify, rotate, …
///
/// Operations are implemented by the provider or are scripts of the deployment. Output is streamed; the exit code is that of the
/// operation; that it was run is recorded in the history, without its arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    member: MemberPath,
    /// Which: see `freehold provider schema`, or `operations` in the deployment
    #[arg(value_name = "OPERATION")]
    operation: String,
    /// What it is given
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (mut engine, stage) = session.engine(Tuning::default())?;
    stage.pause();
    let ui = &session.ui;
    let code = engine.run_operation(&args.member, &args.operation, &args.args, &mut |stream, data| match stream {
        // The operation's own output is data as it is: whoever runs it asked for it.
        _ if ui.json => ui.json_line(&json!({ "stream": stream, "data": data })),
        OutputStream::Stdout => ui.raw(data.as_bytes()),
        OutputStream::Stderr => ui.always(data),
    })?;
    if ui.json {
        ui.json_line(&json!({ "format": "freehold.run/1", "exitCode": code }));
    }
    Ok(match u8::try_from(code) {
        Ok(0) => Exit::Ok,
        Ok(code) => Exit::Program(code),
        Err(_) => Exit::Failed,
    })
}
