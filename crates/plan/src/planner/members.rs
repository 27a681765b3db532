//! One declared member: from its declaration over a look at the world and the provider's word to its step.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{Attrs, Declaration, MemberPath, Record, Value};

use super::interrupted::Looked;
use super::{Member, PlanEffect, Planner};
use crate::decide::has_drifted;
use crate::identity::wording;
use crate::plan::provider_text;
use crate::{
    Action, Considered, Decision, Drift, Observation, Old, Problem, Proposal, Reason, Step, TypeFacts,
    can_create_first, decide, diff_attrs, effective_inputs, is_same_type, kept_in_the_way, life_differs,
    note_difference, tells_inputs, unkeepable,
};

impl Planner {
    pub(super) fn take_declaration(
        &mut self,
        path: &MemberPath,
        mut declaration: Box<Declaration>,
        facts: Arc<TypeFacts>,
        mut edges: BTreeSet<MemberPath>,
        open: bool,
    ) {
        if self.members.contains_key(path) {
            return;
        }
        for old in std::mem::take(&mut declaration.lifecycle.moved) {
            self.claim(&old, path);
            self.move_records(&old, path);
        }
        edges.extend(declaration.depends_on.iter().cloned());
        // What comes first without giving an output comes along with a target, too.
        self.need(declaration.depends_on.clone());
        self.known_types
            .entry((wording(&declaration.provider), declaration.type_name.clone()))
            .or_insert_with(|| Arc::clone(&facts));
        let exact = self.exact && !open;
        let declaration = Arc::from(declaration);
        let member = Member { declaration, facts, edges, exact, open, observed: None, decision: None, step: None };
        self.members.insert(path.clone(), member);
        self.consider(path);
    }

    /// Takes note of who is to take over a record, and refuses what cannot be meant: two for one, and two for each other's.
    fn claim(&mut self, old: &MemberPath, path: &MemberPath) {
        if let Some(first) = self.claims.get(old).cloned() {
            // What is in nobody's record any more is an old note, and harmless.
            if self.moves.iter().any(|m| m.from.is_within(old)) {
                self.problem(
                    path,
                    format!("takes over the record of `{old}`, and so does `{first}` (`lifecycle.moved`)"),
                    Some(format!("only one can have it: take `{old}` out of the other's `lifecycle.moved`")),
                );
            }
            return;
        }
        self.claims.insert(old.clone(), path.clone());
        if let Some(next) = self.comes_too_late(old, path) {
            self.problem(
                path,
                format!("takes over the record of `{old}`, and `{old}` that of `{next}` (`lifecycle.moved`)"),
                Some(format!(
                    "say it in one place, where it is taken together: `moved = [ {{ from = \"{old}\"; to = \"{path}\"; }} {{ from = \"{next}\"; to = \"{old}\"; }} ];` at the root"
                )),
            );
        }
        let both = self.records.contains_key(old) && self.records.contains_key(path);
        if both && self.claims.get(path) == Some(old) {
            self.problem(
                path,
                format!("and `{old}` are each to take over the record of the other (`lifecycle.moved`)"),
                Some(format!(
                    "take both out and change places by hand: `freehold state mv {old} NAME`, `freehold state mv {path} {old}`, `freehold state mv NAME {path}`"
                )),
            );
        }
    }

    /// The record that `old` is to take over, and cannot: its own, which is to be that of `path`, counts as its own by now.
    fn comes_too_late(&self, old: &MemberPath, path: &MemberPath) -> Option<MemberPath> {
        if !self.members.contains_key(old) || !self.records.contains_key(old) || self.records.contains_key(path) {
            return None;
        }
        let wanted = self.claims.iter().filter(|(next, owner)| *owner == old && self.records.contains_key(*next));
        wanted.map(|(next, _)| next).find(|next| !self.declared.contains(*next)).cloned()
    }

