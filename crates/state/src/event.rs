//! What is written to the log: the events, and how each is JSON.
//!
//! An operation on a member is a pair: `Begin` is durable before the provider is called, `End` before a dependent starts.
//! What an event does to the state is in [`crate::State::apply_event`].

use freehold_model::{Attrs, ErrorKind, MemberPath, ProviderIdentity, Record, Sensitive};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::codec::{Decoder, Encoder, Fields};
use crate::error::StateError;
use crate::seal::Seal;

/// Position of an event in the log, from 1.
pub type Seq = u64;

/// Names an operation; unique within the log while it is open.
pub type OpId = String;

/// What an operation does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make the object.
    Create,
    /// Change it in place.
    Update,
    /// Delete it.
    Delete,
    /// Run one of its operations.
    Run,
}

impl Action {
    /// The word in the log and in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Run => "run",
        }
    }
}

/// What is intended with a member: written before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Whose object.
    pub member: MemberPath,
    /// What is about to be done.
    pub action: Action,
    /// Resource type.
    pub type_name: String,
    /// Who is about to do it.
    pub provider: ProviderIdentity,
    /// The inputs with which it is done.
    pub inputs: Attrs,
    /// The deposed object that is meant, for [`Action::Delete`].
    pub deposed: Option<String>,
    /// The operation's name, for [`Action::Run`].
    pub operation: Option<String>,
}

/// What is known of an object before the operation on it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partial {
    /// Outputs so far.
    pub outputs: Attrs,
    /// The provider's notes.
    pub private: Option<Sensitive<Json>>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This is the record from now on. Its interval is set by the log: from `Begin` to this event.
    Recorded(Box<Record>),
    /// The object (or the deposed one that `Begin` names) is gone, and so is its record.
    Deleted,
    /// It did not work.
    Failed {
        /// Who has to act.
        kind: ErrorKind,
        /// What the provider said.
        message: String,
        /// What is known of the object now (tainted or partial); `None` leaves the record as it was.
        record: Option<Box<Record>>,
    },
    /// It ended and the record stays as it was (an operation that was run, an intent that was adopted as not begun).
    Unchanged,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An operation is about to be done.
    Begin(Box<Begin>),
    /// Something is known of its object already.
    Partial {
        /// Whose.
        member: MemberPath,
        /// What.
        partial: Box<Partial>,
    },
    /// The operation ended.
    End {
        /// Whose.
        member: MemberPath,
        /// How.
        outcome: Outcome,
    },
    /// The record was dropped; the world was not touched.
    Forgotten {
        /// Whose.
        member: MemberPath,
    },
    /// The records at and below `from` are those of `to` now.
    Moved {
        /// Before.
        from: MemberPath,
        /// After.
        to: MemberPath,
    },
    /// A record came from elsewhere.
    Imported {
        /// Whose.
        member: MemberPath,
        /// What.
        record: Box<Record>,
    },
    /// The record is brought up to what was seen, or to what the deployment says of the resource's life. Its interval stays.
    Amended {
        /// Whose.
        member: MemberPath,
        /// What it is now.
        record: Box<Record>,
    },
    /// An operation of a member was run.
    Ran {
        /// Whose.
        member: MemberPath,
        /// Which.
        operation: String,
        /// How its program ended; `None` when it was killed or has none.
        exit_code: Option<i32>,
        /// The last of what it printed, at most [`freehold_model::limits::HISTORY_OUTPUT_BYTES`]. Never secrets.
        output: String,
        /// All outputs of the member as they are now, when the operation changed them.
        outputs: Option<Attrs>,
    },
    /// A command that changes things started.
    ApplyStarted {
        /// The command line, without secrets.
        command: String,
    },
    /// It ended.
    ApplyEnded {
        /// Counts and the like, as in `--json`.
        summary: Json,
    },
    /// The log goes on under a data key for other recipients.
    Rewrapped {
        /// For whom.
        recipients: Vec<String>,
    },
    /// Somebody broke the lock of another.
    Unlocked {
        /// Whose lock it was, in words.
        holder: String,
    },
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The operation that it belongs to; empty when to none.
    pub op: OpId,
    /// What happened.
    pub event: Event,
}

