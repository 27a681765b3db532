//! Provider protocol version 0: NixOps4's. One request and one response, each a JSON object on one line with one key.
//!
//! It has no handshake, no read and no delete; what follows from that is decided by the client in `freehold-provider`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A request to a v0 provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Make an object.
    CreateResourceRequest(CreateRequest),
    /// Change an object.
    UpdateResourceRequest(UpdateRequest),
    /// Give the state that this resource holds.
    StateResourceReadRequest(StateReadRequest),
    /// Append a change to the state that this resource holds.
    StateResourceEvent(StateEventRequest),
}

/// Fields of `createResourceRequest`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Inputs by name, secrets in clear.
    pub input_properties: Map<String, Json>,
    /// Whether what it returns will be remembered.
    pub is_stateful: bool,
}

/// An existing resource as v0 names it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Resource type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Inputs with which it was made, secrets in clear.
    pub input_properties: Map<String, Json>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_properties: Option<Map<String, Json>>,
}

/// Fields of `updateResourceRequest`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRequest {
    /// The object as it is.
    pub resource: Resource,
    /// Inputs as they should become.
    pub input_properties: Map<String, Json>,
}

/// Fields of `stateResourceReadRequest`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateReadRequest {
    /// The resource that holds the state.
    pub resource: Resource,
}

/// Fields of `stateResourceEvent`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateEventRequest {
    /// The resource that holds the state.
    pub resource: Resource,
    /// What happened, in a word.
    pub event: String,
    /// Version of the program that writes.
    pub nixops_version: String,
    /// The change, as a JSON Patch (RFC 6902).
    pub patch: Json,
}

/// A response of a v0 provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Response {
    /// The object was made.
    CreateResourceResponse(OutputsResponse),
    /// The object was changed.
    UpdateResourceResponse(OutputsResponse),
    /// The state.
    StateResourceReadResponse(StateReadResponse),
    /// The change of state is kept.
    StateResourceEventResponse(Empty),
    /// Any request may fail.
    ErrorResponse(ErrorResponse),
}

/// Outputs of a create or update.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputsResponse {
    /// Outputs by name.
    pub output_properties: Map<String, Json>,
}

/// The state document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateReadResponse {
    /// `{_type: "nixopsState", resources, deployments}`.
    pub state: Json,
}

/// Nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorResponse {
    /// What went wrong.
    pub message: String,
}

/// Why a line is no response of protocol v0. It shows no part of the line, which may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or JSON of another shape.
    #[error("not a response of provider protocol v0")]
    Shape(#[source] serde_json::Error),
}

/// Reads one line that a v0 provider wrote.
///
/// # Errors
/// When the line is not JSON or not one of the responses. Never panics, whatever the bytes.
pub fn parse_response(line: &[u8]) -> Result<Response, ParseError> {
    serde_json::from_slice(line).map_err(ParseError::Shape)
}

macro_rules! hide_in_debug {
    ($($name:ident),*) => { $(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )* };
}
hide_in_debug!(
    CreateRequest,
    Resource,
    UpdateRequest,
    StateReadRequest,
    StateEventRequest,
    OutputsResponse,
    StateReadResponse,
    Response
);
