//! What is checked when the outputs are there: postconditions of resources and checks of composites.

use std::collections::BTreeSet;

use freehold_apply::{ApplySummary, Failure};
use freehold_model::{Check, ErrorKind, MemberPath, Value};
use freehold_plan::{Action, PlanOptions};
use freehold_protocol::events::{self, Event};
use freehold_state::StateError;

use crate::EngineError;
use crate::catalog::chain;
use crate::engine::Engine;

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
            if let Some(failure) = found.failed.get(&member) {
                summary.failed.push((member, Action::None, failure.clone()));
                continue;
            }
            let of_resource = found.declarations.get(&member).map(|(d, _)| ("postcondition", &d.postconditions));
            let of_composite = found.structures.get(&member).map(|s| ("check", &s.checks));
            if let Some((what, checks)) = of_resource.or(of_composite) {
                let broken = checks.iter().filter_map(|check| broken_check(what, check, is_whole));
                summary.failed.extend(broken.map(|failure| (member.clone(), Action::None, failure)));
            }
        }
        for (member, _, failure) in &summary.failed[already..] {
            self.tell_failed(member, failure);
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
            error => Failure { kind: error.kind(), message: chain(error), hint: error.hints().into_iter().next() },
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
