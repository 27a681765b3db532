//! Evaluation made ready for the machines: what the evaluator says, joined with the schema of the provider that it names.
//!
//! A declaration waits here until the schema of its provider is known; *quiet* is passed on only when it is about the last thing
//! that was asked and nothing waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_apply::Failure;
use freehold_eval::{EvalError, Event, Ticket};
use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, Structure};
use freehold_plan::TypeFacts;
use freehold_protocol::{ProviderSchema, TypeSchema};
use serde_json::{Value as Json, json};

use crate::catalog::{Catalog, Known, config_is_known};
use crate::engine::Engine;
use crate::mail::Mail;
use crate::{EngineError, Note};

/// What both machines are told about the evaluation.
#[derive(Debug)]
pub(crate) enum Front {
    Structure { member: MemberPath, structure: Structure },
    Declared { member: MemberPath, declaration: Box<Declaration>, edges: BTreeSet<OutputRef>, facts: Arc<TypeFacts> },
    Waiting { member: MemberPath, partial: Option<(Box<Declaration>, Arc<TypeFacts>)>, needs: BTreeSet<OutputRef> },
    Failed { member: MemberPath, failure: Failure },
    Quiet,
}

/// A declaration whose provider has not told its schema yet.
#[derive(Debug)]
pub(crate) struct Parked {
    member: MemberPath,
    declaration: Box<Declaration>,
    edges: BTreeSet<OutputRef>,
    /// Whether it is one that waits for outputs.
    waiting: bool,
}

impl Engine {
    /// What follows from an event of the evaluator.
    pub(crate) fn take_evaluation(&mut self, event: Event) -> Result<Vec<Front>, EngineError> {
        Ok(match event {
            Event::Begun => {
                self.count_evaluated(0);
                Vec::new()
            }
            Event::Structure { member, structure, edges } => {
                self.count_evaluated(structure.members.len());
                self.structure_edges.insert(member.clone(), edges);
                if !structure.checks.is_empty() {
                    self.to_check.insert(member.clone());
                }
                vec![Front::Structure { member, structure }]
            }
            Event::Declared { member, declaration, edges } => {
                self.park(Parked { member, declaration: Box::new(declaration), edges, waiting: false })
            }
            Event::Waiting { member, partial: Some(partial), needs, .. } => {
                self.park(Parked { member, declaration: Box::new(partial), edges: needs, waiting: true })
            }
            Event::Waiting { member, partial: None, needs, .. } => {
                vec![Front::Waiting { member, partial: None, needs }]
            }
            Event::Failed { member, error } => vec![Front::Failed { member, failure: eval_failure(&error) }],
            Event::Quiet { seen } => self.take_quiet(seen),
            Event::Fatal { error } => return Err(error.into()),
            Event::UserLog { text } => {
                self.observer.note(Note::UserLog { text });
                Vec::new()
            }
        })
    }

    /// A provider has told its schema, or cannot: what waited for it goes on.
    pub(crate) fn take_schema(&mut self, key: String, known: Known) -> Vec<Front> {
        let parked = self.parked.remove(&key).unwrap_or_default();
        self.catalog.set(key, known);
        let mut fronts: Vec<Front> = parked.into_iter().map(|p| self.unpark(p)).collect();
        if let Some(seen) = self.held_quiet.take() {
            fronts.extend(self.take_quiet(seen));
        }
        fronts
    }

    fn take_quiet(&mut self, seen: Ticket) -> Vec<Front> {
        if seen != self.last_ticket {
            return Vec::new();
        }
        if self.parked.values().all(Vec::is_empty) {
            self.quiet_at = seen;
            return vec![Front::Quiet];
        }
        self.held_quiet = Some(seen);
        Vec::new()
    }

