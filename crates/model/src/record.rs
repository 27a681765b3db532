//! What Freehold remembers of a resource: enough to update it, and to delete it when its declaration is gone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Attrs, MemberPath, ProviderRef, Sensitive, Value};

/// Which program made the object, so that the same can delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderIdentity {
    /// How it was started.
    pub provider: ProviderRef,
    /// Its name as it said in `initialize` (or the file name of a v0 provider).
    pub name: String,
    /// Its version as it said; empty when it said none.
    pub version: String,
}

/// When the last operation on it ran, in sequence numbers of the state log.
///
/// If B began after A had ended, B may depend on A: deletion goes in reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Interval {
    /// Sequence number of the event that began it.
    pub began: u64,
    /// Sequence number of the event that ended it.
    pub ended: u64,
}

/// Whether the object can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As recorded.
    #[default]
    Ok,
    /// Its creation failed half-way: it is replaced next time.
    Tainted,
}

/// An old object that was replaced create-first and could not be deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposed {
    /// Tells several apart; unique within the member.
    pub key: String,
    /// What is known of the old object.
    pub record: Box<Record>,
}

/// What is remembered of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who made it.
    pub provider: ProviderIdentity,
    /// Resource type within the provider.
    pub type_name: String,
    /// Inputs with which it was made.
    pub inputs: Attrs,
    /// What came of it.
    pub outputs: Attrs,
    /// The provider's own notes, handed back as they are; may hold secrets.
    pub private: Option<Sensitive<Json>>,
    /// Members whose outputs were seen to flow in (a lower bound), and explicit ones.
    pub edges: BTreeSet<MemberPath>,
    /// When its last create or update ran.
    pub interval: Interval,
    /// Whether it can be relied on.
    pub status: Status,
    /// Old objects still to be deleted.
    pub deposed: Vec<Deposed>,
    /// Refuse to delete it.
    pub protect: bool,
    /// Leave its object in the world when the member goes.
    pub keep: bool,
    /// Replaced create-first.
    pub create_before_destroy: bool,
    /// The value whose change replaces it.
    pub replace_when: Option<Value>,
    /// The member that holds this record; `None` for the deployment's own state.
    pub holder: Option<MemberPath>,
}
