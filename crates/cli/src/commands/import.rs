//! `freehold import`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use serde_json::json;

use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::session::{Session, Tuning};

/// Take an object that exists into the record, as that of a declared member
///
/// The object itself is not touched; the next plan shows how it differs from the declaration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The member that declares it
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    member: MemberPath,
    /// How the provider finds the object: see the type in `freehold provider schema`
    #[arg(value_name = "ID")]
    id: String,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let members = engine.import(&args.member, &args.id)?;
    stage.pause();
    if session.ui.json {
        session.ui.json(&json!({ "format": "freehold.import/1", "members": members }));
        return Ok(Exit::Ok);
    }
    for member in &members {
        session.ui.data(&format!("imported {}\n", paint(style::STRONG, member)));
    }
    session.ui.talk("`freehold plan` shows how it differs from what is declared");
    Ok(Exit::Ok)
}