    /// Whether the last *quiet* still holds: nothing was told to the evaluator since.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_at == self.last_ticket
    }

    fn park(&mut self, parked: Parked) -> Vec<Front> {
        let provider = parked.declaration.provider.clone();
        self.ask_schema(&provider);
        let key = Catalog::key(&provider);
        if matches!(self.catalog.get(&key), Some(Known::Asked)) {
            self.parked.entry(key).or_default().push(parked);
            return Vec::new();
        }
        vec![self.unpark(parked)]
    }

    fn unpark(&mut self, parked: Parked) -> Front {
        let Parked { member, mut declaration, mut edges, waiting } = parked;
        let key = Catalog::key(&declaration.provider);
        if let Some(Known::Failed(failure)) = self.catalog.get(&key) {
            return Front::Failed { member, failure: failure.clone() };
        }
        let facts = match self.catalog.facts(&declaration.provider, &declaration.type_name) {
            Ok(facts) => facts,
            Err(failure) => return Front::Failed { member, failure },
        };
        if let Some(schema) = self.catalog.type_schema(&declaration.provider, &declaration.type_name) {
            if let Some(holder) = declaration.holder.as_ref().filter(|_| schema.holds_state) {
                let failure = Failure {
                    kind: freehold_model::ErrorKind::User,
                    message: format!("holds state, and is to be held by `{holder}` itself (`state`)"),
                    hint: Some("leave out its `state`: the record of a holder is in the deployment's own state".into()),
                };
                return Front::Failed { member, failure };
            }
            schema.resolve_aliases(&mut declaration.inputs);
            schema.mark_sensitive_inputs(&mut declaration.inputs);
            if let Some(failure) = unknown_output(&declaration, schema) {
                return Front::Failed { member, failure };
            }
            fill_outputs(&mut declaration, schema);
        }
        self.stamp_sources(&member, &mut declaration.inputs);
        if !declaration.postconditions.is_empty() {
            self.to_check.insert(member.clone());
        }
        // The log that will have its record comes first.
        declaration.depends_on.extend(declaration.holder.clone());
        let facts = if config_is_known(&declaration.provider) { facts } else { Arc::new(cannot_be_asked(&facts)) };
        if waiting {
            Front::Waiting { member, partial: Some((declaration, facts)), needs: edges }
        } else {
            edges.extend(self.what_decided(&member));
            Front::Declared { member, declaration, edges, facts }
        }
    }

    /// A secret that has changed since it was recorded is a change.
    fn stamp_sources(&mut self, member: &MemberPath, inputs: &mut Attrs) {
        if !inputs.values().any(freehold_provider::credentials::has_sources) {
            return;
        }
        let recorded = self.home(member).view().record(member).map(|record| record.inputs.clone());
        for missed in self.catalog.stamp(inputs, recorded.as_ref()) {
            if self.catalog.is_news(member, &missed) {
                let text = format!("`{member}`: {missed}; it counts as unchanged");
                self.observer.note(Note::Warning { text });
            }
        }
    }

    /// Outputs on which it depends that there is such a member: those that the composites around it were made of.
    fn what_decided(&self, member: &MemberPath) -> impl Iterator<Item = OutputRef> {
        let around = std::iter::successors(member.parent(), MemberPath::parent);
        around.filter_map(|composite| self.structure_edges.get(&composite)).flatten().cloned()
    }

    fn count_evaluated(&mut self, members: usize) {
        self.evaluated += members;
        self.observer.note(Note::Evaluating { members: self.evaluated });
    }

    // What is told to the evaluator, with the number of the last thing told.

    /// The root of a deployment all of whose members will be wanted: those that are known to need no others come along.
    pub(crate) fn tell_want_all(&mut self) -> Result<(), EngineError> {
        let records = self.records();
        let of_root = records.iter().filter(|(member, record)| member.names().len() == 1 && !record.edges.is_empty());
        let apart = of_root.filter_map(|(member, _)| member.names().first().cloned()).collect();
        self.last_ticket = self.evaluator()?.want_whole(MemberPath::root(), apart);
        Ok(())
    }

    pub(crate) fn tell_want(&mut self, members: Vec<MemberPath>) -> Result<(), EngineError> {
        let hints: BTreeMap<MemberPath, BTreeSet<MemberPath>> = members
            .iter()
            .filter_map(|m| Some((m.clone(), self.home(m).view().record(m)?.edges.clone())))
            .filter(|(_, edges)| !edges.is_empty())
            .collect();
        self.last_ticket = self.evaluator()?.want(members, Some(hints));
        Ok(())
    }

    pub(crate) fn tell_publish(&mut self, member: MemberPath, outputs: Attrs) -> Result<(), EngineError> {
        self.last_ticket = self.evaluator()?.publish(member, outputs);
        Ok(())
    }

    pub(crate) fn tell_pending(&mut self, members: Vec<MemberPath>) -> Result<(), EngineError> {
        for member in members {
            self.last_ticket = self.evaluator()?.pending(member);
        }
        Ok(())
    }

    pub(crate) fn tell_fail(&mut self, member: MemberPath) -> Result<(), EngineError> {
        self.last_ticket = self.evaluator()?.fail(member);
        Ok(())
    }

    pub(crate) fn tell_phase(&mut self, outputs: BTreeMap<MemberPath, Attrs>) -> Result<(), EngineError> {
        self.held_quiet = None;
        self.parked.clear();
        self.structure_edges.clear();
        self.last_ticket = self.evaluator()?.begin_phase(outputs);
        Ok(())
    }

    /// The part of a message that is about the evaluation; `Err` gives back what is not.
    pub(crate) fn fronts_of(&mut self, mail: Mail) -> Result<Result<Vec<Front>, EngineError>, Box<Mail>> {
        match mail {
            Mail::Eval(event) => Ok(self.take_evaluation(event)),
            Mail::Schema { key, known } => Ok(Ok(self.take_schema(key, known))),
            other => Err(Box::new(other)),
        }
    }
}

