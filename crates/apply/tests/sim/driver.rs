//! Drives planner and executor over the small world; one seed decides what comes next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freehold_apply::{
    ApplyEffect, ApplyEvent, ApplySummary, Call, Executor, IntentAction, Outcome, RecordChange, Report,
};
use freehold_model::{ErrorKind, MemberPath, Record};
use freehold_plan::{Mode, Plan, PlanEffect, PlanEvent, PlanOptions, Planner, Problem, Recovery};

use super::check;
use super::deployment::Deployment;
use super::evaluator::{Evaluator, Front};
use super::journal::{Journal, Written};
use super::world::{Behaviour, World, facts, failure, lost};
use freehold_testkit::Rng;

/// The outside of the machines: deployment, world and log.
#[derive(Debug)]
pub struct Sim {
    pub deployment: Deployment,
    pub world: World,
    pub journal: Journal,
    pub rng: Rng,
    /// Takes things in a fixed order instead of the seed's.
    pub calm: bool,
    /// (member, create | update | delete) → what the provider does, how often.
    pub faults: Vec<(MemberPath, String, Behaviour, usize)>,
    /// Once in so many calls the provider does something bad.
    pub chaos: Option<usize>,
    /// What was done, in order: `create page`.
    pub calls: Vec<String>,
    pub reports: Vec<Report>,
    /// Whether the run is one on everything, so that nothing that is used may be deleted.
    pub strict_order: bool,
    /// Objects that are kept, by `lifecycle.keep`, after their records were dropped.
    pub left_alone: BTreeSet<String>,
    /// What the members that stay used when the run began.
    pub used_at_first: BTreeSet<MemberPath>,
}

/// When a run is disturbed, by the number of things that have happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Knobs {
    pub crash_at: Option<usize>,
    pub interrupt_at: Option<usize>,
    pub hard: bool,
    pub state_fails_at: Option<usize>,
    pub parallelism: Option<usize>,
}

#[derive(Debug)]
pub enum Ended {
    Finished(ApplySummary),
    Crashed,
}

impl Ended {
    pub fn summary(self) -> ApplySummary {
        match self {
            Self::Finished(summary) => summary,
            Self::Crashed => panic!("it crashed"),
        }
    }
}

#[derive(Debug)]
enum Todo {
    Hear,
    Evaluate,
    Sync,
    Effect(u64),
    Answer(u64),
    Timer(u64),
    Propose(usize),
}

#[derive(Debug, Default)]
struct Run {
    calls: BTreeMap<u64, Call>,
    answers: BTreeMap<u64, Outcome>,
    timers: Vec<u64>,
    proposals: Vec<ApplyEvent>,
    members: BTreeMap<u64, (MemberPath, String)>,
    /// Operations whose outcome is not known.
    lost: BTreeSet<u64>,
    destroy: bool,
    state_broken: bool,
    finished: Option<ApplySummary>,
}

impl Sim {
    pub fn new(deployment: &str, seed: u64) -> Self {
        Self {
            deployment: Deployment::parse(deployment),
            world: World::default(),
            journal: Journal::default(),
            rng: Rng::new(seed),
            calm: false,
            faults: Vec::new(),
            chaos: None,
            calls: Vec::new(),
            reports: Vec::new(),
            strict_order: true,
            left_alone: BTreeSet::new(),
            used_at_first: BTreeSet::new(),
        }
    }