    /// Looks at the world first, where that is asked for and possible.
    pub(super) fn consider(&mut self, path: &MemberPath) {
        match self.look_into(path) {
            Looked::Done => {}
            Looked::Asking => return,
            Looked::Stuck => return self.fail(path.clone()),
        }
        let Some(prior) = self.prior_facts(path) else { return };
        let looks = prior.can_read && (self.options.refresh || self.intents.contains_key(path));
        match self.records.get(path) {
            // What was just found was looked at.
            Some(record) if looks && !self.found.contains_key(path) => {
                let record = Arc::clone(record);
                self.outstanding += 1;
                self.effects.push(PlanEffect::Read { member: path.clone(), record });
            }
            _ => self.decide_member(path),
        }
    }

    /// What is known of the type that the recorded object is of, which may be another than the declared one. Asks for it and returns
    /// `None` when it is not at hand.
    fn prior_facts(&mut self, path: &MemberPath) -> Option<Arc<TypeFacts>> {
        let member = self.members.get(path)?;
        match self.records.get(path) {
            Some(record) if !is_same_type(&member.declaration, record) => {
                let record = Arc::clone(record);
                // What is dropped from the record needs no provider.
                if self.is_forgotten(path) { Some(Arc::default()) } else { self.facts_of(path, &record) }
            }
            _ => Some(Arc::clone(&member.facts)),
        }
    }

    /// What a replacement of the member's object does about the old one.
    fn old(&mut self, path: &MemberPath) -> Old {
        let keeps = self.members.get(path).is_some_and(|m| m.declaration.lifecycle.keep);
        match self.prior_facts(path) {
            _ if keeps => Old::Forgotten,
            Some(prior) if !prior.can_delete && self.options.forgets(path) => Old::Forgotten,
            Some(prior) if !prior.can_delete => Old::InTheWay,
            _ => Old::Deleted,
        }
    }

    pub(super) fn take_observation(&mut self, path: &MemberPath, result: Result<Observation, Problem>) {
        let looking = self.looking.remove(path);
        let observed = match result {
            Ok(observed) => observed,
            Err(problem) => {
                self.problems.push(problem);
                return self.give_up_on(path);
            }
        };
        if let Some(intent) = looking {
            self.take_look(path, &intent, &observed);
            return self.go_on_with(path);
        }
        self.note_drift(path, &observed);
        if let Some(seen) = self.seen_late.get_mut(path) {
            *seen = Some(observed);
            return;
        }
        let Some(member) = self.members.get_mut(path) else { return self.take_refreshed(path, observed) };
        member.observed = Some(observed);
        self.decide_member(path);
    }

    pub(super) fn note_drift(&mut self, path: &MemberPath, observed: &Observation) {
        let Some(record) = self.records.get(path) else { return };
        if !has_drifted(record, Some(observed)) {
            return;
        }
        let mut changes = Vec::new();
        if let Observation::Object { inputs, outputs, .. } = observed {
            let under = |place: &str, before: &Attrs, after: &Attrs| {
                diff_attrs(
                    &[(place.to_owned(), Value::Map(before.clone()))].into(),
                    &[(place.to_owned(), Value::Map(after.clone()))].into(),
                )
            };
            if let Some(inputs) = inputs {
                changes.extend(under("inputs", &record.inputs, inputs));
            }
            changes.extend(under("outputs", &record.outputs, outputs));
        }
        self.drift.push(Drift { member: path.clone(), gone: *observed == Observation::Gone, changes });
    }

