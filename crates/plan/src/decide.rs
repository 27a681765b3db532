//! What happens to one member: the decision that plan and apply share.

use std::sync::Arc;

use freehold_model::{Attrs, Declaration, Lifecycle, Pointer, ProviderRef, Record, Status, Value};

use crate::identity::{Identity, is_same_object, is_same_program, program};
use crate::{Action, Change, Observation, Proposal, ProposedAction, Reason, TypeFacts, diff_attrs};

/// Everything that bears on the decision about one declared member.
#[derive(Debug, Clone, Copy)]
pub struct Considered<'a> {
    /// What is declared, possibly with unknown places.
    pub declaration: &'a Declaration,
    /// What is recorded.
    pub record: Option<&'a Record>,
    /// What was seen of the world, if it was looked at.
    pub observed: Option<&'a Observation>,
    /// What is known of the type.
    pub facts: &'a TypeFacts,
    /// `--replace`.
    pub replace_asked: bool,
    /// An operation on it was begun and its outcome is not known.
    pub interrupted: bool,
}

/// What happens to a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What.
    pub action: Action,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
    /// What differs.
    pub changes: Vec<Change>,
    /// Whether the provider has a say before this is final.
    pub ask_provider: bool,
}

impl Decision {
    fn new(action: Action, reasons: Vec<Reason>, changes: Vec<Change>, ask_provider: bool) -> Self {
        Self { action, reasons, changes, ask_provider }
    }

    /// Takes the provider's word into account.
    pub fn with_proposal(mut self, proposal: &Proposal) -> Self {
        let said = proposal.reasons.iter().cloned().map(Reason::Provider);
        match (self.action, proposal.action) {
            (Action::Update | Action::None, ProposedAction::Replace) => {
                self.action = Action::Replace;
                self.reasons.retain(|r| *r != Reason::Unchanged);
                self.reasons.extend(said);
            }
            (Action::Update, ProposedAction::None) if !self.reasons.contains(&Reason::Interrupted) => {
                let drifted = self.reasons.contains(&Reason::Drifted) || self.reasons.contains(&Reason::Changed);
                self.action = if drifted { Action::Read } else { Action::None };
                self.reasons = if drifted { vec![Reason::Observed] } else { vec![Reason::Unchanged] };
                self.reasons.extend(said);
            }
            (Action::None, ProposedAction::Update) => {
                self.action = Action::Update;
                self.reasons = said.collect();
                if self.reasons.is_empty() {
                    self.reasons.push(Reason::Drifted);
                }
            }
            _ => self.reasons.extend(said),
        }
        self
    }
}

/// Decides about one declared member. Pure and total.
pub fn decide(c: Considered<'_>) -> Decision {
    let asks = c.facts.can_plan;
    let Some(record) = c.record else {
        let changes = diff_attrs(&Attrs::new(), &c.declaration.inputs);
        let reason = if c.interrupted { Reason::Interrupted } else { Reason::New };
        return Decision::new(Action::Create, vec![reason], changes, asks);
    };
    let inputs = effective_inputs(c.declaration, Some(record), c.observed);
    if matches!(c.observed, Some(Observation::Gone)) {
        let changes = diff_attrs(&Attrs::new(), &inputs);
        return Decision::new(Action::Create, vec![Reason::Gone], changes, asks);
    }
    let mut changes = diff_attrs(prior_inputs(record, c.observed), &inputs);
    let replace = replace_reasons(&c, record, &mut changes);
    if !replace.is_empty() {
        return Decision::new(Action::Replace, replace, changes, asks);
    }
    let mut reasons = Vec::new();
    let drifted = has_drifted(record, c.observed);
    if !changes.is_empty() {
        let as_recorded = || effective_inputs(c.declaration, Some(record), None);
        let only_drift = drifted && diff_attrs(&record.inputs, &as_recorded()).is_empty();
        reasons.push(if only_drift { Reason::Drifted } else { Reason::Changed });
    } else if drifted {
        reasons.push(Reason::Drifted);
    }
    if c.interrupted {
        reasons.push(Reason::Interrupted);
    }
    if reasons.is_empty() {
        return Decision::new(Action::None, vec![Reason::Unchanged], changes, c.facts.plan_always);
    }
    if c.facts.can_update {
        Decision::new(Action::Update, reasons, changes, asks)
    } else {
        Decision::new(Action::Replace, reasons, changes, asks)
    }
}

