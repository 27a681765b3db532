//! Answers ahead of their questions: the members of a composite, evaluated with it where all of them will be wanted.
//!
//! Only answers that would have been final are kept: nothing was missing in the generation up to then. What is not kept is asked for
//! as if nothing had been told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use freehold_model::{MemberPath, OutputRef};

use super::Core;
use crate::query::State;
use crate::wire::{Kind, QueryResult};

/// What was answered and not asked yet.
#[derive(Default)]
pub(super) struct Ahead {
    answers: HashMap<MemberPath, (QueryResult, BTreeSet<OutputRef>)>,
    /// One of them has ended Nix.
    given_up: bool,
}

/// Nix is at the members of a composite.
pub(super) struct Going {
    composite: MemberPath,
    /// Known outputs that were used since the last answer.
    pub(super) uses: BTreeSet<OutputRef>,
}

impl Ahead {
    /// A phase begins: what was evaluated with other outputs means nothing any more.
    pub(super) fn forget(&mut self) {
        self.answers.clear();
    }

    /// Nix has ended at one of them: that member has to be asked for by its name.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }
}

impl Core {
    /// Whether the members of what is asked now are to be answered with it: only of one that is asked alone (a missing output of a
    /// member makes all answers after it unreliable), and where no output is on its way (the member may be waiting for it).
    pub(super) fn may_go_ahead(&self, batch: &[u64]) -> bool {
        let generation = self.running.as_ref().map(|running| &running.generation);
        let fits = generation.is_some_and(|now| now.complete && !now.outdated && now.missing.is_empty());
        let whole = |id: &u64| self.query(*id).is_some_and(|query| query.whole.is_some() && query.kind == Kind::Main);
        fits && batch.len() == 1 && batch.iter().all(whole) && !self.known.any_pending() && !self.ahead.given_up
    }

    /// A query is answered; its members may follow.
    pub(super) fn begin_ahead(&mut self, id: u64) {
        let Some(composite) = self.query(id).map(|query| query.member.clone()) else { return };
        if let Some(running) = self.running.as_mut().filter(|running| running.goes_ahead) {
            running.goes_ahead = false;
            running.ahead = Some(Going { composite, uses: BTreeSet::new() });
        }
    }

    /// Members are answered that were not asked for. Which of several used an output is not told: they are asked one by one, and in
    /// another generation, for Nix tells of a use once only. Nor is it told which of them holds text that is not UTF-8.
    pub(super) fn keep_ahead(&mut self, members: Vec<(String, QueryResult)>) {
        let Some(running) = &mut self.running else { return };
        let Some(going) = &mut running.ahead else { return };
        let (composite, mut uses) = (going.composite.clone(), std::mem::take(&mut going.uses));
        running.generation.outdated |= members.len() > 1 && !uses.is_empty();
        let is_inexact = members.len() > 1 && members.iter().any(|(_, result)| result.not_utf8);
        if is_inexact || running.generation.outdated || !running.generation.missing.is_empty() {
            return;
        }
        for (name, result) in members {
            let member = composite.child(&name);
            self.ahead.answers.insert(member.clone(), (result, std::mem::take(&mut uses)));
            if let Some(id) = self.by_member.get(&(member, Kind::Main)).copied() {
                self.take_ahead(id);
            }
        }
    }

    /// Gives a new query the answer that is there already. One that is held back waits for what may change its answer.
    pub(super) fn take_ahead(&mut self, id: u64) {
        let new = self.query(id).filter(|query| query.state == State::New);
        let Some(member) = new.map(|query| query.member.clone()) else { return };
        let Some((result, uses)) = self.ahead.answers.remove(&member) else { return };
        if !self.ready.remove(&id) {
            return;
        }
        self.set_state(id, State::Asked);
        if let Some(query) = self.query_mut(id) {
            query.uses = uses;
        }
        self.result(id, result, Arc::default());
    }
}