impl NewEvent {
    /// An event of an operation.
    pub fn of(op: impl Into<OpId>, event: Event) -> Self {
        Self { op: op.into(), event }
    }
}

impl From<Event> for NewEvent {
    fn from(event: Event) -> Self {
        Self { op: String::new(), event }
    }
}

impl Event {
    /// The member that it is about.
    pub fn member(&self) -> Option<&MemberPath> {
        match self {
            Self::Begin(begin) => Some(&begin.member),
            Self::Partial { member, .. }
            | Self::End { member, .. }
            | Self::Forgotten { member }
            | Self::Imported { member, .. }
            | Self::Amended { member, .. }
            | Self::Ran { member, .. } => Some(member),
            Self::Moved { to, .. } => Some(to),
            Self::ApplyStarted { .. } | Self::ApplyEnded { .. } | Self::Rewrapped { .. } | Self::Unlocked { .. } => {
                None
            }
        }
    }

    pub(crate) fn encode(&self, seal: &Seal) -> Result<Json, StateError> {
        let root = MemberPath::root();
        let encoder = Encoder { seal, member: self.member().unwrap_or(&root) };
        Ok(match self {
            Self::Begin(begin) => encode_begin(begin, &encoder)?,
            Self::Partial { member, partial } => {
                let mut json = encode_partial(partial, &encoder)?;
                json["type"] = "partial".into();
                json["member"] = json!(member);
                json
            }
            Self::End { member, outcome } => encode_end(member, outcome, &encoder)?,
            Self::Forgotten { member } => json!({ "type": "forgotten", "member": member }),
            Self::Moved { from, to } => json!({ "type": "moved", "from": from, "to": to }),
            Self::Imported { member, record } => {
                json!({ "type": "imported", "member": member, "record": encoder.record(record)? })
            }
            Self::Amended { member, record } => {
                json!({ "type": "amended", "member": member, "record": encoder.record(record)? })
            }
            Self::Ran { member, operation, exit_code, output, outputs } => {
                let outputs = outputs.as_ref().map(|o| encoder.attrs(o)).transpose()?;
                json!({ "type": "ran", "member": member, "operation": operation, "exitCode": exit_code,
                        "output": output, "outputs": outputs })
            }
            Self::ApplyStarted { command } => json!({ "type": "apply-started", "command": command }),
            Self::ApplyEnded { summary } => json!({ "type": "apply-ended", "summary": summary }),
            Self::Rewrapped { recipients } => json!({ "type": "rewrapped", "recipients": recipients }),
            Self::Unlocked { holder } => json!({ "type": "unlocked", "holder": holder }),
        })
    }

    /// Reads an event; `Err` with [`Unreadable::Unknown`] when a later version wrote it.
    pub(crate) fn decode(json: Json, seal: &Seal) -> Result<Self, Unreadable> {
        let mut fields = Fields::new(json, "event")?;
        let decoder = Decoder { seal };
        let word: String = fields.parse("type")?;
        Ok(match word.as_str() {
            "begin" => Self::Begin(Box::new(decode_begin(&mut fields, &decoder)?)),
            "partial" => Self::Partial {
                member: fields.parse("member")?,
                partial: Box::new(decode_partial(&mut fields, &decoder)?),
            },
            "end" => Self::End { member: fields.parse("member")?, outcome: decode_outcome(&mut fields, &decoder)? },
            "forgotten" => Self::Forgotten { member: fields.parse("member")? },
            "moved" => Self::Moved { from: fields.parse("from")?, to: fields.parse("to")? },
            "imported" => Self::Imported {
                member: fields.parse("member")?,
                record: Box::new(decoder.record(fields.take("record")?)?),
            },
            "amended" => Self::Amended {
                member: fields.parse("member")?,
                record: Box::new(decoder.record(fields.take("record")?)?),
            },
            "ran" => Self::Ran {
                member: fields.parse("member")?,
                operation: fields.parse("operation")?,
                exit_code: fields.parse_or_default("exitCode")?,
                output: fields.parse("output")?,
                outputs: fields.optional("outputs").map(|o| decoder.attrs(o)).transpose()?,
            },
            "apply-started" => Self::ApplyStarted { command: fields.parse("command")? },
            "apply-ended" => Self::ApplyEnded { summary: fields.take("summary")? },
            "rewrapped" => Self::Rewrapped { recipients: fields.parse("recipients")? },
            "unlocked" => Self::Unlocked { holder: fields.parse("holder")? },
            _ => return Err(Unreadable::Unknown(format!("an event of type `{word}`"))),
        })
    }
}