/// The inputs that will be sent and recorded: as declared, with what `ignoreChanges` names left as it is. What there is, is what the
/// world told of its inputs, else what is recorded. A new object, and one of another type, has nothing that could be left.
pub fn effective_inputs(declaration: &Declaration, record: Option<&Record>, observed: Option<&Observation>) -> Attrs {
    let mut inputs = declaration.inputs.clone();
    let gone = matches!(observed, Some(Observation::Gone));
    if let Some(record) = record.filter(|record| !gone && is_same_type(declaration, record)) {
        for place in &declaration.lifecycle.ignore_changes {
            keep_prior(&mut inputs, prior_inputs(record, observed), place);
        }
    }
    inputs
}

/// What is recorded where the provider says that a difference means nothing, so that the next plan sees none: what is declared, or what
/// the world has where it told its inputs (`prior` has them already).
pub fn note_difference(prior: &mut Arc<Record>, declaration: &Declaration, told: bool) {
    if !told && declaration.inputs.values().all(Value::is_known) {
        Arc::make_mut(prior).inputs.clone_from(&declaration.inputs);
    }
}

/// Whether the world told the inputs of an object.
pub fn tells_inputs(observed: Option<&Observation>) -> bool {
    matches!(observed, Some(Observation::Object { inputs: Some(_), .. }))
}

/// Whether the deployment says something else of the resource's life than its record: that is written down even where nothing is to
/// be done in the world.
pub fn life_differs(declaration: &Declaration, record: &Record) -> bool {
    let life = &declaration.lifecycle;
    let trigger_differs = match (&life.replace_when, &record.replace_when) {
        (Some(now), Some(was)) => now.is_known() && !now.same_content(was),
        (Some(now), None) => now.is_known(),
        (None, was) => was.is_some(),
    };
    life.protect != record.protect
        || life.keep != record.keep
        || life.create_before_destroy != record.create_before_destroy
        || declaration.holder != record.holder
        || trigger_differs
}

/// Whether a replacement can make the new object before the old one is deleted: not where the world would take both for one, for
/// then the deletion would hit the new one.
pub fn can_create_first(declaration: &Declaration, record: Option<&Record>, identity: &Identity) -> bool {
    let Some(record) = record else { return true };
    identity.is_empty()
        || declaration.type_name != record.type_name
        || !is_same_object(identity, &declaration.inputs, &record.inputs)
}

/// Why a replacement of what is to be kept (`lifecycle.keep`) must not be, and how to mend it: the new object would have the name of
/// the one that is kept.
pub fn kept_in_the_way(
    declaration: &Declaration,
    record: Option<&Record>,
    identity: &Identity,
) -> Option<(String, String)> {
    (declaration.lifecycle.keep && !can_create_first(declaration, record, identity)).then(|| {
        let message =
            format!("is kept (`lifecycle.keep`) and would be replaced by an object of its name ({})", identity.shown());
        (
            message,
            "give it another name in the world, or set `lifecycle.keep = false` to let the old object go".to_owned(),
        )
    })
}

/// What an update starts from: the world where it told its inputs, else the record.
fn prior_inputs<'a>(record: &'a Record, observed: Option<&'a Observation>) -> &'a Attrs {
    match observed {
        Some(Observation::Object { inputs: Some(inputs), .. }) => inputs,
        _ => &record.inputs,
    }
}

/// Whether the world is not as recorded.
pub(crate) fn has_drifted(record: &Record, observed: Option<&Observation>) -> bool {
    match observed {
        Some(Observation::Gone) => true,
        Some(Observation::Object { inputs, outputs, .. }) => {
            inputs.as_ref().is_some_and(|i| !diff_attrs(&record.inputs, i).is_empty())
                || !diff_attrs(&record.outputs, outputs).is_empty()
        }
        None => false,
    }
}

