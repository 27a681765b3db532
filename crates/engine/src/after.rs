//! What is checked when the outputs are there: postconditions of resources and checks of composites.

use std::collections::BTreeSet;

use freehold_apply::{ApplySummary, Failure};
use freehold_model::{Check, ErrorKind, MemberPath, Value};
use freehold_plan::Action;
use freehold_protocol::events::{self, Event};
use freehold_state::StateError;

use crate::EngineError;
use crate::catalog::chain;
use crate::engine::Engine;

impl Engine {
    /// Evaluates every condition that could not be told before, and adds those that do not hold to the failures. The records stay.
    pub(crate) fn check_afterwards(&mut self, summary: &mut ApplySummary) -> Result<(), EngineError> {
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
        for member in checked {
            let of_resource = found.declarations.get(&member).map(|(d, _)| ("postcondition", &d.postconditions));
            let of_composite = found.structures.get(&member).map(|s| ("check", &s.checks));
            if let Some((what, checks)) = of_resource.or(of_composite) {
                let broken = checks.iter().filter(|c| c.assertion == Value::Bool(false));
                let failed = broken.map(|c| (member.clone(), Action::None, broken_check(what, c)));
                summary.failed.extend(failed);
            }
            if let Some(failure) = found.failed.get(&member) {
                summary.failed.push((member, Action::None, failure.clone()));
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

fn broken_check(what: &str, check: &Check) -> Failure {
    Failure {
        kind: ErrorKind::User,
        message: format!("its {what} does not hold: {}", check.message),
        hint: Some("it is recorded; mend the cause and apply again".into()),
    }
}
