//! What the planner has to know of a resource type, and what comes back when the world or a provider is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{Attrs, Pointer, Record, Sensitive};
use serde_json::Value as Json;

use crate::Identity;

/// What the planner knows of a resource type (from its provider's schema).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeFacts {
    /// Inputs whose change needs a new object.
    pub force_new: BTreeSet<String>,
    /// Outputs that an update leaves as they are.
    pub stable_outputs: BTreeSet<String>,
    /// Inputs that together name the object in the world; empty when the world does not name it.
    pub identity: Identity,
    /// Places of inputs that hold secrets.
    pub sensitive_inputs: Vec<Pointer>,
    /// Places of outputs that hold secrets.
    pub sensitive_outputs: Vec<Pointer>,
    /// Whether it can be read.
    pub can_read: bool,
    /// Whether it can be changed in place.
    pub can_update: bool,
    /// Whether it can be deleted.
    pub can_delete: bool,
    /// Whether the provider says itself what a change means (`plan` of protocol v1).
    pub can_plan: bool,
    /// Whether its objects can hold the records of others.
    pub holds_state: bool,
    /// Whether the provider wants to be asked even when nothing changed.
    pub plan_always: bool,
    /// What to do about a create whose outcome is not known.
    pub recovery: Recovery,
}

/// What to do about a create that was begun and of which no end is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Look: the inputs name the object.
    Read,
    /// Do it again: what it makes lives in the record alone, so that nothing was left behind.
    InRecord,
    /// Do it again: making it twice does no harm. Where nothing declares it any more, nobody makes it: then ask.
    Again,
    /// Ask the operator to adopt it or to forget it.
    #[default]
    Ask,
}

impl Recovery {
    /// Whether it may take an operator to tell what came of such a create.
    pub fn may_ask(self) -> bool {
        matches!(self, Self::Again | Self::Ask)
    }
}

/// What a look at the world showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// There is no such object.
    Gone,
    /// The object as it is.
    Object {
        /// Inputs as the world has them, where the provider can tell.
        inputs: Option<Attrs>,
        /// Outputs as they are now.
        outputs: Attrs,
        /// The provider's notes.
        private: Option<Sensitive<Json>>,
    },
}

impl Observation {
    /// `record`, brought up to what was seen; the same one when nothing differs.
    pub fn onto(&self, record: &Arc<Record>) -> Arc<Record> {
        let mut shared = Arc::clone(record);
        let Self::Object { inputs, outputs, private } = self else { return shared };
        let same = inputs.as_ref().is_none_or(|i| *i == shared.inputs)
            && *outputs == shared.outputs
            && private.as_ref().is_none_or(|p| shared.private.as_ref() == Some(p));
        if !same {
            let record = Arc::make_mut(&mut shared);
            if let Some(inputs) = inputs {
                record.inputs.clone_from(inputs);
            }
            record.outputs.clone_from(outputs);
            if private.is_some() {
                record.private.clone_from(private);
            }
        }
        shared
    }
}

/// What a provider says a change means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What it would do.
    pub action: ProposedAction,
    /// Outputs as far as they are known before it is done.
    pub outputs: Attrs,
    /// Why, in the provider's words.
    pub reasons: Vec<String>,
}

/// What a provider would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposedAction {
    /// Nothing.
    None,
    /// Change the object in place (or make it, when there is none).
    Update,
    /// It takes a new object.
    Replace,
}

/// An operation that was begun and of which no end is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIntent {
    /// Operation id as the state log has it; a number, unless the operation was moved between logs or another tool began it.
    pub op: String,
    /// Sequence number of the event that began it.
    pub began: u64,
    /// What was begun: create, update or delete.
    pub action: crate::Action,
    /// By which provider.
    pub provider: Option<freehold_model::ProviderIdentity>,
    /// Of which type.
    pub type_name: String,
    /// With which inputs.
    pub inputs: Attrs,
    /// What the provider said of the object before it fell silent.
    pub partial: Option<Attrs>,
}