fn replace_reasons(c: &Considered<'_>, record: &Record, changes: &mut [Change]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !is_same_type(c.declaration, record) {
        let text = |provider, type_name: &str| {
            let words = program(provider);
            format!("{}.{type_name}", words.strip_prefix(&["stdio"]).unwrap_or(&words).join(" "))
        };
        reasons.push(Reason::TypeChanged {
            from: text(&record.provider.provider, &record.type_name),
            to: text(&c.declaration.provider, &c.declaration.type_name),
        });
    }
    if record.status == Status::Tainted {
        reasons.push(Reason::Tainted);
    }
    if c.replace_asked {
        reasons.push(Reason::Asked);
    }
    if replace_when_changed(&c.declaration.lifecycle, record) {
        reasons.push(Reason::ReplaceWhen);
    }
    let mut stuck: Vec<String> = Vec::new();
    for change in changes {
        let input = change.at.tokens().first();
        // Whether an unknown value will really differ is settled at apply.
        let differs = change.after.as_ref().is_none_or(Value::is_known);
        if let Some(input) = input.filter(|i| differs && c.facts.force_new.contains(*i)) {
            change.forces_replace = true;
            if !stuck.contains(input) {
                stuck.push(input.clone());
            }
        }
    }
    if !stuck.is_empty() {
        reasons.push(Reason::CannotChange(stuck));
    }
    reasons
}

/// Whether what is recorded is of the type that is declared, and of its provider.
pub fn is_same_type(declaration: &Declaration, record: &Record) -> bool {
    let said = matches!(&declaration.provider, ProviderRef::Builtin { name, .. } if *name == record.provider.name);
    declaration.type_name == record.type_name
        && (said || is_same_program(&declaration.provider, &record.provider.provider))
}

fn replace_when_changed(lifecycle: &Lifecycle, record: &Record) -> bool {
    match (&lifecycle.replace_when, &record.replace_when) {
        (Some(now), Some(was)) => now.is_known() && !now.same_content(was),
        // A trigger that is new or gone says nothing about a change.
        _ => false,
    }
}

/// Leaves one place as it was. A place that `prior` does not have in a set is taken out; items of a list are only exchanged.
fn keep_prior(inputs: &mut Attrs, prior: &Attrs, place: &Pointer) {
    let Some((first, rest)) = place.tokens().split_first() else { return };
    match (inputs.get_mut(first), prior.get(first)) {
        (Some(value), Some(old)) if !rest.is_empty() => keep_part(value, old, rest),
        (_, Some(old)) if rest.is_empty() => drop(inputs.insert(first.clone(), old.clone())),
        (_, None) if rest.is_empty() => drop(inputs.remove(first)),
        _ => {}
    }
}

fn keep_part(value: &mut Value, prior: &Value, place: &[String]) {
    let prior = if let Value::Sensitive(secret) = prior { secret.expose() } else { prior };
    match (&mut *value, prior) {
        (Value::Map(inner), Value::Map(old)) => keep_prior(inner, old, &Pointer::new(place.to_vec())),
        (Value::List(items), Value::List(old)) => {
            let Some((index, rest)) = place.split_first() else { return };
            let Ok(index) = index.parse::<usize>() else { return };
            match (items.get_mut(index), old.get(index)) {
                (Some(item), Some(old)) if rest.is_empty() => item.clone_from(old),
                (Some(item), Some(old)) => keep_part(item, old, rest),
                _ => {}
            }
        }
        (Value::Sensitive(secret), _) => {
            let mut inner = Value::clone(secret.expose());
            keep_part(&mut inner, prior, place);
            *value = inner.into_sensitive();
        }
        _ => {}
    }
}

/// Why a place that `ignoreChanges` names cannot be kept as it is, and how to mend it: there can be no such place in what is declared.
pub fn unkeepable(declaration: &Declaration) -> Option<(String, String)> {
    let inputs = Value::Map(declaration.inputs.clone());
    let wrong = |place: &Pointer| Some((place.tokens().join("."), no_such_part(&inputs, place.tokens(), 0)?));
    let (place, why) = declaration.lifecycle.ignore_changes.iter().find_map(wrong)?;
    Some((
        format!("`lifecycle.ignoreChanges` names `{place}`, where nothing can be kept: {why}"),
        "name an input, an attribute in it (`env.PATH`), or an item of a list by its index from 0 (`args.1`)"
            .to_owned(),
    ))
}

