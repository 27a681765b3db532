//! What `freehold app …` prints: Co-op Cloud apps on Docker Swarm.
#![allow(dead_code, reason = "read by programs: here only the schema and the check are used")]

use std::collections::BTreeMap;

use freehold_rollout::Outcome;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// `freehold app deploy`, `reconcile`, `upgrade`, `rollback`, `check`: what became of an app.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct App {
    /// The domain.
    domain: String,
    /// What happened.
    action: Outcome,
    /// The version that ran before.
    from: Option<String>,
    /// The version that runs now, or was to run.
    to: Option<String>,
    /// Whether what runs was found in order.
    healthy: bool,
    /// Why, when there is something to say.
    reason: Option<String>,
}

/// `freehold app reconcile --all`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sweep {
    /// What became of each app, as `cli.app.json` says.
    apps: Vec<Json>,
}

/// `freehold app ls`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct List {
    /// The apps of all servers.
    apps: Vec<Json>,
}

/// `freehold app ps`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Ps {
    /// The domain.
    domain: String,
    /// Its services with their tasks.
    services: Vec<Json>,
}

/// `freehold app new`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct New {
    /// The domain.
    domain: String,
    /// The recipe.
    recipe: String,
    /// The version that is pinned.
    version: Option<String>,
    /// The file that was written.
    file: String,
}

/// `freehold app secret ls`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Secrets {
    /// The domain.
    domain: String,
    /// Its secrets, without their values.
    secrets: Vec<Json>,
}

/// `freehold app secret generate`, `insert`, `rotate`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SecretsMade {
    /// The domain.
    domain: String,
    /// The secrets that were made, without their values.
    secrets: Vec<Json>,
}

/// `freehold app secret rm`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SecretsRemoved {
    /// The domain.
    domain: String,
    /// Names of the secrets that are gone.
    removed: Vec<Json>,
}

/// `freehold app volume rm`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VolumesRemoved {
    /// The domain.
    domain: String,
    /// Names of the volumes that are gone.
    removed: Vec<String>,
}

/// `freehold app rm`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Removed {
    /// The domain.
    domain: String,
    /// Names of the secrets that are gone.
    secrets: Vec<String>,
    /// Names of the volumes that are gone.
    volumes: Vec<String>,
}

/// `freehold app logs`; with `--follow` each line comes as one object of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Logs {
    /// The domain.
    domain: String,
    /// The lines, service by service: `service`, `line`.
    lines: Vec<Json>,
}

/// `freehold app cmd` without a function.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Functions {
    /// The domain.
    domain: String,
    /// The functions of the recipe's abra.sh.
    functions: Vec<String>,
}

/// `freehold app secret recipient`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Recipient {
    /// Whom files have to be encrypted for, as age writes it.
    recipient: String,
}

/// `freehold app volume ls`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Volumes {
    /// The domain.
    domain: String,
    /// Its volumes.
    volumes: Vec<Json>,
}

/// `freehold app restore` without a snapshot.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Snapshots {
    /// The domain.
    domain: String,
    /// Names of its snapshots, newest first.
    snapshots: Vec<Json>,
}

/// `freehold app backup` and `restore`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Snapshot {
    /// The domain.
    domain: String,
    /// Its name.
    snapshot: String,
    /// What of each volume is in it.
    volumes: Vec<Json>,
}

/// `freehold app diff`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Diff {
    /// The domain.
    domain: String,
    /// Whether what runs is something else than what is declared.
    differs: bool,
    /// The difference, for people.
    diff: String,
}

/// `freehold app env`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Env {
    /// The domain.
    domain: String,
    /// Its variables.
    env: BTreeMap<String, String>,
}

/// `freehold app lint`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Lint {
    /// The domain.
    domain: String,
    /// What was found: severity, code, place, message, hint.
    findings: Vec<Json>,
}

/// `freehold app versions`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Versions {
    /// The recipe.
    recipe: String,
    /// The version that the app is pinned to.
    pinned: Option<String>,
    /// All versions, newest first.
    versions: Vec<String>,
}

/// `freehold app swarm init`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Swarm {
    /// Whether the Swarm was made.
    swarm: Json,
    /// Whether the network `proxy` was made.
    network: Json,
}

/// `freehold app prune`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Prune {
    /// The images that are gone.
    removed: Vec<Json>,
}
