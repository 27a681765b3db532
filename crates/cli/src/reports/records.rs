//! Reports about the state: records, their history, and what commands did to them.
#![allow(dead_code, reason = "read by programs: here only the schema and the check are used")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// `freehold outputs`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Outputs {
    /// Outputs by name, by member; secrets are marks unless `--reveal` was given.
    outputs: BTreeMap<String, BTreeMap<String, Json>>,
}

/// `freehold show` and `freehold state show`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Records {
    /// Records by member.
    records: BTreeMap<String, Record>,
}

/// `freehold state export`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Export {
    /// What tells the log from every other; empty when nothing was written.
    lineage: String,
    /// Number of its last event.
    seq: u64,
    /// Records by member, those that members hold among them.
    records: BTreeMap<String, Record>,
}

/// What is recorded of a member.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    /// Resource type.
    #[serde(rename = "type")]
    type_name: String,
    /// Who made it.
    provider: RecordProvider,
    /// Inputs with which it was made.
    inputs: BTreeMap<String, Json>,
    /// What came of it.
    outputs: BTreeMap<String, Json>,
    /// Members that it was seen to need.
    edges: Vec<String>,
    /// Events between which it came to be.
    interval: Interval,
    /// Whether it can be relied on.
    status: RecordStatus,
    /// Old objects that are still to be deleted.
    deposed: Vec<OldRecord>,
    /// It refuses to be deleted.
    protect: bool,
    /// Its object stays when it leaves the deployment.
    keep: bool,
    /// A replacement comes before the old object goes.
    create_before_destroy: bool,
    /// What its replacement was made to depend on.
    replace_when: Option<Json>,
    /// The member that holds the record.
    holder: Option<String>,
    /// The provider's notes: a mark, or with `--reveal` what they say.
    private: Option<Json>,
}

/// A record's provider.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordProvider {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// `{ builtin }`, or `{ executable, args }`.
    program: Json,
}

/// The events between which an object came to be.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Interval {
    /// When it was begun.
    began: u64,
    /// When it had ended.
    ended: u64,
}

/// Whether a record can be relied on.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RecordStatus {
    /// It can.
    Ok,
    /// Its creation failed half-way.
    Tainted,
}

/// An old object.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OldRecord {
    /// Tells it from others of the member.
    key: String,
    /// What is recorded of it.
    record: Box<Record>,
}

/// `freehold history` and `freehold state history`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct History {
    /// From the earliest on.
    entries: Vec<HistoryEntry>,
}

/// Something that was done.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HistoryEntry {
    /// The event that completed it.
    seq: u64,
    /// The event that began it.
    began: u64,
    /// When (RFC 3339).
    time: String,
    /// By whom.
    who: String,
    /// Operation; empty when there is none.
    op: String,
    /// About which member.
    member: Option<String>,
    /// What was done: an action's word, or `forget`, `move`, `import`, `amend`, `run`, `apply-started`, ….
    what: String,
    /// Whether it worked.
    ok: bool,
    /// More about it; null when there is nothing.
    detail: Json,
}

/// `freehold state list`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateList {
    /// Every record.
    records: Vec<Listed>,
    /// What was begun and has no end.
    intents: Vec<Intent>,
}

/// A record in a list.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    /// Whose.
    member: String,
    /// Provider and type: `local.file`.
    resource: String,
    /// Whether it can be relied on.
    status: RecordStatus,
    /// How many old objects are still to be deleted.
    deposed: u64,
    /// It refuses to be deleted.
    protect: bool,
    /// The member that holds the record.
    holder: Option<String>,
    /// It has secrets that no identity at hand opens.
    locked: bool,
    /// Something was begun on it and has no end.
    open: bool,
}

/// Something that was begun and has no end.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Intent {
    /// Its id.
    op: String,
    /// On which member.
    member: String,
    /// `create`, `update`, `delete` or `run`.
    action: String,
    /// When it was begun (RFC 3339).
    since: String,
    /// By whom.
    who: String,
}

/// `freehold state diff`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateDiff {
    /// The earlier event.
    from: u64,
    /// The later event.
    to: u64,
    /// Records that differ.
    changes: Vec<RecordChange>,
}

/// What became of a record.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordChange {
    /// Whose.
    member: String,
    /// `added`, `removed` or `changed`.
    change: String,
    /// Places that differ.
    places: Vec<PlaceChange>,
}

/// A place in a record that differs.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlaceChange {
    /// Where: `/inputs/contents`.
    at: String,
    /// What was there; null when nothing.
    before: Option<Json>,
    /// What is there; null when nothing.
    after: Option<Json>,
}

/// `freehold state rm`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateRm {
    /// How many records were dropped.
    removed: u64,
}

/// `freehold state mv`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateMv {
    /// How many records were moved.
    moved: u64,
}

/// `freehold state import`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateImport {
    /// How many records were taken in.
    imported: u64,
}

/// `freehold state rekey`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateRekey {
    /// For whom secrets are encrypted now.
    recipients: Vec<String>,
}

/// `freehold state unlock`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateUnlock {
    /// Who held the lock.
    holder: Option<Owner>,
    /// Whether a lock was broken.
    broken: bool,
}

/// Who holds a lock.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Owner {
    /// User name.
    user: String,
    /// Host name.
    host: String,
    /// Process id.
    pid: u32,
    /// Where process ids mean the same.
    machine: Option<String>,
    /// The command line, without secrets.
    command: String,
    /// Since when (RFC 3339).
    started: String,
}

/// `freehold state repair`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StateRepair {
    /// What is wrong; null when nothing is, or only a torn end.
    fault: Option<String>,
    /// Last event that is kept.
    kept: u64,
    /// What is moved aside or declared void.
    cut: Option<Cut>,
    /// Whether that was done.
    repaired: bool,
}

/// A part of a log, from a place on.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cut {
    /// The file or object in which it begins.
    piece: String,
    /// Byte offset in it.
    offset: u64,
    /// The files or objects after it.
    later: Vec<String>,
}
