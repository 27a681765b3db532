//! What reaches the engine's one thread from everybody who works for it.

use freehold_model::MemberPath;
use freehold_provider::{CallError, CallEvent, Reply};
use freehold_state::{Seq, StateError};

use crate::catalog::Known;

/// A message to the engine's thread.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is moved once, through a channel")]
pub(crate) enum Mail {
    /// The evaluator speaks.
    Eval(freehold_eval::Event),
    /// A provider told its schema, or cannot.
    Schema { key: String, known: Known },
    /// A question that belongs to no operation is answered.
    Answer { member: MemberPath, question: Question, result: Result<Reply, Box<CallError>> },
    /// Something happens to an operation's call.
    Call { op: u64, event: CallEvent },
    /// What an operation needs from the Nix store is there, or cannot be had.
    Realised { op: u64, result: Result<(), freehold_apply::Failure> },
    /// Something is durable, or cannot be made so.
    Durable { op: u64, what: Written, result: Result<Seq, StateError> },
    /// The operator wants to stop.
    Interrupt { hard: bool },
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Read,
    Propose,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Intent,
    Result,
    /// Nothing waits for it.
    Note,
}
