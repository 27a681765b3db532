//! What every plan must satisfy, whatever it was made from. Used by tests, the simulator and debug builds of whoever makes plans.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{Attrs, MemberPath, Value};

use crate::{Action, Plan, Step};

/// Secrets shorter than this are not looked for: they would be found by chance.
const SECRET_BYTES: usize = 6;

impl Plan {
    /// What is inconsistent about this plan; empty when nothing is. Anything listed here is a defect of the planner.
    pub fn lint(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            let name = name_of(step);
            if !seen.insert((&step.member, &step.deposed)) {
                wrong.push(format!("`{name}` has two steps"));
            }
            if step.reasons.is_empty() {
                wrong.push(format!("`{name}` has no reason"));
            }
            if self.open.iter().any(|o| step.member.is_within(&o.member)) && step.deposed.is_none() {
                wrong.push(format!("`{name}` has a step although its composite is open"));
            }
            wrong.extend(lacks(step).map(|what| format!("`{name}` is to `{}` without {what}", step.action.as_str())));
        }
        wrong.extend(self.lint_deletions());
        wrong.extend(self.lint_secrets());
        wrong
    }

    /// Deletions come last, users before what they use.
    fn lint_deletions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut gone: BTreeMap<&MemberPath, usize> = BTreeMap::new();
        let mut deleting = false;
        for (at, step) in self.steps.iter().enumerate() {
            if step.action == Action::Delete {
                deleting = true;
                if step.deposed.is_none() {
                    gone.insert(&step.member, at);
                }
            } else if deleting {
                wrong.push(format!("`{}` comes after a deletion", name_of(step)));
            }
        }
        for (user, at) in &gone {
            for used in &self.steps[*at].edges {
                let circular = self.step(used).is_some_and(|s| s.edges.contains(*user));
                if gone.get(used).is_some_and(|used_at| used_at < at) && !circular {
                    wrong.push(format!("`{used}` is deleted before `{user}`, which uses it"));
                }
            }
        }
        wrong
    }

    /// No secret is in what is shown.
    fn lint_secrets(&self) -> Vec<String> {
        let mut secrets = BTreeSet::new();
        for step in &self.steps {
            let prior = step.prior.iter().flat_map(|r| [&r.inputs, &r.outputs]);
            let declared = step.declaration.iter().map(|d| &d.inputs);
            for attrs in prior.chain(declared).chain([&step.outputs]) {
                collect_secrets(attrs, &mut secrets);
            }
        }
        let shown = self.to_json().to_string();
        let leaked = secrets.iter().filter(|s| s.len() >= SECRET_BYTES && shown.contains(s.as_str()));
        // The secret itself is not repeated here either.
        leaked.map(|s| format!("a secret of {} bytes is in the plan's JSON", s.len())).collect()
    }
}

fn name_of(step: &Step) -> String {
    step.deposed.as_ref().map_or(step.member.to_string(), |key| format!("{}#{key}", step.member))
}

fn lacks(step: &Step) -> impl Iterator<Item = &'static str> {
    let (declares, has) = match step.action {
        Action::Create => (true, false),
        Action::Update | Action::Replace => (true, true),
        Action::Delete | Action::Read | Action::Adopt => (false, true),
        Action::Forget | Action::None => (false, false),
    };
    let declaration = (declares && step.declaration.is_none()).then_some("a declaration");
    let record = (has && step.prior.is_none()).then_some("a record");
    declaration.into_iter().chain(record)
}

fn collect_secrets(attrs: &Attrs, secrets: &mut BTreeSet<String>) {
    fn walk(value: &Value, secret: bool, secrets: &mut BTreeSet<String>) {
        match value {
            Value::Sensitive(inner) => walk(inner.expose(), true, secrets),
            Value::String(text) if secret => drop(secrets.insert(text.clone())),
            Value::List(items) => items.iter().for_each(|v| walk(v, secret, secrets)),
            Value::Map(attrs) => attrs.values().for_each(|v| walk(v, secret, secrets)),
            _ => {}
        }
    }
    attrs.values().for_each(|v| walk(v, false, secrets));
}
