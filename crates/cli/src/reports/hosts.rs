//! Reports about hosts: binary caches, manifests, the agent.
#![allow(dead_code, reason = "read by programs: here only the schema and the check are used")]

use freehold_rollout::{Alert, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// `freehold cache keygen`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CacheKey {
    /// Name of the key.
    name: String,
    /// `NAME:BASE64`.
    public_key: String,
    /// The file of the secret half.
    secret_key_file: String,
    /// The file of the public half.
    public_key_file: String,
}

/// `freehold cache ls`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CacheLs {
    /// Which cache.
    cache: String,
    /// What is in it.
    paths: Vec<CachedPath>,
}

/// A store path in a cache.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CachedPath {
    /// The store path.
    path: String,
    /// Hash of its archive.
    nar_hash: String,
    /// Bytes of its archive.
    nar_size: u64,
    /// Where the archive lies in the cache.
    url: String,
    /// How it is compressed.
    compression: String,
    /// Bytes of the compressed archive.
    file_size: Option<u64>,
    /// Store paths that it needs.
    references: Vec<String>,
    /// Its derivation.
    deriver: Option<String>,
    /// `KEY:BASE64`.
    signatures: Vec<String>,
}

/// `freehold cache verify`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CacheVerify {
    /// Which cache.
    cache: String,
    /// How many store paths it has.
    paths: u64,
    /// Bytes of their archives.
    file_bytes: u64,
    /// Archives that nothing names.
    unnamed_nars: u64,
    /// What is wrong.
    problems: Vec<CacheProblem>,
}

/// Something that is wrong in a cache.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CacheProblem {
    /// The object.
    key: String,
    /// The store path.
    path: Option<String>,
    /// What is wrong.
    problem: String,
}

/// `freehold cache push`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CachePush {
    /// Which cache.
    cache: String,
    /// What was to be pushed.
    paths: Vec<String>,
    /// How many paths that is with what they need.
    closure: u64,
    /// How many were not there.
    new: u64,
    /// How many were there, and lacked our signature, which they have now.
    signed: u64,
    /// Bytes of their archives.
    nar_bytes: u64,
    /// The same, compressed.
    file_bytes: u64,
    /// Bytes that travelled.
    travelled_bytes: u64,
}

/// `freehold cache pull`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CachePull {
    /// Which cache.
    cache: String,
    /// What was to be pulled.
    paths: Vec<String>,
    /// How many paths were not there.
    new: u64,
    /// Bytes of their archives.
    nar_bytes: u64,
    /// The same, compressed.
    file_bytes: u64,
    /// Bytes that travelled.
    travelled_bytes: u64,
}

/// `freehold cache gc`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CacheGc {
    /// Which cache.
    cache: String,
    /// Whether it was done, or only said.
    deleted: bool,
    /// Store paths that go.
    paths: Vec<String>,
    /// How many archives go.
    nars: u64,
    /// How many bytes that frees.
    bytes: u64,
    /// How many store paths stay.
    kept: u64,
    /// Store paths to keep that are not there.
    absent: Vec<String>,
    /// Objects that cannot be read.
    unreadable: Vec<String>,
}

/// `freehold publish`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Publish {
    /// Which service.
    service: String,
    /// What it is to run.
    store_path: String,
    /// The generation that was published.
    generation: String,
    /// Its serial number.
    serial: Option<u64>,
    /// Hosts that run it; empty for all.
    hosts: Vec<String>,
    /// How the manifest changed.
    changes: Vec<ServiceChange>,
    /// With `--wait`: what the hosts have reported.
    wait: Option<Wait>,
}

/// What hosts have reported of a publish.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wait {
    /// How it stands on all of them together.
    state: String,
    /// How it stands on each.
    hosts: Vec<Json>,
}

/// `freehold rollback`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rollback {
    /// The generation that was published.
    generation: String,
    /// Its serial number.
    serial: Option<u64>,
    /// The generation that it repeats.
    #[serde(rename = "as")]
    repeats: String,
    /// How the manifest changed.
    changes: Vec<ServiceChange>,
}

/// What became of a service in a manifest.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceChange {
    /// Which.
    service: String,
    /// `added`, `removed` or `changed`.
    change: String,
    /// Fields that differ: where, what was, what is.
    fields: Vec<Json>,
}

/// `freehold manifest list`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Generations {
    /// All that are kept.
    generations: Vec<String>,
    /// The one that hosts follow.
    current: Option<String>,
}

/// `freehold manifest diff`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestDiff {
    /// The earlier generation.
    from: Option<String>,
    /// The later generation.
    to: Option<String>,
    /// Services that differ.
    differences: Vec<ServiceChange>,
}

/// `freehold manifest remove`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestRemove {
    /// Which service.
    service: String,
    /// The generation that was published.
    generation: String,
    /// Its serial number.
    serial: Option<u64>,
}

/// `freehold manifest verify`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestVerify {
    /// The generation.
    generation: String,
    /// Name of the key that signed it.
    signed_by: Option<String>,
    /// What is wrong, in words.
    problems: Vec<String>,
}

/// `freehold agent status`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AgentStatus {
    /// Name of the host.
    host: String,
    /// Whether an agent works there at this moment, or waits for its next round; `null` for who may not know.
    running: Option<bool>,
    /// The generation that is followed.
    generation: Option<String>,
    /// The highest serial number that was seen.
    serial: u64,
    /// When a round began last, in milliseconds since 1970.
    last_round: Option<u64>,
    /// Rounds in a row in which the manifest could not be read.
    failures: u32,
    /// Why, in the last of them.
    failure: Option<String>,
    /// The services of this host.
    services: Vec<ServiceState>,
    /// Alerts that stand, as `rollout.alert.json` says.
    alerts: Vec<Alert>,
}

/// `freehold agent once`, and each line of `freehold agent run`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Round {
    /// Name of the host.
    host: String,
    /// The generation that was followed.
    generation: Option<String>,
    /// The services of this host.
    services: Vec<ServiceState>,
    /// What is wrong beside services.
    problems: Option<Vec<String>>,
}

/// How a service stands after a round.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceState {
    /// Its name.
    name: String,
    /// What happened to it.
    action: Outcome,
    /// The store path that is declared.
    declared: Option<String>,
    /// The store path that runs.
    running: Option<String>,
    /// Whether what runs was found in order.
    healthy: bool,
    /// Why, when there is something to say.
    reason: Option<String>,
    /// The alert that stands.
    alert: Option<Alert>,
    /// Whether what is declared was taken back, in this round or an earlier one.
    #[serde(default)]
    taken_back: bool,
}
