//! The machine that follows a plan.
//!
//! Reading order: this file (the conversation and the scheduler), [`evaluate`] (members whose inputs become known on the way),
//! [`late`] (composites whose members do),
//! [`operate`] (one operation from its intent to its recorded result), [`delete`] (what goes at the end, in reverse order),
//! [`clear`] (what goes early, because something else has to make way).
//!
//! Scheduling counts how many unfinished members each one waits for; no graph is walked. Intents are written a little ahead of the
//! calls so that one fsync serves many, but not those of creates that an operator would have to look into after a crash; results are
//! written while the next calls run.

mod clear;
mod delete;
mod evaluate;
mod late;
mod objects;
mod operate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use freehold_model::{Attrs, Declaration, MemberPath, Record, limits};
use freehold_plan::{Action, DeletionOrder, Identity, Observation, Old, Plan, PlanOptions, Reason, Recovery, Step};

use crate::{ApplyEffect, ApplyEvent, ApplySummary, Failure, RecordChange, Report, Skip};
use operate::Op;

/// Follows one plan.
#[derive(Debug)]
pub struct Executor {
    records: BTreeMap<MemberPath, Arc<Record>>,
    nodes: BTreeMap<MemberPath, Node>,
    parallelism: usize,
    next_op: u64,
    ops: BTreeMap<u64, Op>,
    /// Members whose turn has come.
    ready: VecDeque<MemberPath>,
    /// Of those, the ones that wait until fewer creates are open which it may take an operator to settle.
    held_back: VecDeque<MemberPath>,
    /// Operations whose intent is durable.
    callable: VecDeque<u64>,
    running: usize,
    /// Composites whose members are not known yet.
    open: BTreeMap<MemberPath, Vec<String>>,
    /// What the operator asked for.
    options: PlanOptions,
    /// Members that are part of it only because a target needs them.
    needed: BTreeSet<MemberPath>,
    /// Composites with the names of their members.
    structures: BTreeMap<MemberPath, Vec<String>>,
    /// What composites that became known on the way let go of.
    forgotten: BTreeSet<MemberPath>,
    /// Members that no plan knew with an operation that was left open.
    left_open: BTreeMap<MemberPath, String>,
    /// What was seen of members that no plan knew.
    observed: BTreeMap<MemberPath, Observation>,
    /// Moves that are being written, with how many records each is about.
    moving: BTreeMap<u64, usize>,
    deletions: DeletionOrder<delete::Target>,
    deleting: BTreeMap<delete::Target, Arc<Record>>,
    /// Of those, by the objects that they are about; made when it is asked for.
    deleting_objects: objects::Index,
    /// Who has recorded which objects; made when it is asked for.
    owners: objects::Owners,
    /// Who is to have which objects.
    claims: objects::Claims,
    deleting_started: bool,
    /// What is to be deleted, by the members that it was seen to use.
    deletion_users: BTreeMap<MemberPath, BTreeSet<delete::Target>>,
    /// Old objects whose deletion is the second half of a replacement by this run.
    exchanged: BTreeSet<delete::Target>,
    /// What was to be deleted and could not be.
    kept: BTreeSet<delete::Target>,
    /// Composites of which it never became known which members they have.
    given_up: BTreeSet<MemberPath>,
    /// Members that wait until others are gone, with what is left of those.
    clearing: BTreeMap<MemberPath, DeletionOrder<delete::Target>>,
    /// Why members that cannot be evaluated wait.
    waits: BTreeMap<MemberPath, Skip>,
    /// Whether the state can be written no more.
    state_broken: bool,
    /// Who waits for a member to be done.
    waiters: BTreeMap<MemberPath, Vec<MemberPath>>,
    /// Who waits for the members of an open composite to be known.
    open_waiters: BTreeMap<MemberPath, Vec<MemberPath>>,
    outstanding_proposals: usize,
    /// Outputs that the evaluation has not been told yet.
    unpublished: Vec<(MemberPath, Attrs)>,
    unfinished: usize,
    quiet: bool,
    needs_evaluation: bool,
    /// What is written before anything begins, with how many records each moves.
    preparing: BTreeMap<u64, usize>,
    pending_moves: Vec<freehold_plan::Move>,
    pending_found: Vec<freehold_plan::Found>,
    stopping: bool,
    finished: bool,
    summary: ApplySummary,
    effects: Vec<ApplyEffect>,
}