/// Why an intact line is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A later version wrote it.
    Unknown(String),
    /// It is not what it should be.
    Bad(String),
}

impl From<String> for Unreadable {
    fn from(reason: String) -> Self {
        Self::Bad(reason)
    }
}

pub(crate) fn encode_begin(begin: &Begin, encoder: &Encoder<'_>) -> Result<Json, StateError> {
    Ok(json!({
        "type": "begin",
        "member": begin.member,
        "action": begin.action,
        "resource": begin.type_name,
        "provider": encoder.identity(&begin.provider)?,
        "inputs": encoder.attrs(&begin.inputs)?,
        "deposed": begin.deposed,
        "operation": begin.operation,
    }))
}

pub(crate) fn decode_begin(fields: &mut Fields, decoder: &Decoder<'_>) -> Result<Begin, String> {
    Ok(Begin {
        member: fields.parse("member")?,
        action: fields.parse("action")?,
        type_name: fields.parse("resource")?,
        provider: decoder.identity(fields.take("provider")?)?,
        inputs: decoder.attrs(fields.take("inputs")?)?,
        deposed: fields.parse_or_default("deposed")?,
        operation: fields.parse_or_default("operation")?,
    })
}

pub(crate) fn encode_partial(partial: &Partial, encoder: &Encoder<'_>) -> Result<Json, StateError> {
    Ok(json!({
        "outputs": encoder.attrs(&partial.outputs)?,
        "private": partial.private.as_ref().map(|p| encoder.private(p)).transpose()?,
    }))
}

pub(crate) fn decode_partial(fields: &mut Fields, decoder: &Decoder<'_>) -> Result<Partial, String> {
    Ok(Partial {
        outputs: decoder.attrs(fields.take("outputs")?)?,
        private: fields.optional("private").map(|p| decoder.private(&p)).transpose()?,
    })
}

fn encode_end(member: &MemberPath, outcome: &Outcome, encoder: &Encoder<'_>) -> Result<Json, StateError> {
    let mut json = match outcome {
        Outcome::Recorded(record) => json!({ "result": "recorded", "record": encoder.record(record)? }),
        Outcome::Deleted => json!({ "result": "deleted" }),
        Outcome::Failed { kind, message, record } => {
            let record = record.as_ref().map(|r| encoder.record(r)).transpose()?;
            json!({ "result": "failed", "kind": kind, "message": message, "record": record })
        }
        Outcome::Unchanged => json!({ "result": "unchanged" }),
    };
    json["type"] = "end".into();
    json["member"] = json!(member);
    Ok(json)
}

fn decode_outcome(fields: &mut Fields, decoder: &Decoder<'_>) -> Result<Outcome, Unreadable> {
    let word: String = fields.parse("result")?;
    Ok(match word.as_str() {
        "recorded" => Outcome::Recorded(Box::new(decoder.record(fields.take("record")?)?)),
        "deleted" => Outcome::Deleted,
        "failed" => Outcome::Failed {
            kind: fields.parse("kind")?,
            message: fields.parse("message")?,
            record: fields.optional("record").map(|r| decoder.record(r).map(Box::new)).transpose()?,
        },
        "unchanged" => Outcome::Unchanged,
        _ => return Err(Unreadable::Unknown(format!("an end with the result `{word}`"))),
    })
}
