//! One operation: intent made durable, provider called, result made durable, dependents let go.

use std::sync::Arc;

use freehold_model::{
    Attrs, ErrorKind, Interval, MemberPath, ProviderIdentity, ProviderRef, Record, Sensitive, Status, limits,
};
use freehold_plan::{Action, Old};
use serde_json::Value as Json;

use super::delete::Target;
use super::{Executor, backoff};
use crate::{ApplyEffect, Call, Failure, Intent, IntentAction, Outcome, RecordChange, Report};

/// An operation under way.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) what: What,
    pub(super) phase: Phase,
    attempts: u32,
    /// What is known of its object while the provider is at it.
    partial: Option<Known>,
    /// How it ended; told once that is durable.
    ending: Option<Ending>,
}

/// Outputs of an object, and its provider's notes.
type Known = (Attrs, Option<Sensitive<Json>>);

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Makes the member's object; the old one is deposed when it is a create-first replacement.
    Create(MemberPath),
    /// Changes the member's object.
    Update(MemberPath),
    /// Deletes the old object before the new one is made.
    DeleteFirst(MemberPath),
    /// Drops the old object, which cannot be deleted, from the record before the new one is made.
    ForgetFirst(MemberPath),
    /// Deletes for good.
    Delete(Target),
    /// Writes the record alone.
    Write(MemberPath),
    /// Writes a record that nothing waits for.
    Aside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The intent is being written.
    Intending,
    /// The intent is durable, its turn has not come.
    Callable,
    /// The provider is at it.
    Calling,
    /// A retry waits for its time.
    Backoff,
    /// The result is being written.
    Recording,
}

#[derive(Debug)]
enum Ending {
    Recorded(Arc<Record>),
    Deleted,
    Forgotten,
    Failed(Failure),
    NotBegun,
}

impl Op {
    /// Whether the state has (or will have) the beginning of a create and not its end; of a replacement, too, whose second half that is.
    pub(super) fn is_open_create(&self) -> bool {
        match self.what {
            What::Create(_) => self.phase != Phase::Recording,
            What::DeleteFirst(_) | What::ForgetFirst(_) => true,
            What::Update(_) | What::Delete(_) | What::Write(_) | What::Aside => false,
        }
    }
}

