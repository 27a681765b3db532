//! Driving the planner: evaluations, looks at the world and questions to providers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use freehold_model::{Declaration, ErrorKind, MemberPath, Record, Sensitive, limits};
use freehold_plan::{
    Action, Mode, Observation, OpenIntent, Plan, PlanEffect, PlanEvent, PlanOptions, Planner, Problem, Proposal,
    ProposedAction,
};
use freehold_protocol::v1::PlanAction;
use freehold_provider::{Call, CallError, CallEvent, Object, Reply};
use freehold_state::StateError;

use crate::catalog::{Catalog, Known, call_failure, internal};
use crate::engine::Engine;
use crate::front::Front;
use crate::mail::{Mail, Question};
use crate::{EngineError, Note};

impl Engine {
    pub(crate) fn run_planner(&mut self, options: PlanOptions) -> Result<Plan, EngineError> {
        let mut plan = self.plan_steps(options)?;
        self.refuse_unreadable(&mut plan);
        self.refuse_to_lose_records(&mut plan);
        self.refuse_locked(&mut plan);
        Ok(plan)
    }

    /// Where secrets of a record cannot be read, it cannot be told whether something differs: that is a problem and not a change.
    fn refuse_locked(&self, plan: &mut Plan) {
        let locked: BTreeSet<MemberPath> = self.stores().flat_map(|store| store.view().locked().clone()).collect();
        if locked.is_empty() {
            return;
        }
        let mut needed: BTreeSet<MemberPath> = BTreeSet::new();
        plan.steps.retain(|step| {
            let rests_on: Vec<&MemberPath> =
                step.edges.iter().chain([&step.member]).filter(|m| locked.contains(*m)).collect();
            let is_told = rests_on.is_empty() || matches!(step.action, Action::None | Action::Forget);
            if !is_told {
                needed.extend(rests_on.into_iter().cloned());
            }
            is_told
        });
        let asked: Vec<MemberPath> = plan.problems.iter().map(|p| p.member.clone()).collect();
        needed.extend(asked.into_iter().filter(|m| locked.contains(m)));
        needed.extend(plan.drift.iter().filter(|d| locked.contains(&d.member)).map(|d| d.member.clone()));
        plan.drift.retain(|d| !locked.contains(&d.member));
        plan.problems.retain(|p| !locked.contains(&p.member));
        plan.problems.extend(needed.into_iter().map(|member| {
            let error = StateError::Locked { member: member.to_string() };
            Problem { message: error.to_string(), hint: error.hint(), member }
        }));
    }

    fn plan_steps(&mut self, options: PlanOptions) -> Result<Plan, EngineError> {
        let evaluates = options.mode == Mode::Normal;
        let everything = options.targets.is_empty() && options.excludes.is_empty();
        self.open_recorded_holders();
        let mut planner = Planner::new(options, self.records(), self.open_intents());
        if evaluates && self.evaluator.is_some() {
            self.tell_phase(BTreeMap::new())?;
        }
        let mut questions = Questions { everything, ..Questions::default() };
        let mut effects: VecDeque<PlanEffect> = planner.start().into();
        loop {
            if let Some(plan) = self.plan_effects(&mut effects, &mut planner, &mut questions)? {
                return Ok(plan);
            }
            let Some(mail) = self.receive(None) else { continue };
            for event in self.plan_mail(mail, &mut planner, &mut questions)? {
                if matches!(event, PlanEvent::Quiet) && !self.is_quiet() {
                    continue;
                }
                effects.extend(planner.step(event));
                // Carried out at once: what the evaluator is told decides whether it is still quiet.
                if let Some(plan) = self.plan_effects(&mut effects, &mut planner, &mut questions)? {
                    return Ok(plan);
                }
            }
        }
    }

    /// Carries out what the planner asks for, and what it asks for thereupon.
    fn plan_effects(
        &mut self,
        effects: &mut VecDeque<PlanEffect>,
        planner: &mut Planner,
        questions: &mut Questions,
    ) -> Result<Option<Plan>, EngineError> {
        while let Some(effect) = effects.pop_front() {
            match effect {
                PlanEffect::Finished(plan) => return Ok(Some(*plan)),
                other => effects.extend(self.plan_effect(other, planner, questions)?),
            }
        }
        Ok(None)
    }

