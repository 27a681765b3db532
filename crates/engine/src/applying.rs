//! Driving the executor: intents and results through the state log, calls through the provider pool, timers by the clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use freehold_apply::{
    ApplyEffect, ApplyEvent, ApplySummary, Call as Wanted, Executor, Failure, Outcome, RecordChange, Report, Skip,
};
use freehold_model::{MemberPath, ProviderRef};
use freehold_plan::{Action, Plan};
use freehold_protocol::events::{self, Event};
use freehold_provider::{Call, CallError, CallEvent, CallId, Reply};
use freehold_state::{Event as StateEvent, NewEvent, Partial, StateError};

use crate::EngineError;
use crate::catalog::{call_failure, internal};
use crate::engine::Engine;
use crate::front::Front;
use crate::holders::{name_before, state_failure};
use crate::mail::{Mail, Question, Written};

impl Engine {
    /// Follows a plan to its end. The lock is held.
    pub(crate) fn execute(&mut self, plan: &Plan) -> Result<ApplySummary, EngineError> {
        let command = self.options.command.clone();
        self.note_event(StateEvent::ApplyStarted { command })?;
        self.close_runs()?;
        self.adopt_documented(plan)?;
        self.follow_all();
        let first_op = self.next_op();
        let mut run = Run::default();
        for step in &plan.steps {
            let holder = match &step.declaration {
                Some(declaration) => declaration.holder.clone(),
                // Where its record is; what that says of its holder may be an old name.
                None => self.holders.held_by.get(name_before(&plan.moves, &step.member)).cloned(),
            };
            run.holder_of.extend(holder.map(|h| (step.member.clone(), h)));
        }
        let mut executor = Executor::new(plan.clone(), self.records(), self.options.parallelism, first_op);
        let mut effects: VecDeque<ApplyEffect> = executor.start().into();
        let mut summary = 'run: loop {
            if let Some(summary) = self.apply_effects(&mut effects, &mut executor, &mut run)? {
                break summary;
            }
            let due = run.timers.peek().map(|Reverse((at, _))| *at);
            let events = match self.receive(due) {
                Some(mail) => self.apply_mail(mail, &mut run)?,
                None => run.fire_timers(),
            };
            for event in events {
                if matches!(event, ApplyEvent::Quiet) && !self.is_quiet() {
                    continue;
                }
                effects.extend(executor.step(event));
                // Carried out at once: what the evaluator is told decides whether it is still quiet.
                if let Some(summary) = self.apply_effects(&mut effects, &mut executor, &mut run)? {
                    break 'run summary;
                }
            }
        };
        // What was done is told whatever happens now.
        if let Err(error) = self.check_afterwards(&mut summary, &plan.options) {
            self.add_failure(&mut summary, &error);
        }
        // A full disk or an evaluator that is gone stops it too; how the command ends says whether the operator did.
        summary.interrupted &= self.interrupts.load(Ordering::SeqCst) > 0;
        if let Err(error) = self.note_event(StateEvent::ApplyEnded { summary: summary_json(&summary) }) {
            self.add_failure(&mut summary, &error);
        }
        Ok(summary)
    }

    /// Carries out what the executor asks for, and what it asks for thereupon.
    fn apply_effects(
        &mut self,
        effects: &mut VecDeque<ApplyEffect>,
        executor: &mut Executor,
        run: &mut Run,
    ) -> Result<Option<ApplySummary>, EngineError> {
        while let Some(effect) = effects.pop_front() {
            if let ApplyEffect::Finished(summary) = effect {
                return Ok(Some(*summary));
            }
            for event in self.apply_effect(effect, run)? {
                effects.extend(executor.step(event));
            }
        }
        Ok(None)
    }

    fn apply_effect(&mut self, effect: ApplyEffect, run: &mut Run) -> Result<Vec<ApplyEvent>, EngineError> {
        match effect {
            ApplyEffect::BeginPhase(outputs) => self.tell_phase(outputs)?,
            ApplyEffect::Evaluate(members) => self.tell_want(members)?,
            ApplyEffect::Pending(members) => self.tell_pending(members)?,
            ApplyEffect::Publish { member, outputs } => self.tell_publish(member, outputs)?,
            ApplyEffect::Fail { member } => self.tell_fail(member)?,
            ApplyEffect::Propose { member, declaration, prior, replace } => {
                return Ok(self.propose(member, &declaration, prior.as_deref(), replace));
            }
            ApplyEffect::WriteIntent { op, intent } => {
                self.own_ops.insert(op.to_string());
                let member = intent.member.clone();
                run.members.insert(op, member.clone());
                self.write(op, Written::Intent, &member, run, |engine| engine.intent_events(op, *intent));
            }
            ApplyEffect::WriteResult { op, member, change } => {
                let change = match *change {
                    RecordChange::Moved(moves) => match self.move_held(moves) {
                        Ok(own) if own.is_empty() => return Ok(vec![ApplyEvent::ResultDurable { op }]),
                        Ok(own) => Box::new(RecordChange::Moved(own)),
                        Err(error) => return Ok(self.state_failed(&error, run)),
                    },
                    change => Box::new(change),
                };
                if matches!(*change, RecordChange::Recorded(_)) {
                    run.outputs_shown.insert(member.clone());
                }
                self.write(op, Written::Result, &member, run, |engine| engine.result_events(op, &member, *change));
            }
            ApplyEffect::Call { op, call } => return Ok(self.call(op, *call, run)),
            ApplyEffect::Timer { op, after } => {
                // A quarter of jitter, so that what failed together does not come back together.
                let jitter = after.mul_f64(f64::from(u32::try_from(op % 16).unwrap_or_default()) / 64.0);
                run.timers.push(Reverse((Instant::now() + after + jitter, op)));
            }
            ApplyEffect::KillCalls => self.pool.kill_all(),
            ApplyEffect::Report(report) => self.report(report, run),
            ApplyEffect::Finished(_) => {}
        }
        Ok(Vec::new())
    }

    fn write(
        &mut self,
        op: u64,
        what: Written,
        member: &MemberPath,
        run: &Run,
        events: impl FnOnce(&Self) -> Vec<NewEvent>,
    ) {
        let sender = self.sender.clone();
        // Nobody listens any more when the engine is gone.
        let done = Box::new(move |result| drop(sender.send(Mail::Durable { op, what, result })));
        self.append_at_home(member, run.holder_of.get(member), events, done);
    }

    fn propose(
        &mut self,
        member: MemberPath,
        declaration: &freehold_model::Declaration,
        prior: Option<&freehold_model::Record>,
        replace: bool,
    ) -> Vec<ApplyEvent> {
        let (sender, whose) = (self.sender.clone(), member.clone());
        let answer = move |result: Result<Reply, CallError>| {
            let result = result.map_err(Box::new);
            // Nobody listens any more when the engine is gone.
            let _ = sender.send(Mail::Answer { member: whose.clone(), question: Question::Propose, result });
        };
        match self.ask_plan(&member, declaration, prior, replace, answer) {
            Ok(()) => Vec::new(),
            Err(failure) => {
                let problem =
                    freehold_plan::Problem { member: member.clone(), message: failure.message, hint: failure.hint };
                vec![ApplyEvent::Proposed { member, result: Err(vec![problem]) }]
            }
        }
    }

    /// Calls the provider, after what the inputs need from the Nix store is there.
    fn call(&mut self, op: u64, call: Wanted, run: &mut Run) -> Vec<ApplyEvent> {
        let context: Vec<String> = match &call {
            Wanted::Create { declaration } | Wanted::Update { declaration, .. } => {
                declaration.context.iter().cloned().collect()
            }
            Wanted::Delete { .. } => Vec::new(),
        };
        if context.is_empty() {
            return self.call_provider(op, &call, run);
        }
        run.calls.insert(op, call);
        let (sender, observer, stop) = (self.sender.clone(), Arc::clone(&self.observer), Arc::clone(&self.stop));
        std::thread::spawn(move || {
            let result = crate::recording::realise(&context, &observer, &stop);
            // Nobody listens any more when the engine is gone.
            let _ = sender.send(Mail::Realised { op, result });
        });
        Vec::new()
    }

    fn call_provider(&mut self, op: u64, wanted: &Wanted, run: &mut Run) -> Vec<ApplyEvent> {
        match self.provider_call(wanted) {
            Ok((launch, call)) => {
                let member = run.members.get(&op).cloned().unwrap_or_else(MemberPath::root);
                let sender = self.sender.clone();
                let tell = move |event| drop(sender.send(Mail::Call { op, event }));
                let id = self.submit(provider_of(wanted), &launch, call, &member, Box::new(tell));
                run.running.insert(op, id);
                Vec::new()
            }
            Err(failure) => {
                vec![ApplyEvent::Called { op, outcome: Outcome::Failed { failure, partial: None } }]
            }
        }
    }

    fn provider_call(&self, wanted: &Wanted) -> Result<(freehold_provider::Launch, Call), Failure> {
        let provider = provider_of(wanted);
        let launch = self.catalog.launch(provider)?;
        let v0 = self.catalog.schema(provider).is_some_and(|s| s.protocol == 0);
        let create = |d: &freehold_model::Declaration| -> Result<Call, Failure> {
            Ok(Call::Create {
                type_name: d.type_name.clone(),
                inputs: self.catalog.resolve_inputs(&d.inputs)?,
                stateful: !v0 || d.holder.is_some(),
            })
        };
        let call = match wanted {
            Wanted::Create { declaration } => create(declaration)?,
            // NixOps4 makes stateless resources anew: they have no update.
            Wanted::Update { declaration, .. } if v0 && declaration.holder.is_none() => create(declaration)?,
            Wanted::Update { declaration, prior } => Call::Update {
                type_name: declaration.type_name.clone(),
                prior: self.object_of(prior)?,
                inputs: self.catalog.resolve_inputs(&declaration.inputs)?,
            },
            Wanted::Delete { prior } => {
                Call::Delete { type_name: prior.type_name.clone(), object: self.last_object_of(prior) }
            }
        };
        Ok((launch, call))
    }

    fn apply_mail(&mut self, mail: Mail, run: &mut Run) -> Result<Vec<ApplyEvent>, EngineError> {
        let mail = match self.fronts_of(mail) {
            Ok(Ok(fronts)) => {
                for front in &fronts {
                    if let Front::Declared { member, declaration, .. } = front {
                        run.holder_of.extend(declaration.holder.clone().map(|h| (member.clone(), h)));
                    }
                }
                return Ok(fronts.into_iter().map(apply_event).collect());
            }
            Ok(Err(error)) => {
                let mut events = vec![evaluation_ended(&error), ApplyEvent::Interrupted { hard: false }];
                events.extend(self.give_up_waiting(run));
                return Ok(events);
            }
            Err(mail) => *mail,
        };
        Ok(match mail {
            Mail::Call { op, event } => self.take_call_event(op, event, run),
            Mail::Realised { op, result } => self.take_realised(op, result, run),
            Mail::Durable { op, what, result } => match (what, result) {
                (Written::Intent, Ok(_)) => vec![ApplyEvent::IntentDurable { op }],
                (Written::Result, Ok(_)) => vec![ApplyEvent::ResultDurable { op }],
                (Written::Note, _) => Vec::new(),
                (_, Err(error)) if run.state_failed => {
                    drop(error);
                    Vec::new()
                }
                (_, Err(error)) => {
                    run.state_failed = true;
                    self.state_failed(&error, run)
                }
            },
            Mail::Answer { member, question: Question::Propose, result } => {
                let result = self.proposal(&member, result);
                vec![ApplyEvent::Proposed { member, result }]
            }
            Mail::Interrupt { hard } => {
                let running = u32::try_from(run.running.len()).unwrap_or(u32::MAX);
                self.observer.event(&Event::Interrupt { count: if hard { 2 } else { 1 }, running });
                let mut events = self.give_up_waiting(run);
                events.insert(0, ApplyEvent::Interrupted { hard });
                events
            }
            Mail::Answer { .. } | Mail::Eval(_) | Mail::Schema { .. } => Vec::new(),
        })
    }

    fn take_realised(&mut self, op: u64, result: Result<(), Failure>, run: &mut Run) -> Vec<ApplyEvent> {
        // One that was given up has been answered.
        let Some(call) = run.calls.remove(&op) else { return Vec::new() };
        let outcome = match result {
            _ if self.stop.load(Ordering::SeqCst) => Outcome::NotBegun,
            Ok(()) => return self.call_provider(op, &call, run),
            Err(failure) => Outcome::Failed { failure, partial: None },
        };
        vec![ApplyEvent::Called { op, outcome }]
    }

    fn state_failed(&self, error: &StateError, run: &mut Run) -> Vec<ApplyEvent> {
        let mut events = vec![ApplyEvent::StateFailed { failure: state_failure(error) }];
        events.extend(self.give_up_waiting(run));
        events
    }

    /// Nothing more may begin: what is still built is not waited for, and calls that wait for it are not made.
    fn give_up_waiting(&self, run: &mut Run) -> Vec<ApplyEvent> {
        self.stop.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut run.calls).into_keys();
        waiting.map(|op| ApplyEvent::Called { op, outcome: Outcome::NotBegun }).collect()
    }

    fn take_call_event(&mut self, op: u64, event: CallEvent, run: &mut Run) -> Vec<ApplyEvent> {
        let member = run.members.get(&op).cloned().unwrap_or_else(MemberPath::root);
        match event {
            CallEvent::Progress { fraction, message } => {
                self.observer.event(&Event::StepProgress { member, fraction, message });
            }
            CallEvent::Log { level, message, fields } => {
                let level = format!("{level:?}").to_lowercase();
                self.observer.event(&Event::StepLog { member, level, message, fields });
            }
            CallEvent::Output { stream, data } => {
                let level = format!("{stream:?}").to_lowercase();
                self.observer.event(&Event::StepLog { member, level, message: data, fields: serde_json::Map::new() });
            }
            CallEvent::Partial { outputs, private } => {
                let partial = Partial { outputs: outputs.clone(), private: private.clone() };
                let event = StateEvent::Partial { member: member.clone(), partial: Box::new(partial) };
                self.write(op, Written::Note, &member, run, |_| vec![NewEvent::of(op.to_string(), event)]);
                return vec![ApplyEvent::Partial { op, outputs, private }];
            }
            CallEvent::Done(result) => {
                run.running.remove(&op);
                return vec![ApplyEvent::Called { op, outcome: outcome(result) }];
            }
        }
        Vec::new()
    }

    fn report(&mut self, report: Report, run: &mut Run) {
        let seconds = |run: &mut Run, member: &MemberPath| {
            run.started.remove(member).map_or(0.0, |t: Instant| t.elapsed().as_secs_f64())
        };
        let event = match report {
            Report::Started { op, member, action, attempt } => {
                run.members.insert(op, member.clone());
                run.started.entry(member.clone()).or_insert_with(Instant::now);
                Event::StepStart { member, action: event_action(action), attempt }
            }
            Report::Done { member, action } => {
                let outputs = run.outputs_shown.remove(&member).then(|| self.shown_outputs(&member)).flatten();
                Event::StepDone { seconds: seconds(run, &member), member, action: event_action(action), outputs }
            }
            Report::Failed { member, action, failure } => Event::StepFailed {
                seconds: seconds(run, &member),
                member,
                action: event_action(action),
                kind: failure.kind,
                message: failure.message,
                hints: failure.hint.into_iter().collect(),
            },
            Report::Retrying { member, failure, after } => Event::StepLog {
                member,
                level: "warn".into(),
                message: format!("{}; trying again in {}", failure.message, in_seconds(after)),
                fields: serde_json::Map::new(),
            },
            Report::Skipped { member, action, why } => {
                let because = match &why {
                    Skip::Needs { member } | Skip::StillUsed { member } => vec![member.clone()],
                    Skip::Waits { .. } | Skip::Interrupted => Vec::new(),
                };
                Event::StepSkipped { member, action: event_action(action), reason: skip_text(&why), because }
            }
            Report::Decided { member, action } => Event::PlanStep {
                member,
                action: event_action(action),
                reasons: vec!["decided now that its inputs are known".into()],
            },
            Report::Stopping => return,
        };
        self.observer.event(&event);
    }

    fn shown_outputs(&self, member: &MemberPath) -> Option<serde_json::Map<String, serde_json::Value>> {
        let record = self.home(member).view().record(member)?;
        match freehold_model::Value::Map(record.outputs.clone()).to_redacted_json() {
            serde_json::Value::Object(map) => Some(map),
            _ => None,
        }
    }
}

