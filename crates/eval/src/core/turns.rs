//! What Nix is given to do next: batches, generations with their tables, outputs that it may wait for, and the end of all work.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{MemberPath, OutputRef};
use serde_json::json;

use super::{Core, Generation, Waiting};
use crate::Event;
use crate::process::Reply;
use crate::query::{Query, State};
use crate::wire::{self, Kind, Manner, Question};

/// Tables up to this size always hold everything.
const SMALL_TABLE_BYTES: usize = 32 * 1024;
/// What all complete tables of one Nix process may come to: Nix never frees the text of expressions.
const ALL_TABLES_BYTES: usize = 96 * 1024 * 1024;
/// Outputs that are rather fetched one by one than by a fresh generation.
const FETCHED_OUTPUTS: usize = 8;
/// Generations spent at one standstill on telling suspects apart.
const SUSPECT_GENERATIONS: u32 = 16;

/// Tentative answers are asked again; where many members share a default made of a missing output, each generation settles only
/// the first of them, so that no more are asked at once than the last generation suggests.
#[derive(Debug)]
pub(super) struct Tentative {
    at_once: usize,
    generations: u32,
}

impl Default for Tentative {
    fn default() -> Self {
        Self { at_once: usize::MAX, generations: 0 }
    }
}

impl Tentative {
    /// Whether what is still tentative is rather guessed.
    pub(super) fn is_spent(&self) -> bool {
        self.generations > TENTATIVE_GENERATIONS
    }
}

/// Fewest tentative answers asked again at once.
const TENTATIVE_AT_ONCE: usize = 16;
/// Generations spent at one standstill on tentative answers before what they need is guessed.
const TENTATIVE_GENERATIONS: u32 = 200;

impl Core {
    /// Answers what has been asked, as far as all that came before it on standard error has been read.
    pub(super) fn answer_questions(&mut self) {
        loop {
            let Some(running) = &mut self.running else { return };
            if running.answered >= running.calls {
                return;
            }
            let Some((question, reply)) = running.questions.pop_front() else { return };
            running.answered += 1;
            match question {
                Question::Next => running.waiting = Some(Waiting::Batch(reply)),
                Question::Generation => match running.offered.take() {
                    // It was not there yet when Nix looked for it.
                    Some(first) => reply.send(&first),
                    None => running.waiting = Some(Waiting::Generation(reply)),
                },
                Question::Output(output) => running.waiting = Some(Waiting::Output(reply, output)),
                Question::Reveal(token) => {
                    let secret = self.tokens.reveal(&token).map(|secret| secret.expose().to_clear_json());
                    reply.send(&secret.unwrap_or_else(|| token.into()));
                }
            }
        }
    }

    /// Gives Nix something to do, if it waits and there is anything.
    pub(super) fn pump(&mut self) {
        let Some(running) = &mut self.running else { return };
        let Some(waiting) = running.waiting.take() else {
            // Its next question need not be waited for to know that there is no answer.
            if running.is_done() && !self.quiet_told && self.choose().is_none() {
                self.tell_quiet();
            }
            return;
        };
        match waiting {
            Waiting::Output(reply, output) => self.offer_output(reply, output),
            Waiting::Batch(_) | Waiting::Generation(_) => match self.choose() {
                Some(batch) => self.dispatch(waiting, batch),
                // It has not begun.
                None if matches!(waiting, Waiting::Generation(Reply::File(_))) => self.keep_waiting(waiting),
                None => {
                    self.keep_waiting(waiting);
                    self.tell_quiet();
                }
            },
        }
    }

    fn keep_waiting(&mut self, waiting: Waiting) {
        if let Some(running) = &mut self.running {
            running.waiting = Some(waiting);
        }
    }

