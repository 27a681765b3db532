//! What is checked when the outputs are there: postconditions of resources and checks of composites. A plan tells of those that do
//! not hold already.

use std::collections::BTreeSet;

use freehold_apply::{ApplySummary, Failure};
use freehold_model::{Check, ErrorKind, MemberPath, Value};
use freehold_plan::{Action, Mode, Plan, PlanOptions, Problem, Step};
use freehold_protocol::events::{self, Event};
use freehold_state::StateError;

use crate::engine::Engine;
use crate::{EngineError, Evaluated};

impl Engine {
    /// Evaluates every condition that could not be told before, and adds those that do not hold to the failures. The records stay.
    /// When all was `wanted` and is done, one that still cannot be told does not hold either.
    pub(crate) fn check_afterwards(
        &mut self,
        summary: &mut ApplySummary,
        wanted: &PlanOptions,
    ) -> Result<(), EngineError> {
        let unfinished: BTreeSet<MemberPath> = summary
            .failed
            .iter()
            .map(|(member, ..)| member.clone())
            .chain(summary.skipped.iter().map(|(member, ..)| member.clone()))
            .collect();
        // What was not made cannot be as it should be, and is reported already.
        let checked: Vec<MemberPath> = self.to_check.iter().filter(|m| !unfinished.contains(*m)).cloned().collect();
        if checked.is_empty() || summary.interrupted {
            return Ok(());
        }
        let found = self.evaluate(&checked)?;
        let already = summary.failed.len();
        let is_whole = unfinished.is_empty() && wanted.targets.is_empty() && wanted.excludes.is_empty();
        for member in checked {
            let broken = broken_checks(&found, &member, is_whole);
            summary.failed.extend(broken.into_iter().map(|failure| (member.clone(), Action::None, failure)));
        }
        for (member, _, failure) in &summary.failed[already..] {
            self.tell_failed(member, failure);
        }
        Ok(())
    }

    /// Evaluates the conditions of what the plan leaves as it is, over what is recorded and stays: what does not hold is a warning.
    pub(crate) fn warn_of_broken_checks(&mut self, plan: &mut Plan) -> Result<(), EngineError> {
        if plan.options.mode != Mode::Normal || !plan.problems.is_empty() || self.to_check.is_empty() {
            return Ok(());
        }
        let stays = |step: &Step| !step.open && matches!(step.action, Action::None | Action::Read | Action::Adopt);
        let changing: BTreeSet<&MemberPath> =
            plan.steps.iter().filter(|step| !stays(step)).map(|step| &step.member).collect();
        let checked: Vec<MemberPath> = self.to_check.iter().filter(|m| !changing.contains(m)).cloned().collect();
        let known = self.records().into_iter().filter(|(path, _)| !changing.contains(path));
        let is_open = |path: &MemberPath| plan.open.iter().any(|open| path.is_within(&open.member));
        let known = known.filter(|(path, _)| !is_open(path)).map(|(path, record)| (path, record.outputs.clone()));
        let known = known.collect();
        let found = self.evaluate_with(&checked, known)?;
        for member in checked {
            plan.warnings.extend(broken_checks(&found, &member, false).into_iter().map(|failure| Problem {
                member: member.clone(),
                message: failure.message,
                hint: Some("mend the cause; `freehold apply` fails as long as it is so".into()),
            }));
        }
        Ok(())
    }

    /// Adds what went wrong after the last step, and concerns no member.
    pub(crate) fn add_failure(&self, summary: &mut ApplySummary, error: &EngineError) {
        let failure = match error {
            EngineError::Interrupted => {
                summary.interrupted = true;
                Failure {
                    kind: ErrorKind::User,
                    message: "stopped before all conditions were checked".into(),
                    hint: Some("everything is recorded; the next apply checks them".into()),
                }
            }
            error => Failure {
                kind: error.kind(),
                message: freehold_model::chain(error),
                hint: error.hints().into_iter().next(),
            },
        };
        // A state that cannot be written has been told of when that began.
        let is_closed = matches!(error, EngineError::State(StateError::Stopped { .. }));
        if !(is_closed && summary.failed.iter().any(|(member, ..)| member.is_root())) {
            self.tell_failed(&MemberPath::root(), &failure);
            summary.failed.push((MemberPath::root(), Action::None, failure));
        }
    }

    fn tell_failed(&self, member: &MemberPath, failure: &Failure) {
        self.observer.event(&Event::StepFailed {
            member: member.clone(),
            action: events::Action::None,
            kind: failure.kind,
            message: failure.message.clone(),
            hints: failure.hint.iter().cloned().collect(),
            seconds: 0.0,
        });
    }
}

/// What is wrong about the conditions of a member; see [`broken_check`].
fn broken_checks(found: &Evaluated, member: &MemberPath, is_whole: bool) -> Vec<Failure> {
    if let Some(failure) = found.failed.get(member) {
        return vec![failure.clone()];
    }
    let of_resource = found.declarations.get(member).map(|(d, _)| ("postcondition", &d.postconditions));
    let of_composite = found.structures.get(member).map(|s| ("check", &s.checks));
    let Some((what, checks)) = of_resource.or(of_composite) else { return Vec::new() };
    checks.iter().filter_map(|check| broken_check(what, check, is_whole)).collect()
}

/// What is wrong about a condition; an unknown one only when everything that could tell it `is_whole`.
fn broken_check(what: &str, check: &Check, is_whole: bool) -> Option<Failure> {
    let (message, hint) = match &check.assertion {
        Value::Bool(true) => return None,
        Value::Unknown if !is_whole => return None,
        Value::Unknown => (
            format!("its {what} cannot be told: it needs an output that never came"),
            "it is recorded; look at which outputs the assertion uses, and whether their members give them",
        ),
        Value::Bool(false) => {
            (format!("its {what} does not hold: {}", check.message), "it is recorded; mend the cause and apply again")
        }
        _ => (
            format!("its {what} is neither true nor false: {}", check.message),
            "it is recorded; let `assertion` be a comparison",
        ),
    };
    Some(Failure { kind: ErrorKind::User, message, hint: Some(hint.into()) })
}