/// What is under way.
#[derive(Default)]
struct Run {
    members: BTreeMap<u64, MemberPath>,
    /// Members whose record another member holds.
    holder_of: BTreeMap<MemberPath, MemberPath>,
    /// Calls that wait for what they need from the Nix store.
    calls: BTreeMap<u64, Wanted>,
    running: BTreeMap<u64, CallId>,
    started: BTreeMap<MemberPath, Instant>,
    outputs_shown: std::collections::BTreeSet<MemberPath>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    state_failed: bool,
}

impl Run {
    fn fire_timers(&mut self) -> Vec<ApplyEvent> {
        let now = Instant::now();
        let mut events = Vec::new();
        while let Some(Reverse((at, op))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            events.push(ApplyEvent::TimerFired { op });
        }
        events
    }
}

fn provider_of(wanted: &Wanted) -> &ProviderRef {
    match wanted {
        Wanted::Create { declaration } | Wanted::Update { declaration, .. } => &declaration.provider,
        Wanted::Delete { prior } => &prior.provider.provider,
    }
}

fn apply_event(front: Front) -> ApplyEvent {
    match front {
        Front::Structure { member, structure } => ApplyEvent::Structure { member, structure },
        Front::Declared { member, declaration, edges, facts } => {
            ApplyEvent::Evaluated { member, declaration, edges, facts }
        }
        Front::Waiting { member, needs, .. } => ApplyEvent::Waiting { member, needs },
        Front::Failed { member, failure } => ApplyEvent::EvalFailed { member, failure },
        Front::Quiet => ApplyEvent::Quiet,
    }
}

