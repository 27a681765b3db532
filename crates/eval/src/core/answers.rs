//! What is made of answers: which are final, which are asked again, and what the engine is told.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use freehold_model::{MemberPath, OutputRef, Value};

use super::Core;
use crate::decode::{self, Extras};
use crate::process::{Process, Reply};
use crate::query::{Answer, Query, State, Verdict};
use crate::wire::{self, Kind, Manner, QueryResult, Question};
use crate::{EvalError, Event};

/// Failures of one phase whose reason is asked for; each takes a Nix of its own.
const EXPLAINED: u32 = 32;
/// How often conditions and operations that fail after an output had been missing are asked again: nothing waits for them.
const EXTRAS_AGAIN: u32 = 4;
/// Nix processes that explain at once.
const EXPLAINERS: usize = 2;

/// Short-lived evaluators that say why something fails.
#[derive(Default)]
pub(super) struct Explaining {
    queue: VecDeque<(u64, Option<String>)>,
    running: HashMap<u64, Explainer>,
    started: u32,
}

struct Explainer {
    at: Option<String>,
    id: u64,
    asked: bool,
    process: Process,
}

impl Explaining {
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.running.is_empty()
    }

    pub(super) fn kill(&mut self) {
        self.running.values().for_each(|explainer| explainer.process.kill());
        *self = Self::default();
    }
}

impl Core {
    /// The engine wants a member, or wants it again.
    pub(super) fn want(&mut self, new: Query) {
        let member = new.member.clone();
        let Some(id) = self.by_member.get(&(member.clone(), Kind::Main)).copied() else {
            let id = self.add(new);
            return self.take_ahead(id);
        };
        if self.query(id).is_none_or(|query| query.state != State::Done) {
            self.changed.insert(id);
            return;
        }
        let extras = self.by_member.get(&(member, Kind::Extras)).copied();
        match extras.and_then(|extras| Some((extras, self.query(extras)?.state.clone()))) {
            Some((extras, State::Unmet | State::Suspect(_))) => self.set_state(extras, State::New),
            Some((_, State::New | State::Asked | State::Tentative)) => {}
            _ => self.announce(id),
        }
    }

    fn add(&mut self, query: Query) -> u64 {
        let id = self.first_id + self.queries.len() as u64;
        self.by_member.insert((query.member.clone(), query.kind), id);
        for hint in &query.hints {
            self.waiters.entry(hint.clone()).or_default().insert(id);
        }
        self.queries.push(query);
        self.set_state(id, State::New);
        id
    }

    pub(super) fn set_state(&mut self, id: u64, state: State) {
        let settled = matches!(state, State::Done | State::Failed);
        // Which part of a member waits matters only for what is shown while planning, and only of members known to wait.
        let (version, planning) = (self.known.version(), !self.known.any_pending());
        let Some(query) = self.query_mut(id) else { return };
        if state == State::Asked {
            query.ask(version, planning && query.state != State::New);
        }
        let suspect = matches!(state, State::Suspect(_));
        query.state = state;
        if suspect {
            self.suspects.insert(id);
        } else {
            self.suspects.remove(&id);
        }
        if settled {
            self.unsettled.remove(&id);
            self.changed.remove(&id);
        } else {
            self.unsettled.insert(id);
            self.changed.insert(id);
        }
        self.reconsider(id);
    }

    /// Something was said of this member's outputs.
    pub(super) fn heard_of(&mut self, member: &MemberPath) {
        self.unpublished.remove(member);
        for id in self.waiters.get(member).cloned().unwrap_or_default() {
            self.reconsider(id);
        }
        let first = OutputRef { member: member.clone(), output: String::new() };
        let suspects_it = |id: &u64| match self.query(*id).map(|query| (&query.state, query.kind)) {
            Some((State::Suspect(suspected), Kind::Main)) => {
                suspected.range(first.clone()..).next().is_some_and(|output| output.member == *member)
            }
            _ => false,
        };
        let woken: Vec<u64> = self.suspects.iter().copied().filter(suspects_it).collect();
        self.ready.extend(woken);
    }

    /// Whether a query can be asked now.
    pub(super) fn reconsider(&mut self, id: u64) {
        let Some(query) = self.query(id) else { return };
        let main = query.kind == Kind::Main;
        let ready = match &query.state {
            State::New => !query.held || query.hints.iter().all(|hint| self.known.is_settled(hint)),
            State::Tentative => true,
            State::Unmet => main && query.needs.iter().all(|need| self.known.may_help(need, query.version)),
            State::Suspect(suspected) => main && suspected.iter().any(|need| self.known.may_help(need, query.version)),
            State::Asked | State::Explaining | State::Done | State::Failed => false,
        };
        if ready {
            self.ready.insert(id);
        } else {
            self.ready.remove(&id);
        }
    }