    pub fn plan(&mut self, options: PlanOptions) -> Plan {
        let normal = options.mode == Mode::Normal;
        let mut planner = Planner::new(options, self.journal.records(), self.journal.open_intents());
        let mut evaluator = Evaluator::new(self.deployment.clone());
        let mut answers: Vec<PlanEvent> = Vec::new();
        let mut effects: VecDeque<PlanEffect> = planner.start().into();
        for _ in 0..100_000 {
            while let Some(effect) = effects.pop_front() {
                match effect {
                    PlanEffect::Finished(plan) => {
                        check::plan(&plan);
                        return *plan;
                    }
                    PlanEffect::Evaluate(members) => evaluator.want(members),
                    PlanEffect::Publish { member, outputs } => evaluator.publish(member, outputs),
                    PlanEffect::Fail { .. } => evaluator.told(),
                    PlanEffect::Read { member, record } => {
                        let result = Ok(self.world.read(&record));
                        answers.push(PlanEvent::Observed { member, result });
                    }
                    PlanEffect::Propose { member, declaration, prior, .. } => {
                        let result = Ok(World::propose(&declaration, prior.as_deref()));
                        answers.push(PlanEvent::Proposed { member, result });
                    }
                    PlanEffect::Describe { member, record } => {
                        answers.push(PlanEvent::Described { member, result: Ok(facts(&record.type_name)) });
                    }
                }
            }
            let mut todos = Vec::new();
            todos.extend((!evaluator.said.is_empty()).then_some(Todo::Hear));
            todos.extend((normal && evaluator.said.is_empty() && evaluator.can_work()).then_some(Todo::Evaluate));
            todos.extend((0..answers.len()).map(Todo::Propose));
            assert!(!todos.is_empty(), "the planner waits for nothing and is not finished: {planner:#?}");
            match self.choose(&todos) {
                Todo::Hear => {
                    if let Some(front) = evaluator.hear() {
                        effects.extend(planner.step(plan_event(front)));
                    }
                }
                Todo::Evaluate => evaluator.work(&mut self.rng),
                Todo::Propose(index) => effects.extend(planner.step(answers.remove(*index))),
                _ => {}
            }
        }
        panic!("the planner does not end");
    }

