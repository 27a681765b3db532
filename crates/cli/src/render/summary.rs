//! What came of a run.

use freehold_apply::{ApplySummary, Failure, Skip};
use freehold_model::Value;
use freehold_plan::{Action, Change, Plan};
use freehold_protocol::events::{self, Event};
use freehold_state::MadeKeys;

use super::style::{self, paint};
use super::text::{count, escape_controls, indent, seconds};

/// The last line: what was done.
pub(crate) fn done(summary: &ApplySummary, took: f64) -> String {
    let words = [
        (Action::Create, "created"),
        (Action::Update, "updated"),
        (Action::Replace, "replaced"),
        (Action::Delete, "deleted"),
        (Action::Read, "written down"),
        (Action::Adopt, "adopted"),
        (Action::Forget, "forgotten"),
    ];
    let mut parts: Vec<String> = words
        .iter()
        .filter(|(action, _)| summary.count(*action) > 0)
        .map(|(action, word)| format!("{} {word}", summary.count(*action)))
        .collect();
    if summary.moved > 0 {
        parts.push(format!("{} moved", summary.moved));
    }
    if parts.is_empty() {
        parts.push("nothing done".to_owned());
    }
    if summary.failed_steps() > 0 {
        parts.push(paint(style::REMOVE, format!("{} failed", summary.failed_steps())));
    }
    if !summary.skipped.is_empty() {
        parts.push(paint(style::CHANGE, format!("{} not begun", summary.skipped.len())));
    }
    let label = match () {
        () if summary.interrupted => paint(style::WARN, "interrupted:"),
        () if summary.is_ok() => paint(style::STRONG, "done:"),
        () => paint(style::ERROR, "failed:"),
    };
    format!("{label} {} in {}\n", parts.join(", "), seconds(took))
}

/// An action as something that cannot be done.
fn verb(action: Action) -> &'static str {
    match action {
        Action::Read | Action::Adopt => "write it down",
        Action::None => "tell what is to be done",
        other => other.as_str(),
    }
}

/// What failed, and what nobody knows, as errors.
pub(crate) fn failures(summary: &ApplySummary) -> String {
    let mut text = String::new();
    for (member, action, failure) in &summary.failed {
        let Failure { message, hint, .. } = failure;
        let message = indent(&escape_controls(message), "  ");
        // What ends the whole run is nothing that one member does.
        let what = match (member.is_root(), action) {
            (true, Action::None) => String::new(),
            (false, Action::None) => format!("`{member}`: "),
            _ => format!("`{member}`: cannot {}: ", verb(*action)),
        };
        text += &format!("{} {what}{message}\n", paint(style::ERROR, "error:"));
        if let Some(hint) = hint {
            text += &format!("{} {}\n", paint(style::HINT, "hint:"), indent(&escape_controls(hint), "  "));
        }
    }
    let waits: Vec<String> = summary
        .skipped
        .iter()
        .filter_map(|(member, action, why)| match why {
            Skip::Waits { needs } => {
                let why = match needs.as_slice() {
                    [] => "it could not be evaluated".to_owned(),
                    needs => format!("it needs {}, which never came", escape_controls(&needs.join(", "))),
                };
                Some(format!("{} `{member}`: cannot {}: {why}\n", paint(style::ERROR, "error:"), verb(*action)))
            }
            _ => None,
        })
        .collect();
    text += &waits.concat();
    if !summary.unknown.is_empty() {
        let members: Vec<String> = summary.unknown.iter().map(|m| format!("`{m}`")).collect();
        text += &format!(
            "{} nobody knows what became of {}: {}\n",
            paint(style::WARN, "warning:"),
            count(summary.unknown.len(), "operation", "operations"),
            members.join(", ")
        );
        text += &format!("{} `freehold plan` looks into it\n", paint(style::HINT, "hint:"));
    }
    if !summary.left_open.is_empty() {
        let members: Vec<String> = summary.left_open.iter().map(|m| format!("`{m}`")).collect();
        text += &format!(
            "{} the state may say of {} that it was begun, which is not so: {}\n",
            paint(style::WARN, "warning:"),
            count(summary.left_open.len(), "operation", "operations"),
            members.join(", ")
        );
        text += &format!("{} `freehold plan` looks into it\n", paint(style::HINT, "hint:"));
    }
    text
}

