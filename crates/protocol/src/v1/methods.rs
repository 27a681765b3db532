//! What is asked of a provider and what it answers. One parameter type and one result type per method.

use std::collections::BTreeMap;

use freehold_model::{MemberPath, Pointer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{TypeSchema, WireAttrs, WireValue};

/// Names of the methods.
pub mod names {
    /// First of all: versions, names, limits.
    pub const INITIALIZE: &str = "initialize";
    /// Resource types.
    pub const SCHEMA: &str = "schema";
    /// Provider-wide settings.
    pub const CONFIGURE: &str = "configure";
    /// Check inputs that may hold unknowns.
    pub const VALIDATE: &str = "validate";
    /// Decide what would be done.
    pub const PLAN: &str = "plan";
    /// Make an object.
    pub const CREATE: &str = "create";
    /// Look at an object.
    pub const READ: &str = "read";
    /// Change an object in place.
    pub const UPDATE: &str = "update";
    /// Remove an object.
    pub const DELETE: &str = "delete";
    /// Find existing objects.
    pub const IMPORT: &str = "import";
    /// Run a named action.
    pub const RUN: &str = "operations/run";
    /// Give the state that a resource holds.
    pub const STATE_READ: &str = "state/read";
    /// Append to the state that a resource holds.
    pub const STATE_APPEND: &str = "state/append";
    /// Take the lock of the state that a resource holds.
    pub const STATE_LOCK: &str = "state/lock";
    /// Give the lock back.
    pub const STATE_UNLOCK: &str = "state/unlock";
    /// Notification: stop a request cleanly.
    pub const CANCEL: &str = "cancel";
    /// Every request, for "did you mean" and conformance.
    pub const REQUESTS: [&str; 15] = [
        INITIALIZE,
        SCHEMA,
        CONFIGURE,
        VALIDATE,
        PLAN,
        CREATE,
        READ,
        UPDATE,
        DELETE,
        IMPORT,
        RUN,
        STATE_READ,
        STATE_APPEND,
        STATE_LOCK,
        STATE_UNLOCK,
    ];
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    #[serde(default)]
    pub version: String,
}

/// Parameters of `initialize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// Versions that the client speaks.
    pub protocol_versions: Vec<u32>,
    /// Who asks.
    pub client: Program,
    /// Relative paths in inputs start here: the directory of the deployment's entry file.
    pub working_directory: String,
}

/// Result of `initialize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The version that is spoken from here on, one of those offered.
    pub protocol_version: u32,
    /// Who answers.
    pub provider: Program,
    /// How many requests it works on at once; none means as many as the client likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// Parameters of `schema`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SchemaParams {}

/// Result of `schema`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaResult {
    /// Resource types by name.
    pub types: BTreeMap<String, TypeSchema>,
    /// JSON Schema of the provider-wide settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Json>,
}

/// Parameters of `configure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigureParams {
    /// Provider-wide settings (credentials …), secrets in clear.
    pub config: WireValue,
}

/// A result that says nothing more than that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// Parameters of `validate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidateParams {
    /// Whose inputs they are, for logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Inputs, possibly unknown in part.
    pub inputs: WireAttrs,
}

/// Result of `validate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ValidateResult {
    /// What is wrong; empty when nothing is.
    pub diagnostics: Vec<Diagnostic>,
}

/// Something that is wrong with inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Where in the inputs.
    #[schemars(with = "String")]
    pub pointer: Pointer,
    /// What: lower case, no secrets.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An object as it is recorded.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WireObject {
    /// Inputs with which it was made; left out where the receiver knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<WireAttrs>,
    /// What came of it.
    pub outputs: WireAttrs,
    /// The provider's own notes, handed back as they are; treated as secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Json>,
}

impl std::fmt::Debug for WireObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WireObject({} outputs)", self.outputs.value.len())
    }
}

/// Parameters of `plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is; none when it is to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<WireObject>,
    /// Inputs as they should become, possibly unknown in part.
    pub inputs: WireAttrs,
    /// The client has decided that the object is replaced: only the planned outputs are wanted.
    #[serde(default)]
    pub replace: bool,
}

/// What is to be done to an existing object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanAction {
    /// Nothing.
    None,
    /// Change it in place (or make it, when there is none).
    Update,
    /// Make another and delete this one.
    Replace,
}

/// Result of `plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanResult {
    /// What is to be done; without a prior object it is `update`.
    pub action: PlanAction,
    /// Outputs afterwards, as far as they are known.
    pub planned_outputs: WireAttrs,
    /// Why, one line each, without values of secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Notes for the `create` or `update` that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Json>,
}

/// Parameters of `create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Inputs, wholly known.
    pub inputs: WireAttrs,
    /// Whether the outputs will be remembered.
    pub stateful: bool,
}

/// Parameters of `read`, `delete` and everything else that concerns one existing object and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is recorded.
    pub object: WireObject,
}

/// Result of `create` and `update`.
pub type ObjectResult = WireObject;

/// Result of `read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadResult {
    /// The object as it is in the world, with `inputs` where they differ from the recorded ones; null when it is gone.
    pub object: Option<WireObject>,
}

/// Parameters of `update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is.
    pub prior: WireObject,
    /// Inputs as they should become, wholly known.
    pub inputs: WireAttrs,
}

/// Parameters of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What the world calls it.
    pub id: String,
}

/// Result of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ImportResult {
    /// What was found, each with its inputs; several when one id stands for several objects.
    pub objects: Vec<WireObject>,
}

/// Parameters of `operations/run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Which action.
    pub operation: String,
    /// Its arguments, as on a command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// The object as it is recorded.
    pub object: WireObject,
}

/// Result of `operations/run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// As of a program: 0 is success.
    pub exit_code: i32,
    /// The object afterwards, when the action changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<WireObject>,
}

/// Result of `state/read`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateReadResult {
    /// The whole state as it was appended; empty when there is none yet.
    pub text: String,
    /// What tells this state from any other (a length, an ETag); given back with `state/append`.
    pub version: String,
}

impl std::fmt::Debug for StateReadResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateReadResult({} bytes, version {})", self.text.len(), self.version)
    }
}

/// Parameters of `state/append`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateAppendParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is recorded.
    pub object: WireObject,
    /// The version that was read; when the state is another by now, nothing is appended.
    pub expected_version: String,
    /// What is appended, each with a line end.
    pub lines: Vec<String>,
    /// Fencing token of the lock; smaller than one seen before is refused. 0 means that no lock is held.
    #[serde(default)]
    pub fence: u64,
}

impl std::fmt::Debug for StateAppendParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateAppendParams({} lines)", self.lines.len())
    }
}

/// Result of `state/append`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateAppendResult {
    /// The version afterwards.
    pub version: String,
}

/// Parameters of `state/lock`; with the `token` of a lock that is held it renews the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateLockParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is recorded.
    pub object: WireObject,
    /// Who takes it: user, host, pid, command; shown to others.
    pub owner: Json,
    /// How long it is held without renewal.
    pub lease_seconds: u64,
    /// The token of a lock that is already held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Result of `state/lock`. When somebody else holds it the request fails with `kind` config and names the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateLockResult {
    /// To renew it and to give it back.
    pub token: String,
    /// Greater than every fence given out before.
    pub fence: u64,
}

/// Parameters of `state/unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateUnlockParams {
    /// For logs.
    #[schemars(with = "String")]
    pub member: MemberPath,
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object as it is recorded.
    pub object: WireObject,
    /// The lock to give back; none breaks whatever lock there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