    /// A query's answer has arrived.
    /// `missing` are the outputs that had been missing in its generation until then.
    pub(super) fn result(&mut self, id: u64, result: QueryResult, missing: Arc<BTreeSet<OutputRef>>) {
        let outcome = decode::outcome(result, &self.host.nonce, &self.tokens);
        let may_use = self.may_use(id);
        let Some(query) = self.query_mut(id) else { return };
        query.may_use = may_use;
        let verdict = match outcome {
            Ok(outcome) => query.keep(outcome),
            Err(why) => Verdict::Bad { at: None, why },
        };
        query.ended_nix = false;
        let fails = matches!(verdict, Verdict::Fails { .. });
        let again = fails && query.kind == Kind::Extras && query.asked_again < EXTRAS_AGAIN;
        query.asked_again += u32::from(again && !missing.is_empty());
        if !query.needs.is_empty() {
            self.unmet(id);
        } else if missing.is_empty() {
            self.conclude(id, verdict);
        } else if fails && !again || self.tentative.is_spent() {
            self.set_state(id, State::Suspect(missing));
            self.announce_of_extras(id);
        } else {
            self.set_state(id, State::Tentative);
        }
    }

    /// Outputs that the query used before and may have used again, after another had used them in the same generation.
    fn may_use(&self, id: u64) -> BTreeSet<OutputRef> {
        let (Some(query), Some(running)) = (self.query(id), &self.running) else { return BTreeSet::new() };
        let of = |hint: &MemberPath| {
            let first = OutputRef { member: hint.clone(), output: String::new() };
            let hint = hint.clone();
            running.generation.used.range(first..).take_while(move |output| output.member == hint)
        };
        query.hints.iter().flat_map(of).cloned().collect()
    }

    fn unmet(&mut self, id: u64) {
        let needs = self.query(id).map(|query| query.needs.clone()).unwrap_or_default();
        self.wait_for(id, &needs);
        self.set_state(id, State::Unmet);
        self.announce_of_extras(id);
    }

    fn wait_for(&mut self, id: u64, outputs: &BTreeSet<OutputRef>) {
        for output in outputs {
            self.waiters.entry(output.member.clone()).or_default().insert(id);
        }
    }

    /// The answer came in a clean prefix: it is final.
    fn conclude(&mut self, id: u64, verdict: Verdict) {
        match verdict {
            Verdict::Good => self.good(id),
            Verdict::Fails { at } => {
                self.set_state(id, State::Explaining);
                self.explaining.queue.push_back((id, at));
                self.explain_next();
            }
            Verdict::Bad { at, why } => self.failed(id, at, why, None),
        }
    }

    fn good(&mut self, id: u64) {
        self.set_state(id, State::Done);
        let Some(query) = self.query(id) else { return };
        let extras = match &query.answer {
            Some(Answer::Composite { extras, .. } | Answer::Resource { extras, .. }) => *extras,
            Some(Answer::Extras(_)) | None => return self.announce_of_extras(id),
        };
        let member = query.member.clone();
        if !extras {
            self.announce(id);
        } else if !self.by_member.contains_key(&(member.clone(), Kind::Extras)) {
            self.add(Query::new(member, Kind::Extras, BTreeSet::new()));
        }
    }

    /// Extras are as good as they get for now: what they belong to can be told.
    fn announce_of_extras(&mut self, id: u64) {
        let Some(query) = self.query(id).filter(|query| query.kind == Kind::Extras) else { return };
        if let Some(main) = self.by_member.get(&(query.member.clone(), Kind::Main)).copied() {
            self.announce(main);
        }
    }

    /// Tells the engine of a member that is evaluated for good.
    fn announce(&mut self, id: u64) {
        let Some(query) = self.query(id) else { return };
        let member = query.member.clone();
        let extras = self.by_member.get(&(member.clone(), Kind::Extras)).and_then(|id| self.query(*id)?.answer.clone());
        let extras = match extras {
            Some(Answer::Extras(extras)) => extras,
            _ => Extras::default(),
        };
        let edges = query.edges();
        match query.answer.clone() {
            Some(Answer::Composite { mut structure, .. }) => {
                structure.checks = extras.checks;
                (self.events)(Event::Structure { member, structure, edges });
            }
            Some(Answer::Resource { mut declaration, .. }) => {
                declaration.postconditions = extras.postconditions;
                declaration.operations = extras.operations;
                if let Some(store_path) = self.scan.leak(&declaration, &self.tokens) {
                    self.set_state(id, State::Failed);
                    let error = EvalError::SecretInStore { member: member.clone(), store_path };
                    return (self.events)(Event::Failed { member, error });
                }
                if !self.known.is_settled(&member) && !self.known.is_pending(&member) {
                    self.unpublished.insert(member.clone());
                }
                (self.events)(Event::Declared { member, declaration: *declaration, edges });
            }
            Some(Answer::Extras(_)) | None => {}
        }
    }

