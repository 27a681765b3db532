//! What the executor wants written, as events of the state log; and what it wants from the Nix store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use freehold_apply::{Failure, Intent, IntentAction, RecordChange};
use freehold_model::{MemberPath, ProviderIdentity, ProviderRef, Record, SecretTexts};
use freehold_state::{Action, Begin, Event, NewEvent, Outcome, StateError, commands};
use freehold_store::{Nix, Progress, RealiseOptions, StoreError, Target};

use crate::engine::Engine;
use crate::holders::Held;
use crate::{Note, Observer};

impl Engine {
    /// The events that make an intent durable. What was left open of the member stays so until this one has told what there is.
    pub(crate) fn intent_events(&self, op: u64, intent: Intent) -> Vec<NewEvent> {
        let (action, deposed) = match intent.action {
            IntentAction::Create => (Action::Create, None),
            IntentAction::Update => (Action::Update, None),
            IntentAction::Delete => (Action::Delete, None),
            IntentAction::DeleteDeposed(key) => (Action::Delete, Some(key)),
        };
        let begin = Begin {
            member: intent.member,
            action,
            type_name: intent.type_name,
            provider: self.identify(&intent.provider),
            inputs: intent.inputs,
            deposed,
            operation: None,
        };
        vec![NewEvent::of(op.to_string(), Event::Begin(Box::new(begin)))]
    }

    /// The events that make a result durable. One that tells what there is of the object closes what was left open of it.
    pub(crate) fn result_events(&self, op: u64, member: &MemberPath, change: RecordChange) -> Vec<NewEvent> {
        let id = match &change {
            RecordChange::Found { op, .. } => op.clone(),
            _ => op.to_string(),
        };
        let end = |outcome| NewEvent::of(id.clone(), Event::End { member: member.clone(), outcome });
        let settled = |outcome| {
            let mut events = self.close_open_intents(member, &id);
            events.push(end(outcome));
            events
        };
        match change {
            RecordChange::Recorded(record) | RecordChange::Found { record, .. } => {
                settled(Outcome::Recorded(self.signed(record)))
            }
            RecordChange::Deleted => settled(Outcome::Deleted),
            // Of the current object nothing is told.
            RecordChange::DeposedDeleted(_) => vec![end(Outcome::Deleted)],
            RecordChange::Failed { failure, record } => {
                let is_told = record.is_some();
                let record = record.map(|r| self.signed(r));
                let outcome = Outcome::Failed { kind: failure.kind, message: failure.message, record };
                if is_told { settled(outcome) } else { vec![end(outcome)] }
            }
            RecordChange::NotBegun => vec![end(Outcome::Unchanged)],
            RecordChange::Forgotten => {
                let mut events = self.close_open_intents(member, &id);
                if self.home(member).view().record(member).is_some() {
                    events.push(Event::Forgotten { member: member.clone() }.into());
                }
                if events.is_empty() {
                    // Nothing was left of it; the log says that it was looked at.
                    events.push(Event::Forgotten { member: member.clone() }.into());
                }
                events
            }
            RecordChange::Observed(record) => {
                let mut events = self.close_open_intents(member, &id);
                events.push(Event::Amended { member: member.clone(), record: self.signed(record) }.into());
                events
            }
            RecordChange::Moved(moves) => {
                moves.into_iter().map(|m| Event::Moved { from: m.from, to: m.to }.into()).collect()
            }
        }
    }

    /// Ends what was begun on a member by an interrupted run.
    fn close_open_intents(&self, member: &MemberPath, except: &str) -> Vec<NewEvent> {
        let open = self.home(member).view().intents().into_iter().filter(|i| &i.member == member && i.op != except);
        open.filter(|i| !self.own_ops.contains(&i.op))
            .map(|i| NewEvent::of(i.op.clone(), Event::End { member: member.clone(), outcome: Outcome::Unchanged }))
            .collect()
    }

    /// Ends what a `run` that was killed has left open, in all logs that are locked.
    pub(crate) fn close_runs(&mut self) -> Result<(), StateError> {
        let held = self.holders.open.values_mut().filter_map(|held| match held {
            Held::Log { store, guard: Some(_) } => Some(&mut **store),
            _ => None,
        });
        [&mut self.store].into_iter().chain(held).try_for_each(|store| commands::close_runs(store, &MemberPath::root()))
    }

    fn signed(&self, record: Arc<Record>) -> Box<Record> {
        let mut record = Box::new(Arc::unwrap_or_clone(record));
        record.provider = self.identify(&record.provider.provider);
        // What providers say is marked as it comes in; this is for records that an older log or another tool wrote.
        if let Some(schema) = self.catalog.type_schema(&record.provider.provider, &record.type_name) {
            schema.mark_sensitive_inputs(&mut record.inputs);
            schema.mark_sensitive_outputs(&mut record.outputs);
        }
        SecretTexts::of(&record.inputs).mark(&mut record.outputs);
        record
    }

    pub(crate) fn identify(&self, provider: &ProviderRef) -> ProviderIdentity {
        let schema = self.catalog.schema(provider);
        ProviderIdentity {
            provider: provider.clone(),
            name: schema.map(|s| s.name.clone()).unwrap_or_default(),
            version: schema.map(|s| s.version.clone()).unwrap_or_default(),
        }
    }
}

/// Builds or fetches store paths until `stop` is set; whatever Nix says is told to the observer.
pub(crate) fn realise(paths: &[String], observer: &Arc<dyn Observer>, stop: &AtomicBool) -> Result<(), Failure> {
    if paths.is_empty() {
        return Ok(());
    }
    let nix = Nix::find().map_err(|e| failure(&e))?;
    let targets = paths.iter().map(|p| Target::parse(p)).collect::<Result<Vec<_>, _>>().map_err(|e| failure(&e))?;
    let mut tell = |progress: Progress| {
        if let Some(message) = progress_text(&progress) {
            observer.note(Note::Realising { message });
        }
    };
    nix.realise(&targets, RealiseOptions::default(), stop, &mut tell).map_err(|e| failure(&e))?;
    Ok(())
}

fn progress_text(progress: &Progress) -> Option<String> {
    match progress {
        Progress::Building { derivation } => Some(format!("building {derivation}")),
        Progress::Fetching { path, from } => Some(format!("fetching {path} from {from}")),
        _ => None,
    }
}

fn failure(error: &StoreError) -> Failure {
    let log = error.log();
    let mut message = freehold_model::chain(error);
    if !log.is_empty() {
        message = format!("{message}\n{}", log.join("\n"));
    }
    Failure { kind: error.kind(), message, hint: error.hint() }
}