    fn choose<'a>(&mut self, todos: &'a [Todo]) -> &'a Todo {
        if self.calm { &todos[0] } else { self.rng.pick(todos) }
    }

    pub fn apply(&mut self, plan: Plan, knobs: Knobs) -> Ended {
        assert!(plan.problems.is_empty(), "only a plan without problems is applied: {:?}", plan.problems);
        let parallelism = knobs.parallelism.unwrap_or(4);
        self.journal.open_run();
        self.calls.clear();
        self.reports.clear();
        let staying = self.journal.records().into_iter().filter(|(member, r)| self.declares(member) || r.keep);
        self.used_at_first = staying.flat_map(|(_, record)| record.edges.clone()).collect();
        let first_op = self.journal.next_op();
        let mut run = Run { destroy: plan.is_destroy(), ..Run::default() };
        let mut executor = Executor::new(plan, self.journal.records(), parallelism, first_op);
        let mut evaluator = Evaluator::new(self.deployment.clone());
        let mut effects: VecDeque<ApplyEffect> = executor.start().into();
        for happened in 0..100_000 {
            while let Some(effect) = effects.pop_front() {
                self.take_effect(effect, &mut evaluator, &mut run, parallelism);
            }
            if let Some(summary) = run.finished {
                assert!(run.calls.is_empty() && run.answers.is_empty(), "finished while providers are at work");
                assert!(self.journal.buffer.is_empty() || run.state_broken, "finished with unwritten results");
                self.settle_broken(run.state_broken);
                return Ended::Finished(summary);
            }
            if knobs.crash_at == Some(happened) {
                self.crash(run);
                return Ended::Crashed;
            }
            let events = if knobs.interrupt_at == Some(happened) {
                vec![ApplyEvent::Interrupted { hard: knobs.hard }]
            } else if knobs.state_fails_at == Some(happened) {
                run.state_broken = true;
                vec![ApplyEvent::StateFailed { failure: failure(ErrorKind::Host, "disk full") }]
            } else {
                let todos = todos(&evaluator, &run, !self.journal.buffer.is_empty());
                assert!(!todos.is_empty(), "the executor waits for nothing and is not finished: {executor:#?}");
                let next = self.choose(&todos);
                self.happen(next, &mut evaluator, &mut run)
            };
            for event in events {
                effects.extend(executor.step(event));
            }
        }
        panic!("the executor does not end: {executor:#?}");
    }

    /// What was buffered when the state failed is lost.
    fn settle_broken(&mut self, broken: bool) {
        if broken {
            self.journal.crash(&mut self.rng);
        }
    }

    /// The program is gone; providers that were at work may still have had their effect.
    fn crash(&mut self, run: Run) {
        for (op, call) in run.calls {
            let behaviour = if self.rng.one_in(2) { Behaviour::DiesAfter } else { Behaviour::DiesBefore };
            self.world.call(op, &call, behaviour);
        }
        self.journal.crash(&mut self.rng);
    }

    fn take_effect(&mut self, effect: ApplyEffect, evaluator: &mut Evaluator, run: &mut Run, parallelism: usize) {
        match effect {
            ApplyEffect::BeginPhase(outputs) => evaluator.begin_phase(outputs),
            ApplyEffect::Evaluate(members) => evaluator.want(members),
            ApplyEffect::Publish { member, outputs } => evaluator.publish(member, outputs),
            ApplyEffect::Pending(_) | ApplyEffect::Fail { .. } => evaluator.told(),
            ApplyEffect::Propose { member, declaration, prior, .. } => {
                let result = Ok(World::propose(&declaration, prior.as_deref()));
                run.proposals.push(ApplyEvent::Proposed { member, result });
            }
            ApplyEffect::WriteIntent { op, intent } => {
                let what = match &intent.action {
                    IntentAction::Create => "create",
                    IntentAction::Update => "update",
                    IntentAction::Delete => "delete",
                    IntentAction::DeleteDeposed(_) => "delete-deposed",
                };
                run.members.insert(op, (intent.member.clone(), what.to_owned()));
                assert!(!run.state_broken, "an intent is written to a state that failed");
                self.journal.write_intent(op, *intent);
                self.ask_no_more_than(parallelism, run);
            }
            ApplyEffect::WriteResult { op, member, change } => {
                if !run.state_broken {
                    self.leave_alone(&member, &change);
                    self.journal.write_result(op, &member, *change);
                }
            }
            ApplyEffect::Call { op, call } => {
                let written = self.journal.buffer.iter().all(|(_, w)| *w != Written::Intent(op));
                assert!(written, "a provider is called before its intent is durable");
                run.calls.insert(op, *call);
                assert!(run.calls.len() + run.answers.len() <= parallelism, "more calls at once than allowed");
            }
            ApplyEffect::Timer { op, .. } => run.timers.push(op),
            ApplyEffect::KillCalls => {
                for (op, call) in std::mem::take(&mut run.calls) {
                    let behaviour = if self.rng.one_in(2) { Behaviour::DiesAfter } else { Behaviour::DiesBefore };
                    run.answers.insert(op, self.world.call(op, &call, behaviour));
                }
                run.answers.values_mut().for_each(|a| *a = lost());
            }
            ApplyEffect::Report(report) => self.reports.push(report),
            ApplyEffect::Finished(summary) => {
                assert!(run.finished.is_none(), "finished twice");
                run.finished = Some(*summary);
            }
        }
    }

    /// What is kept may be in the world when nothing knows of it any more.
    fn leave_alone(&mut self, member: &MemberPath, change: &RecordChange) {
        let Some(record) = self.journal.view.record(member).filter(|_| *change == RecordChange::Forgotten) else {
            return;
        };
        if record.keep || self.keeps(member) {
            self.left_alone.extend(World::name_of(record));
        }
    }

    /// Whether the deployment says that the member's object is never deleted.
    pub fn keeps(&self, member: &MemberPath) -> bool {
        let item = member.parent().and_then(|p| self.deployment.resource(&p)).filter(|r| r.each.is_some());
        let declared = self.deployment.resource(member).or(item);
        declared.is_some_and(|r| r.flags.iter().any(|(flag, _)| flag == "keep"))
    }

    /// A crash leaves no more questions to the operator than there may be calls at once; what was lost before is one already.
    fn ask_no_more_than(&self, parallelism: usize, run: &Run) {
        let asks = |i: &&freehold_state::Intent| {
            let op = i.op.parse().unwrap();
            let is_own = run.members.contains_key(&op) && !run.lost.contains(&op);
            is_own && i.action == freehold_state::Action::Create && facts(&i.type_name).recovery.may_ask()
        };
        let open = self.journal.view.intents().into_iter().filter(asks).count();
        assert!(open <= parallelism, "{open} creates are open that an operator would have to look into");
    }

    fn happen(&mut self, todo: &Todo, evaluator: &mut Evaluator, run: &mut Run) -> Vec<ApplyEvent> {
        match todo {
            Todo::Hear => evaluator.hear().map(apply_event).into_iter().collect(),
            Todo::Evaluate => {
                evaluator.work(&mut self.rng);
                Vec::new()
            }
            Todo::Sync => {
                let all = self.journal.buffer.len();
                let count = if self.calm { all } else { 1 + self.rng.below(all) };
                let told = self.journal.sync(count);
                told.into_iter()
                    .map(|written| match written {
                        Written::Intent(op) => ApplyEvent::IntentDurable { op },
                        Written::Result(op) => ApplyEvent::ResultDurable { op },
                    })
                    .collect()
            }
            Todo::Effect(op) => {
                let call = run.calls.remove(op).unwrap();
                let (member, what) = run.members[op].clone();
                let behaviour = self.behaviour(&member, &what, &call);
                check::ignored_stays(&member, &call);
                check::kept_stays(&member, &what, &call, self, run.destroy);
                if self.strict_order {
                    let declared = !run.destroy && self.declares(&member);
                    check::order(&member, &what, &call, self, declared);
                }
                self.calls.push(format!("{what} {member}"));
                let mut outcome = self.world.call(*op, &call, behaviour);
                let mut told = Vec::new();
                if let (Behaviour::TellsThenFails | Behaviour::TellsThenBusy, Outcome::Failed { partial, .. }) =
                    (behaviour, &mut outcome)
                    && let Some((outputs, private)) = partial.take()
                {
                    told.push(ApplyEvent::Partial { op: *op, outputs, private });
                }
                run.answers.insert(*op, outcome);
                told
            }
            Todo::Answer(op) => {
                let outcome = run.answers.remove(op).unwrap();
                if matches!(outcome, Outcome::Lost { .. }) {
                    run.lost.insert(*op);
                }
                vec![ApplyEvent::Called { op: *op, outcome }]
            }
            Todo::Timer(op) => {
                run.timers.retain(|t| t != op);
                vec![ApplyEvent::TimerFired { op: *op }]
            }
            Todo::Propose(index) => vec![run.proposals.remove(*index)],
        }
    }

    /// Whether the deployment has this member, or may have it.
    pub fn declares(&self, member: &MemberPath) -> bool {
        let composite = member.parent().and_then(|p| self.deployment.resource(&p)).is_some_and(|r| r.each.is_some());
        composite || self.deployment.resource(member).is_some()
    }

    fn behaviour(&mut self, member: &MemberPath, what: &str, call: &Call) -> Behaviour {
        let what = what.split('-').next().unwrap_or(what);
        if let Some(fault) = self.faults.iter_mut().find(|f| f.0 == *member && f.1 == what && f.3 > 0) {
            fault.3 -= 1;
            return fault.2;
        }
        match self.chaos {
            Some(n) if self.rng.one_in(n) => {
                let bad = *self.rng.pick(&Behaviour::BAD);
                // A provider that made an object without a name and denies it lies; nothing helps against that.
                let deletes = matches!(call, Call::Delete { .. });
                if deletes && !matches!(bad, Behaviour::DiesBefore | Behaviour::DiesAfter | Behaviour::Busy) {
                    Behaviour::FailsBefore
                } else {
                    bad
                }
            }
            _ => Behaviour::Well,
        }
    }

    /// What the operator does about interrupted creates that no provider can look into: adopts the object, if there is one.
    pub fn answer_questions(&mut self) {
        let intents: Vec<_> = self.journal.view.intents().into_iter().cloned().collect();
        for intent in intents {
            let asks = match facts(&intent.type_name).recovery {
                Recovery::Ask => true,
                // What is declared is made again.
                Recovery::Again => !self.is_declared_as(&intent),
                Recovery::Read | Recovery::InRecord => false,
            };
            if intent.action != freehold_state::Action::Create || !asks {
                continue;
            }
            let made = self.world.made_by(intent.op.parse().unwrap()).map(|(name, _)| name.clone());
            let adopted = made.map(|name| self.adopted(&name, &intent));
            self.journal.resolve(&intent.op, adopted);
        }
    }

    fn is_declared_as(&self, intent: &freehold_state::Intent) -> bool {
        let declared = self.deployment.resource(&intent.member).filter(|r| r.each.is_none());
        let path = |r: &super::deployment::Resource| r.inputs.get("path")?.eval(None, &mut |_| None).ok();
        declared.is_some_and(|r| r.type_name == intent.type_name && path(r).as_ref() == intent.inputs.get("path"))
    }

    fn adopted(&self, name: &str, intent: &freehold_state::Intent) -> Record {
        let prior = self.journal.view.record(&intent.member).cloned();
        let mut outputs = intent.inputs.clone();
        outputs.insert("id".into(), name.into());
        let mut deposed = Vec::new();
        if let Some(mut old) = prior {
            deposed = std::mem::take(&mut old.deposed);
            deposed.push(freehold_model::Deposed { key: format!("{}-old", intent.op), record: Box::new(old) });
        }
        let mut record = Record {
            provider: intent.provider.clone(),
            type_name: intent.type_name.clone(),
            inputs: intent.inputs.clone(),
            outputs,
            private: None,
            edges: [].into(),
            interval: freehold_model::Interval::default(),
            status: freehold_model::Status::Ok,
            deposed,
            protect: false,
            keep: false,
            create_before_destroy: false,
            replace_when: None,
            holder: None,
        };
        if let freehold_plan::Observation::Object { outputs, .. } = self.world.read(&record) {
            record.outputs = outputs;
        }
        record
    }
}

