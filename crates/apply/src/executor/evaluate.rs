//! Members whose inputs, or whose very existence, become known on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{Declaration, ErrorKind, MemberPath, OutputRef, Value};
use freehold_plan::{
    Action, Considered, Decision, Observation, Old, Problem, Proposal, Reason, TypeFacts, can_create_first, decide,
    diff_attrs, effective_inputs, is_same_type, kept_in_the_way, life_differs, note_difference, unkeepable,
};

use super::{Executor, Node, Stage};
use crate::{ApplyEffect, Failure, Report, Skip};

impl Executor {
    pub(super) fn take_waiting(&mut self, member: &MemberPath, needs: &BTreeSet<OutputRef>) {
        let texts = needs.iter().map(ToString::to_string).collect();
        let culprit = needs.iter().find_map(|need| {
            let node = self.nodes.get(&need.member)?;
            (node.stage == Stage::Finished { ok: false }).then(|| need.member.clone())
        });
        let why = culprit.map_or(Skip::Waits { needs: texts }, |member| Skip::Needs { member });
        self.waits.insert(member.clone(), why);
    }

    pub(super) fn take_eval_failure(&mut self, member: &MemberPath, failure: Failure) {
        self.open.remove(member);
        if self.nodes.contains_key(member) {
            self.fail_member(member, failure);
        } else {
            self.given_up.insert(member.clone());
            self.report(Report::Failed { member: member.clone(), action: Action::None, failure: failure.clone() });
            self.summary.failed.push((member.clone(), Action::None, failure));
            self.quiet = false;
            self.effects.push(ApplyEffect::Fail { member: member.clone() });
            for waiter in self.open_waiters.remove(member).unwrap_or_default() {
                self.skip(&waiter, Skip::Needs { member: member.clone() });
            }
        }
    }

    /// A resource is wholly known: settle what the plan left open and get in line.
    pub(super) fn take_declaration(
        &mut self,
        path: &MemberPath,
        mut declaration: Box<Declaration>,
        edges: &BTreeSet<OutputRef>,
        facts: &Arc<TypeFacts>,
    ) {
        if self.open.remove(path).is_some() && !self.nodes.contains_key(path) {
            for old in std::mem::take(&mut declaration.lifecycle.moved) {
                self.move_late(&old, path);
            }
            self.add_late_member(path);
            self.remove_undeclared(path, &[]);
            self.release_open_waiters(path);
        }
        let Some(node) = self.nodes.get_mut(path) else { return };
        if node.stage != Stage::Evaluating {
            return;
        }
        node.identity.clone_from(&facts.identity);
        node.recovery = facts.recovery;
        self.recognise_late(path, &declaration);
        let Some(node) = self.nodes.get(path) else { return };
        // What the plan saw of a member that it knew is in the record that it started from.
        let observed = self.observed.get(path).filter(|o| **o != Observation::Gone);
        let decision = decide(Considered {
            declaration: &declaration,
            record: observed.and_then(|_| self.records.get(path)).or(node.prior.as_ref()).map(|r| &**r),
            observed,
            facts,
            // What the plan knew was decided there.
            replace_asked: node.declaration.is_none() && node.prior.is_some() && self.options.replaces(path),
            interrupted: node.reasons.contains(&Reason::Interrupted),
        });
        let (action, asks) = match reconcile(node, &decision) {
            Ok(settled) => settled,
            Err(failure) => return self.fail_member(path, failure),
        };
        if let Some(failure) = wrong_with(&declaration) {
            return self.fail_member(path, failure);
        }
        let old = self.old(path, node, &declaration, facts);
        declaration.inputs = effective_inputs(&declaration, node.prior.as_deref(), None);
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.edges = edges.iter().map(|e| e.member.clone()).chain(declaration.depends_on.iter().cloned()).collect();
        // The plan may have said so because of what needs it.
        node.create_first = (node.create_first || declaration.lifecycle.create_before_destroy)
            && old == Old::Deleted
            && can_create_first(&declaration, node.prior.as_deref(), &facts.identity);
        node.old = old;
        let declaration: Arc<Declaration> = Arc::from(declaration);
        node.declaration = Some(Arc::clone(&declaration));
        node.reasons = decision.reasons;
        if let Err(failure) = self.claim_its_object(path) {
            return self.fail_member(path, failure);
        }
        let Some(node) = self.nodes.get_mut(path) else { return };
        if asks && facts.can_plan {
            node.action = action;
            node.stage = Stage::Proposing;
            let prior = node.prior.clone();
            self.outstanding_proposals += 1;
            let replace = action == Action::Replace;
            self.effects.push(ApplyEffect::Propose { member: path.clone(), declaration, prior, replace });
        } else {
            self.settle(path, action);
        }
    }