/// A provider whose settings are not known yet cannot be asked anything.
fn cannot_be_asked(facts: &TypeFacts) -> TypeFacts {
    TypeFacts { can_read: false, can_plan: false, plan_always: false, ..facts.clone() }
}

/// A deployment that names no outputs gets those of the schema.
fn fill_outputs(declaration: &mut Declaration, schema: &TypeSchema) {
    declaration.outputs.extend(schema.output_properties().map(|(name, _)| name.to_owned()));
}

/// An output that the deployment names and the provider does not have would never come.
fn unknown_output(declaration: &Declaration, schema: &TypeSchema) -> Option<Failure> {
    let known: BTreeSet<&str> = schema.output_properties().map(|(name, _)| name).collect();
    let is_open = !matches!(schema.outputs.get("additionalProperties"), None | Some(Json::Bool(false)));
    if known.is_empty() || is_open {
        return None;
    }
    let unknown = declaration.outputs.iter().find(|name| !known.contains(name.as_str()))?;
    let known: Vec<&str> = known.into_iter().collect();
    let hint = match freehold_model::did_you_mean(unknown, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Some(Failure {
        kind: freehold_model::ErrorKind::User,
        message: format!("has no output `{unknown}`: the schema of `{}` does not list it", declaration.type_name),
        hint: Some(hint),
    })
}

pub(crate) fn eval_failure(error: &EvalError) -> Failure {
    let message = match error {
        // The member is named where this is shown.
        EvalError::Member { at: Some(at), message, .. } => format!("{at}: {message}"),
        EvalError::Member { at: None, message, .. } => message.clone(),
        other => freehold_model::chain(other),
    };
    Failure { kind: error.kind(), message, hint: error.hint() }
}

/// What the Nix library is told of a provider: names and secrecy of inputs and outputs of each type.
pub(crate) fn describe(schema: &ProviderSchema) -> Json {
    let types = schema.types.iter().map(|(name, t)| (name.clone(), describe_type(t)));
    json!({ "version": schema.version, "types": types.collect::<serde_json::Map<_, _>>() })
}

fn describe_type(t: &TypeSchema) -> Json {
    let required = t.required_inputs();
    let sensitive = |places: &[freehold_model::Pointer], name: &str| {
        places.iter().any(|p| p.tokens().first().is_some_and(|f| f == name))
    };
    let text = |schema: &Json| schema.get("description").cloned().unwrap_or(Json::Null);
    let inputs = t.input_properties().map(|(name, schema)| {
        let described = json!({
            "required": required.contains(&name),
            "description": text(schema),
            "sensitive": sensitive(&t.sensitive_inputs, name),
        });
        (name.to_owned(), described)
    });
    let outputs = t.output_properties().map(|(name, schema)| {
        (name.to_owned(), json!({ "description": text(schema), "sensitive": sensitive(&t.sensitive_outputs, name) }))
    });
    let operations = t.operations.iter().map(|(name, o)| (name.clone(), json!({ "description": o.description })));
    json!({
        "description": t.description,
        "inputs": inputs.collect::<serde_json::Map<_, _>>(),
        "aliases": t.aliases,
        "outputs": outputs.collect::<serde_json::Map<_, _>>(),
        "operations": operations.collect::<serde_json::Map<_, _>>(),
        "stateful": t.stateful,
        "holdsState": t.holds_state,
        "anyInput": t.accepts_any_input(),
    })
}
