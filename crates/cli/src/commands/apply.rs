//! `freehold apply`, and what it shares with `destroy` and `refresh`.

use std::path::PathBuf;
use std::time::Instant;

use clap_complete::ArgValueCompleter;
use freehold_engine::{Applied, Observer as _};
use freehold_model::{MemberPath, limits};
use freehold_plan::{Mode, Plan, PlanOptions, SavedPlan, Step};
use freehold_protocol::events::{self, Event, FORMAT};

use super::Selection;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render;
use crate::session::{Session, Stage, Tuning};
use crate::ui::Verbosity;

/// Make the world as the deployment declares it
///
/// Plans, shows the plan, asks, and follows it: in dependency order, several resources at once, each step recorded before the next
/// that needs it. Ctrl-C once lets finish what runs; twice gives it up. With a saved plan it does exactly that or nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members, what is below them and what they need; or a plan kept by `freehold plan --out`
    #[arg(value_name = "MEMBER|PLAN", add = ArgValueCompleter::new(complete::members))]
    pub(crate) members: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) following: Following,
}

/// How a plan is followed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Following {
    /// Resources worked on at once
    #[arg(long, value_name = "N", default_value_t = limits::PARALLELISM, value_parser = positive)]
    pub(crate) parallelism: usize,
    /// Exit with 2 when something was changed, 0 when there was nothing to do
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