/// A member that something is done to.
#[derive(Debug)]
struct Node {
    action: Action,
    create_first: bool,
    /// Whether the plan left the action open (or knew nothing of the member).
    open: bool,
    reasons: Vec<Reason>,
    declaration: Option<Arc<Declaration>>,
    /// What a replacement does about the old object.
    old: Old,
    /// Inputs that name its object in the world.
    identity: Identity,
    /// What is done about its create when nobody saw the end of it.
    recovery: Recovery,
    /// Whether the world told its inputs, which `prior` then has.
    told: bool,
    edges: BTreeSet<MemberPath>,
    prior: Option<Arc<Record>>,
    resumes: Option<String>,
    /// Unfinished members it waits for.
    blocked_by: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its inputs are not known yet.
    Evaluating,
    /// The provider is asked what the change means.
    Proposing,
    /// It is known what to do; others have to be done first, or its turn has not come.
    Blocked,
    /// An operation is under way.
    Operating,
    /// Done, failed or left out.
    Finished { ok: bool },
}

impl Executor {
    /// Follows `plan`, which must be free of problems; `records` is the state as it was planned on, before the plan's moves.
    /// Operation ids start at `first_op`.
    pub fn new(plan: Plan, records: BTreeMap<MemberPath, Arc<Record>>, parallelism: usize, first_op: u64) -> Self {
        let mut this = Self {
            records,
            nodes: BTreeMap::new(),
            parallelism: parallelism.max(1),
            next_op: first_op,
            ops: BTreeMap::new(),
            ready: VecDeque::new(),
            held_back: VecDeque::new(),
            callable: VecDeque::new(),
            running: 0,
            open: BTreeMap::new(),
            options: plan.options,
            needed: plan.needed,
            structures: plan.structures,
            forgotten: BTreeSet::new(),
            left_open: plan.left_open,
            observed: plan.observed,
            moving: BTreeMap::new(),
            deletions: DeletionOrder::default(),
            deleting: BTreeMap::new(),
            deleting_objects: objects::Index::default(),
            owners: objects::Owners::default(),
            claims: None,
            deleting_started: false,
            deletion_users: BTreeMap::new(),
            exchanged: BTreeSet::new(),
            kept: BTreeSet::new(),
            given_up: BTreeSet::new(),
            clearing: BTreeMap::new(),
            waits: BTreeMap::new(),
            state_broken: false,
            waiters: BTreeMap::new(),
            open_waiters: BTreeMap::new(),
            outstanding_proposals: 0,
            unpublished: Vec::new(),
            unfinished: 0,
            quiet: false,
            needs_evaluation: false,
            preparing: BTreeMap::new(),
            pending_moves: plan.moves,
            pending_found: plan.found,
            stopping: false,
            finished: false,
            summary: ApplySummary::default(),
            effects: Vec::new(),
        };
        for mv in &this.pending_moves {
            if let Some(record) = this.records.remove(&mv.from) {
                this.records.insert(mv.to.clone(), record);
            }
        }
        for found in &this.pending_found {
            this.records.insert(found.member.clone(), found.record.clone());
        }
        this.open =
            plan.open.into_iter().map(|o| (o.member, o.needs.iter().map(ToString::to_string).collect())).collect();
        for step in plan.steps {
            this.take_step(step);
        }
        this
    }

    /// The first effects.
    pub fn start(&mut self) -> Vec<ApplyEffect> {
        self.prepare();
        if self.preparing.is_empty() {
            self.begin();
        }
        self.pump();
        std::mem::take(&mut self.effects)
    }

    /// Takes an event and says what follows from it.
    pub fn step(&mut self, event: ApplyEvent) -> Vec<ApplyEffect> {
        match event {
            ApplyEvent::Structure { member, structure } => self.take_structure(&member, &structure),
            ApplyEvent::Evaluated { member, declaration, edges, facts } => {
                self.take_declaration(&member, declaration, &edges, &facts);
            }
            ApplyEvent::Waiting { member, needs } => self.take_waiting(&member, &needs),
            ApplyEvent::EvalFailed { member, failure } => self.take_eval_failure(&member, failure),
            // It is quiet about what it was told; more is on its way.
            ApplyEvent::Quiet => self.quiet = self.unpublished.is_empty(),
            ApplyEvent::Proposed { member, result } => self.take_proposal(&member, result),
            ApplyEvent::IntentDurable { op } => self.take_intent_durable(op),
            ApplyEvent::ResultDurable { op } => self.take_result_durable(op),
            ApplyEvent::Partial { op, outputs, private } => self.take_partial(op, outputs, private),
            ApplyEvent::Called { op, outcome } => self.take_outcome(op, outcome),
            ApplyEvent::TimerFired { op } => self.take_timer(op),
            ApplyEvent::Interrupted { hard } => self.interrupt(hard),
            ApplyEvent::StateFailed { failure } => self.take_state_failure(failure),
        }
        self.pump();
        std::mem::take(&mut self.effects)
    }

