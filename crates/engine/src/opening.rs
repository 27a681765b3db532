//! Opening the logs that members hold, and what a plan must not do while one of them cannot be read.
//!
//! Only a holder that says so itself holds no state; whatever else goes wrong with one means that its records are not known, and
//! nothing is planned past that. Who is held by which, and what is written where: [`crate::holders`].

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_apply::Failure;
use freehold_model::{MemberPath, ProviderRef, Record};
use freehold_plan::{Action, Plan, Problem, Step};
use freehold_protocol::v1::codes;
use freehold_provider::{Call, CallError, Object, Reply};
use freehold_state::{Backend, HolderBackend, StateError, Store, SystemClock};

use crate::EngineError;
use crate::catalog::call_failure;
use crate::documents::Document;
use crate::engine::Engine;
use crate::error::nearest;
use crate::holder_io::ProviderIo;
use crate::holders::{Held, name_before, state_failure};

/// What came of opening what a member holds.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open.
    Open,
    /// The holder is neither recorded nor wholly declared: there is nothing to read yet.
    NotYet,
    /// The holder says that it holds no state; in its words.
    HoldsNone(Failure),
}

impl Engine {
    /// Opens the logs of recorded members that hold state.
    pub(crate) fn open_recorded_holders(&mut self) {
        let mut providers: Vec<ProviderRef> = Vec::new();
        for (_, record) in self.store.view().records() {
            if !providers.contains(&record.provider.provider) {
                providers.push(record.provider.provider.clone());
            }
        }
        // A member of one that cannot be asked is a problem of the plan wherever something is to be done to it.
        self.learn_schemas(&providers);
        let view = self.store.view();
        let mut holders: BTreeSet<MemberPath> =
            view.records().filter(|(_, r)| self.may_hold(r)).map(|(path, _)| path.clone()).collect();
        // A v0 provider does not say what its types can do; the records that are mirrored in its document do.
        let mirrored: Vec<(MemberPath, MemberPath)> =
            view.records().filter_map(|(path, r)| Some((path.clone(), r.holder.clone()?))).collect();
        for (member, holder) in mirrored {
            holders.insert(holder.clone());
            self.holders.held_by.insert(member, holder);
        }
        for holder in holders.difference(&self.holders.none_held.clone()) {
            match self.open_holder(holder) {
                Ok(opened) => {
                    self.holders.unreadable.remove(holder);
                    if matches!(opened, Opened::HoldsNone(_)) {
                        self.holders.none_held.insert(holder.clone());
                    }
                }
                Err(failure) => drop(self.holders.unreadable.insert(holder.clone(), failure)),
            }
        }
    }

    /// What keeps a plan from being made: records that are held where they cannot be read. Of the members that are to be held there
    /// nothing is said.
    pub(crate) fn refuse_unreadable(&self, plan: &mut Plan) {
        let options = plan.options.clone();
        let unreadable = self.holders.unreadable.iter().filter(|(holder, _)| !options.forgets(holder));
        let problem = |(holder, why): (&MemberPath, &Failure)| Problem {
            member: holder.clone(),
            message: format!("the state that it holds cannot be read: {}", why.message),
            hint: Some(why.hint.clone().unwrap_or_else(|| {
                format!("bring it back; if it is lost, `--forget {holder}` drops it and what it holds from the record")
            })),
        };
        let problems: Vec<Problem> = unreadable.map(problem).collect();
        let is_lost = |holder: &MemberPath| problems.iter().any(|p| p.member == *holder);
        let holder = |step: &Step| step.declaration.as_ref().and_then(|d| d.holder.clone());
        plan.steps.retain(|step| !holder(step).is_some_and(|holder| is_lost(&holder)));
        plan.problems.splice(0..0, problems);
    }

    /// An object that holds records must not be replaced, and one of which it is not known must not be deleted: they would go with it.
    pub(crate) fn refuse_to_lose_records(&self, plan: &mut Plan) {
        let unread: Vec<Problem> = plan
            .steps
            .iter()
            .filter(|step| self.is_unread_holder(step, name_before(&plan.moves, &step.member)))
            .map(unread)
            .collect();
        let replaced = plan.steps.iter().filter(|s| s.action == Action::Replace);
        let losing =
            replaced.filter_map(|step| match self.holders.open.get(name_before(&plan.moves, &step.member))? {
                Held::Log { store, .. } => Some((step, store.view().records().next()?.0)),
                Held::Document(_) => None,
            });
        let losing: Vec<Problem> = losing.map(|(step, held)| would_lose(step, held)).collect();
        plan.problems.extend(unread.into_iter().chain(losing));
    }

    /// Whether the step takes away what may hold state that nobody has looked at.
    fn is_unread_holder(&self, step: &Step, member: &MemberPath) -> bool {
        let Some(record) = step.prior.as_ref().filter(|_| step.deposed.is_none()) else { return false };
        let known = self.holders.none_held.contains(member)
            || self.holders.open.contains_key(member)
            || self.holders.unreadable.contains_key(member);
        matches!(step.action, Action::Delete | Action::Replace) && !known && self.may_hold(record)
    }

    fn may_hold(&self, record: &Record) -> bool {
        self.catalog.type_schema(&record.provider.provider, &record.type_name).is_some_and(|t| t.holds_state)
    }

