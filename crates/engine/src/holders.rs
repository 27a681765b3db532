//! Where records are kept: the deployment's own log, an S3 prefix, or another member (*state as a resource*).
//!
//! A member with `state = members.x` has its intents and its record in the log that `x` holds, and nowhere else. A holder that
//! speaks protocol v0 keeps NixOps4's document: there the deployment's own log has everything and the document mirrors the records
//! ([`crate::documents`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_apply::Failure;
use freehold_model::{Attrs, Declaration, MemberPath, ProviderRef, Record};
use freehold_plan::{Move, object_key};
use freehold_state::commands::move_member;
use freehold_state::nixops4::nixops4_records;
use freehold_state::{Event as StateEvent, LockGuard, NewEvent, Owner, StateError, Store, SystemClock};

use crate::EngineError;
use crate::documents::Document;
use crate::engine::Engine;
use crate::front::Front;
use crate::opening::Opened;

/// Intervals of another log are not comparable with ours: what is held elsewhere counts as made after its holder.
const HELD_OFFSET: u64 = 1 << 40;

/// The holders that were opened, and who is held by which.
#[derive(Default)]
pub(crate) struct Holders {
    pub(crate) open: BTreeMap<MemberPath, Held>,
    /// Tried, and there is nothing to read yet.
    pub(crate) absent: BTreeSet<MemberPath>,
    /// Recorded, of a type that may hold state, and holding none by their own word.
    pub(crate) none_held: BTreeSet<MemberPath>,
    /// Read before they were made by this apply: read again when they are, before anything is written.
    unmade: BTreeSet<MemberPath>,
    /// Recorded, and what they hold cannot be read.
    pub(crate) unreadable: BTreeMap<MemberPath, Failure>,
    pub(crate) held_by: BTreeMap<MemberPath, MemberPath>,
    pub(crate) declared: BTreeMap<MemberPath, Declaration>,
    parked: BTreeMap<MemberPath, Vec<Front>>,
    /// The documents that have, had or are to have something of a member.
    pub(crate) documents_of: BTreeMap<MemberPath, BTreeSet<MemberPath>>,
}

/// What a holder holds.
pub(crate) enum Held {
    Log { store: Box<Store>, guard: Option<LockGuard> },
    Document(Document),
}

impl Engine {
    /// The log that has the record of `member`.
    pub(crate) fn home(&self, member: &MemberPath) -> &Store {
        match self.holders.held_by.get(member).and_then(|h| self.holders.open.get(h)) {
            Some(Held::Log { store, .. }) => store,
            _ => &self.store,
        }
    }

    pub(crate) fn home_mut(&mut self, member: &MemberPath) -> &mut Store {
        match self.holders.held_by.get(member).and_then(|h| self.holders.open.get_mut(h)) {
            Some(Held::Log { store, .. }) => store,
            _ => &mut self.store,
        }
    }

    /// The log that has the record of `member`, wherever it is held, as far as that is open.
    pub fn store_of(&self, member: &MemberPath) -> &Store {
        self.home(member)
    }

    /// As [`Engine::store_of`], to be changed by commands on the state.
    pub fn store_of_mut(&mut self, member: &MemberPath) -> &mut Store {
        self.home_mut(member)
    }

    /// All records, wherever they are held.
    pub(crate) fn records(&self) -> BTreeMap<MemberPath, Arc<Record>> {
        let mut all = self.store.view().shared_records().clone();
        for held in self.holders.open.values() {
            if let Held::Log { store, .. } = held {
                all.extend(held_records(store));
            }
        }
        all
    }

    /// What was begun and not ended, wherever it is held.
    pub(crate) fn intents(&self) -> Vec<&freehold_state::Intent> {
        let held = self.holders.open.values().filter_map(|held| match held {
            Held::Log { store, .. } => Some(store.view().intents()),
            Held::Document(_) => None,
        });
        self.store.view().intents().into_iter().chain(held.flatten()).collect()
    }

    /// An id for an operation, and from it on for more: above every event and every open operation of all logs. What a run that
    /// was killed left open in one log has ids that were counted from the events of another.
    pub(crate) fn next_op(&self) -> u64 {
        let open = self.intents().into_iter().filter_map(|intent| intent.op.parse().ok());
        self.stores().map(|store| store.view().seq()).chain(open).max().unwrap_or_default() + 1
    }

    /// Opens what recorded members hold, so that [`Engine::stores`] has everything; gives back those that cannot be read, and why.
    pub fn open_holders(&mut self) -> Vec<(MemberPath, String)> {
        self.open_recorded_holders();
        self.holders.unreadable.iter().map(|(holder, why)| (holder.clone(), why.message.clone())).collect()
    }