    /// Writes what has to be in the state before anything begins: records that moved, and objects that interrupted runs had made.
    fn prepare(&mut self) {
        let moves = std::mem::take(&mut self.pending_moves);
        if !moves.is_empty() {
            let op = self.new_op();
            self.preparing.insert(op, moves.len());
            let change = Box::new(RecordChange::Moved(moves));
            self.effects.push(ApplyEffect::WriteResult { op, member: MemberPath::root(), change });
        }
        for found in std::mem::take(&mut self.pending_found) {
            // The end of the operation that had made it.
            let op = self.new_op();
            self.preparing.insert(op, 0);
            let change = Box::new(RecordChange::Found { op: found.op, record: found.record });
            self.effects.push(ApplyEffect::WriteResult { op, member: found.member, change });
        }
    }

    fn take_step(&mut self, step: Step) {
        if step.action == Action::Delete {
            if let Some(prior) = step.prior {
                self.add_deletion(delete::Target { member: step.member, deposed: step.deposed }, prior);
            }
            return;
        }
        let inexact = !step.exact || step.open;
        if step.action == Action::None && !inexact {
            return;
        }
        self.unfinished += 1;
        self.needs_evaluation |= inexact;
        // A record that is dropped waits for nobody: nothing happens in the world.
        let edges = if step.action == Action::Forget { BTreeSet::new() } else { step.edges };
        self.nodes.insert(
            step.member,
            Node {
                action: step.action,
                create_first: step.create_first,
                open: step.open,
                reasons: step.reasons,
                declaration: step.declaration,
                old: step.old,
                identity: step.identity,
                recovery: step.recovery,
                told: step.told,
                edges,
                prior: step.prior,
                resumes: step.resumes,
                blocked_by: 0,
                stage: if inexact { Stage::Evaluating } else { Stage::Blocked },
            },
        );
    }

    /// Everything that can begin does.
    fn begin(&mut self) {
        if !self.open.is_empty() {
            self.needs_evaluation = true;
        }
        if self.needs_evaluation {
            // What is recorded below an open composite may change in this run: it counts when it is decided upon.
            let (late, real): (Vec<_>, Vec<_>) = self
                .records
                .iter()
                .filter(|(path, _)| !self.nodes.contains_key(*path))
                .partition(|(path, _)| self.is_open(path));
            let late: Vec<MemberPath> = late.into_iter().map(|(path, _)| path.clone()).collect();
            let real = real.into_iter().map(|(path, record)| (path.clone(), record.outputs.clone())).collect();
            self.effects.push(ApplyEffect::BeginPhase(real));
            self.effects.push(ApplyEffect::Pending(self.nodes.keys().cloned().chain(late).collect()));
            let evaluating = self.nodes.iter().filter(|(_, n)| n.stage == Stage::Evaluating);
            let wanted: Vec<MemberPath> = evaluating.map(|(p, _)| p.clone()).chain(self.open.keys().cloned()).collect();
            self.effects.push(ApplyEffect::Evaluate(wanted));
        } else {
            self.quiet = true;
        }
        let known: Vec<MemberPath> =
            self.nodes.iter().filter(|(_, n)| n.stage == Stage::Blocked).map(|(p, _)| p.clone()).collect();
        for path in known {
            self.block_on_edges(&path);
        }
    }

    /// Counts the unfinished members that `path` waits for; queues it when there are none.
    fn block_on_edges(&mut self, path: &MemberPath) {
        let owners = self.owners_of_its_object(path);
        if let Some(open) = self.open_edge(path).or_else(|| self.open_owner(&owners)) {
            // Counted when its members are known.
            self.open_waiters.entry(open).or_default().push(path.clone());
            if let Some(node) = self.nodes.get_mut(path) {
                node.stage = Stage::Blocked;
            }
            return;
        }
        if let Some(failure) = self.lacks(path) {
            return self.fail_member(path, failure);
        }
        let mut blockers = match self.blocking_edges(path) {
            Ok(blockers) => blockers,
            Err(member) => return self.skip(path, Skip::Needs { member }),
        };
        // What another gives up is taken after that.
        let unfinished = |n: &Node| !matches!(n.stage, Stage::Finished { .. });
        for owner in owners.into_iter().filter(|owner| self.nodes.get(owner).is_some_and(unfinished)) {
            self.waits.insert(path.clone(), Skip::Needs { member: owner.clone() });
            blockers.push(owner);
        }
        if let Some(node) = self.nodes.get_mut(path) {
            node.stage = Stage::Blocked;
            node.blocked_by = blockers.len();
        }
        if blockers.is_empty() {
            self.ready.push_back(path.clone());
        }
        for blocker in blockers {
            self.waiters.entry(blocker).or_default().push(path.clone());
        }
    }

