//! `import`: an object that exists becomes the object of a declared member.

use std::collections::BTreeSet;

use freehold_model::{Declaration, ErrorKind, Interval, MemberPath, Record, Status};
use freehold_provider::{Call, Object, Reply};
use freehold_state::{Event, NewEvent, Outcome, Owner, SystemClock};

use crate::EngineError;
use crate::catalog::{call_failure, internal};
use crate::engine::Engine;
use crate::error::nearest;
use crate::operations::member_error;

impl Engine {
    /// Takes the object that the world calls `id` into the record of `member`; it must be declared and not recorded.
    ///
    /// # Errors
    /// When the member is not declared or is recorded already, or the provider finds nothing.
    pub fn import(&mut self, member: &MemberPath, id: &str) -> Result<Vec<MemberPath>, EngineError> {
        self.open_recorded_holders();
        self.refuse_recorded(member)?;
        let (declaration, edges) = self.declared(member)?;
        let record = self.find_object(member, &declaration, edges, id)?;
        self.make_keys()?;
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let guard = self.store.lock(&owner)?;
        let imported = self.write_import(member, record);
        self.release_holders();
        self.store.close_writer();
        drop(guard);
        imported.map(|()| vec![member.clone()])
    }

    fn refuse_recorded(&self, member: &MemberPath) -> Result<(), EngineError> {
        if self.home(member).view().record(member).is_none() {
            return Ok(());
        }
        Err(member_error(
            member,
            ErrorKind::User,
            "is recorded already".into(),
            Some(format!("`freehold state rm {member}` drops the record and leaves its object")),
        ))
    }

    /// Under the lock: somebody may have recorded the member since it was looked for.
    fn write_import(&mut self, member: &MemberPath, record: Record) -> Result<(), EngineError> {
        self.open_recorded_holders();
        self.lock_holders(&[])?;
        self.refuse_recorded(member)?;
        if let Some(holder) = record.holder.clone()
            && self.store.view().record(&holder).is_none()
        {
            return Err(member_error(
                member,
                ErrorKind::User,
                format!("its record is to be held by `{holder}`, which is not there yet"),
                Some(format!("`freehold apply {holder}` makes it")),
            ));
        }
        self.settle_home(member, record.holder.as_ref())?;
        let open: Vec<String> = self
            .home(member)
            .view()
            .intents()
            .into_iter()
            .filter(|i| &i.member == member)
            .map(|i| i.op.clone())
            .collect();
        let closing = open
            .into_iter()
            .map(|op| NewEvent::of(op, Event::End { member: member.clone(), outcome: Outcome::Unchanged }));
        let mut events: Vec<NewEvent> = closing.collect();
        events.push(Event::Imported { member: member.clone(), record: Box::new(record) }.into());
        self.home_mut(member).append_wait(events)?;
        Ok(())
    }

    fn declared(&mut self, member: &MemberPath) -> Result<(Declaration, BTreeSet<MemberPath>), EngineError> {
        let mut evaluated = self.evaluate(std::slice::from_ref(member))?;
        if let Some(failure) = evaluated.failed.remove(member) {
            return Err(member_error(member, failure.kind, failure.message, failure.hint));
        }
        if let Some(composite) = evaluated.structures.get(member) {
            let members: Vec<String> =
                composite.members.iter().map(|name| format!("`{}`", member.child(name))).collect();
            let hint = match members.as_slice() {
                [] => "it has no members; declare the resource first, then import".to_owned(),
                members => format!("name one of its members: {}", members.join(", ")),
            };
            let message = "is a composite, and an object belongs to a resource".to_owned();
            return Err(member_error(member, ErrorKind::User, message, Some(hint)));
        }
        evaluated.declarations.remove(member).ok_or_else(|| {
            let declared = evaluated.structures.iter().flat_map(|(path, s)| s.members.iter().map(|n| path.child(n)));
            EngineError::NoMember {
                member: member.clone(),
                what: " in the deployment: declare it first, then import",
                suggestion: nearest(member, &declared.collect::<Vec<_>>()),
            }
        })
    }

    fn find_object(
        &mut self,
        member: &MemberPath,
        declaration: &Declaration,
        edges: BTreeSet<MemberPath>,
        id: &str,
    ) -> Result<Record, EngineError> {
        let failed = |f: freehold_apply::Failure| member_error(member, f.kind, f.message, f.hint);
        self.schema_of(&declaration.provider)?;
        let launch = self.catalog.launch(&declaration.provider).map_err(failed)?;
        let call = Call::Import { type_name: declaration.type_name.clone(), id: id.to_owned() };
        let mut found = match self.ask_and_wait(&declaration.provider, &launch, call, member) {
            Ok(Reply::Imported(found)) => found,
            Ok(_) => return Err(failed(internal("an import was answered with something else"))),
            Err(error) => return Err(failed(call_failure(&error))),
        };
        let object = match found.len() {
            1 => found.remove(0),
            0 => return Err(member_error(member, ErrorKind::User, format!("nothing is called `{id}`"), None)),
            n => {
                let message = format!("`{id}` stands for {n} objects; a member holds one");
                return Err(member_error(member, ErrorKind::User, message, Some("name one of them exactly".into())));
            }
        };
        let object = Object { inputs: object.inputs, outputs: object.outputs, private: object.private };
        Ok(Record {
            provider: self.identify(&declaration.provider),
            type_name: declaration.type_name.clone(),
            inputs: object.inputs,
            outputs: object.outputs,
            private: object.private,
            edges,
            interval: Interval::default(),
            status: Status::Ok,
            deposed: Vec::new(),
            protect: declaration.lifecycle.protect,
            keep: declaration.lifecycle.keep,
            create_before_destroy: declaration.lifecycle.create_before_destroy,
            replace_when: declaration.lifecycle.replace_when.clone(),
            holder: declaration.holder.clone(),
        })
    }
}