/// The last event of the stream, but for exit code and time.
pub(crate) fn event(summary: &ApplySummary, none: u64) -> events::Summary {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let count = |action| number(summary.count(action));
    events::Summary {
        created: count(Action::Create),
        updated: count(Action::Update),
        replaced: count(Action::Replace),
        deleted: count(Action::Delete),
        read: count(Action::Read),
        adopted: count(Action::Adopt),
        forgotten: count(Action::Forget),
        moved: number(summary.moved),
        failed: number(summary.failed_steps()),
        skipped: number(summary.skipped.len()),
        none,
        ok: summary.is_ok(),
        ..events::Summary::default()
    }
}

/// A plan as events: drift, then steps.
pub(crate) fn plan_events(plan: &Plan) -> Vec<Event> {
    let shown = |v: &Option<Value>| v.as_ref().map_or(serde_json::Value::Null, Value::to_redacted_json);
    let change =
        |c: &Change| events::Change { pointer: c.at.clone(), recorded: shown(&c.before), observed: shown(&c.after) };
    let drift = plan.drift.iter().map(|d| Event::Drift {
        member: d.member.clone(),
        what: if d.gone { events::Drift::Gone } else { events::Drift::Changed },
        changes: d.changes.iter().map(change).collect(),
    });
    let steps = plan.steps.iter().map(|step| Event::PlanStep {
        member: step.member.clone(),
        action: action(step.action),
        reasons: step.reasons.iter().map(ToString::to_string).collect(),
    });
    let said = plan.warnings.iter().map(|p| (events::Severity::Warning, p));
    let said = said.chain(plan.problems.iter().map(|p| (events::Severity::Error, p)));
    let problems = said.map(|(severity, p)| Event::Diagnostic {
        severity,
        kind: Some(freehold_model::ErrorKind::User),
        message: p.message.clone(),
        hints: p.hint.iter().cloned().collect(),
        member: Some(p.member.clone()),
        pointer: None,
    });
    drift.chain(steps).chain(problems).collect()
}

/// Keys that were made on the way.
pub(crate) fn keys(made: &MadeKeys) -> String {
    let mut text = String::new();
    if let Some(identity) = &made.identity {
        text += &format!(
            "made a private key for the secrets in the state: {}\n  keep a copy in a safe place; without it they cannot be read\n",
            paint(style::STRONG, identity.display())
        );
    }
    if let Some(recipients) = &made.recipients {
        let file = paint(style::STRONG, recipients.display());
        text += &format!(
            "wrote whom secrets are encrypted for: {file}\n  commit it; a second operator adds a line and runs `freehold state rekey`"
        );
    }
    text
}

fn action(action: Action) -> events::Action {
    match action {
        Action::Create => events::Action::Create,
        Action::Update => events::Action::Update,
        Action::Replace => events::Action::Replace,
        Action::Delete => events::Action::Delete,
        Action::Read => events::Action::Read,
        Action::Adopt => events::Action::Adopt,
        Action::Forget => events::Action::Forget,
        Action::None => events::Action::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::ErrorKind;

    #[test]
    fn a_run_that_failed_says_what_was_done_and_why_it_failed() {
        let failure =
            Failure { kind: ErrorKind::Host, message: "no room\nleft".into(), hint: Some("make some".into()) };
        let summary = ApplySummary {
            done: [(Action::Create, 2), (Action::Delete, 1)].into(),
            failed: vec![("site".parse().unwrap(), Action::Update, failure)],
            skipped: vec![(
                "check".parse().unwrap(),
                Action::Create,
                Skip::Waits { needs: vec!["site.outputs.path".into()] },
            )],
            unknown: vec!["id".parse().unwrap()],
            moved: 3,
            left_open: vec!["late".parse().unwrap()],
            interrupted: false,
        };
        let text = failures(&summary) + &done(&summary, 0.42);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        error: `site`: cannot update: no room
          left
        hint: make some
        error: `check`: cannot create: it needs site.outputs.path, which never came
        warning: nobody knows what became of 1 operation: `id`
        hint: `freehold plan` looks into it
        warning: the state may say of 1 operation that it was begun, which is not so: `late`
        hint: `freehold plan` looks into it
        failed: 2 created, 1 deleted, 3 moved, 1 failed, 1 not begun in 0.4 s
        ");
    }
}