    /// The unfinished members within the edges of `path`; `Err` names one that is not done and will not be.
    fn blocking_edges(&self, path: &MemberPath) -> Result<Vec<MemberPath>, MemberPath> {
        let mut blockers = Vec::new();
        for edge in self.nodes.get(path).into_iter().flat_map(|node| &node.edges) {
            let within = self.nodes.range(edge.clone()..).take_while(|(p, _)| p.is_within(edge));
            for (other, blocker) in within {
                match blocker.stage {
                    Stage::Finished { ok: true } => {}
                    Stage::Finished { ok: false } => return Err(other.clone()),
                    _ if other != path => blockers.push(other.clone()),
                    _ => {}
                }
            }
        }
        Ok(blockers)
    }

    /// An open composite that decides whether a member goes on having its object.
    fn open_owner(&self, owners: &[MemberPath]) -> Option<MemberPath> {
        let unknown = owners.iter().filter(|owner| !self.nodes.contains_key(*owner));
        unknown.flat_map(|owner| self.open.keys().find(|open| owner.is_within(open))).next().cloned()
    }

    /// Whether it is not known yet what `path` is, or whether there is such a member.
    fn is_open(&self, path: &MemberPath) -> bool {
        std::iter::successors(Some(path.clone()), MemberPath::parent).any(|around| self.open.contains_key(&around))
    }

    /// An open composite that `path` depends on as a whole, or that decides whether there is what it depends on.
    fn open_edge(&self, path: &MemberPath) -> Option<MemberPath> {
        let edges = &self.nodes.get(path)?.edges;
        edges.iter().find_map(|edge| {
            let mut around = std::iter::successors(Some(edge.clone()), MemberPath::parent);
            let mut within = self.open.range(edge.clone()..).map(|(p, _)| p).take_while(|p| p.is_within(edge));
            around.find(|p| self.open.contains_key(p)).or_else(|| within.next().cloned())
        })
    }

    /// The members of an open composite are known now: who waits for that waits for them.
    fn release_open_waiters(&mut self, open: &MemberPath) {
        for waiter in self.open_waiters.remove(open).unwrap_or_default() {
            if self.nodes.get(&waiter).is_some_and(|n| n.stage == Stage::Blocked) {
                self.block_on_edges(&waiter);
            }
        }
    }

    /// Begins what may begin, calls what may be called, and ends when nothing is left.
    fn pump(&mut self) {
        if self.finished || !self.preparing.is_empty() || !self.moving.is_empty() {
            return;
        }
        loop {
            self.begin_ready();
            self.go_on_clearing();
            self.publish_outputs();
            self.call_ready();
            let waiting = !self.ready.is_empty() || !self.held_back.is_empty();
            let idle = self.ops.is_empty() && !waiting && self.outstanding_proposals == 0;
            if !idle {
                return;
            }
            if self.unfinished > 0 || !self.open.is_empty() {
                if self.needs_evaluation && !self.quiet && !self.stopping {
                    return;
                }
                self.give_up_stuck();
                continue;
            }
            if self.continue_deleting() {
                continue;
            }
            self.finished = true;
            self.summary.interrupted = self.stopping;
            self.effects.push(ApplyEffect::Finished(Box::new(std::mem::take(&mut self.summary))));
            return;
        }
    }

    fn begin_ready(&mut self) {
        while self.has_room() {
            let Some(path) = self.next_ready() else { return };
            if self.stopping {
                self.skip(&path, Skip::Interrupted);
            } else {
                self.begin_member(&path);
            }
        }
    }

    fn next_ready(&mut self) -> Option<MemberPath> {
        let may_ask = self.may_open_another();
        if (may_ask || self.stopping)
            && let Some(path) = self.held_back.pop_front()
        {
            return Some(path);
        }
        while let Some(path) = self.ready.pop_front() {
            if may_ask || self.stopping || !self.opens_a_question(&path) {
                return Some(path);
            }
            self.held_back.push_back(path);
        }
        None
    }

