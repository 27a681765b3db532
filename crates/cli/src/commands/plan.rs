//! `freehold plan`.

use std::path::{Path, PathBuf};

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_plan::{Mode, Plan, SavedPlan};

use super::Selection;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render;
use crate::session::{Session, Tuning};
use crate::ui::Verbosity;

/// Show what `apply` would do, without doing it
///
/// Evaluates the deployment, looks at the world, and lists the changes with their reasons. Takes no lock and changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members, what is below them and what they need
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) members: Vec<MemberPath>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Plan to delete everything that is recorded
    #[arg(long)]
    pub(crate) destroy: bool,
    /// Keep the plan in a file, for `freehold apply FILE`
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 2 when there are changes, 0 when there are none
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    args.out.as_deref().map_or(Ok(()), refuse_other_file)?;
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let mode = if args.destroy { Mode::Destroy } else { Mode::Normal };
    let plan = engine.plan(args.selection.options(mode, args.members))?;
    stage.pause();
    complete::remember(&engine.options().entry.dir, &plan);
    show(&plan, session);
    if !plan.problems.is_empty() {
        return Ok(Exit::Failed);
    }
    if let Some(file) = &args.out {
        save(&engine.saved_plan(&plan), file)?;
        session.ui.talk(&format!("saved as `{0}`: `freehold apply {0}` does this and nothing else", file.display()));
    }
    Ok(if args.detailed_exitcode && !plan.is_noop() { Exit::Changes } else { Exit::Ok })
}

/// A plan on stdout, its problems on stderr.
pub(crate) fn show(plan: &Plan, session: &Session) {
    if session.ui.json {
        session.ui.json(&plan.to_json());
    } else {
        session.ui.data(&render::plan::plan(plan, session.ui.verbosity >= Verbosity::Verbose));
    }
    session.ui.always(&render::plan::warnings(&plan.warnings));
    session.ui.always(&render::plan::problems(&plan.problems));
}

/// A file that is no saved plan is somebody's work: the deployment itself, if a word was left out.
fn refuse_other_file(file: &Path) -> Result<(), Failure> {
    // A terminal or a pipe keeps nothing.
    if !file.is_file() {
        return Ok(());
    }
    let text = fs_err::read(file)?;
    let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let format = format.as_ref().and_then(|json| json.get("format")?.as_str());
    if text.is_empty() || format.is_some_and(|format| format.starts_with("freehold.saved-plan/")) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{}` is there, and is not a saved plan", file.display()))
        .hint("give the plan another name, or remove the file first"))
}

fn save(saved: &SavedPlan, file: &Path) -> Result<(), Failure> {
    let text = serde_json::to_string(saved).map_err(|e| Failure::new(freehold_model::ErrorKind::Internal, e))?;
    Ok(fs_err::write(file, text + "\n")?)
}