fn todos(evaluator: &Evaluator, run: &Run, unsynced: bool) -> Vec<Todo> {
    let mut todos = Vec::new();
    if !evaluator.said.is_empty() {
        todos.push(Todo::Hear);
    } else if evaluator.can_work() {
        todos.push(Todo::Evaluate);
    }
    todos.extend((unsynced && !run.state_broken).then_some(Todo::Sync));
    todos.extend((0..run.proposals.len()).map(Todo::Propose));
    todos.extend(run.calls.keys().map(|op| Todo::Effect(*op)));
    todos.extend(run.answers.keys().map(|op| Todo::Answer(*op)));
    todos.extend(run.timers.iter().map(|op| Todo::Timer(*op)));
    todos
}

fn plan_event(front: Front) -> PlanEvent {
    match front {
        Front::Structure { member, structure } => PlanEvent::Structure { member, structure },
        Front::Declared { member, declaration, edges, facts } => {
            PlanEvent::Declared { member, declaration, edges, facts }
        }
        Front::Waiting { member, partial, needs } => PlanEvent::Waiting { member, partial, needs },
        Front::Failed { member, message } => PlanEvent::EvalFailed { member, message, hint: None },
        Front::Quiet { .. } => PlanEvent::Quiet,
    }
}

fn apply_event(front: Front) -> ApplyEvent {
    match front {
        Front::Structure { member, structure } => ApplyEvent::Structure { member, structure },
        Front::Declared { member, declaration, edges, facts } => {
            ApplyEvent::Evaluated { member, declaration, edges, facts }
        }
        Front::Waiting { member, needs, .. } => ApplyEvent::Waiting { member, needs },
        Front::Failed { member, message } => {
            ApplyEvent::EvalFailed { member, failure: failure(ErrorKind::User, &message) }
        }
        Front::Quiet { .. } => ApplyEvent::Quiet,
    }
}

/// Texts of problems, for asserting that there are none.
pub fn problem_texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{}: {}", p.member, p.message)).collect()
}