    /// An output that Nix stands still for: its value, or that it is missing, or nothing yet.
    fn offer_output(&mut self, reply: Reply, output: OutputRef) {
        let outdated = self.running.as_ref().is_none_or(|running| running.generation.outdated);
        let alone = self.running.as_ref().is_some_and(|running| running.inflight.len() == 1);
        // What a member says beside its inputs may need its own outputs: waiting for those would hold it up for ever.
        let inflight = self.running.as_ref().and_then(|running| running.inflight.front()).copied();
        let main = inflight.and_then(|id| self.query(id)).is_some_and(|query| query.kind == Kind::Main);
        if outdated {
            reply.send(&json!([2]));
        } else if self.known.is_available(&output) {
            reply.send(&self.known.encoded(&output));
        } else if alone && main && self.ready.is_empty() && self.known.is_pending(&output.member) {
            // Nothing else could be evaluated meanwhile: let it wait, so that nothing is evaluated twice.
            self.keep_waiting(Waiting::Output(reply, output));
            self.tell_quiet();
        } else {
            reply.send(&self.known.encoded(&output));
        }
    }

    /// The queries to ask next: members before what may depend on their own outputs, and suspects last of all.
    fn choose(&mut self) -> Option<Vec<u64>> {
        if self.ready.is_empty() {
            self.release_held();
        }
        let is_main = |id: &u64| self.query(*id).is_some_and(|query| query.kind == Kind::Main);
        let mut batch: Vec<u64> = self.ready.iter().copied().filter(is_main).collect();
        if batch.is_empty() {
            batch = self.ready.iter().copied().collect();
        }
        batch.sort_by_key(|id| (self.query(*id).map(Query::rank), *id));
        let tentative = batch.iter().filter(|id| self.query(**id).is_some_and(|q| q.state == State::Tentative)).count();
        if tentative > self.tentative.at_once {
            batch.truncate(self.tentative.at_once);
        }
        if batch.is_empty() && !self.known.any_pending() {
            batch = self.unsettled_that(Query::lacks_detail);
        }
        if batch.is_empty() && self.suspect_generations < SUSPECT_GENERATIONS {
            batch = self.unsettled_that(|query| matches!(query.state, State::Suspect(_)));
        }
        batch.sort_by_key(|id| (self.query(*id).map(Query::rank), *id));
        (!batch.is_empty()).then_some(batch)
    }

    fn unsettled_that(&self, test: impl Fn(&Query) -> bool) -> Vec<u64> {
        let fits = |id: &u64| self.query(*id).is_some_and(|query| query.kind == Kind::Main && test(query));
        self.unsettled.iter().copied().filter(fits).collect()
    }

    /// Lets go of what hints hold back when nothing moves that they could be waiting for: nothing at all, or none of them.
    fn release_held(&mut self) {
        let still = !self.known.any_pending() && self.unpublished.is_empty();
        let comes = |hint: &MemberPath| {
            let asked = self.by_member.get(&(hint.clone(), Kind::Main)).is_some_and(|id| self.unsettled.contains(id));
            asked || self.known.is_pending(hint) || self.unpublished.contains(hint)
        };
        let waits = |query: &Query| query.hints.iter().any(|hint| !self.known.is_settled(hint) && comes(hint));
        let held = self.unsettled.iter().copied();
        let held: Vec<u64> =
            held.filter(|id| self.query(*id).is_some_and(|q| q.held && (still || !waits(q)))).collect();
        for id in held {
            if let Some(query) = self.query_mut(id) {
                query.held = false;
            }
            self.reconsider(id);
        }
    }

    fn dispatch(&mut self, waiting: Waiting, batch: Vec<u64>) {
        match waiting {
            Waiting::Batch(reply) if self.fits_generation(&batch) => reply.send(&wire::next(&self.ask(batch))),
            Waiting::Batch(reply) => reply.send(&wire::end_of_generation()),
            Waiting::Generation(reply) => self.begin_generation(reply, batch),
            Waiting::Output(reply, output) => self.keep_waiting(Waiting::Output(reply, output)),
        }
    }

    /// Hands these over: as the driver reads them.
    fn ask(&mut self, batch: Vec<u64>) -> serde_json::Value {
        for id in &batch {
            self.ready.remove(id);
            self.set_state(*id, State::Asked);
        }
        let ahead = self.may_go_ahead(&batch);
        let queries = batch.iter().filter_map(|id| Some((*id, self.query(*id)?)));
        let message = wire::batch(queries.map(|(id, query)| {
            let manner = match &query.whole {
                _ if query.detailed => Manner::Detailed,
                Some(apart) if ahead => Manner::Ahead(apart),
                _ => Manner::Plain,
            };
            (id, query.kind, manner, &query.member)
        }));
        if let Some(running) = &mut self.running {
            running.inflight = batch.into();
            running.goes_ahead = ahead;
        }
        message
    }