    /// What a replacement does about the old object, as the plan says where it knew the member. An old object of another type is found
    /// out about when it is deleted.
    fn old(&self, path: &MemberPath, node: &Node, declaration: &Declaration, facts: &TypeFacts) -> Old {
        if declaration.lifecycle.keep {
            return Old::Forgotten;
        }
        let late = node.declaration.is_none() && !facts.can_delete;
        match node.prior.as_ref().filter(|prior| late && is_same_type(declaration, prior)) {
            Some(_) if self.options.forgets(path) => Old::Forgotten,
            Some(_) => Old::InTheWay,
            None => node.old,
        }
    }

    pub(super) fn take_proposal(&mut self, path: &MemberPath, result: Result<Proposal, Vec<Problem>>) {
        self.outstanding_proposals -= 1;
        let Some(node) = self.nodes.get_mut(path) else { return };
        match result {
            Ok(proposal) => {
                let said = Decision {
                    action: node.action,
                    reasons: std::mem::take(&mut node.reasons),
                    changes: Vec::new(),
                    ask_provider: false,
                }
                .with_proposal(&proposal);
                let action = said.action;
                if action == Action::Read
                    && let (Some(declaration), Some(prior)) = (&node.declaration, &mut node.prior)
                {
                    note_difference(prior, declaration, node.told);
                }
                self.settle(path, action);
            }
            Err(problems) => {
                let messages: Vec<String> = problems.iter().map(|p| p.message.clone()).collect();
                let hint = problems.into_iter().find_map(|p| p.hint);
                let failure = Failure { kind: ErrorKind::User, message: messages.join("; "), hint };
                self.fail_member(path, failure);
            }
        }
    }

    /// The action is final: nothing to do, or in line.
    fn settle(&mut self, path: &MemberPath, action: Action) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        if let Some(failure) = refused(path, action, node) {
            return self.fail_member(path, failure);
        }
        let mut action = action;
        if action == Action::None
            && let (Some(declaration), Some(record)) = (&node.declaration, &node.prior)
        {
            if node.resumes.is_some() {
                action = Action::Adopt;
            } else if life_differs(declaration, record) {
                action = Action::Read;
            }
        }
        node.action = action;
        let open = node.open;
        if open {
            self.report(Report::Decided { member: path.clone(), action });
        }
        if action == Action::None {
            let outputs = self.records.get(path).map(|r| r.outputs.clone()).unwrap_or_default();
            self.publish(path, outputs);
            self.summary.done.entry(Action::None).and_modify(|n| *n += 1).or_insert(1);
            self.finish_member(path, true);
        } else {
            self.block_on_edges(path);
        }
    }

    pub(super) fn publish(&mut self, path: &MemberPath, outputs: freehold_model::Attrs) {
        if self.needs_evaluation {
            self.quiet = false;
            self.unpublished.push((path.clone(), outputs));
        }
    }

    /// Nothing moves any more: what still waits, waits for something that will not come.
    pub(super) fn give_up_stuck(&mut self) {
        let stuck: Vec<MemberPath> = self
            .nodes
            .iter()
            .filter(|(_, n)| !matches!(n.stage, Stage::Finished { .. }))
            .map(|(path, _)| path.clone())
            .collect();
        for path in stuck {
            let why = self.why_stuck(&path);
            self.skip(&path, why);
        }
        self.open_waiters.clear();
        for path in std::mem::take(&mut self.open).into_keys() {
            let why = self.why_stuck(&path);
            self.given_up.insert(path.clone());
            self.report(Report::Skipped { member: path.clone(), action: Action::None, why: why.clone() });
            self.summary.skipped.push((path, Action::None, why));
        }
    }

    fn why_stuck(&self, path: &MemberPath) -> Skip {
        if self.stopping {
            return Skip::Interrupted;
        }
        self.waits.get(path).cloned().unwrap_or(Skip::Waits { needs: Vec::new() })
    }
}

