//! Plans, runs, records and worlds as text for people.

use freehold_apply::{ApplySummary, Report, Skip};
use freehold_model::Value;
use freehold_plan::{Action, Plan, Step};

use super::driver::Sim;

pub fn plan(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for mv in &plan.moves {
        lines.push(format!("move {} to {}", mv.from, mv.to));
    }
    for drift in &plan.drift {
        lines.push(format!("drift {}{}", drift.member, if drift.gone { ": gone" } else { "" }));
        lines.extend(drift.changes.iter().map(change));
    }
    for step in plan.steps.iter().filter(|s| s.action != Action::None || s.open) {
        lines.push(step_line(step));
        if step.action != Action::Create {
            lines.extend(step.changes.iter().map(change));
        }
    }
    for open in &plan.open {
        let needs: Vec<String> = open.needs.iter().map(ToString::to_string).collect();
        lines.push(format!("open {} (waits for {})", open.member, needs.join(", ")));
    }
    for problem in &plan.problems {
        lines.push(format!("problem {}: {}", problem.member, problem.message));
        lines.extend(problem.hint.iter().map(|h| format!("  hint: {h}")));
    }
    for warning in &plan.warnings {
        lines.push(format!("warning {}: {}", warning.member, warning.message));
        lines.extend(warning.hint.iter().map(|h| format!("  hint: {h}")));
    }
    if plan.is_noop() && plan.problems.is_empty() {
        lines.push("no changes".to_owned());
    }
    lines
}

fn step_line(step: &Step) -> String {
    let reasons: Vec<String> = step.reasons.iter().map(ToString::to_string).collect();
    let deposed = step.deposed.as_ref().map(|_| " (old object)").unwrap_or_default();
    let first = if step.action == Action::Replace && step.create_first { " (new one first)" } else { "" };
    let open = if step.open { " (decided at apply)" } else { "" };
    format!("{} {}{deposed}{first}{open}: {}", step.action.as_str(), step.member, reasons.join("; "))
}

fn change(change: &freehold_plan::Change) -> String {
    let show = |v: &Option<Value>| match v {
        None => "nothing".to_owned(),
        Some(Value::Unknown) => "(not known yet)".to_owned(),
        Some(Value::Sensitive(_)) => "(secret)".to_owned(),
        Some(v) => v.to_redacted_json().to_string(),
    };
    let forces = if change.forces_replace { ", needs a new object" } else { "" };
    format!("  {}: {} -> {}{forces}", change.at, show(&change.before), show(&change.after))
}

pub fn run(sim: &Sim, summary: &ApplySummary) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for call in &sim.calls {
        lines.push(format!("call {call}"));
    }
    for report in &sim.reports {
        match report {
            Report::Failed { member, action, failure } => {
                lines.push(format!("failed {} {member}: {}", action.as_str(), failure.message));
            }
            Report::Skipped { member, action, why } => {
                let why = match why {
                    Skip::Needs { member } => format!("needs {member}"),
                    Skip::Waits { needs } => format!("waits for {}", needs.join(", ")),
                    Skip::Interrupted => "stopped".to_owned(),
                    Skip::StillUsed { member } => format!("{member} may still use it"),
                };
                lines.push(format!("skipped {} {member}: {why}", action.as_str()));
            }
            Report::Decided { member, action } => lines.push(format!("decided {} {member}", action.as_str())),
            Report::Retrying { member, failure, after } => {
                lines.push(format!("retry {member} after {} ms: {}", after.as_millis(), failure.message));
            }
            Report::Stopping => lines.push("stopping".to_owned()),
            Report::Started { .. } | Report::Done { .. } => {}
        }
    }
    for member in &summary.unknown {
        lines.push(format!("outcome unknown: {member}"));
    }
    for member in &summary.left_open {
        lines.push(format!("begun in the state alone: {member}"));
    }
    let mut done: Vec<String> = summary.done.iter().map(|(a, n)| format!("{n} {}", a.as_str())).collect();
    done.extend((summary.moved > 0).then(|| format!("{} moved", summary.moved)));
    lines.push(format!("done: {}", if done.is_empty() { "nothing".to_owned() } else { done.join(", ") }));
    lines
}

pub fn world(sim: &Sim) -> Vec<String> {
    if sim.world.objects.is_empty() {
        return vec!["the world is empty".to_owned()];
    }
    let line = |(name, object): (&String, &super::world::Object)| {
        format!("{name} {}", Value::Map(object.inputs.clone()).to_redacted_json())
    };
    sim.world.objects.iter().map(line).collect()
}

pub fn state(sim: &Sim) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (member, record) in sim.journal.records() {
        let outputs = Value::Map(record.outputs.clone()).to_redacted_json();
        let tainted = if record.status == freehold_model::Status::Tainted { " (tainted)" } else { "" };
        lines.push(format!("{member}{tainted} {outputs}"));
        lines.extend(record.deposed.iter().map(|_| "  with an old object".to_owned()));
    }
    for intent in sim.journal.view.intents() {
        lines.push(format!("begun and not ended: {} {}", intent.action.as_str(), intent.member));
    }
    if lines.is_empty() {
        lines.push("the state is empty".to_owned());
    }
    lines
}
