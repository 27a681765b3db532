//! `freehold drift`.

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_plan::Mode;
use serde_json::json;

use super::Selection;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render;
use crate::session::{Session, Tuning};
use crate::ui::Verbosity;

/// Show where the world is not as recorded
///
/// Only looks. `freehold apply` mends drift, `freehold refresh` accepts it into the record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members and what is below them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) members: Vec<MemberPath>,
    /// Exit with 2 when there is drift, 0 when there is none
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let plan = engine.plan(Selection::default().options(Mode::RefreshOnly, args.members))?;
    stage.pause();
    let recorded = engine.stores().map(|store| store.view().records().len()).sum::<usize>();
    if session.ui.json {
        let json = plan.to_json();
        let ok = plan.problems.is_empty();
        session.ui.json(
            &json!({ "format": "freehold.drift/1", "drift": json["drift"], "problems": json["problems"], "ok": ok, "recorded": recorded }),
        );
    } else {
        session.ui.data(&render::plan::drifts(&plan.drift, recorded, session.ui.verbosity >= Verbosity::Verbose));
    }
    session.ui.always(&render::plan::problems(&plan.problems));
    Ok(match () {
        () if !plan.problems.is_empty() => Exit::Failed,
        () if args.detailed_exitcode && !plan.drift.is_empty() => Exit::Changes,
        () => Exit::Ok,
    })
}