    pub(super) fn decide_member(&mut self, path: &MemberPath) {
        let Some(member) = self.members.get(path) else { return };
        let record = self.records.get(path);
        let decision = decide(Considered {
            declaration: &member.declaration,
            record: record.map(|r| &**r),
            observed: member.observed.as_ref(),
            facts: &member.facts,
            replace_asked: self.options.replaces(path) && record.is_some(),
            interrupted: self.interrupted_by(path).any(|i| match (i.action, &member.observed) {
                (Action::Create, _) => record.is_none(),
                // It was looked at, and what was seen is all that there is to know.
                (Action::Delete, Some(_)) | (_, Some(Observation::Object { inputs: Some(_), .. })) => false,
                _ => true,
            }),
        });
        let asks = decision.ask_provider && member.facts.can_plan;
        let prior = match decision.action {
            // The provider is asked for a new object: of the old one nothing stays.
            Action::Create | Action::Replace => None,
            _ => self.prior(path),
        };
        let declaration = asks.then(|| {
            let inputs = effective_inputs(&member.declaration, record.map(|r| &**r), member.observed.as_ref());
            Box::new(Declaration { inputs, ..(*member.declaration).clone() })
        });
        let replace = decision.action == Action::Replace;
        let Some(member) = self.members.get_mut(path) else { return };
        member.decision = Some(decision);
        if let Some(declaration) = declaration {
            self.outstanding += 1;
            self.effects.push(PlanEffect::Propose { member: path.clone(), declaration, prior, replace });
        } else {
            self.settle(path, Attrs::new());
        }
    }

    pub(super) fn take_proposal(&mut self, path: &MemberPath, result: Result<Proposal, Vec<Problem>>) {
        match result {
            Ok(proposal) => {
                if let Some(member) = self.members.get_mut(path) {
                    member.decision = member.decision.take().map(|d| d.with_proposal(&proposal));
                }
                self.settle(path, proposal.outputs);
            }
            Err(problems) => {
                self.problems.extend(problems);
                self.fail(path.clone());
            }
        }
    }

    /// The record, brought up to what was observed.
    fn prior(&self, path: &MemberPath) -> Option<Arc<Record>> {
        let record = Arc::clone(self.records.get(path)?);
        let observed = self.members.get(path).and_then(|m| m.observed.as_ref());
        Some(observed.map_or_else(|| Arc::clone(&record), |observed| observed.onto(&record)))
    }

    /// Makes the step and tells the evaluation what is known of the outputs.
    fn settle(&mut self, path: &MemberPath, planned: Attrs) {
        let mut prior = self.prior(path);
        let old = self.old(path);
        let Some(member) = self.members.get_mut(path) else { return };
        let Some(decision) = member.decision.take() else { return };
        if !member.declaration.lifecycle.ignore_changes.is_empty() {
            // From here on what is declared is what is sent and recorded.
            let record = self.records.get(path).map(|r| &**r);
            let inputs = effective_inputs(&member.declaration, record, member.observed.as_ref());
            Arc::make_mut(&mut member.declaration).inputs = inputs;
        }
        let declaration = &member.declaration;
        let intent = self.intents.get(path).and_then(|all| all.last());
        let recorded = self.records.get(path).zip(prior.as_mut());
        let decision = match recorded {
            Some((record, prior)) => note_nothing_to_do(decision, member.observed.as_ref(), declaration, record, prior),
            None => decision,
        };
        let decision = adopt_resumed(decision, intent.is_some());
        let decision = note_life(decision, declaration, prior.as_deref());
        let outputs = planned_outputs(&decision, declaration, prior.as_deref(), &member.facts, planned);
        let may_be_replaced = member.open && may_become_replacement(&decision, declaration, &member.facts);
        let mut reasons = decision.reasons;
        if member.open {
            let needs = self.open_needs.get(path).cloned().unwrap_or_default();
            reasons.push(if may_be_replaced { Reason::MayReplace(needs) } else { Reason::MayChange(needs) });
        }
        let gone = reasons.contains(&Reason::Gone);
        if decision.action == Action::Replace && old == Old::Forgotten {
            reasons.push(if declaration.lifecycle.keep { Reason::Kept } else { Reason::Forgotten });
        }
        let step = Step {
            member: path.clone(),
            deposed: None,
            action: decision.action,
            create_first: declaration.lifecycle.create_before_destroy
                && old == Old::Deleted
                && can_create_first(declaration, prior.as_deref(), &member.facts.identity),
            reasons,
            provider: provider_text(&declaration.provider),
            type_name: declaration.type_name.clone(),
            changes: decision.changes,
            declaration: Some(Arc::clone(declaration)),
            exact: member.exact,
            open: member.open,
            identity: member.facts.identity.clone(),
            old,
            recovery: member.facts.recovery,
            told: tells_inputs(member.observed.as_ref()),
            outputs: outputs.clone(),
            edges: member.edges.clone(),
            prior: if gone { None } else { prior },
            resumes: intent.map(|i| i.op.clone()),
        };
        self.refuse_what_must_not_be(&step);
        let held_back = step.action.is_forward() && outputs.values().any(Value::is_known);
        if let Some(member) = self.members.get_mut(path) {
            member.step = Some(step);
        }
        if held_back {
            self.provisional.push((path.clone(), outputs));
        } else {
            self.publish(path.clone(), outputs);
        }
    }