    /// The deployment's own log first, then those that its members hold, as far as they are open.
    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        let held = self.holders.open.values().filter_map(|held| match held {
            Held::Log { store, .. } => Some(&**store),
            Held::Document(_) => None,
        });
        [&self.store].into_iter().chain(held)
    }

    /// As [`Engine::stores`], to be changed by commands on the state.
    pub fn stores_mut(&mut self) -> impl Iterator<Item = &mut Store> {
        let held = self.holders.open.values_mut().filter_map(|held| match held {
            Held::Log { store, .. } => Some(&mut **store),
            Held::Document(_) => None,
        });
        [&mut self.store].into_iter().chain(held)
    }

    /// The log that `holder` holds, if it is open.
    pub fn store_held_by(&self, holder: &MemberPath) -> Option<&Store> {
        match self.holders.open.get(holder)? {
            Held::Log { store, .. } => Some(store),
            Held::Document(_) => None,
        }
    }

    /// Members that hold records of others.
    pub fn holders(&self) -> impl Iterator<Item = &MemberPath> {
        self.holders.open.keys()
    }

    /// Takes away the locks of logs that members hold, where somebody has them; gives back which those were.
    ///
    /// # Errors
    /// When a holder cannot be asked.
    pub fn unlock_holders(&mut self) -> Result<Vec<MemberPath>, EngineError> {
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let mut broken = Vec::new();
        for (holder, held) in &mut self.holders.open {
            let Held::Log { store, .. } = held else { continue };
            // A holder does not say who has its lock: one that can be had is free.
            if store.lock(&owner).is_err() {
                freehold_state::commands::unlock(store, &owner)?;
                broken.push(holder.clone());
            }
        }
        Ok(broken)
    }

    /// Holds back what is declared until the log that has its record is open; gives back what can go on, and the records that
    /// became known.
    pub(crate) fn through_holders(&mut self, fronts: Vec<Front>) -> (Vec<Front>, BTreeMap<MemberPath, Arc<Record>>) {
        let mut on = Vec::new();
        let mut found = BTreeMap::new();
        let mut fronts: std::collections::VecDeque<Front> = fronts.into();
        while let Some(front) = fronts.pop_front() {
            if let Front::Declared { member, declaration, .. } = &front {
                let holds = self
                    .catalog
                    .type_schema(&declaration.provider, &declaration.type_name)
                    .is_some_and(|t| t.holds_state);
                if holds || self.is_v0(&declaration.provider) {
                    self.holders.declared.insert(member.clone(), (**declaration).clone());
                    fronts.extend(self.holders.parked.remove(member).unwrap_or_default());
                }
                if let Some(holder) = declaration.holder.clone()
                    && !self.is_at_hand(&holder)
                {
                    self.holders.parked.entry(holder).or_default().push(front);
                    continue;
                }
                if let Some(holder) = declaration.holder.clone() {
                    let (member, declaration) = (member.clone(), declaration.clone());
                    self.meet_holder(&member, &declaration, &holder, &mut found);
                }
            }
            if matches!(front, Front::Quiet) && !self.holders.parked.is_empty() {
                // Their holders are not known in this plan: there is nothing to read.
                for (holder, waiting) in std::mem::take(&mut self.holders.parked) {
                    self.holders.absent.insert(holder);
                    fronts.extend(waiting);
                }
                fronts.push_back(Front::Quiet);
                continue;
            }
            on.push(front);
        }
        (on, found)
    }

    pub(crate) fn is_v0(&self, provider: &ProviderRef) -> bool {
        self.catalog.schema(provider).is_some_and(|s| s.protocol == 0)
    }

    fn is_at_hand(&self, holder: &MemberPath) -> bool {
        self.holders.open.contains_key(holder)
            || self.holders.absent.contains(holder)
            || self.holders.declared.contains_key(holder)
            || self.store.view().record(holder).is_some()
    }

    fn meet_holder(
        &mut self,
        member: &MemberPath,
        declaration: &Declaration,
        holder: &MemberPath,
        found: &mut BTreeMap<MemberPath, Arc<Record>>,
    ) {
        let fresh = !self.holders.open.contains_key(holder) && !self.is_open_by_old_name(holder);
        if fresh && !self.holders.absent.contains(holder) {
            match self.open_holder(holder) {
                Ok(Opened::Open) => {}
                // It is to be made first, or changed so that it holds state.
                Ok(Opened::NotYet | Opened::HoldsNone(_)) => drop(self.holders.absent.insert(holder.clone())),
                Err(failure) => {
                    self.holders.absent.insert(holder.clone());
                    self.holders.unreadable.insert(holder.clone(), failure);
                }
            }
        }
        match self.holders.open.get(holder) {
            Some(Held::Log { store, .. }) if fresh => found.extend(held_records(store)),
            Some(Held::Document(Document { document, .. })) if self.store.view().record(member).is_none() => {
                self.holders.held_by.insert(member.clone(), holder.clone());
                let mut records = nixops4_records(document).unwrap_or_default();
                if let Some(resource) = records.remove(member) {
                    let mut record = resource.into_record(self.identify(&declaration.provider));
                    record.holder = Some(holder.clone());
                    found.insert(member.clone(), Arc::new(record));
                }
            }
            _ => {}
        }
        if self.store.view().record(member).is_none() {
            // A record that another log has moves when it is written.
            self.holders.held_by.entry(member.clone()).or_insert_with(|| holder.clone());
        }
    }

    /// Whether the object that `holder` is to be is recorded under another name, and the log that it holds open under that.
    fn is_open_by_old_name(&mut self, holder: &MemberPath) -> bool {
        let Some(declaration) =
            self.holders.declared.get(holder).filter(|_| self.store.view().record(holder).is_none())
        else {
            return false;
        };
        let Ok(facts) = self.catalog.facts(&declaration.provider, &declaration.type_name) else { return false };
        let key = |provider: &ProviderRef, type_name: &str, inputs: &Attrs| {
            object_key(provider, type_name, inputs, &facts.identity)
        };
        let Some(declared) = key(&declaration.provider, &declaration.type_name, &declaration.inputs) else {
            return false;
        };
        let mut recorded = self.holders.open.keys().filter_map(|path| self.store.view().record(path));
        recorded.any(|r| key(&r.provider.provider, &r.type_name, &r.inputs).as_ref() == Some(&declared))
    }

    /// Takes the locks of all logs that are open, and checks that they are as they were planned on. `moves` are not written yet.
    pub(crate) fn lock_holders(&mut self, moves: &[Move]) -> Result<(), EngineError> {
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        for (holder, held) in &mut self.holders.open {
            if self.store.view().record(name_before(moves, holder)).is_none() {
                self.holders.unmade.insert(holder.clone());
                continue;
            }
            if let Held::Log { store, guard } = held
                && guard.is_none()
            {
                let planned_on = store.view().seq();
                *guard = Some(store.lock(&owner)?);
                if store.view().seq() != planned_on {
                    return Err(StateError::MovedOn { place: store.place() }.into());
                }
            }
        }
        Ok(())
    }

    /// Gives back the locks of all holders once everything is written.
    pub(crate) fn release_holders(&mut self) {
        for held in self.holders.open.values_mut() {
            if let Held::Log { store, guard } = held {
                store.close_writer();
                *guard = None;
            }
        }
    }

    /// Appends events about `member` to the log that has its record; they are made when it is known which that is.
    pub(crate) fn append_at_home(
        &mut self,
        member: &MemberPath,
        declared_holder: Option<&MemberPath>,
        events: impl FnOnce(&Self) -> Vec<NewEvent>,
        done: freehold_state::Done,
    ) {
        self.note_document(member);
        if let Err(error) = self.settle_home(member, declared_holder) {
            return done(Err(error));
        }
        self.note_document(member);
        let events = events(self);
        let moves = events.iter().any(|e| matches!(e.event, StateEvent::Moved { .. }));
        if !moves && !self.is_documented(member, &events) {
            return self.home_mut(member).append(events, done);
        }
        // The deployment's own log has everything before a document follows it.
        let written = self.home_mut(member).append_wait(events);
        match &written {
            Ok(_) if moves => self.follow_all(),
            Ok(_) => self.follow(member),
            Err(_) => {}
        }
        done(written);
    }

    /// Opens the holder that was made on the way, and moves a record whose holder changed.
    pub(crate) fn settle_home(&mut self, member: &MemberPath, declared: Option<&MemberPath>) -> Result<(), StateError> {
        if let Some(holder) = declared {
            self.open_new_holder(member, holder)?;
            let owner = Owner::current(self.options.command.clone(), &SystemClock);
            if let Some(Held::Log { store, guard }) = self.holders.open.get_mut(holder)
                && guard.is_none()
            {
                *guard = Some(store.lock(&owner)?);
            }
        }
        let from = self.holders.held_by.get(member).cloned();
        let own = self.store.view();
        let is_here = own.record(member).is_some() || own.intents().iter().any(|i| &i.member == member);
        if from.as_ref() == declared && (declared.is_none() || !is_here) {
            return Ok(());
        }
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let mut of = |holder: Option<&MemberPath>| match self.holders.open.remove(holder?) {
            Some(Held::Log { store, guard }) => Some((holder?.clone(), store, guard)),
            Some(document) => {
                self.holders.open.insert(holder?.clone(), document);
                None
            }
            None => None,
        };
        // Taken out of the map while records go from one to another.
        let (mut old, mut new) = (of(from.as_ref().filter(|f| Some(*f) != declared)), of(declared));
        let locked = [&mut old, &mut new].into_iter().flatten().filter(|(_, _, guard)| guard.is_none()).try_for_each(
            |(_, store, guard)| {
                *guard = Some(store.lock(&owner)?);
                Ok(())
            },
        );
        // With what an interrupted run left open on it, which is closed by what is written next.
        let moved = locked.and_then(|()| match (&mut old, &mut new) {
            (Some((_, old, _)), Some((_, new, _))) => move_member(old, new, member),
            (Some((_, old, _)), None) => move_member(old, &mut self.store, member),
            (None, Some((_, new, _))) => move_member(&mut self.store, new, member),
            (None, None) => Ok(()),
        });
        // Whatever went wrong, they are open.
        for (holder, store, guard) in [old, new].into_iter().flatten() {
            self.holders.open.insert(holder, Held::Log { store, guard });
        }
        moved?;
        match declared {
            Some(holder) => drop(self.holders.held_by.insert(member.clone(), holder.clone())),
            None => drop(self.holders.held_by.remove(member)),
        }
        Ok(())
    }

    fn open_new_holder(&mut self, member: &MemberPath, holder: &MemberPath) -> Result<(), StateError> {
        let read_before = if self.holders.unmade.remove(holder) { self.holders.open.remove(holder) } else { None };
        if self.holders.open.contains_key(holder) {
            return Ok(());
        }
        match self.open_holder(holder).map_err(|f| remote(holder, f))? {
            Opened::Open => {}
            Opened::NotYet => return Err(StateError::NoRecord { member: holder.clone() }),
            Opened::HoldsNone(failure) => return Err(remote(holder, failure)),
        }
        match (self.holders.open.get(holder), read_before) {
            (Some(Held::Log { store, .. }), Some(Held::Log { store: before, .. })) => {
                if store.view().seq() == before.view().seq() && store.view().lineage() == before.view().lineage() {
                    Ok(())
                } else {
                    Err(StateError::MovedOn { place: store.place() })
                }
            }
            // It could not be read when the plan was made, and has more than the plan knows.
            (Some(Held::Log { store, .. }), None)
                if store.view().record(member).is_some()
                    || store.view().intents().iter().any(|i| &i.member == member) =>
            {
                Err(StateError::MovedOn { place: store.place() })
            }
            _ => Ok(()),
        }
    }

    /// A holder that is renamed holds what it held: it is not opened a second time under its new name.
    pub(crate) fn rename_holders(&mut self, moves: &[Move]) {
        for Move { from, to } in moves {
            let Some(held) = self.holders.open.remove(from) else { continue };
            self.holders.open.insert(to.clone(), held);
            self.holders.absent.remove(to);
            self.holders.unmade.remove(to);
            self.holders.held_by.values_mut().filter(|holder| *holder == from).for_each(|holder| holder.clone_from(to));
        }
    }

    /// Writes moves to the logs that have the records; what is left is for the deployment's own.
    pub(crate) fn move_held(&mut self, moves: Vec<Move>) -> Result<Vec<Move>, StateError> {
        let mut own = Vec::new();
        for step in moves {
            match self.holders.held_by.remove(&step.from) {
                Some(holder) => {
                    self.holders.held_by.insert(step.to.clone(), holder.clone());
                    match self.holders.open.get_mut(&holder) {
                        Some(Held::Log { store, .. }) => {
                            let moved = StateEvent::Moved { from: step.from, to: step.to };
                            store.append_wait(vec![moved.into()])?;
                        }
                        _ => own.push(step),
                    }
                }
                None => own.push(step),
            }
        }
        Ok(own)
    }
}

/// What a member was called before these moves: that is what it is recorded under until they are written.
pub(crate) fn name_before<'a>(moves: &'a [Move], member: &'a MemberPath) -> &'a MemberPath {
    moves.iter().rev().fold(member, |name, step| if step.to == *name { &step.from } else { name })
}

fn held_records(store: &Store) -> impl Iterator<Item = (MemberPath, Arc<Record>)> + '_ {
    store.view().records().map(|(path, record)| {
        let mut record = record.clone();
        record.interval.began += HELD_OFFSET;
        record.interval.ended += HELD_OFFSET;
        (path.clone(), Arc::new(record))
    })
}

pub(crate) fn state_failure(error: &StateError) -> Failure {
    Failure { kind: error.kind(), message: freehold_model::chain(error), hint: error.hint() }
}

pub(crate) fn remote(holder: &MemberPath, failure: Failure) -> StateError {
    StateError::Remote {
        step: "use",
        place: format!("the state held by `{holder}`"),
        reason: failure.message,
        kind: failure.kind,
        hint: failure.hint,
    }
}