    /// Operations that were begun and of which no end is recorded, with their members.
    fn open_intents(&self) -> Vec<(MemberPath, OpenIntent)> {
        use freehold_state::Action as Begun;
        let intents = self.intents();
        let of_objects = intents.into_iter().filter(|i| i.deposed.is_none() && i.action != Begun::Run);
        of_objects
            .map(|intent| {
                let action = match intent.action {
                    Begun::Create => Action::Create,
                    Begun::Update | Begun::Run => Action::Update,
                    Begun::Delete => Action::Delete,
                };
                let open = OpenIntent {
                    op: intent.op.clone(),
                    began: intent.since,
                    action,
                    provider: Some(intent.provider.clone()),
                    type_name: intent.type_name.clone(),
                    inputs: intent.inputs.clone(),
                    partial: intent.partial.as_ref().map(|p| p.outputs.clone()),
                };
                (intent.member.clone(), open)
            })
            .collect()
    }

    fn plan_effect(
        &mut self,
        effect: PlanEffect,
        planner: &mut Planner,
        questions: &mut Questions,
    ) -> Result<Vec<PlanEffect>, EngineError> {
        match effect {
            PlanEffect::Evaluate(members) if questions.everything && members == [MemberPath::root()] => {
                self.tell_want_all()?;
            }
            PlanEffect::Evaluate(members) => self.tell_want(members)?,
            PlanEffect::Publish { member, outputs } => self.tell_publish(member, outputs)?,
            PlanEffect::Fail { member } => self.tell_fail(member)?,
            PlanEffect::Describe { member, record } => {
                self.ask_schema(&record.provider.provider);
                questions.describing.push((member, record));
                let answered = self.settle_descriptions(questions);
                return Ok(answered.into_iter().flat_map(|e| planner.step(e)).collect());
            }
            PlanEffect::Read { member, record } => {
                questions.total_reads += 1;
                questions.waiting.push_back((member, Asked::Read(record)));
            }
            PlanEffect::Propose { member, declaration, prior, replace } => {
                questions.waiting.push_back((member, Asked::Propose { declaration, prior, replace }));
            }
            PlanEffect::Finished(_) => {}
        }
        let refused = self.ask_waiting(questions);
        Ok(refused.into_iter().flat_map(|e| planner.step(e)).collect())
    }

    /// Sends questions as long as there is room; those that cannot even be asked are answered at once.
    fn ask_waiting(&mut self, questions: &mut Questions) -> Vec<PlanEvent> {
        let mut refused = Vec::new();
        while questions.running < limits::QUESTIONS_AT_ONCE {
            let Some((member, asked)) = questions.waiting.pop_front() else { break };
            if let Some(event) = self.answer_without_secrets(&member, &asked) {
                refused.push(event);
                continue;
            }
            match self.ask(&member, &asked) {
                Ok(()) => questions.running += 1,
                Err(failure) => {
                    let problem = Problem { member: member.clone(), message: failure.message, hint: failure.hint };
                    refused.push(match asked {
                        Asked::Read(_) => PlanEvent::Observed { member, result: Err(problem) },
                        Asked::Propose { .. } => PlanEvent::Proposed { member, result: Err(vec![problem]) },
                    });
                }
            }
        }
        refused
    }

    /// Where a credential is not at hand nobody can be asked: what is recorded counts as it is. A change needs it all the same.
    fn answer_without_secrets(&mut self, member: &MemberPath, asked: &Asked) -> Option<PlanEvent> {
        let (Asked::Read(record) | Asked::Propose { prior: Some(record), .. }) = asked else { return None };
        let why = self.catalog.lacks(&record.inputs)?;
        let member = member.clone();
        let event = match asked {
            Asked::Read(_) => {
                let outputs = record.outputs.clone();
                let result = Ok(Observation::Object { inputs: None, outputs, private: None });
                PlanEvent::Observed { member: member.clone(), result }
            }
            Asked::Propose { declaration, replace: false, .. } if declaration.inputs == record.inputs => {
                let outputs = record.outputs.clone();
                let proposal = Proposal { action: ProposedAction::None, outputs, reasons: Vec::new() };
                PlanEvent::Proposed { member: member.clone(), result: Ok(proposal) }
            }
            Asked::Propose { .. } => return None,
        };
        if self.catalog.is_news(&member, &why) {
            let text = format!("`{member}` is not looked at: {why}");
            self.observer.note(Note::Warning { text });
        }
        Some(event)
    }

