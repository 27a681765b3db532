//! NixOps4's state documents: what a holder that speaks protocol v0 holds follows what is recorded in the deployment's own log.

use freehold_model::{MemberPath, Record};
use freehold_plan::Plan;
use freehold_provider::{Call, Reply};
use freehold_state::nixops4::{NixOps4Resource, nixops4_patch};
use freehold_state::{Event, NewEvent, Outcome, StateError};

use crate::catalog::{call_failure, chain};
use crate::engine::Engine;
use crate::holders::{Held, remote};
use crate::{EngineError, Note};

impl Engine {
    /// Records of a NixOps4 document that the deployment's own log does not have yet.
    pub(crate) fn adopt_documented(&mut self, plan: &Plan) -> Result<(), EngineError> {
        let mut adopted = Vec::new();
        for step in &plan.steps {
            let held = self.holders.held_by.get(&step.member).and_then(|h| self.holders.open.get(h));
            if let (Some(prior), Some(Held::Document { .. })) = (&step.prior, held)
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

    /// A NixOps4 document follows what is recorded.
    pub(crate) fn mirror(&mut self, member: &MemberPath, events: &[NewEvent]) -> Result<(), StateError> {
        let Some(holder) = self.holders.held_by.get(member).cloned() else { return Ok(()) };
        for event in events {
            let record = match &event.event {
                Event::End { outcome: Outcome::Recorded(record) | Outcome::Replaced { record, .. }, .. }
                | Event::Amended { record, .. } => Some(&**record),
                Event::End { outcome: Outcome::Deleted, .. } | Event::Forgotten { deposed: None, .. } => None,
                _ => continue,
            };
            self.document(&holder, member, record)?;
        }
        Ok(())
    }

    /// Writes what a NixOps4 document says of `member`, if it is one that `holder` holds; without a record, nothing.
    pub(crate) fn document(
        &mut self,
        holder: &MemberPath,
        member: &MemberPath,
        record: Option<&Record>,
    ) -> Result<(), StateError> {
        let Some(Held::Document { io, document }) = self.holders.open.get_mut(holder) else { return Ok(()) };
        let resource = record.map(|record| NixOps4Resource {
            type_name: record.type_name.clone(),
            inputs: record.inputs.clone(),
            outputs: record.outputs.clone(),
        });
        let patch = match nixops4_patch(document, member, resource.as_ref()) {
            Ok(patch) => patch,
            Err(error) => {
                let text = format!("{}; it is recorded in the deployment's own state only", chain(&error));
                self.observer.note(Note::Warning { text });
                return Ok(());
            }
        };
        if patch.as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let call = Call::StateEvent {
            type_name: io.type_name.clone(),
            object: io.object.clone(),
            event: if resource.is_some() { "update".into() } else { "delete".into() },
            patch: freehold_model::Sensitive::new(patch),
        };
        io.ask(call).map_err(|e| remote(holder, call_failure(&e)))?;
        let read = Call::StateRead { type_name: io.type_name.clone(), object: io.object.clone() };
        if let Ok(Reply::StateDocument(now)) = io.ask(read) {
            *document = now.into_exposed();
        }
        Ok(())
    }
}