    /// What a member that is made first needs is made first, too: the old object goes on needing the old ones, also those that are not
    /// named yet for the new one.
    pub(super) fn propagate_create_first(&mut self) {
        let first = |m: &Member| m.step.as_ref().is_some_and(|s| s.create_first);
        let mut trail: Vec<MemberPath> =
            self.members.iter().filter(|(_, m)| first(m)).map(|(p, _)| p.clone()).collect();
        while let Some(user) = trail.pop() {
            let mut edges = self.members.get(&user).map(|m| m.edges.clone()).unwrap_or_default();
            edges.extend(self.records.get(&user).into_iter().flat_map(|record| record.edges.iter().cloned()));
            for edge in edges {
                let within = self.members.range_mut(edge.clone()..).take_while(|(p, _)| p.is_within(&edge));
                for (path, member) in within {
                    let Some(step) = &mut member.step else { continue };
                    if !step.create_first
                        && step.old == Old::Deleted
                        && can_create_first(&member.declaration, step.prior.as_deref(), &step.identity)
                    {
                        step.create_first = true;
                        trail.push(path.clone());
                    }
                }
            }
        }
    }

    fn refuse_what_must_not_be(&mut self, step: &Step) {
        let Some(declaration) = &step.declaration else { return };
        for check in declaration.preconditions.clone() {
            self.require(&step.member, "precondition", &check);
        }
        if let Some((message, hint)) = unkeepable(declaration) {
            self.problem(&step.member, message, Some(hint));
        }
        if let Some(why) = step.reasons.iter().find(|reason| matches!(reason, Reason::MayReplace(_))) {
            return self.warn_of_replacement(step, declaration, &why.to_string());
        }
        if step.action != Action::Replace {
            return;
        }
        let causes = step.reasons.iter().filter(|reason| **reason != Reason::Kept);
        let why = causes.map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if declaration.lifecycle.protect {
            self.problem(
                &step.member,
                format!("is protected and would be replaced: {why}"),
                Some("take back the change, or set `lifecycle.protect = false` first".into()),
            );
        } else if let Some((message, hint)) = kept_in_the_way(declaration, step.prior.as_deref(), &step.identity) {
            self.problem(&step.member, format!("{message}: {why}"), Some(hint));
        } else if step.old == Old::InTheWay {
            self.problem(
                &step.member,
                format!("has to be replaced ({why}), and its provider cannot delete"),
                Some(format!(
                    "`--forget {}` drops the old object from the record and leaves it in the world",
                    step.member
                )),
            );
        }
    }
}

impl Planner {
    /// What is decided at apply may come to nothing: that is said before anything is begun.
    fn warn_of_replacement(&mut self, step: &Step, declaration: &Declaration, why: &str) {
        let (what, hint) = if declaration.lifecycle.protect {
            (
                "is protected",
                "its step fails then and the rest is done; set `lifecycle.protect = false` to let it be replaced",
            )
        } else if step.old == Old::InTheWay {
            (
                "its provider cannot delete",
                "its step fails then and the rest is done; `--forget` leaves the old object in the world",
            )
        } else if kept_in_the_way(declaration, step.prior.as_deref(), &step.identity).is_some() {
            (
                "is kept under the name that a new object would have",
                "its step fails then and the rest is done; give it another name",
            )
        } else {
            return;
        };
        let message = format!("{what}, and {why}");
        self.warnings.push(Problem { member: step.member.clone(), message, hint: Some(hint.to_owned()) });
    }
}

