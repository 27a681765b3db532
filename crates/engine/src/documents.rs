//! NixOps4's state documents: what a holder that speaks protocol v0 holds follows what is recorded in the deployment's own log.

use std::collections::BTreeSet;

use freehold_model::{MemberPath, Record};
use freehold_plan::Plan;
use freehold_provider::{Call, CallError, Reply};
use freehold_state::nixops4::{NixOps4Resource, nixops4_patch, nixops4_records};
use freehold_state::{Event, HistoryEntry, NewEvent, StateError, Store};
use serde_json::Value as Json;

use crate::catalog::call_failure;
use crate::engine::Engine;
use crate::holder_io::ProviderIo;
use crate::holders::Held;
use crate::{EngineError, Note};

impl Engine {
    /// Records of a NixOps4 document that the deployment's own log does not have yet.
    pub(crate) fn adopt_documented(&mut self, plan: &Plan) -> Result<(), EngineError> {
        let mut adopted = Vec::new();
        for step in &plan.steps {
            let held = self.holders.held_by.get(&step.member).and_then(|h| self.holders.open.get(h));
            if let (Some(prior), Some(Held::Document(_))) = (&step.prior, held)
                && self.store.view().record(&step.member).is_none()
            {
                let record = Box::new(Record::clone(prior));
                adopted.push(Event::Imported { member: step.member.clone(), record }.into());
            }
        }
        if !adopted.is_empty() {
            self.store.append_wait(adopted)?;
        }
        Ok(())
    }

    /// Remembers that the document, if one holds `member`, has to do with it.
    pub(crate) fn note_document(&mut self, member: &MemberPath) {
        if let Some(holder) = self.holders.held_by.get(member)
            && let Some(Held::Document(_)) = self.holders.open.get(holder)
        {
            self.holders.documents_of.entry(member.clone()).or_default().insert(holder.clone());
        }
    }

    /// Whether a document has to follow these events.
    pub(crate) fn is_documented(&self, member: &MemberPath, events: &[NewEvent]) -> bool {
        let changes = |e: &NewEvent| !matches!(e.event, Event::Begin(_) | Event::Partial { .. });
        self.holders.documents_of.contains_key(member) && events.iter().any(changes)
    }

    /// Lets the documents that have to do with `member` follow what is recorded of it, and tries again what did not work before. The
    /// deployment's own log has everything: a document that cannot be written is told of, and stays behind until the next time.
    pub(crate) fn follow(&mut self, member: &MemberPath) {
        for holder in self.holders.documents_of.get(member).cloned().unwrap_or_default() {
            self.follow_in(&holder, [member.clone()].into());
        }
    }

    /// Lets all documents follow what is recorded: an earlier run may have left them behind.
    pub(crate) fn follow_all(&mut self) {
        let holders: Vec<MemberPath> = self.holders.open.keys().cloned().collect();
        for holder in holders {
            let behind = self.left_behind(&holder);
            if !behind.is_empty() {
                self.follow_in(&holder, behind);
            }
        }
    }

    fn follow_in(&mut self, holder: &MemberPath, mut members: BTreeSet<MemberPath>) {
        let Some(Held::Document(held)) = self.holders.open.get_mut(holder) else { return };
        members.append(&mut held.behind);
        while let Some(member) = members.first().cloned() {
            let resource = resource_of(&self.store, holder, &member);
            match held.set(&member, resource.as_ref()) {
                Ok(()) => drop(members.remove(&member)),
                Err(DocumentError::Unfit(error)) => {
                    members.remove(&member);
                    let text =
                        format!("{}; it is recorded in the deployment's own state only", freehold_model::chain(&error));
                    self.observer.note(Note::Warning { text });
                }
                Err(DocumentError::Call(error)) => {
                    let reason = call_failure(&error).message;
                    let text = format!(
                        "the state that `{holder}` holds does not follow: {reason}; `{member}` is recorded in the deployment's own state, and the next apply tries again"
                    );
                    held.behind = members;
                    self.observer.note(Note::Warning { text });
                    return;
                }
            }
        }
    }

