//! Reports about Freehold itself: errors, keys, the machine, providers.
#![allow(dead_code, reason = "read by programs: here only the schema and the check are used")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// Any command with `--json` that fails.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Error {
    /// Why it failed.
    error: ErrorDetails,
}

/// Why a command failed.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ErrorDetails {
    /// Who has to act.
    kind: ErrorKind,
    /// What is wrong.
    message: Option<String>,
    /// Why that is, from the outside in.
    causes: Vec<String>,
    /// What would mend it.
    hints: Vec<String>,
    /// Where a manifest is wrong, when it is about one.
    #[serde(default)]
    places: Vec<Place>,
}

/// A place in a manifest, and what is wrong with it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    /// The field, as a JSON pointer.
    at: String,
    /// What kind of mistake: `unknown-field`, `bad-value`, `port-taken`.
    code: String,
}

/// Who has to act.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ErrorKind {
    /// Whoever wrote the deployment or the command.
    User,
    /// Whoever set it up.
    Config,
    /// Nobody: trying again may help.
    Transient,
    /// Whoever runs the machine.
    Host,
    /// Whoever makes Freehold.
    Internal,
}

/// `freehold init`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Init {
    /// Files that were written.
    files: Vec<String>,
    /// The file of the private key, when one was made.
    identity: Option<PathBuf>,
    /// The file of recipients, when it was written.
    recipients: Option<PathBuf>,
}

/// `freehold identity`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Identity {
    /// The file of the private key.
    path: String,
    /// The public half: `age1…`.
    recipient: String,
    /// Whether the key was made now.
    made: bool,
}

/// `freehold doctor`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Doctor {
    /// Whether nothing is bad.
    ok: bool,
    /// What was looked at.
    checks: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Finding {
    /// What.
    check: String,
    /// How it is.
    result: FindingResult,
    /// In words.
    message: String,
    /// What would mend it.
    hint: Option<String>,
}

/// How something is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FindingResult {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Something will not work.
    Bad,
}

/// `freehold provider list`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Providers {
    /// The built-in providers.
    providers: Vec<Provider>,
}

/// One provider.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Provider {
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// Its version.
    version: String,
    /// Names of its resource types.
    types: Vec<String>,
}

/// `freehold provider schema`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProviderSchema {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// Version of the protocol that it speaks.
    protocol: u32,
    /// JSON Schema of its settings.
    config: Option<Json>,
    /// Its types by name, each as `v1.type-schema.json` says.
    types: BTreeMap<String, Json>,
}

/// `freehold provider test`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProviderTest {
    /// Whether no check has failed.
    passed: bool,
    /// Every check, in order.
    checks: Vec<ProviderCheck>,
}

/// One check.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProviderCheck {
    /// What was looked at, as a sentence.
    check: String,
    /// How it went.
    outcome: CheckOutcome,
    /// Why it failed or was not run.
    why: Option<String>,
}

/// How a check went.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum CheckOutcome {
    /// As it should.
    Passed,
    /// Not.
    Failed,
    /// It could not be looked at.
    NotRun,
}