    fn ask(&mut self, member: &MemberPath, asked: &Asked) -> Result<(), freehold_apply::Failure> {
        let (sender, whose) = (self.sender.clone(), member.clone());
        let answer = move |question, result: Result<Reply, CallError>| {
            let result = result.map_err(Box::new);
            // Nobody listens any more when the engine is gone.
            let _ = sender.send(Mail::Answer { member: whose.clone(), question, result });
        };
        match asked {
            Asked::Propose { declaration, prior, replace } => {
                let answer = move |result| answer(Question::Propose, result);
                self.ask_plan(member, declaration, prior.as_deref(), *replace, answer)
            }
            Asked::Read(record) => {
                let provider = &record.provider.provider;
                let object = self.object_of(record)?;
                let launch = self.catalog.launch(provider)?;
                let call = Call::Read { type_name: record.type_name.clone(), object };
                let answer = move |event| {
                    if let CallEvent::Done(result) = event {
                        answer(Question::Read, result)
                    }
                };
                self.submit(provider, &launch, call, member, Box::new(answer));
                Ok(())
            }
        }
    }

    pub(crate) fn plan_call(
        &self,
        declaration: &Declaration,
        prior: Option<&Record>,
        replace: bool,
    ) -> Result<Call, freehold_apply::Failure> {
        Ok(Call::Plan {
            type_name: declaration.type_name.clone(),
            prior: prior.map(|r| self.former_object_of(r)).transpose()?,
            inputs: self.catalog.resolve_inputs(&declaration.inputs)?,
            replace,
        })
    }

    /// A record as its provider wants it.
    pub(crate) fn object_of(&self, record: &Record) -> Result<Object, freehold_apply::Failure> {
        Ok(Object {
            inputs: self.catalog.resolve_inputs(&record.inputs)?,
            outputs: record.outputs.clone(),
            private: record.private.clone(),
        })
    }

    /// A record as its provider wants it to delete the object: a secret that cannot be had any more is left out.
    pub(crate) fn last_object_of(&self, record: &Record) -> Object {
        let inputs = record.inputs.iter().filter_map(|(name, value)| {
            let one = [(name.clone(), value.clone())].into();
            self.catalog.resolve_inputs(&one).ok()?.pop_first()
        });
        Object { inputs: inputs.collect(), outputs: record.outputs.clone(), private: record.private.clone() }
    }

    /// The same for a comparison with what is declared.
    fn former_object_of(&self, record: &Record) -> Result<Object, freehold_apply::Failure> {
        Ok(Object { inputs: self.catalog.former_inputs(&record.inputs)?, ..self.object_of(record)? })
    }

    fn plan_mail(
        &mut self,
        mail: Mail,
        planner: &mut Planner,
        questions: &mut Questions,
    ) -> Result<Vec<PlanEvent>, EngineError> {
        let mail = match self.fronts_of(mail) {
            Ok(fronts) => {
                let (fronts, records) = self.through_holders(fronts?);
                planner.add_records(records);
                let mut events: Vec<PlanEvent> = fronts.into_iter().map(plan_event).collect();
                events.extend(self.settle_descriptions(questions));
                return Ok(events);
            }
            Err(mail) => *mail,
        };
        match mail {
            Mail::Answer { member, question, result } => {
                questions.running -= 1;
                if question == Question::Read {
                    questions.reads += 1;
                    self.observer.note(Note::Reading { done: questions.reads, total: questions.total_reads });
                }
                let mut events = vec![self.answer(member, question, result)];
                events.extend(self.ask_waiting(questions));
                Ok(events)
            }
            Mail::Interrupt { .. } => Err(EngineError::Interrupted),
            _ => Ok(Vec::new()),
        }
    }

    fn answer(&self, member: MemberPath, question: Question, result: Result<Reply, Box<CallError>>) -> PlanEvent {
        match question {
            Question::Read => PlanEvent::Observed { result: self.observation(&member, result), member },
            Question::Propose => PlanEvent::Proposed { result: self.proposal(&member, result), member },
        }
    }