impl Default for Following {
    fn default() -> Self {
        Self { parallelism: limits::PARALLELISM, detailed_exitcode: false }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 on is wanted".to_owned())
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let saved = saved_plan(&args.members)?;
    let (options, consent) = match &saved {
        Some(saved) => {
            if let Some(flag) = args.selection.given() {
                return Err(Failure::usage(format!(
                    "`{flag}` does not go with a saved plan, which is followed as it was made"
                ))
                .hint(format!("give it to `freehold plan --out FILE {flag} …` and apply that")));
            }
            (saved.options.clone(), Consent::Given)
        }
        None => {
            refuse_plan_among_members(&args.members)?;
            let members = args.members.iter().map(|text| text.parse()).collect::<Result<Vec<MemberPath>, _>>();
            let members = members.map_err(|e| Failure::usage(e.to_string()))?;
            (args.selection.options(Mode::Normal, members), Consent::Ask("apply these changes?"))
        }
    };
    follow(&Order { command: "apply", options, saved, consent, only: None }, args.following, session)
}

/// What is to be done.
pub(crate) struct Order {
    pub(crate) command: &'static str,
    pub(crate) options: PlanOptions,
    pub(crate) saved: Option<SavedPlan>,
    pub(crate) consent: Consent,
    /// What the targets have to be, when they cannot be anything: provider and type.
    pub(crate) only: Option<(&'static str, &'static str)>,
}

impl Order {
    /// A target that is something else than it has to be.
    fn refuse_others(&self, plan: &Plan) -> Result<(), Failure> {
        let Some((provider, kind)) = self.only else { return Ok(()) };
        let is_other = |step: &&Step| {
            self.options.targets.contains(&step.member)
                && (step.provider.as_str(), step.type_name.as_str()) != (provider, kind)
        };
        match plan.steps.iter().find(is_other) {
            None => Ok(()),
            Some(step) => Err(Failure::user(format!(
                "`{}` is a {}.{}, and no {provider}.{kind}",
                step.member, step.provider, step.type_name
            ))
            .hint(format!("`freehold apply {}` does what is declared of it", step.member))),
        }
    }
}

/// Whether the operator is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Before anything is changed, with these words.
    Ask(&'static str),
    /// A saved plan was looked at before, and a refresh changes the record only.
    Given,
}

/// Plans, asks, applies, and tells what came of it.
pub(crate) fn follow(order: &Order, following: Following, session: &Session) -> Result<Exit, Failure> {
    let began = Instant::now();
    if session.ui.json {
        let (format, freehold) = (FORMAT.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        session.ui.json_line(&Event::Version { format, freehold, command: order.command.to_owned() });
    }
    let result = attempt(order, following, session);
    let (exit, mut summary) = match result {
        Ok(told) => told,
        Err(failure) if session.ui.json => {
            session.ui.json_line(&failure_event(&failure));
            session.ui.always(&failure.render());
            (failure.exit, events::Summary::default())
        }
        Err(failure) => return Err(failure),
    };
    summary.exit = i32::from(exit.code());
    summary.seconds = began.elapsed().as_secs_f64();
    if session.ui.json {
        session.ui.json_line(&Event::Summary(summary));
    }
    Ok(exit)
}

fn attempt(order: &Order, following: Following, session: &Session) -> Result<(Exit, events::Summary), Failure> {
    if order.consent != Consent::Given {
        session.need_consent(&format!("`freehold {}`", order.command)).map_err(|failure| {
            failure.hint("or make a plan with `freehold plan --out FILE`, look at it, and apply that")
        })?;
    }
    let tuning = Tuning { parallelism: following.parallelism, events: session.ui.json };
    let (mut engine, stage) = session.engine(tuning)?;
    let mut started = None;
    let mut shown = false;
    let mut refused = None;
    let applied = engine.apply(order.options.clone(), order.saved.as_ref(), &mut |plan| {
        stage.pause();
        if let Err(failure) = order.refuse_others(plan) {
            refused = Some(failure);
            return false;
        }
        show(plan, &stage, session);
        shown = true;
        let agreed = match order.consent {
            Consent::Given => true,
            Consent::Ask(question) => session.consents(question),
        };
        stage.begin(if agreed { steps(plan) } else { 0 });
        started = Some(Instant::now());
        agreed
    })?;
    stage.pause();
    if let Some(failure) = refused {
        return Err(failure);
    }
    order.refuse_others(&applied.plan)?;
    if let Some(made) = engine.keys_made() {
        session.ui.talk(&render::summary::keys(made));
    }
    complete::remember(&engine.options().entry.dir, &applied.plan);
    if !shown {
        show(&applied.plan, &stage, session);
    }
    session.ui.always(&render::plan::problems(&applied.plan.problems));
    Ok(tell(&applied, started.map(|s| s.elapsed().as_secs_f64()), following, session))
}

/// The plan, as text or as events.
fn show(plan: &Plan, stage: &Stage, session: &Session) {
    if session.ui.json {
        render::summary::plan_events(plan).iter().for_each(|event| stage.event(event));
    } else if session.ui.verbosity > Verbosity::Quiet {
        session.ui.data(&render::plan::plan(plan, session.ui.verbosity >= Verbosity::Verbose));
    }
    session.ui.always(&render::plan::warnings(&plan.warnings));
}

/// What came of it, and how the program ends.
fn tell(applied: &Applied, seconds: Option<f64>, following: Following, session: &Session) -> (Exit, events::Summary) {
    let none = u64::try_from(applied.plan.summary().none).unwrap_or(u64::MAX);
    let Some(summary) = &applied.summary else {
        let done = applied.plan.problems.is_empty() && applied.plan.is_noop();
        let exit = match () {
            () if done => Exit::Ok,
            () if session.is_interrupted() => Exit::Interrupted,
            () => Exit::Failed,
        };
        if !done && applied.plan.problems.is_empty() {
            session.ui.talk("nothing was changed");
        }
        return (exit, events::Summary { none, ok: done, ..events::Summary::default() });
    };
    session.ui.always(&render::summary::failures(summary));
    if !session.ui.json && session.ui.verbosity > Verbosity::Quiet {
        session.ui.data(&render::summary::done(summary, seconds.unwrap_or_default()));
    }
    let exit = match () {
        () if summary.interrupted => Exit::Interrupted,
        () if !summary.is_ok() => Exit::Failed,
        () if following.detailed_exitcode => Exit::Changes,
        () => Exit::Ok,
    };
    (exit, render::summary::event(summary, none))
}

fn steps(plan: &Plan) -> usize {
    plan.steps.iter().filter(|s| s.action != freehold_plan::Action::None || s.is_undecided()).count()
}

fn failure_event(failure: &Failure) -> Event {
    Event::Diagnostic {
        severity: events::Severity::Error,
        kind: Some(failure.kind),
        message: failure.chain().join(": "),
        hints: failure.hints.clone(),
        member: None,
        pointer: None,
    }
}

/// The one argument that is a file in our format, if that is what was given.
fn means_a_plan(name: &str) -> bool {
    [".plan", ".json"].iter().any(|end| name.ends_with(end))
}

/// A saved plan stands alone.
fn refuse_plan_among_members(members: &[String]) -> Result<(), Failure> {
    for text in members {
        if matches!(saved_plan(std::slice::from_ref(text)), Ok(Some(_))) {
            return Err(Failure::usage(format!("`{text}` is a saved plan, which is followed as it was made"))
                .hint("name it alone; what it is about was said to `freehold plan --out FILE MEMBER…`"));
        }
    }
    Ok(())
}

fn saved_plan(members: &[String]) -> Result<Option<SavedPlan>, Failure> {
    let [only] = members else { return Ok(None) };
    let file = PathBuf::from(only);
    if !file.is_file() {
        // A member may be called so, but who writes this means a file.
        let is_meant = only.contains('/') || means_a_plan(only);
        return if is_meant {
            Err(Failure::user(format!("there is no saved plan `{only}`")).hint(format!(
                "`freehold plan --out FILE` makes one; a member of this name is given with `--target {only}`"
            )))
        } else {
            Ok(None)
        };
    }
    let text = fs_err::read_to_string(&file)?;
    let format =
        serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|j| Some(j.get("format")?.as_str()?.to_owned()));
    match format.as_deref() {
        Some(SavedPlan::FORMAT) => serde_json::from_str(&text).map(Some).map_err(|e| {
            Failure::user(format!("the saved plan `{only}` is damaged: {e}"))
                .hint("make a new one with `freehold plan --out FILE`")
        }),
        Some(other) if other.starts_with("freehold.saved-plan/") => Err(Failure::user(format!(
            "the saved plan `{only}` is of format `{other}`, which this version of freehold does not know"
        ))
        .hint(format!("make a new one with this version, {}", env!("CARGO_PKG_VERSION")))),
        _ if only.ends_with(".nix") => Err(Failure::usage(format!("`{only}` is not a saved plan"))
            .hint(format!("a deployment is named with `--file {only}`"))),
        // A file that happens to be called like a member.
        _ if only.parse::<MemberPath>().is_ok() && !only.contains('/') && !means_a_plan(only) => Ok(None),
        _ => Err(Failure::user(format!("`{only}` is not a saved plan")).hint("`freehold plan --out FILE` makes one")),
    }
}