impl Executor {
    /// Begins what the member's action asks for first.
    pub(super) fn begin_member(&mut self, path: &MemberPath) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.stage = super::Stage::Operating;
        if !self.is_refused_its_object(path) && !self.has_to_clear(path) {
            self.begin_cleared(path);
        }
    }

    /// Nothing is in the way of the member's action.
    pub(super) fn begin_cleared(&mut self, path: &MemberPath) {
        let Some(node) = self.nodes.get(path) else { return };
        let (action, create_first, has_prior) = (node.action, node.create_first, node.prior.is_some());
        let forgets = node.old == Old::Forgotten;
        let op = self.new_op();
        match action {
            Action::Create => self.begin_op(op, What::Create(path.clone())),
            Action::Replace if create_first || !has_prior => self.begin_op(op, What::Create(path.clone())),
            Action::Replace if forgets => {
                self.write(op, What::ForgetFirst(path.clone()), RecordChange::Forgotten, Ending::Forgotten);
            }
            Action::Replace => self.begin_op(op, What::DeleteFirst(path.clone())),
            Action::Update => self.begin_op(op, What::Update(path.clone())),
            Action::Forget => {
                self.write(op, What::Write(path.clone()), RecordChange::Forgotten, Ending::Forgotten);
            }
            Action::Read | Action::Adopt | Action::None | Action::Delete => self.write_record(op, path),
        }
    }

    /// Brings the record up to what was seen and to what the deployment says of its life.
    fn write_record(&mut self, op: u64, path: &MemberPath) {
        let Some(node) = self.nodes.get(path) else { return };
        let Some(mut record) = node.prior.clone() else { return };
        if !record.deposed.is_empty() {
            Arc::make_mut(&mut record).deposed.clear();
        }
        if let Some(d) = &node.declaration {
            describe_life(Arc::make_mut(&mut record), d);
        }
        let change = RecordChange::Observed(Arc::clone(&record));
        self.write(op, What::Write(path.clone()), change, Ending::Recorded(record));
    }

    fn write(&mut self, op: u64, what: What, change: RecordChange, ending: Ending) {
        let path = what.member();
        self.ops.insert(op, Op { what, phase: Phase::Recording, attempts: 0, partial: None, ending: Some(ending) });
        let action = self.nodes.get(&path).map_or(Action::None, |n| n.action);
        self.report(Report::Started { op, member: path.clone(), action, attempt: 1 });
        self.effects.push(ApplyEffect::WriteResult { op, member: path, change: Box::new(change) });
    }

    /// Drops a record that no node stands for.
    pub(super) fn write_forgotten(&mut self, path: &MemberPath) {
        let op = self.new_op();
        self.ops
            .insert(op, Op { what: What::Aside, phase: Phase::Recording, attempts: 0, partial: None, ending: None });
        let change = Box::new(RecordChange::Forgotten);
        self.effects.push(ApplyEffect::WriteResult { op, member: path.clone(), change });
    }

    pub(super) fn begin_op(&mut self, op: u64, what: What) {
        let Some(intent) = self.intent(&what) else { return };
        self.ops.insert(op, Op { what, phase: Phase::Intending, attempts: 0, partial: None, ending: None });
        self.effects.push(ApplyEffect::WriteIntent { op, intent: Box::new(intent) });
    }

    fn intent(&self, what: &What) -> Option<Intent> {
        let of_record = |member: &MemberPath, action, record: &Record| Intent {
            member: member.clone(),
            action,
            provider: record.provider.provider.clone(),
            type_name: record.type_name.clone(),
            inputs: record.inputs.clone(),
        };
        match what {
            What::Create(path) | What::Update(path) => {
                let d = self.nodes.get(path)?.declaration.as_ref()?;
                let action = if matches!(what, What::Create(_)) { IntentAction::Create } else { IntentAction::Update };
                Some(Intent {
                    member: path.clone(),
                    action,
                    provider: d.provider.clone(),
                    type_name: d.type_name.clone(),
                    inputs: d.inputs.clone(),
                })
            }
            What::DeleteFirst(path) => {
                Some(of_record(path, IntentAction::Delete, self.nodes.get(path)?.prior.as_ref()?))
            }
            What::Delete(target) => {
                let action = target.deposed.clone().map_or(IntentAction::Delete, IntentAction::DeleteDeposed);
                Some(of_record(&target.member, action, self.deleting.get(target)?))
            }
            What::Write(_) | What::ForgetFirst(_) | What::Aside => None,
        }
    }

    pub(super) fn take_intent_durable(&mut self, op: u64) {
        let Some(state) = self.ops.get_mut(&op) else { return };
        if self.stopping {
            return self.record_not_begun(op);
        }
        state.phase = Phase::Callable;
        self.callable.push_back(op);
    }

    pub(super) fn call_ready(&mut self) {
        while self.running < self.parallelism {
            let Some(op) = self.callable.pop_front() else { return };
            let Some(what) = self.ops.get(&op).map(|o| o.what.clone()) else { continue };
            let Some(call) = self.call(&what) else { continue };
            let Some(state) = self.ops.get_mut(&op) else { continue };
            state.phase = Phase::Calling;
            state.attempts += 1;
            let attempt = state.attempts;
            self.report_started(op, &what, attempt);
            self.running += 1;
            self.effects.push(ApplyEffect::Call { op, call: Box::new(call) });
        }
    }

    /// Told when the provider is called: an intent may be durable long before its turn.
    fn report_started(&mut self, op: u64, what: &What, attempt: u32) {
        let member = what.member();
        let node = self.nodes.get(&member);
        let second_half = |n: &super::Node| n.action == Action::Replace && !n.create_first && n.prior.is_some();
        let action = match what {
            What::Create(_) if node.is_some_and(second_half) => return,
            What::Delete(_) => Action::Delete,
            _ => node.map_or(Action::None, |n| n.action),
        };
        self.report(Report::Started { op, member, action, attempt });
    }

    fn call(&self, what: &What) -> Option<Call> {
        Some(match what {
            What::Create(path) => Call::Create { declaration: self.nodes.get(path)?.declaration.clone()? },
            What::Update(path) => {
                let node = self.nodes.get(path)?;
                Call::Update { declaration: node.declaration.clone()?, prior: node.prior.clone()? }
            }
            What::DeleteFirst(path) => Call::Delete { prior: self.nodes.get(path)?.prior.clone()? },
            What::Delete(target) => Call::Delete { prior: self.deleting.get(target)?.clone() },
            What::Write(_) | What::ForgetFirst(_) | What::Aside => return None,
        })
    }

    pub(super) fn take_outcome(&mut self, op: u64, outcome: Outcome) {
        let Some(state) = self.ops.get(&op) else { return };
        if state.phase != Phase::Calling {
            return;
        }
        self.running -= 1;
        let (what, attempts) = (state.what.clone(), state.attempts);
        let known = self.ops.get_mut(&op).and_then(|state| state.partial.take());
        let outcome = with_known(outcome, known);
        if self.state_broken {
            return self.lose_unwritten(op, &what, outcome);
        }
        match outcome {
            Outcome::Made { outputs, private } => self.record_made(op, &what, outputs, private),
            Outcome::Deleted => self.record_deleted(op, &what),
            Outcome::Failed { failure, partial: None }
                if failure.kind.is_retryable() && attempts <= limits::OPERATION_RETRIES && !self.stopping =>
            {
                let after = backoff(attempts);
                if let Some(state) = self.ops.get_mut(&op) {
                    state.phase = Phase::Backoff;
                }
                self.report(Report::Retrying { member: what.member(), failure, after });
                self.effects.push(ApplyEffect::Timer { op, after });
            }
            Outcome::Failed { failure, partial } => self.record_failed(op, &what, failure, partial),
            Outcome::NotBegun => self.record_not_begun(op),
            Outcome::Lost { failure } => self.lose(op, &what, failure),
        }
    }

    pub(super) fn take_partial(&mut self, op: u64, outputs: Attrs, private: Option<Sensitive<Json>>) {
        if let Some(state) = self.ops.get_mut(&op).filter(|state| state.phase == Phase::Calling) {
            state.partial = Some((outputs, private));
        }
    }

    pub(super) fn take_timer(&mut self, op: u64) {
        if let Some(state) = self.ops.get_mut(&op)
            && state.phase == Phase::Backoff
        {
            state.phase = Phase::Callable;
            self.callable.push_back(op);
        }
    }

    /// What came of it cannot be written: it is told, and the next plan looks into it.
    fn lose_unwritten(&mut self, op: u64, what: &What, outcome: Outcome) {
        let failure = match outcome {
            Outcome::NotBegun => {
                self.ops.remove(&op);
                self.summary.left_open.push(what.member());
                return self.leave_out(what);
            }
            Outcome::Made { .. } | Outcome::Deleted => state_failure(),
            Outcome::Failed { failure, .. } | Outcome::Lost { failure } => failure,
        };
        self.lose(op, what, failure);
    }

    /// Nobody knows what came of it: the intent stays open and the next plan looks into it.
    fn lose(&mut self, op: u64, what: &What, failure: Failure) {
        self.ops.remove(&op);
        self.lose_known(what, failure);
    }

    fn lose_known(&mut self, what: &What, failure: Failure) {
        self.summary.unknown.push(what.member());
        self.end_badly(what, failure);
    }

    fn record_made(&mut self, op: u64, what: &What, outputs: Attrs, private: Option<Sensitive<Json>>) {
        let path = what.member();
        let Some(record) = self.made_record(op, what, &path, outputs, private).map(Arc::new) else { return };
        let change = RecordChange::Recorded(Arc::clone(&record));
        self.record(op, &path, change, Ending::Recorded(record));
    }

    /// What is recorded of an object that was made or changed. It lists no old object but the one that it takes the place of: the state
    /// knows those that there are, and some may be deleted at this moment.
    fn made_record(
        &self,
        op: u64,
        what: &What,
        path: &MemberPath,
        outputs: Attrs,
        private: Option<Sensitive<Json>>,
    ) -> Option<Record> {
        let node = self.nodes.get(path)?;
        let d = node.declaration.as_ref()?;
        let mut deposed = Vec::new();
        if matches!(what, What::Create(_))
            && node.action == Action::Replace
            && node.create_first
            && let Some(prior) = &node.prior
        {
            let mut old = Box::new(Record::clone(prior));
            old.deposed = Vec::new();
            deposed.push(freehold_model::Deposed { key: op.to_string(), record: old });
        }
        let mut record = Record {
            provider: identity(&d.provider),
            type_name: d.type_name.clone(),
            inputs: d.inputs.clone(),
            outputs,
            private,
            edges: node.edges.clone(),
            interval: Interval::default(),
            status: Status::Ok,
            deposed,
            protect: false,
            keep: false,
            create_before_destroy: false,
            replace_when: None,
            holder: d.holder.clone(),
        };
        describe_life(&mut record, d);
        Some(record)
    }

    fn record_deleted(&mut self, op: u64, what: &What) {
        let change = match what {
            What::Delete(Target { deposed: Some(key), .. }) => RecordChange::DeposedDeleted(key.clone()),
            _ => RecordChange::Deleted,
        };
        self.record(op, &what.member(), change, Ending::Deleted);
    }

    fn record_failed(&mut self, op: u64, what: &What, failure: Failure, partial: Option<Known>) {
        let path = what.member();
        let record = partial.and_then(|(outputs, private)| match what {
            What::Create(_) => self.made_record(op, what, &path, outputs, private).map(|mut r| {
                r.status = Status::Tainted;
                Arc::new(r)
            }),
            What::Update(_) => {
                let mut record = Record::clone(self.nodes.get(&path)?.prior.as_ref()?);
                record.deposed.clear();
                record.outputs = outputs;
                record.private = private.or(record.private);
                Some(Arc::new(record))
            }
            _ => None,
        });
        let change = RecordChange::Failed { failure: failure.clone(), record };
        self.record(op, &path, change, Ending::Failed(failure));
    }

    fn record_not_begun(&mut self, op: u64) {
        let Some(what) = self.ops.get(&op).map(|o| o.what.clone()) else { return };
        self.record(op, &what.member(), RecordChange::NotBegun, Ending::NotBegun);
    }

    fn record(&mut self, op: u64, member: &MemberPath, change: RecordChange, ending: Ending) {
        if let Some(state) = self.ops.get_mut(&op) {
            state.phase = Phase::Recording;
            state.ending = Some(ending);
        }
        self.effects.push(ApplyEffect::WriteResult { op, member: member.clone(), change: Box::new(change) });
    }

    pub(super) fn take_result_durable(&mut self, op: u64) {
        if let Some(moved) = self.preparing.remove(&op) {
            self.summary.moved += moved;
            if self.preparing.is_empty() {
                self.begin();
            }
            return;
        }
        if let Some(moved) = self.moving.remove(&op) {
            self.summary.moved += moved;
            return;
        }
        let Some(state) = self.ops.remove(&op) else { return };
        match (state.what, state.ending) {
            (What::Delete(target), Some(Ending::Deleted)) => self.deletion_done(&target),
            (What::DeleteFirst(path), Some(Ending::Deleted)) | (What::ForgetFirst(path), Some(Ending::Forgotten)) => {
                self.records.remove(&path);
                let next = self.new_op();
                self.begin_op(next, What::Create(path));
            }
            (What::Create(path) | What::Update(path) | What::Write(path), Some(Ending::Recorded(record))) => {
                self.member_done(&path, record);
            }
            (What::Write(path), Some(Ending::Forgotten)) => {
                self.records.remove(&path);
                self.count_done(&path);
                self.finish_member(&path, true);
            }
            (what, Some(Ending::Failed(failure))) => self.end_badly(&what, failure),
            (what, Some(Ending::NotBegun)) => self.leave_out(&what),
            _ => {}
        }
    }

    fn member_done(&mut self, path: &MemberPath, mut record: Arc<Record>) {
        let old = self.records.get(path).map(|r| r.deposed.clone()).unwrap_or_default();
        if !old.is_empty() {
            Arc::make_mut(&mut record).deposed.extend(old);
        }
        for deposed in &record.deposed {
            let target = Target { member: path.clone(), deposed: Some(deposed.key.clone()) };
            if !self.deleting.contains_key(&target) && !self.kept.contains(&target) {
                self.exchanged.insert(target.clone());
                self.add_deletion(target, Arc::new((*deposed.record).clone()));
            }
        }
        let outputs = record.outputs.clone();
        self.owners.note(path, &record);
        self.records.insert(path.clone(), record);
        self.publish(path, outputs);
        self.count_done(path);
        self.finish_member(path, true);
    }

    fn count_done(&mut self, path: &MemberPath) {
        let action = self.nodes.get(path).map_or(Action::None, |n| n.action);
        *self.summary.done.entry(action).or_default() += 1;
        self.report(Report::Done { member: path.clone(), action });
    }

    fn end_badly(&mut self, what: &What, failure: Failure) {
        match what {
            What::Delete(target) => self.deletion_failed(target, failure),
            What::Aside => {}
            _ => self.fail_member(&what.member(), failure),
        }
    }

    fn leave_out(&mut self, what: &What) {
        match what {
            What::Delete(target) => self.deletion_skipped(target, crate::Skip::Interrupted),
            What::Aside => {}
            _ => self.skip(&what.member(), crate::Skip::Interrupted),
        }
    }

    /// What was about to begin does not; what waits for a retry has failed.
    pub(super) fn stop_unbegun(&mut self) {
        self.callable.clear();
        let waiting: Vec<(u64, Phase)> = self.ops.iter().map(|(op, o)| (*op, o.phase)).collect();
        for (op, phase) in waiting {
            match phase {
                Phase::Callable => self.record_not_begun(op),
                Phase::Backoff => {
                    let Some(what) = self.ops.get(&op).map(|o| o.what.clone()) else { continue };
                    let failure = Failure {
                        kind: ErrorKind::Transient,
                        message: "stopped while waiting to try again".into(),
                        hint: None,
                    };
                    self.record_failed(op, &what, failure, None);
                }
                Phase::Intending | Phase::Calling | Phase::Recording => {}
            }
        }
    }

    /// The state cannot be written: no answer will come for what was being written.
    pub(super) fn abandon_writes(&mut self) {
        self.state_broken = true;
        self.callable.clear();
        let abandoned: Vec<u64> =
            self.ops.iter().filter(|(_, o)| o.phase != Phase::Calling).map(|(op, _)| *op).collect();
        for op in abandoned {
            let Some(state) = self.ops.remove(&op) else { continue };
            let member = state.what.member();
            match state.phase {
                Phase::Intending | Phase::Callable => {
                    self.summary.left_open.push(member);
                    self.leave_out(&state.what);
                }
                // It was called, and what came of it stands nowhere.
                Phase::Recording | Phase::Backoff | Phase::Calling => match state.ending {
                    _ if state.what == What::Aside => {}
                    Some(Ending::NotBegun) => {
                        self.summary.left_open.push(member);
                        self.leave_out(&state.what);
                    }
                    Some(Ending::Failed(failure)) => self.lose_known(&state.what, failure),
                    _ => self.lose_known(&state.what, state_failure()),
                },
            }
        }
    }
}