    /// What a read showed, with secrets marked as they were recorded.
    fn observation(&self, member: &MemberPath, result: Result<Reply, Box<CallError>>) -> Result<Observation, Problem> {
        match result {
            Ok(Reply::Gone) => Ok(Observation::Gone),
            Ok(Reply::Object { outputs, private, inputs }) => {
                let recorded = self.home(member).view().record(member);
                let inputs = inputs.map(|found| keep_sources(found, recorded));
                Ok(Observation::Object { inputs, outputs, private })
            }
            Ok(_) => Err(problem(member, internal("a read was answered with something else"))),
            Err(error) => Err(problem(member, call_failure(&error))),
        }
    }

    pub(crate) fn proposal(
        &self,
        member: &MemberPath,
        result: Result<Reply, Box<CallError>>,
    ) -> Result<Proposal, Vec<Problem>> {
        match result {
            Ok(Reply::Plan { action, planned_outputs, reasons, .. }) => {
                let action = match action {
                    PlanAction::None => ProposedAction::None,
                    PlanAction::Update => ProposedAction::Update,
                    PlanAction::Replace => ProposedAction::Replace,
                };
                Ok(Proposal { action, outputs: planned_outputs, reasons })
            }
            Ok(_) => Err(vec![problem(member, internal("a plan was asked for and something else came"))]),
            Err(error) if !error.diagnostics().is_empty() => Err(error
                .diagnostics()
                .iter()
                .map(|d| Problem {
                    member: member.clone(),
                    message: input_message(&d.pointer.to_string(), &d.message),
                    hint: d.hint.clone().or_else(|| error.hint()),
                })
                .collect()),
            Err(error) => Err(vec![problem(member, call_failure(&error))]),
        }
    }

    /// Recorded types whose provider has answered by now.
    fn settle_descriptions(&mut self, questions: &mut Questions) -> Vec<PlanEvent> {
        let mut events = Vec::new();
        let mut open = Vec::new();
        for (member, record) in std::mem::take(&mut questions.describing) {
            let provider = &record.provider.provider;
            let result = match self.catalog.get(&Catalog::key(provider)) {
                Some(Known::Asked) | None => {
                    open.push((member, record));
                    continue;
                }
                Some(Known::Failed(failure)) => Err(failure.clone()),
                Some(Known::Schema(_)) => self.catalog.facts(provider, &record.type_name),
            };
            let result = result.map_err(|failure| problem(&member, failure));
            events.push(PlanEvent::Described { member, result });
        }
        questions.describing = open;
        events
    }
}

/// Questions to providers that are not answered yet.
#[derive(Default)]
struct Questions {
    /// The plan is for the whole deployment.
    everything: bool,
    waiting: VecDeque<(MemberPath, Asked)>,
    running: usize,
    describing: Vec<(MemberPath, Arc<Record>)>,
    reads: usize,
    total_reads: usize,
}

enum Asked {
    Read(Arc<Record>),
    Propose { declaration: Box<Declaration>, prior: Option<Arc<Record>>, replace: bool },
}

fn plan_event(front: Front) -> PlanEvent {
    match front {
        Front::Structure { member, structure } => PlanEvent::Structure { member, structure },
        Front::Declared { member, declaration, edges, facts } => {
            PlanEvent::Declared { member, declaration, edges, facts }
        }
        Front::Waiting { member, partial, needs } => PlanEvent::Waiting { member, partial, needs },
        Front::Failed { member, failure } => {
            PlanEvent::EvalFailed { member, message: failure.message, hint: failure.hint }
        }
        Front::Quiet => PlanEvent::Quiet,
    }
}

fn problem(member: &MemberPath, failure: freehold_apply::Failure) -> Problem {
    let message = match failure.kind {
        ErrorKind::Transient => format!("{} (trying again may help)", failure.message),
        _ => failure.message,
    };
    Problem { member: member.clone(), message, hint: failure.hint }
}

fn input_message(pointer: &str, message: &str) -> String {
    if pointer.is_empty() { message.to_owned() } else { format!("input `{pointer}`: {message}") }
}

/// What was found, with secrets where the record has secrets, and with a credential's source where the record names one.
fn keep_sources(mut found: freehold_model::Attrs, recorded: Option<&Record>) -> freehold_model::Attrs {
    let Some(record) = recorded else { return found };
    for (name, was) in &record.inputs {
        let Some(now) = found.get_mut(name) else { continue };
        if freehold_provider::credentials::has_sources(was) {
            now.clone_from(was);
        } else if was.has_sensitive() && !now.has_sensitive() {
            *now = freehold_model::Value::Sensitive(Sensitive::new(Box::new(now.clone())));
        }
    }
    found
}
