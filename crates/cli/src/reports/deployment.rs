//! Reports about a deployment: its members, how they hang together, what the world is like.
#![allow(dead_code, reason = "read by programs: here only the schema and the check are used")]

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::records::{HistoryEntry, Intent, Owner};

/// `freehold members`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Members {
    /// Declared and recorded members, in the order of their paths.
    members: Vec<Member>,
}

/// One member.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Member {
    /// Its path.
    member: String,
    /// Whether it has members itself.
    kind: MemberKind,
    /// Its provider, when known.
    provider: Option<String>,
    /// Its resource type, when known.
    #[serde(rename = "type")]
    type_name: Option<String>,
    /// Whether the deployment declares it.
    declared: bool,
    /// Whether it has a record.
    recorded: bool,
    /// Outputs that have to be known before it is.
    waits_for: Vec<String>,
    /// Why it does not evaluate.
    failed: Option<Json>,
}

/// What a member is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum MemberKind {
    /// It has members.
    Composite,
    /// It is an object in the world.
    Resource,
}

/// `freehold graph`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Graph {
    /// The members.
    nodes: Vec<Node>,
    /// What flows between them.
    edges: Vec<Edge>,
}

/// A member in a graph.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    /// Its path.
    member: String,
    /// Provider and type (`local.file`); `?` when not known yet.
    #[serde(rename = "type")]
    type_name: String,
}

/// Outputs of one member that flow into another.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Edge {
    /// Whose outputs.
    from: String,
    /// Who uses them.
    to: String,
}

/// `freehold status`, and `freehold` alone.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Status {
    /// The deployment; null when there is none here, and then there is nothing else.
    deployment: Option<String>,
    /// Its own log.
    state: Option<StatusLog>,
    /// Logs that members hold.
    held: Option<Vec<StatusLog>>,
    /// Who holds the lock.
    holder: Option<Holder>,
    /// Members with secrets that no identity at hand opens.
    locked_secrets: Option<Vec<String>>,
    /// How the last run began or ended.
    last_run: Option<HistoryEntry>,
    /// What was begun and has no end.
    intents: Option<Vec<Intent>>,
}

/// A log.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatusLog {
    /// Where it is.
    place: String,
    /// What tells it from every other; of the deployment's own log.
    lineage: Option<String>,
    /// Number of its last event.
    seq: u64,
    /// How many records it has.
    records: u64,
}

/// A lock that is held.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Holder {
    /// By whom.
    owner: Owner,
    /// With which token.
    fence: u64,
    /// End of its lease, in milliseconds since 1970.
    expires: u64,
}

/// `freehold drift`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Drift {
    /// Members whose objects are not as recorded.
    drift: Vec<Drifted>,
    /// Why something could not be looked at.
    problems: Vec<Problem>,
    /// Whether everything could be looked at.
    ok: bool,
    /// How many records there are.
    recorded: u64,
}

/// An object that is not as recorded.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Drifted {
    /// Whose.
    member: String,
    /// Whether there is no object any more.
    gone: bool,
    /// Places that differ, as in `plan.json`: before = record, after = world.
    changes: Vec<Json>,
}

/// What keeps something from being done.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Problem {
    /// Whose.
    member: String,
    /// What is wrong.
    message: String,
    /// What would mend it.
    hint: Option<String>,
}

/// `freehold import`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Import {
    /// Members that have a record now.
    members: Vec<String>,
}

/// The last line of `freehold run`; those before are `{ stream, data }`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    /// Of the operation.
    exit_code: i32,
}
