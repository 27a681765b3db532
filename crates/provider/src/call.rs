//! What can be asked of a provider, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use freehold_model::{Attrs, MemberPath, Sensitive, limits};
use freehold_protocol::ProviderSchema;
use freehold_protocol::v1::{Diagnostic, LogLevel, OutputStream, PlanAction};
use serde_json::{Map, Value as Json};

use crate::CallError;

/// A provider's own notes about an object; may hold secrets.
pub type Private = Option<Sensitive<Json>>;

/// An object as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Inputs with which it was made.
    pub inputs: Attrs,
    /// What came of it.
    pub outputs: Attrs,
    /// The provider's notes.
    pub private: Private,
}

/// One question to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Which resource types are there? Answered from memory after the first time.
    Schema,
    /// Is something wrong with these inputs, as far as they are known?
    Validate {
        /// Resource type.
        type_name: String,
        /// Inputs, possibly unknown in part.
        inputs: Attrs,
    },
    /// What would be done, and what comes of it?
    Plan {
        /// Resource type.
        type_name: String,
        /// The object as it is; none when it is to be created.
        prior: Option<Object>,
        /// Inputs as they should become, possibly unknown in part.
        inputs: Attrs,
        /// It is settled that the object is replaced; only the planned outputs are asked for.
        replace: bool,
    },
    /// Make an object.
    Create {
        /// Resource type.
        type_name: String,
        /// Inputs, wholly known.
        inputs: Attrs,
        /// Whether the outputs will be remembered.
        stateful: bool,
    },
    /// How is the object?
    Read {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
    },
    /// Change an object in place.
    Update {
        /// Resource type.
        type_name: String,
        /// As recorded.
        prior: Object,
        /// Inputs as they should become, wholly known.
        inputs: Attrs,
    },
    /// Remove an object.
    Delete {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
    },
    /// Find what the world calls `id`.
    Import {
        /// Resource type.
        type_name: String,
        /// What the world calls it.
        id: String,
    },
    /// Run a named action.
    Run {
        /// Resource type.
        type_name: String,
        /// Which action.
        operation: String,
        /// Its arguments.
        args: Vec<String>,
        /// As recorded.
        object: Object,
    },
    /// Give the state that this resource holds.
    StateRead {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
    },
    /// Append to the state that this resource holds, unless it has moved on.
    StateAppend {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
        /// The version that was read.
        expected_version: String,
        /// What is appended, each with a line end.
        lines: Vec<String>,
        /// Fencing token of the lock; 0 when none is held.
        fence: u64,
    },
    /// Append a JSON Patch to the state that this resource holds: protocol v0 only.
    StateEvent {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
        /// What happened, in a word.
        event: String,
        /// The change (RFC 6902).
        patch: Sensitive<Json>,
    },
    /// Take or renew the lock of the state that this resource holds.
    StateLock {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
        /// Who takes it, shown to others.
        owner: Json,
        /// How long it is held without renewal.
        lease: Duration,
        /// The token of a lock that is held already.
        token: Option<String>,
    },
    /// Give the lock back.
    StateUnlock {
        /// Resource type.
        type_name: String,
        /// As recorded.
        object: Object,
        /// Which lock; none breaks whatever lock there is.
        token: Option<String>,
    },
}

/// A call with its address: whose it is and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// For the provider's logs.
    pub member: MemberPath,
    /// From the moment it is sent; queueing does not count. None means the pool's `call_timeout`.
    pub timeout: Option<Duration>,
}

impl Call {
    /// Addresses the call to a member.
    #[must_use]
    pub fn of(self, member: &MemberPath) -> Request {
        Request { call: self, member: member.clone(), timeout: None }
    }

    /// The resource type that it is about, if it is about one.
    pub fn type_name(&self) -> Option<&str> {
        match self {
            Self::Schema => None,
            Self::Validate { type_name, .. }
            | Self::Plan { type_name, .. }
            | Self::Create { type_name, .. }
            | Self::Read { type_name, .. }
            | Self::Update { type_name, .. }
            | Self::Delete { type_name, .. }
            | Self::Import { type_name, .. }
            | Self::Run { type_name, .. }
            | Self::StateRead { type_name, .. }
            | Self::StateAppend { type_name, .. }
            | Self::StateEvent { type_name, .. }
            | Self::StateLock { type_name, .. }
            | Self::StateUnlock { type_name, .. } => Some(type_name),
        }
    }