    fn failed(&mut self, id: u64, at: Option<String>, message: String, hint: Option<String>) {
        self.set_state(id, State::Failed);
        let Some(query) = self.query(id) else { return };
        let member = query.member.clone();
        // An operation or postcondition that is wrong makes its resource wrong.
        if let Some(main) = self.by_member.get(&(member.clone(), Kind::Main)).copied().filter(|main| *main != id) {
            self.set_state(main, State::Failed);
        }
        let message = self.tokens.explained(message);
        let error = EvalError::Member { member: member.clone(), at, message, hint };
        (self.events)(Event::Failed { member, error });
    }

    /// A query ended Nix, with a message.
    pub(super) fn ended_nix(&mut self, id: u64, clean: bool, message: String) {
        let Some(query) = self.query_mut(id) else { return };
        query.answer = None;
        if !query.needs.is_empty() {
            self.unmet(id);
        } else if clean {
            let hint = hint_of(&message).map(str::to_owned);
            self.failed(id, None, message, hint);
        } else {
            query.ended_nix = true;
        }
    }

    /// Tells the engine what a member waits for, unless it knows.
    pub(super) fn tell_waiting(&mut self, id: u64) {
        let Some(query) = self.query(id).filter(|query| query.kind == Kind::Main && !query.held) else { return };
        let (needs, suspected) = match &query.state {
            State::Unmet => (query.needs.clone(), false),
            // It stands still inside Nix.
            State::Asked => (query.needs.iter().cloned().chain(self.waited_for()).collect(), false),
            State::Suspect(suspected) => ((**suspected).clone(), true),
            _ => return,
        };
        if query.told.as_ref() == Some(&(needs.clone(), suspected)) {
            return;
        }
        let mut partial = match &query.answer {
            Some(Answer::Resource { declaration, .. }) => Some((**declaration).clone()),
            _ => None,
        };
        if let Some(declaration) = partial.as_mut().filter(|_| suspected) {
            // Any of them may be a default of something missing.
            declaration.inputs.values_mut().for_each(|value| *value = Value::Unknown);
        }
        let event = Event::Waiting {
            member: query.member.clone(),
            structure: partial.is_none(),
            partial,
            needs: needs.clone(),
            suspected,
        };
        if let Some(query) = self.query_mut(id) {
            query.told = Some((needs, suspected));
        }
        (self.events)(event);
    }

    fn explain_next(&mut self) {
        while self.explaining.running.len() < EXPLAINERS {
            let Some((id, at)) = self.explaining.queue.pop_front() else { return };
            self.explaining.started += 1;
            if self.explaining.started > EXPLAINED {
                let message = format!("it throws (the reason is asked for in the first {EXPLAINED} failures only)");
                self.failed(id, at, message, None);
                continue;
            }
            self.epoch += 1;
            match self.host.explain(self.epoch, id) {
                Ok(process) => {
                    self.explaining.running.insert(self.epoch, Explainer { at, id, asked: false, process });
                }
                Err(error) => self.failed(id, at, error.to_string(), None),
            }
        }
    }

    pub(super) fn explained(&mut self, epoch: u64, id: u64, message: Option<String>) {
        let Some(explainer) = self.explaining.running.remove(&epoch) else { return };
        let message =
            message.unwrap_or_else(|| "it throws among the other members, but not when evaluated alone".to_owned());
        self.failed(id, explainer.at, message, None);
        self.explain_next();
    }

    /// A question of an explaining Nix: it is given everything that is known, and its one query.
    pub(super) fn answer_explainer(&mut self, epoch: u64, question: &Question, reply: Reply) {
        let Some(explainer) = self.explaining.running.get_mut(&epoch) else { return };
        let (asked, id) = (explainer.asked, explainer.id);
        let answer = match question {
            Question::Generation if asked => wire::stop(),
            Question::Generation => {
                explainer.asked = true;
                let Some(query) = self.query(id) else { return };
                let batch = wire::batch(std::iter::once((id, query.kind, Manner::Plain, &query.member)));
                wire::generation(true, &self.known.all(), &batch)
            }
            Question::Next => wire::end_of_generation(),
            Question::Output(output) => self.known.encoded(output),
            Question::Reveal(token) => {
                let secret = self.tokens.reveal(token).map(|secret| Value::to_clear_json(secret.expose()));
                secret.unwrap_or_else(|| token.clone().into())
            }
        };
        reply.send(&answer);
    }
}

/// The way out, where Nix's own words do not tell it.
fn hint_of(message: &str) -> Option<&'static str> {
    if message.contains("infinite recursion") {
        return Some(
            "something there needs itself; if it is the set of members of a composite: that must not depend on outputs of its own members, \
             those of siblings and parents are fine",
        );
    }
    let missing = message.strip_prefix("attribute '")?.split_once("' missing")?.0;
    let selected = |line: &str| {
        let path = line.split_once("providers.").map_or("", |(_, path)| path);
        let end = path.find(|c: char| !c.is_alphanumeric() && !"._-'".contains(c)).unwrap_or(path.len());
        path[..end].split('.').any(|name| name == missing)
    };
    message.lines().any(selected).then_some("`freehold provider list` shows which providers and types are built in")
}