    /// Whether these can be asked in the generation that Nix is in.
    fn fits_generation(&self, batch: &[u64]) -> bool {
        let Some(running) = &self.running else { return false };
        let generation = &running.generation;
        if generation.outdated || !generation.missing.is_empty() {
            return false;
        }
        if generation.complete {
            return generation.version == self.known.version();
        }
        let outputs = batch.iter().filter_map(|id| self.query(*id)).flat_map(|query| &query.history);
        let to_fetch: BTreeSet<&OutputRef> = outputs.filter(|output| !generation.table.contains(output)).collect();
        to_fetch.len() <= FETCHED_OUTPUTS
    }

    fn begin_generation(&mut self, reply: Reply, batch: Vec<u64>) {
        let bytes = self.known.bytes();
        let spent = self.running.as_ref().map_or(0, |running| running.table_bytes);
        // One query alone may wait for outputs that are on their way; what stands in a complete table it could not wait for.
        let may_wait = batch.len() == 1 && self.known.any_pending();
        let complete =
            !may_wait && (bytes <= SMALL_TABLE_BYTES || !self.known.any_pending()) && spent + bytes < ALL_TABLES_BYTES;
        let outputs: BTreeSet<OutputRef> =
            batch.iter().filter_map(|id| self.query(*id)).flat_map(|query| query.history.iter().cloned()).collect();
        let hinted: BTreeSet<MemberPath> =
            batch.iter().filter_map(|id| self.query(*id)).flat_map(|query| query.hints.iter().cloned()).collect();
        let table = if complete {
            self.known.all()
        } else {
            self.known.some(outputs.iter().filter(|output| self.known.is_available(output)), &hinted)
        };
        let in_table = table.iter().flat_map(|(member, outputs)| {
            outputs.keys().map(|output| OutputRef { member: member.clone(), output: output.clone() })
        });
        let generation = Generation {
            complete,
            version: self.known.version(),
            table: if complete { BTreeSet::new() } else { in_table.collect() },
            missing: Arc::default(),
            used: BTreeSet::new(),
            clean_answers: 0,
            outdated: false,
        };
        self.count_tentative(&batch);
        let only_suspects =
            batch.iter().filter_map(|id| self.query(*id)).all(|query| matches!(query.state, State::Suspect(_)));
        self.suspect_generations += u32::from(only_suspects);
        if let Some(running) = &mut self.running {
            running.table_bytes += if complete { bytes } else { 0 };
            running.generation = generation;
        }
        let batch = self.ask(batch);
        let first = wire::generation(complete, &table, &batch);
        let is_ahead = matches!(reply, Reply::File(_));
        reply.send(&first);
        if let Some(running) = self.running.as_mut().filter(|_| is_ahead) {
            running.offered = Some(first);
        }
    }

    /// Learns from the generation that ends how many tentative answers to ask again at once in the next one.
    fn count_tentative(&mut self, batch: &[u64]) {
        if !batch.iter().any(|id| self.query(*id).is_some_and(|query| query.state == State::Tentative)) {
            return;
        }
        self.tentative.generations += 1;
        let settled = self.running.as_ref().map_or(0, |running| running.generation.clean_answers);
        self.tentative.at_once =
            if self.tentative.generations == 1 { usize::MAX } else { TENTATIVE_AT_ONCE.max(4 * settled) };
    }

    /// The output that Nix stands still for.
    pub(super) fn waited_for(&self) -> Option<OutputRef> {
        match self.running.as_ref()?.waiting.as_ref()? {
            Waiting::Output(_, output) => Some(output.clone()),
            Waiting::Batch(_) | Waiting::Generation(_) => None,
        }
    }

    /// Says what waits for what, and that nothing moves.
    fn tell_quiet(&mut self) {
        if self.quiet_told || self.explaining.is_busy() {
            return;
        }
        for id in std::mem::take(&mut self.changed) {
            self.tell_waiting(id);
        }
        self.quiet_told = true;
        (self.events)(Event::Quiet { seen: self.seen });
    }
}
