//! The plan as `plan --json` shows it: `freehold.plan/1`. Secrets and unknowns are marks (see `freehold_model::Value`).

use freehold_model::Value;
use serde_json::{Value as Json, json};

use crate::{Change, Drift, OpenStructure, Plan, Problem, Step};

impl Plan {
    /// The documented form; it holds no secret.
    pub fn to_json(&self) -> Json {
        json!({
            "format": "freehold.plan/1",
            "mode": self.options.mode,
            "options": self.options,
            "summary": self.summary(),
            "noop": self.is_noop() && self.problems.is_empty(),
            "moves": self.moves,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "drift": self.drift.iter().map(drift).collect::<Vec<_>>(),
            "open": self.open.iter().map(open).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

fn step(step: &Step) -> Json {
    let redact = |attrs: &freehold_model::Attrs| Value::Map(attrs.clone()).to_redacted_json();
    let mut object = json!({
        "member": step.member,
        "action": step.action,
        "reason": step.reasons.first().map(crate::Reason::code),
        "reasons": step.reasons.iter().map(|r| json!({ "code": r.code(), "text": r.to_string() })).collect::<Vec<_>>(),
        "provider": step.provider,
        "type": step.type_name,
        "changes": step.changes.iter().map(change).collect::<Vec<_>>(),
        "decidedAtApply": step.open,
        "waitsFor": step.edges,
        "outputs": redact(&step.outputs),
    });
    let extra = [
        ("inputs", step.declaration.as_ref().map(|d| redact(&d.inputs))),
        ("deposed", step.deposed.as_ref().map(|k| json!(k))),
        ("createFirst", step.create_first.then_some(json!(true))),
        ("resumes", step.resumes.as_deref().map(op)),
    ];
    if let Json::Object(map) = &mut object {
        map.extend(extra.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    object
}

/// An operation's id: a number where it is one.
fn op(id: &str) -> Json {
    id.parse::<u64>().map_or_else(|_| json!(id), |number| json!(number))
}

fn change(change: &Change) -> Json {
    let redact = |v: &Option<Value>| v.as_ref().map(Value::to_redacted_json);
    let mut object = json!({ "at": change.at, "forcesReplace": change.forces_replace });
    if let Json::Object(map) = &mut object {
        map.extend(redact(&change.before).map(|v| ("before".to_owned(), v)));
        map.extend(redact(&change.after).map(|v| ("after".to_owned(), v)));
    }
    object
}

fn drift(drift: &Drift) -> Json {
    json!({ "member": drift.member, "gone": drift.gone, "changes": drift.changes.iter().map(change).collect::<Vec<_>>() })
}

fn open(open: &OpenStructure) -> Json {
    json!({ "member": open.member, "needs": open.needs.iter().map(ToString::to_string).collect::<Vec<_>>() })
}

fn problem(problem: &Problem) -> Json {
    json!({ "member": problem.member, "message": problem.message, "hint": problem.hint })
}
