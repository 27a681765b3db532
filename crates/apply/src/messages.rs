//! What the executor is told and what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use freehold_model::{Attrs, Declaration, ErrorKind, MemberPath, OutputRef, ProviderRef, Record, Sensitive, Structure};
use freehold_plan::{Action, Move, Problem, Proposal, TypeFacts};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What the executor is told.
#[derive(Debug, Clone)]
pub enum ApplyEvent {
    /// A composite whose members were not known at plan was evaluated.
    Structure {
        /// Which.
        member: MemberPath,
        /// Its members.
        structure: Structure,
    },
    /// A resource was wholly evaluated, with real outputs.
    Evaluated {
        /// Which.
        member: MemberPath,
        /// What it declares; every value known.
        declaration: Box<Declaration>,
        /// Outputs that were seen to flow in.
        edges: BTreeSet<OutputRef>,
        /// Its type.
        facts: Arc<TypeFacts>,
    },
    /// A member cannot be evaluated further with the outputs that are published. Sent before each [`ApplyEvent::Quiet`].
    Waiting {
        /// Which.
        member: MemberPath,
        /// What it waits for.
        needs: BTreeSet<OutputRef>,
    },
    /// A member cannot be evaluated at all.
    EvalFailed {
        /// Which.
        member: MemberPath,
        /// What is wrong.
        failure: Failure,
    },
    /// The evaluation can go no further with the outputs that are published.
    Quiet,
    /// Answer to [`ApplyEffect::Propose`].
    Proposed {
        /// Whose change.
        member: MemberPath,
        /// What the provider says, or what is wrong with the inputs.
        result: Result<Proposal, Vec<Problem>>,
    },
    /// The intent of this operation is durable: it may be carried out.
    IntentDurable {
        /// Which operation.
        op: u64,
    },
    /// The result of this operation is durable: what depends on it may go on.
    ResultDurable {
        /// Which operation.
        op: u64,
    },
    /// The provider has told of an object before its answer: should the call fail, this is what is known.
    Partial {
        /// Which operation.
        op: u64,
        /// Outputs so far.
        outputs: Attrs,
        /// The provider's notes.
        private: Option<Sensitive<Json>>,
    },
    /// The provider has answered, or never will.
    Called {
        /// Which operation.
        op: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// The time asked for with [`ApplyEffect::Timer`] has passed.
    TimerFired {
        /// Which operation.
        op: u64,
    },
    /// The operator wants to stop. The first time: start nothing new. With `hard`: give up what runs.
    Interrupted {
        /// Whether what runs is given up.
        hard: bool,
    },
    /// The state cannot be written: nothing new may begin.
    StateFailed {
        /// What is wrong.
        failure: Failure,
    },
}

/// What the executor asks for.
#[derive(Debug, Clone)]
pub enum ApplyEffect {
    /// Forget what the evaluation learned while planning; these outputs are real.
    BeginPhase(BTreeMap<MemberPath, Attrs>),
    /// Evaluate these members.
    Evaluate(Vec<MemberPath>),
    /// Tell the evaluation that these outputs will come.
    Pending(Vec<MemberPath>),
    /// Hand outputs to the evaluation.
    Publish {
        /// Whose.
        member: MemberPath,
        /// Which.
        outputs: Attrs,
    },
    /// Tell the evaluation that this member's outputs will never come.
    Fail {
        /// Whose.
        member: MemberPath,
    },
    /// Ask the provider what a change means that was left open.
    Propose {
        /// Whose.
        member: MemberPath,
        /// What is declared.
        declaration: Arc<Declaration>,
        /// What there is; `None` for a new object.
        prior: Option<Arc<Record>>,
        /// Whether the object is replaced whatever the provider says.
        replace: bool,
    },
    /// Make durable that this is about to be done.
    WriteIntent {
        /// Operation id, unique within the state.
        op: u64,
        /// What.
        intent: Box<Intent>,
    },
    /// Do it.
    Call {
        /// Operation id.
        op: u64,
        /// What to call.
        call: Box<Call>,
    },
    /// Make durable what came of it (or a change of the record alone).
    WriteResult {
        /// Operation id.
        op: u64,
        /// Whose record.
        member: MemberPath,
        /// What to write.
        change: Box<RecordChange>,
    },
    /// Say when this much time has passed.
    Timer {
        /// Operation id.
        op: u64,
        /// How long.
        after: Duration,
    },
    /// Give up what runs: every running call is answered with [`Outcome::Lost`].
    KillCalls,
    /// Tell people.
    Report(Report),
    /// Nothing is left to do.
    Finished(Box<ApplySummary>),
}

/// What is about to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Whose object.
    pub member: MemberPath,
    /// What.
    pub action: IntentAction,
    /// By which provider.
    pub provider: ProviderRef,
    /// Of which type.
    pub type_name: String,
    /// With which inputs.
    pub inputs: Attrs,
}