/// Nothing more can be evaluated: what runs is finished and recorded.
fn evaluation_ended(error: &EngineError) -> ApplyEvent {
    let failure =
        Failure { kind: error.kind(), message: freehold_model::chain(error), hint: error.hints().into_iter().next() };
    ApplyEvent::EvalFailed { member: MemberPath::root(), failure }
}

fn outcome(result: Result<Reply, CallError>) -> Outcome {
    match result {
        Ok(Reply::Object { outputs, private, .. }) => Outcome::Made { outputs, private },
        Ok(Reply::Gone) => Outcome::Deleted,
        Ok(_) => {
            Outcome::Failed { failure: internal("a provider answered something else than it was asked"), partial: None }
        }
        Err(error) if error.is_outcome_unknown() => Outcome::Lost { failure: call_failure(&error) },
        Err(error) => {
            let partial = error.partial().map(|o| (o.outputs.clone(), o.private.clone()));
            Outcome::Failed { failure: call_failure(&error), partial }
        }
    }
}

pub(crate) fn event_action(action: Action) -> events::Action {
    match action {
        Action::Create => events::Action::Create,
        Action::Update => events::Action::Update,
        Action::Replace => events::Action::Replace,
        Action::Delete => events::Action::Delete,
        Action::Read => events::Action::Read,
        Action::Adopt => events::Action::Adopt,
        Action::Forget => events::Action::Forget,
        Action::None => events::Action::None,
    }
}

fn skip_text(why: &Skip) -> String {
    match why {
        Skip::Needs { member } => format!("needs `{member}`"),
        Skip::Waits { needs } if needs.is_empty() => "its inputs did not become known".into(),
        Skip::Waits { needs } => format!("waits for {}", needs.join(", ")),
        Skip::Interrupted => "the run was stopped".into(),
        Skip::StillUsed { member } => format!("`{member}` may still use it"),
    }
}

fn in_seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn summary_json(summary: &ApplySummary) -> serde_json::Value {
    let count = |action| summary.count(action);
    serde_json::json!({
        "created": count(Action::Create),
        "updated": count(Action::Update),
        "replaced": count(Action::Replace),
        "deleted": count(Action::Delete),
        "moved": summary.moved,
        "failed": summary.failed_steps(),
        "skipped": summary.skipped.len(),
        "unknown": summary.unknown.len(),
        "interrupted": summary.interrupted,
        "ok": summary.is_ok(),
        "failures": summary.failed.iter().map(|(m, a, f)| serde_json::json!({
            "member": m, "action": a, "kind": f.kind, "message": f.message,
        })).collect::<Vec<_>>(),
    })
}