    /// What is asked, in a word: the method's name on the wire.
    pub fn method(&self) -> &'static str {
        use freehold_protocol::v1::names;
        match self {
            Self::Schema => names::SCHEMA,
            Self::Validate { .. } => names::VALIDATE,
            Self::Plan { .. } => names::PLAN,
            Self::Create { .. } => names::CREATE,
            Self::Read { .. } => names::READ,
            Self::Update { .. } => names::UPDATE,
            Self::Delete { .. } => names::DELETE,
            Self::Import { .. } => names::IMPORT,
            Self::Run { .. } => names::RUN,
            Self::StateRead { .. } => names::STATE_READ,
            Self::StateAppend { .. } => names::STATE_APPEND,
            Self::StateEvent { .. } => "state event",
            Self::StateLock { .. } => names::STATE_LOCK,
            Self::StateUnlock { .. } => names::STATE_UNLOCK,
        }
    }
}

impl Request {
    /// Limits how long it may take once it is sent.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The limit that holds for it.
    pub fn limit(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default).min(limits::PROVIDER_CALL * 24)
    }
}

impl From<Call> for Request {
    fn from(call: Call) -> Self {
        call.of(&MemberPath::root())
    }
}

/// Something found by `import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedObject {
    /// Inputs that describe it.
    pub inputs: Attrs,
    /// What is known of it.
    pub outputs: Attrs,
    /// The provider's notes.
    pub private: Private,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Call::Schema`].
    Schema(Arc<ProviderSchema>),
    /// To [`Call::Validate`]: what is wrong; empty when nothing is.
    Validated(Vec<Diagnostic>),
    /// To [`Call::Plan`].
    Plan {
        /// What is to be done; without a prior object it is `Update`.
        action: PlanAction,
        /// Outputs afterwards, as far as they are known.
        planned_outputs: Attrs,
        /// Why.
        reasons: Vec<String>,
        /// Notes.
        private: Private,
    },
    /// To [`Call::Create`], [`Call::Update`] and [`Call::Read`].
    Object {
        /// What came of it.
        outputs: Attrs,
        /// The provider's notes.
        private: Private,
        /// From `Read`: inputs as found in the world, when they differ from the recorded ones.
        inputs: Option<Attrs>,
    },
    /// To [`Call::Read`] when the object does not exist any more, and to [`Call::Delete`].
    Gone,
    /// To [`Call::Import`]: possibly several.
    Imported(Vec<ImportedObject>),
    /// To [`Call::Run`].
    Ran {
        /// As of a program: 0 is success.
        exit_code: i32,
        /// Outputs afterwards, when the action changed them.
        outputs: Option<Attrs>,
        /// Notes afterwards, when `outputs` is given.
        private: Private,
    },
    /// To [`Call::StateRead`] in protocol v1.
    State {
        /// The whole state as it was appended.
        text: String,
        /// To be given back with an append.
        version: String,
    },
    /// To [`Call::StateRead`] in protocol v0: NixOps4's document.
    StateDocument(Sensitive<Json>),
    /// To [`Call::StateAppend`] (the version afterwards) and [`Call::StateEvent`] (empty).
    Appended {
        /// The version afterwards.
        version: String,
    },
    /// To [`Call::StateLock`].
    Locked {
        /// To renew it and to give it back.
        token: String,
        /// Greater than every fence given out before.
        fence: u64,
    },
    /// To [`Call::StateUnlock`].
    Unlocked,
}

/// What happens to a call. Exactly one `Done` comes, and it comes last.
#[derive(Debug, Clone)]
pub enum CallEvent {
    /// How far it is.
    Progress {
        /// 0 to 1, when that can be told.
        fraction: Option<f64>,
        /// What is being done.
        message: String,
    },
    /// A line to read.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
        /// More, for machines.
        fields: Map<String, Json>,
    },
    /// The object exists in the world: record it now.
    Partial {
        /// What is known of it.
        outputs: Attrs,
        /// The provider's notes.
        private: Private,
    },
    /// A piece of the output of an operation.
    Output {
        /// Where it came from.
        stream: OutputStream,
        /// Text with its line ends.
        data: String,
    },
    /// The end.
    Done(Result<Reply, CallError>),
}