    /// Members of which the document that `holder` holds says something else than the deployment's own log.
    fn left_behind(&self, holder: &MemberPath) -> BTreeSet<MemberPath> {
        let Some(Held::Document(Document { document, .. })) = self.holders.open.get(holder) else {
            return BTreeSet::new();
        };
        let view = self.store.view();
        let recorded =
            view.records().filter(|(_, r)| r.holder.as_ref() == Some(holder)).map(|(member, _)| member.clone());
        let differs = |member: &MemberPath| {
            let resource = resource_of(&self.store, holder, member);
            nixops4_patch(document, member, resource.as_ref()).is_ok_and(|p| !is_empty(&p))
        };
        let there = nixops4_records(document).unwrap_or_default();
        // What is to be held there may be adopted, and what the log has never heard of is another machine's.
        let dropped =
            there.into_keys().filter(|member| self.holders.held_by.get(member) != Some(holder)).filter(|member| {
                match view.record(member) {
                    Some(record) => record.holder.as_ref() != Some(holder),
                    None => view.history().rev().find_map(|e| left_by(e, member)).unwrap_or(false),
                }
            });
        recorded.filter(differs).chain(dropped).collect()
    }
}

/// A NixOps4 document that a member holds.
pub(crate) struct Document {
    io: Box<ProviderIo>,
    pub(crate) document: Json,
    /// Members that it could not be told of yet.
    behind: BTreeSet<MemberPath>,
    /// Whether it may be another by now than the one at hand.
    stale: bool,
}

/// Why a document does not say what is recorded.
enum DocumentError {
    /// It cannot say that.
    Unfit(StateError),
    /// Its provider did not take it.
    Call(CallError),
}

impl Document {
    pub(crate) fn new(io: ProviderIo, document: Json) -> Self {
        Self { io: Box::new(io), document, behind: BTreeSet::new(), stale: false }
    }

    /// Says of `member` what is recorded; without a record, nothing.
    fn set(&mut self, member: &MemberPath, resource: Option<&NixOps4Resource>) -> Result<(), DocumentError> {
        if self.stale {
            self.read().map_err(DocumentError::Call)?;
        }
        let patch = nixops4_patch(&self.document, member, resource).map_err(DocumentError::Unfit)?;
        if is_empty(&patch) {
            return Ok(());
        }
        let call = Call::StateEvent {
            type_name: self.io.type_name.clone(),
            object: self.io.object.clone(),
            event: if resource.is_some() { "update".into() } else { "delete".into() },
            patch: freehold_model::Sensitive::new(patch),
        };
        self.stale = true;
        self.io.ask(call).map_err(DocumentError::Call)?;
        // Written; if it cannot be read now, it is before the next change.
        let _ = self.read();
        Ok(())
    }

    fn read(&mut self) -> Result<(), CallError> {
        let call = Call::StateRead { type_name: self.io.type_name.clone(), object: self.io.object.clone() };
        if let Reply::StateDocument(now) = self.io.ask(call)? {
            self.document = now.into_exposed();
            self.stale = false;
        }
        Ok(())
    }
}

/// What the document of `holder` is to say of `member`.
fn resource_of(store: &Store, holder: &MemberPath, member: &MemberPath) -> Option<NixOps4Resource> {
    let record = store.view().record(member).filter(|r| r.holder.as_ref() == Some(holder))?;
    Some(NixOps4Resource {
        type_name: record.type_name.clone(),
        inputs: freehold_provider::source_digest::bare(&record.inputs),
        outputs: record.outputs.clone(),
    })
}

/// Whether this entry of the history is of how `member` lost its record; `None` when it is not about `member`.
fn left_by(entry: &HistoryEntry, member: &MemberPath) -> Option<bool> {
    if entry.what == "move" {
        let from: MemberPath = serde_json::from_value(entry.detail.clone()).ok()?;
        if member.is_within(&from) {
            return Some(true);
        }
    }
    (entry.member.as_ref() == Some(member)).then_some(entry.ok && matches!(entry.what.as_str(), "delete" | "forget"))
}

fn is_empty(patch: &Json) -> bool {
    patch.as_array().is_some_and(Vec::is_empty)
}
