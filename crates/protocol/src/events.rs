//! The event stream of `apply --json`, format `freehold.events/1`: one JSON object per line, the last one the summary.
//!
//! Secrets never travel here: values are redacted before they are put into an event.

use freehold_model::{ErrorKind, MemberPath, Pointer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The name of the format, in the first line.
pub const FORMAT: &str = "freehold.events/1";

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The first line.
    Version {
        /// [`FORMAT`].
        format: String,
        /// Version of the program.
        freehold: String,
        /// Which command runs: `apply`, `destroy`, …
        command: String,
    },
    /// One step of the plan, before anything starts.
    PlanStep {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// What is to be done.
        action: Action,
        /// Why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<String>,
    },
    /// A step has begun.
    StepStart {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// What is done.
        action: Action,
        /// Which try: 1, and more after transient failures.
        attempt: u32,
    },
    /// How far a step is.
    StepProgress {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// 0 to 1, when that can be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f64>,
        /// What is being done.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// A line from a provider or from an operation.
    StepLog {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// `debug`, `info`, `warn`, `error`; `stdout` and `stderr` for output of operations and programs.
        level: String,
        /// The line.
        message: String,
        /// More, for machines.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        fields: Map<String, Json>,
    },
    /// A step is done and recorded.
    StepDone {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// What was done.
        action: Action,
        /// How long it took.
        seconds: f64,
        /// Outputs afterwards, redacted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<Map<String, Json>>,
    },
    /// A step has failed for good.
    StepFailed {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// What was tried.
        action: Action,
        /// How long it took.
        seconds: f64,
        /// Who has to act.
        #[schemars(with = "String")]
        kind: ErrorKind,
        /// What went wrong, with its causes.
        message: String,
        /// How to mend it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    },
    /// A step was not begun.
    StepSkipped {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// What was not done.
        action: Action,
        /// Why, in words.
        reason: String,
        /// Members whose failure it waited for in vain.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(with = "Vec<String>")]
        because: Vec<MemberPath>,
    },
    /// The world is not as recorded.
    Drift {
        /// Whose.
        #[schemars(with = "String")]
        member: MemberPath,
        /// Whether the object is gone or different.
        what: Drift,
        /// What differs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
    },
    /// Something to be said that belongs to no step.
    Diagnostic {
        /// How bad.
        severity: Severity,
        /// Who has to act, for errors.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        kind: Option<ErrorKind>,
        /// What.
        message: String,
        /// How to mend it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        member: Option<MemberPath>,
        /// Where in its inputs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        pointer: Option<Pointer>,
    },
    /// The operator asked to stop.
    Interrupt {
        /// 1: nothing new is started, what runs is finished. 2: providers are killed.
        count: u32,
        /// How many steps still run.
        running: u32,
    },
    /// The last line.
    Summary(Summary),
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing.
    None,
    /// Make an object.
    Create,
    /// Change it in place.
    Update,
    /// Make another and delete this one.
    Replace,
    /// Remove it.
    Delete,
    /// Look at it.
    Read,
    /// Take an existing object into the record.
    Adopt,
    /// Drop it from the record.
    Forget,
    /// Run an operation.
    Run,
}

/// How the world differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// The object is no longer there.
    Gone,
    /// It is there and different.
    Changed,
}

/// One difference; values are redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Where: `/inputs/contents`, `/outputs/sha256`.
    #[schemars(with = "String")]
    pub pointer: Pointer,
    /// As recorded.
    pub recorded: Json,
    /// As found.
    pub observed: Json,
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Only said.
    Info,
    /// Worth looking at.
    Warning,
    /// The command fails.
    Error,
}

/// What came of it all, in numbers of resources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Made.
    pub created: u64,
    /// Changed in place.
    pub updated: u64,
    /// Replaced.
    pub replaced: u64,
    /// Removed.
    pub deleted: u64,
    /// Looked at.
    pub read: u64,
    /// Recorded after a run that could not.
    pub adopted: u64,
    /// Dropped from the record, their objects left alone.
    pub forgotten: u64,
    /// Records that took another path.
    #[serde(default)]
    pub moved: u64,
    /// Failed.
    pub failed: u64,
    /// Not begun because of a failure or an interrupt.
    pub skipped: u64,
    /// Left as they were.
    pub none: u64,
    /// Whether everything that was planned is done.
    pub ok: bool,
    /// Exit code of the program.
    pub exit: i32,
    /// How long it took.
    pub seconds: f64,
}