/// What is about to be done to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentAction {
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Delete the member's current object.
    Delete,
    /// Delete a deposed object of the member.
    DeleteDeposed(String),
}

/// One call of a provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Make an object.
    Create {
        /// What is declared, with the inputs to send.
        declaration: Arc<Declaration>,
    },
    /// Change an object.
    Update {
        /// What is declared, with the inputs to send.
        declaration: Arc<Declaration>,
        /// What there is.
        prior: Arc<Record>,
    },
    /// Delete an object.
    Delete {
        /// What there is.
        prior: Arc<Record>,
    },
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The object is as asked.
    Made {
        /// Its outputs.
        outputs: Attrs,
        /// The provider's notes.
        private: Option<Sensitive<Json>>,
    },
    /// There is no object any more.
    Deleted,
    /// The provider says that it failed.
    Failed {
        /// Why.
        failure: Failure,
        /// What there is of the object all the same.
        partial: Option<(Attrs, Option<Sensitive<Json>>)>,
    },
    /// The run was stopped before the provider was asked: nothing was done.
    NotBegun,
    /// Nobody knows: the provider died, was killed or fell silent.
    Lost {
        /// What is known.
        failure: Failure,
    },
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Decides about retries.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// What is written to the state.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordChange {
    /// The object is as in this record; ends the operation if one was begun.
    Recorded(Arc<Record>),
    /// The object that an earlier run had begun to make is as in this record; ends that operation.
    Found {
        /// Its id in the log.
        op: String,
        /// What is recorded.
        record: Arc<Record>,
    },
    /// The member's object is gone; ends the operation.
    Deleted,
    /// The deposed object with this key is gone; ends the operation.
    DeposedDeleted(String),
    /// It failed; what there is of the object all the same. Ends the operation.
    Failed {
        /// Why.
        failure: Failure,
        /// A tainted record, where there is an object.
        record: Option<Arc<Record>>,
    },
    /// It was not begun after all; ends the operation.
    NotBegun,
    /// The record is dropped (with any operation left open); the object stays.
    Forgotten,
    /// The record is brought up to what was seen.
    Observed(Arc<Record>),
    /// Records change their paths.
    Moved(Vec<Move>),
}

/// News of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A step has begun, or is tried again.
    Started {
        /// Operation id.
        op: u64,
        /// Whose.
        member: MemberPath,
        /// What.
        action: Action,
        /// The how manieth try of it this is, from 1.
        attempt: u32,
    },
    /// A step is done and recorded.
    Done {
        /// Whose.
        member: MemberPath,
        /// What was done.
        action: Action,
    },
    /// A step failed.
    Failed {
        /// Whose.
        member: MemberPath,
        /// What was to be done.
        action: Action,
        /// Why.
        failure: Failure,
    },
    /// A step will be tried again.
    Retrying {
        /// Whose.
        member: MemberPath,
        /// Why.
        failure: Failure,
        /// After how long.
        after: Duration,
    },
    /// A step is left out.
    Skipped {
        /// Whose.
        member: MemberPath,
        /// What was to be done.
        action: Action,
        /// Why.
        why: Skip,
    },
    /// What was open is decided.
    Decided {
        /// Whose.
        member: MemberPath,
        /// What will be done.
        action: Action,
    },
    /// No further step begins.
    Stopping,
}

/// Why a step was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Skip {
    /// Something that it needs failed or was left out.
    Needs {
        /// What.
        member: MemberPath,
    },
    /// It needs outputs that never came.
    Waits {
        /// Which.
        needs: Vec<String>,
    },
    /// The run was stopped.
    Interrupted,
    /// Something that may depend on it is still there.
    StillUsed {
        /// By what.
        member: MemberPath,
    },
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApplySummary {
    /// Steps done and recorded, by action.
    pub done: BTreeMap<Action, usize>,
    /// Steps that failed, with the reason.
    pub failed: Vec<(MemberPath, Action, Failure)>,
    /// Steps that were left out.
    pub skipped: Vec<(MemberPath, Action, Skip)>,
    /// Records that took another path.
    pub moved: usize,
    /// Operations whose outcome is not known; the next plan looks into them.
    pub unknown: Vec<MemberPath>,
    /// Operations that were not carried out and of which the state, which could be written no more, may show the beginning.
    pub left_open: Vec<MemberPath>,
    /// Whether the operator stopped it.
    pub interrupted: bool,
}

impl ApplySummary {
    /// Whether everything that was planned is done.
    pub fn is_ok(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && !self.interrupted
    }

    /// How many steps failed; what ended the run as a whole is none.
    pub fn failed_steps(&self) -> usize {
        self.failed.iter().filter(|(member, action, _)| !(member.is_root() && *action == Action::None)).count()
    }

    /// How many steps of this kind are done.
    pub fn count(&self, action: Action) -> usize {
        self.done.get(&action).copied().unwrap_or_default()
    }
}