    /// Whether a crash in the middle of what is done to `path` may leave a question to the operator.
    fn opens_a_question(&self, path: &MemberPath) -> bool {
        let creates = |n: &Node| matches!(n.action, Action::Create | Action::Replace);
        self.nodes.get(path).is_some_and(|n| creates(n) && n.recovery.may_ask())
    }

    /// Whether another create may be begun whose end it may take an operator to tell: after a crash each one that was begun, and no
    /// more than what may run at once, has to be looked into by hand. The log has the end of one before the beginning of the next.
    fn may_open_another(&self) -> bool {
        let open = self.ops.values().filter(|op| op.is_open_create()).map(|op| op.what.member());
        open.filter(|path| self.opens_a_question(path)).count() < self.parallelism
    }

    /// Tells the evaluation what has become known. While others wait for their turn nothing is gained by haste, and each time
    /// costs an evaluation of the root: many outputs are told together.
    fn publish_outputs(&mut self) {
        let nobody_waits = self.ready.is_empty() && self.held_back.is_empty();
        if nobody_waits || self.unpublished.len() >= limits::OUTPUTS_AT_ONCE {
            let publish = |(member, outputs)| ApplyEffect::Publish { member, outputs };
            self.effects.extend(std::mem::take(&mut self.unpublished).into_iter().map(publish));
        }
    }

    /// Whether another operation may begin: some are begun ahead so that one fsync serves many intents. See also
    /// [`Self::may_open_another`].
    fn has_room(&self) -> bool {
        let ahead = (self.parallelism * 2).max(32);
        self.ops.len() < self.parallelism + ahead
    }

    fn finish_member(&mut self, path: &MemberPath, ok: bool) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        if matches!(node.stage, Stage::Finished { .. }) {
            return;
        }
        node.stage = Stage::Finished { ok };
        self.unfinished -= 1;
        if !ok && self.needs_evaluation {
            self.quiet = false;
            self.effects.push(ApplyEffect::Fail { member: path.clone() });
        }
        for waiter in self.waiters.remove(path).unwrap_or_default() {
            if ok {
                self.unblock(&waiter);
            } else {
                self.skip(&waiter, Skip::Needs { member: path.clone() });
            }
        }
    }

    fn unblock(&mut self, path: &MemberPath) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.blocked_by = node.blocked_by.saturating_sub(1);
        if node.blocked_by == 0 && node.stage == Stage::Blocked {
            self.ready.push_back(path.clone());
        }
    }

    fn skip(&mut self, path: &MemberPath, why: Skip) {
        let Some(node) = self.nodes.get(path) else { return };
        if matches!(node.stage, Stage::Finished { .. }) {
            return;
        }
        let action = node.action;
        self.report(Report::Skipped { member: path.clone(), action, why: why.clone() });
        self.summary.skipped.push((path.clone(), action, why));
        self.finish_member(path, false);
    }

    fn fail_member(&mut self, path: &MemberPath, failure: Failure) {
        let action = self.nodes.get(path).map_or(Action::None, |n| n.action);
        self.report(Report::Failed { member: path.clone(), action, failure: failure.clone() });
        self.summary.failed.push((path.clone(), action, failure));
        self.finish_member(path, false);
    }

    fn report(&mut self, report: Report) {
        self.effects.push(ApplyEffect::Report(report));
    }

    fn new_op(&mut self) -> u64 {
        let op = self.next_op;
        self.next_op += 1;
        op
    }

    fn interrupt(&mut self, hard: bool) {
        if !self.stopping {
            self.stopping = true;
            self.report(Report::Stopping);
            self.stop_unbegun();
        }
        if hard {
            self.effects.push(ApplyEffect::KillCalls);
        }
    }

    fn take_state_failure(&mut self, failure: Failure) {
        self.summary.failed.push((MemberPath::root(), Action::None, failure.clone()));
        self.report(Report::Failed { member: MemberPath::root(), action: Action::None, failure });
        self.preparing.clear();
        self.moving.clear();
        self.stopping = true;
        self.abandon_writes();
    }
}

/// The delay before the `attempt`-th retry (from 1), doubling up to the limit. Jitter is the driver's.
fn backoff(attempt: u32) -> std::time::Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
    limits::OPERATION_BACKOFF.saturating_mul(factor).min(limits::OPERATION_BACKOFF_MAX)
}