/// What the plan said and what is known now, brought together: the action, and whether the provider still has a say.
fn reconcile(node: &Node, decision: &Decision) -> Result<(Action, bool), Failure> {
    if node.open {
        let planned_for_good = matches!(node.action, Action::Replace | Action::Adopt);
        let drifted = node.reasons.contains(&Reason::Drifted) && decision.action == Action::None;
        return Ok(match (planned_for_good, drifted) {
            (true, _) => (node.action, false),
            (_, true) => (Action::Update, true),
            _ => (decision.action, decision.ask_provider && decision.action != Action::Create),
        });
    }
    if let Some(planned) = &node.declaration
        && node.action.is_forward()
        && let Some(now) = decision.changes.iter().find(|c| !was_planned(c, planned))
        && decision.action != Action::None
    {
        return Err(changed_since(&format!("input `{}` turned out other than planned", now.at)));
    }
    match (node.action, decision.action) {
        (Action::None, Action::None) => Ok((Action::None, false)),
        (Action::None, now) => Err(changed_since(&format!("needs `{}`, which was not planned", now.as_str()))),
        (Action::Update, Action::None) if node.reasons == [Reason::Changed] => Ok((Action::None, false)),
        (Action::Update, Action::Replace) => Err(changed_since("has to be replaced, which was not planned")),
        (planned, _) => Ok((planned, false)),
    }
}

/// What is wrong with a declaration, whatever is to be done about it.
fn wrong_with(declaration: &Declaration) -> Option<Failure> {
    if let Some(check) = declaration.preconditions.iter().find(|c| c.assertion != Value::Bool(true)) {
        let message = check.refusal("precondition").unwrap_or_else(|| check.message.clone());
        return Some(Failure { kind: ErrorKind::User, message, hint: None });
    }
    let (message, hint) = unkeepable(declaration)?;
    Some(Failure { kind: ErrorKind::User, message, hint: Some(hint) })
}

/// Whether the value that this change ends in is the one that was planned (or was unknown then).
fn was_planned(change: &freehold_plan::Change, planned: &Declaration) -> bool {
    let inputs = Value::Map(planned.inputs.clone());
    let Some(now) = &change.after else { return inputs.get(&change.at).is_none_or(|v| *v == Value::Null) };
    match inputs.get(&change.at) {
        None => false,
        Some(then) if !then.is_known() => true,
        Some(then) => {
            let wrap = |v: &Value| [("v".to_owned(), v.clone())].into();
            diff_attrs(&wrap(then), &wrap(now)).is_empty()
        }
    }
}

fn changed_since(what: &str) -> Failure {
    Failure {
        kind: ErrorKind::User,
        message: format!("{what}: a provider gave other outputs than it had announced"),
        hint: Some("run `freehold apply` again: it plans with the outputs as they are now".into()),
    }
}

/// Why a replacement must not be.
fn refused(path: &MemberPath, action: Action, node: &Node) -> Option<Failure> {
    if action != Action::Replace {
        return None;
    }
    if node.declaration.as_ref().is_some_and(|d| d.lifecycle.protect) {
        return Some(protected(path, "replaced"));
    }
    let kept = node.declaration.as_ref().and_then(|d| kept_in_the_way(d, node.prior.as_deref(), &node.identity));
    if let Some((message, hint)) = kept {
        return Some(Failure { kind: ErrorKind::User, message, hint: Some(hint) });
    }
    (node.old == Old::InTheWay).then(|| Failure {
        kind: ErrorKind::User,
        message: "has to be replaced, and its provider cannot delete".into(),
        hint: Some(format!("`--forget {path}` drops the old object from the record and leaves it in the world")),
    })
}

pub(super) fn protected(path: &MemberPath, what: &str) -> Failure {
    Failure {
        kind: ErrorKind::User,
        message: format!("is protected and would be {what}"),
        hint: Some(format!("set `lifecycle.protect = false` for `{path}` and apply first")),
    }
}