impl What {
    pub(super) fn member(&self) -> MemberPath {
        match self {
            Self::Create(path)
            | Self::Update(path)
            | Self::DeleteFirst(path)
            | Self::ForgetFirst(path)
            | Self::Write(path) => path.clone(),
            Self::Delete(target) => target.member.clone(),
            Self::Aside => MemberPath::root(),
        }
    }
}

/// A call that told of an object and then failed without a word about it has left that object.
fn with_known(outcome: Outcome, known: Option<Known>) -> Outcome {
    match outcome {
        Outcome::Failed { failure, partial: None } => Outcome::Failed { failure, partial: known },
        other => other,
    }
}

/// The name and version are the driver's to fill in: it has spoken to the provider.
fn identity(provider: &ProviderRef) -> ProviderIdentity {
    ProviderIdentity { provider: provider.clone(), name: String::new(), version: String::new() }
}

fn describe_life(record: &mut Record, declaration: &freehold_model::Declaration) {
    record.protect = declaration.lifecycle.protect;
    record.keep = declaration.lifecycle.keep;
    record.create_before_destroy = declaration.lifecycle.create_before_destroy;
    record.replace_when.clone_from(&declaration.lifecycle.replace_when);
    record.holder.clone_from(&declaration.holder);
}

fn state_failure() -> Failure {
    Failure { kind: ErrorKind::Host, message: "done, but the state could not be written".into(), hint: None }
}