    /// Whether its provider says so; of one that cannot be asked nothing is known.
    fn cannot_hold(&self, record: &Record) -> bool {
        let schema = self.catalog.type_schema(&record.provider.provider, &record.type_name);
        schema.is_some_and(|t| !t.holds_state) && !self.is_v0(&record.provider.provider)
    }

    /// Opens the log that `holder` holds.
    pub(crate) fn open_holder(&mut self, holder: &MemberPath) -> Result<Opened, Failure> {
        if self.holders.open.contains_key(holder) {
            return Ok(Opened::Open);
        }
        let Some((io, is_v0)) = self.holder_io(holder)? else { return Ok(Opened::NotYet) };
        let call = Call::StateRead { type_name: io.type_name.clone(), object: io.object.clone() };
        match io.ask(call) {
            Ok(Reply::StateDocument(document)) => {
                let document = document.into_exposed();
                self.holders.open.insert(holder.clone(), Held::Document(Document::new(io, document)));
            }
            Ok(_) => {
                let backend: Arc<dyn Backend> = Arc::new(HolderBackend::new(Box::new(io)));
                let keys = self.store.keys().clone();
                let store = Store::open(backend, keys, Arc::new(SystemClock)).map_err(|e| unreadable(holder, &e))?;
                for (member, _) in store.view().records() {
                    self.holders.held_by.insert(member.clone(), holder.clone());
                }
                for intent in store.view().intents() {
                    self.holders.held_by.insert(intent.member.clone(), holder.clone());
                }
                self.holders.open.insert(holder.clone(), Held::Log { store: Box::new(store), guard: None });
            }
            Err(CallError::Failed { error, .. }) if error.code == codes::HOLDS_NO_STATE => {
                let failure = Failure { kind: error.kind, message: error.message.clone(), hint: error.hint.clone() };
                return Ok(Opened::HoldsNone(failure));
            }
            // Its document mirrors what is recorded here, and protocol v0 has no word for one that is not there yet.
            Err(CallError::Failed { .. }) if is_v0 => return Ok(Opened::NotYet),
            Err(error) => return Err(call_failure(&error)),
        }
        self.holders.absent.remove(holder);
        Ok(Opened::Open)
    }

    /// What keeps the log that `holder` holds, whether or not that log can be read.
    ///
    /// # Errors
    /// When it is not recorded, holds none, or cannot be asked.
    pub fn backend_held_by(&mut self, holder: &MemberPath) -> Result<Arc<dyn Backend>, EngineError> {
        let no_member = |what| EngineError::NoMember { member: holder.clone(), what, suggestion: None };
        let Some(record) = self.store.view().record(holder).cloned() else {
            return Err(EngineError::NoMember {
                suggestion: nearest(holder, self.store.view().records().map(|(member, _)| member)),
                member: holder.clone(),
                what: " in the state",
            });
        };
        let failed = |failure: Failure| EngineError::Member {
            member: holder.clone(),
            kind: failure.kind,
            message: failure.message,
            hint: failure.hint,
        };
        self.schema_of(&record.provider.provider)?;
        let io = if self.may_hold(&record) { self.holder_io(holder).map_err(failed)? } else { None };
        let (io, is_v0) = io.ok_or_else(|| no_member(" that holds a log"))?;
        if is_v0 {
            return Err(no_member(" that holds a log of Freehold's"));
        }
        Ok(Arc::new(HolderBackend::new(Box::new(io))))
    }

    /// How to ask the holder: as recorded, or (on a machine that has no record of it yet) as declared; and whether it speaks protocol v0.
    fn holder_io(&mut self, holder: &MemberPath) -> Result<Option<(ProviderIo, bool)>, Failure> {
        let recorded = self.store.view().record(holder).cloned();
        let (provider, type_name, object) = match (recorded, self.holders.declared.get(holder)) {
            // It is named as a holder, and cannot be one.
            (Some(record), _) if self.cannot_hold(&record) => return Ok(None),
            (Some(record), _) => (record.provider.provider.clone(), record.type_name.clone(), self.object_of(&record)?),
            (None, Some(declaration)) if declaration.is_known() => {
                let inputs = self.catalog.resolve_inputs(&declaration.inputs)?;
                let object = Object { inputs, ..Object::default() };
                (declaration.provider.clone(), declaration.type_name.clone(), object)
            }
            _ => return Ok(None),
        };
        let launch = self.catalog.launch(&provider)?;
        let (pool, is_v0) = (Arc::clone(&self.holder_pool), self.is_v0(&provider));
        Ok(Some((ProviderIo { pool, launch, type_name, object, member: holder.clone() }, is_v0)))
    }
}

/// As for the deployment's own log, with the way out for this one.
fn unreadable(holder: &MemberPath, error: &StateError) -> Failure {
    let failure = state_failure(error);
    let named = format!("freehold state repair --held-by {holder}");
    Failure { hint: failure.hint.map(|hint| hint.replace("freehold state repair", &named)), ..failure }
}

fn would_lose(step: &Step, held: &MemberPath) -> Problem {
    Problem {
        member: step.member.clone(),
        message: format!("would be replaced and holds records, that of `{held}` among them"),
        hint: Some("let another member hold them first (`state = members.…`), apply, and then change it".into()),
    }
}

fn unread(step: &Step) -> Problem {
    Problem {
        member: step.member.clone(),
        message: "may hold records, and the state that it holds was not read".into(),
        hint: Some("`freehold refresh` takes it into the record; then plan again".into()),
    }
}
