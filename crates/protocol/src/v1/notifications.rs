//! What is said unasked: by a provider about a request that it works on, and by the client to stop one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::message::Id;
use super::methods::WireObject;

/// Names of a provider's notifications.
pub mod notices {
    /// How far a request is.
    pub const PROGRESS: &str = "progress";
    /// Something worth reading.
    pub const LOG: &str = "log";
    /// The object exists: record it now.
    pub const PARTIAL: &str = "partial";
    /// Output of an operation.
    pub const OUTPUT: &str = "output";
}

/// Client → provider: stop this request cleanly and answer it (with its result, or an error of code -32800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelParams {
    /// Which request.
    pub id: Id,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressParams {
    /// Which request.
    pub id: Id,
    /// 0 to 1, when that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What is being done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For those who look for a fault in the provider.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something failed.
    Error,
}

/// Something worth reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogParams {
    /// Which request; none when it concerns the provider as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// How much it matters.
    pub level: LogLevel,
    /// The line, without secrets.
    pub message: String,
    /// More, for machines.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Json>,
}

/// The object of a running `create` exists in the world: what is known of it is recorded now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartialParams {
    /// Which request.
    pub id: Id,
    /// What is known: its identity at least.
    pub object: WireObject,
}

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Data.
    Stdout,
    /// Talk.
    Stderr,
}

/// A piece of the output of a running operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputParams {
    /// Which request.
    pub id: Id,
    /// Where it came from.
    pub stream: OutputStream,
    /// Text, with its line ends.
    pub data: String,
}