/// Where the provider says that a difference means nothing, what is declared is recorded (or what the world has, where it tells its
/// inputs), so that the next plan sees none.
fn note_nothing_to_do(
    mut decision: Decision,
    observed: Option<&Observation>,
    declaration: &Declaration,
    record: &Record,
    prior: &mut Arc<Record>,
) -> Decision {
    if decision.action != Action::Read {
        return decision;
    }
    // What is ignored was put into the declaration already.
    note_difference(prior, declaration, tells_inputs(observed));
    if **prior == *record {
        decision.action = Action::None;
        decision.reasons[0] = Reason::Unchanged;
    }
    decision
}

/// An object that an interrupted create had made and that is as declared is taken into the record.
fn adopt_resumed(mut decision: Decision, resumed: bool) -> Decision {
    if resumed && decision.action == Action::None {
        decision.action = Action::Adopt;
        decision.reasons = vec![Reason::Interrupted];
    } else if resumed && decision.reasons == [Reason::Drifted] {
        // That is where the difference may come from.
        decision.reasons.push(Reason::Interrupted);
    }
    decision
}

/// A change that touches the record alone is written there.
fn note_life(mut decision: Decision, declaration: &Declaration, prior: Option<&Record>) -> Decision {
    if decision.action == Action::None && prior.is_some_and(|record| life_differs(declaration, record)) {
        decision.action = Action::Read;
        decision.reasons = vec![Reason::Life];
    }
    decision
}

/// Whether a value that is not known yet may turn the update into a replacement, which leaves no output as it is.
fn may_become_replacement(decision: &Decision, declaration: &Declaration, facts: &TypeFacts) -> bool {
    if matches!(decision.action, Action::Create | Action::Replace) {
        return false;
    }
    let forces = |c: &crate::Change| c.at.tokens().first().is_some_and(|input| facts.force_new.contains(input));
    let unknown = |c: &crate::Change| c.after.as_ref().is_some_and(|v| !v.is_known());
    decision.changes.iter().any(|c| forces(c) && unknown(c))
        || declaration.lifecycle.replace_when.as_ref().is_some_and(|v| !v.is_known())
}

/// Every declared output, known as far as it can be before the step is done.
fn planned_outputs(
    decision: &Decision,
    declaration: &Declaration,
    prior: Option<&Record>,
    facts: &TypeFacts,
    planned: Attrs,
) -> Attrs {
    let mut outputs: Attrs = declaration.outputs.iter().map(|name| (name.clone(), Value::Unknown)).collect();
    if may_become_replacement(decision, declaration, facts) {
        // What the provider says is said of an object that stays.
        return outputs;
    }
    let keeps_outputs = matches!(decision.action, Action::None | Action::Read | Action::Adopt);
    if let (true, Some(prior)) = (keeps_outputs, prior) {
        return prior.outputs.clone();
    }
    if let (Action::Update, Some(prior)) = (decision.action, prior) {
        let stable = prior.outputs.iter().filter(|(name, _)| facts.stable_outputs.contains(*name));
        outputs.extend(stable.map(|(name, value)| (name.clone(), value.clone())));
    }
    outputs.extend(planned);
    for place in &facts.sensitive_outputs {
        if let Some((first, rest)) = place.tokens().split_first()
            && let Some(value) = outputs.get_mut(first)
        {
            // A place that this output does not have needs no hiding.
            let _ = value.mark_sensitive(&freehold_model::Pointer::new(rest.to_vec()));
        }
    }
    outputs
}