/// Why `value` has no part at the tokens from `at` on; `None` where it has one, or may have.
fn no_such_part(value: &Value, tokens: &[String], at: usize) -> Option<String> {
    let token = tokens.get(at)?;
    let here = || tokens[..at].join(".");
    match value {
        Value::Map(attrs) => no_such_part(attrs.get(token)?, tokens, at + 1),
        Value::List(items) => match token.parse::<usize>() {
            Ok(index) => no_such_part(items.get(index)?, tokens, at + 1),
            Err(_) => Some(format!("`{}` is a list, and `{token}` is no index", here())),
        },
        Value::Sensitive(inner) => no_such_part(inner.expose(), tokens, at),
        Value::Unknown | Value::Null => None,
        _ => Some(format!("`{}` is neither a set nor a list", here())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn attrs(json: serde_json::Value) -> Attrs {
        match Value::from_json(json).unwrap() {
            Value::Map(attrs) => attrs,
            other => panic!("{other:?}"),
        }
    }

    fn declared(inputs: Attrs, ignored: &str) -> Declaration {
        let place = Pointer::new(ignored.split('.'));
        Declaration {
            provider: ProviderRef::Builtin { name: "p".into(), config: Value::Null },
            type_name: "t".into(),
            inputs,
            context: BTreeSet::new(),
            outputs: BTreeSet::new(),
            holder: None,
            lifecycle: Lifecycle { ignore_changes: vec![place], ..Lifecycle::default() },
            depends_on: BTreeSet::new(),
            preconditions: Vec::new(),
            postconditions: Vec::new(),
            operations: [].into(),
        }
    }

    #[track_caller]
    fn kept(place: &str, prior: serde_json::Value, now: serde_json::Value) -> serde_json::Value {
        let mut inputs = attrs(now);
        keep_prior(&mut inputs, &attrs(prior), &Pointer::new(place.split('.')));
        Value::Map(inputs).to_clear_json()
    }

    #[test]
    fn what_is_ignored_is_kept_in_sets_and_lists() {
        let (prior, now) = (json!({ "a": [1, { "b": 2 }] }), json!({ "a": [3, { "b": 4 }] }));
        assert_eq!(kept("a.0", prior.clone(), now.clone()), json!({ "a": [1, { "b": 4 }] }));
        assert_eq!(kept("a.1.b", prior.clone(), now.clone()), json!({ "a": [3, { "b": 2 }] }));
        assert_eq!(kept("a", prior.clone(), now.clone()), prior);
        assert_eq!(kept("a.7", prior, now.clone()), now, "what is not there is not kept");
        assert_eq!(kept("a", json!({}), json!({ "a": 1 })), json!({}));
    }

    #[test]
    fn a_part_of_a_secret_is_kept_within_it() {
        let secret = |n: i64| Value::Map(attrs(json!({ "x": n, "y": n }))).into_sensitive();
        let mut inputs = Attrs::from([("env".to_owned(), secret(2))]);
        keep_prior(&mut inputs, &[("env".to_owned(), secret(1))].into(), &Pointer::new(["env", "x"]));
        assert!(inputs["env"].has_sensitive());
        assert_eq!(inputs["env"].to_clear_json(), json!({ "x": 1, "y": 2 }));
    }

    #[test]
    fn a_place_that_cannot_be_is_refused() {
        let said = |place: &str, inputs: serde_json::Value| unkeepable(&declared(attrs(inputs), place)).map(|(m, _)| m);
        let inputs = json!({ "args": ["a", "b"], "text": "x", "none": null });
        assert_eq!(
            said("args.x", inputs.clone()).unwrap(),
            "`lifecycle.ignoreChanges` names `args.x`, where nothing can be kept: `args` is a list, and `x` is no index"
        );
        assert_eq!(
            said("text.1", inputs.clone()).unwrap(),
            "`lifecycle.ignoreChanges` names `text.1`, where nothing can be kept: `text` is neither a set nor a list"
        );
        for fine in ["args.1", "args.9", "text", "none.x", "elsewhere.x"] {
            assert_eq!(said(fine, inputs.clone()), None, "{fine}");
        }
    }
}
