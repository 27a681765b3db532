//! The plan: an immutable list of steps, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, ProviderRef, Record};
use serde::{Deserialize, Serialize};

use crate::{Change, Identity, Mode, Observation, PlanOptions, Recovery};

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make an object.
    Create,
    /// Change an object in place.
    Update,
    /// Delete the old object, then make a new one (or the other way round, see [`Step::create_first`]).
    Replace,
    /// Delete an object.
    Delete,
    /// Bring the record up to what the world shows.
    Read,
    /// Take an object that exists into the record.
    Adopt,
    /// Drop a record and leave the object.
    Forget,
    /// Nothing.
    None,
}

impl Action {
    /// The word used in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Adopt => "adopt",
            Self::Forget => "forget",
            Self::None => "none",
        }
    }

    /// Whether it makes or changes an object.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Replace)
    }
}

/// Why a step is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Declared and not recorded.
    New,
    /// Nothing differs.
    Unchanged,
    /// Inputs differ.
    Changed,
    /// Some inputs are not known before something else is applied.
    MayChange(BTreeSet<OutputRef>),
    /// Whether it is replaced is told by values that are not known before something else is applied.
    MayReplace(BTreeSet<OutputRef>),
    /// The object is gone from the world.
    Gone,
    /// The object is not as recorded.
    Drifted,
    /// Its creation failed half-way.
    Tainted,
    /// `--replace`.
    Asked,
    /// These inputs cannot be changed in place.
    CannotChange(Vec<String>),
    /// The `replaceWhen` value changed.
    ReplaceWhen,
    /// Another provider or type is declared.
    TypeChanged {
        /// As recorded.
        from: String,
        /// As declared.
        to: String,
    },
    /// In the provider's words.
    Provider(String),
    /// An operation on it was interrupted and its outcome is not known.
    Interrupted,
    /// No longer declared.
    Removed,
    /// `destroy`.
    Destroyed,
    /// It would be deleted or replaced, and `lifecycle.keep` is set.
    Kept,
    /// The operator said `--forget`, or the deployment lists it under `removed`.
    Forgotten,
    /// This member has recorded the same object.
    TakenOver(MemberPath),
    /// An old object that was replaced and not deleted yet.
    Deposed,
    /// Neither targeted nor needed by a target, or excluded.
    OutOfScope,
    /// The world changed and the declaration does not care.
    Observed,
    /// Only what the deployment says of its life or its state holder changed.
    Life,
}

impl Reason {
    /// A stable word for `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::MayChange(_) => "may-change",
            Self::MayReplace(_) => "may-replace",
            Self::Gone => "gone",
            Self::Drifted => "drifted",
            Self::Tainted => "tainted",
            Self::Asked => "asked",
            Self::CannotChange(_) => "cannot-change",
            Self::ReplaceWhen => "replace-when",
            Self::TypeChanged { .. } => "type-changed",
            Self::Provider(_) => "provider",
            Self::Interrupted => "interrupted",
            Self::Removed => "removed",
            Self::Destroyed => "destroyed",
            Self::Kept => "kept",
            Self::Forgotten => "forgotten",
            Self::TakenOver(_) => "taken-over",
            Self::Deposed => "deposed",
            Self::OutOfScope => "out-of-scope",
            Self::Observed => "observed",
            Self::Life => "life",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::New => f.write_str("not made yet"),
            Self::Unchanged => f.write_str("as declared"),
            Self::Changed => f.write_str("inputs changed"),
            Self::MayChange(needs) => {
                f.write_str("depends on ")?;
                write_list(f, needs.iter())
            }
            Self::MayReplace(needs) => {
                f.write_str("may be replaced when ")?;
                write_list(f, needs.iter())?;
                f.write_str(if needs.len() == 1 { " is known" } else { " are known" })
            }
            Self::Gone => f.write_str("gone from the world"),
            Self::Drifted => f.write_str("not as recorded"),
            Self::Tainted => f.write_str("its creation failed half-way"),
            Self::Asked => f.write_str("asked for with --replace"),
            Self::CannotChange(inputs) => {
                write_list(f, inputs.iter().map(|i| format!("`{i}`")))?;
                f.write_str(" cannot be changed in place")
            }
            Self::ReplaceWhen => f.write_str("lifecycle.replaceWhen changed"),
            Self::TypeChanged { from, to } => write!(f, "is of type {to} now, was {from}"),
            Self::Provider(text) => f.write_str(text),
            Self::Interrupted => f.write_str("an interrupted operation may have changed it"),
            Self::Removed => f.write_str("no longer declared"),
            Self::Destroyed => f.write_str("destroy"),
            Self::Kept => f.write_str("lifecycle.keep leaves its object in the world"),
            Self::Forgotten => f.write_str("dropped from the record, its object is left alone"),
            Self::TakenOver(owner) => write!(f, "its object is that of `{owner}` now"),
            Self::Deposed => f.write_str("replaced earlier, its old object is still to be deleted"),
            Self::OutOfScope => f.write_str("not part of this run"),
            Self::Observed => f.write_str("the record is brought up to date"),
            Self::Life => f.write_str("its lifecycle or state holder changed, which touches the record alone"),
        }
    }
}

/// One step of a plan. At most one per member, but for the deletion of deposed objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Whose.
    pub member: MemberPath,
    /// Which deposed object of the member; `None` for the current one.
    pub deposed: Option<String>,
    /// What.
    pub action: Action,
    /// For a replacement: make the new object before the old one is deleted.
    pub create_first: bool,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
    /// The provider, as text: `local`, or the executable.
    pub provider: String,
    /// Resource type within the provider.
    pub type_name: String,
    /// What differs from the record (or from the world).
    pub changes: Vec<Change>,
    /// What was declared, as far as it is known; `None` when nothing is declared.
    pub declaration: Option<Arc<Declaration>>,
    /// Whether the declaration rests on nothing that this plan changes.
    pub exact: bool,
    /// Whether an input was unknown, so that the action is settled at apply: update may turn out none or replace.
    pub open: bool,
    /// Inputs that together name the object in the world; empty when the world does not name it.
    pub identity: Identity,
    /// What a replacement does about the old object.
    pub old: Old,
    /// What is done about its create when nobody saw the end of it.
    pub recovery: Recovery,
    /// Whether the world told its inputs, which `prior` then has.
    pub told: bool,
    /// Outputs as far as they are known before.
    pub outputs: Attrs,
    /// Members that are done first, as far as it was seen.
    pub edges: BTreeSet<MemberPath>,
    /// The record it started from, brought up to what was observed.
    pub prior: Option<Arc<Record>>,
    /// The unfinished operation that this step takes up.
    pub resumes: Option<String>,
}

impl Step {
    /// Whether nothing is to be done in the world as far as is known, and apply decides whether that holds.
    pub fn is_undecided(&self) -> bool {
        self.open && matches!(self.action, Action::None | Action::Read)
    }
}

/// What a replacement does about the object that there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Old {
    /// It is deleted.
    #[default]
    Deleted,
    /// It is to be kept (`lifecycle.keep`), or cannot be deleted and the operator said `--forget`: its record is dropped, then the new
    /// object is made.
    Forgotten,
    /// It cannot be deleted: there is no replacement.
    InTheWay,
}

/// A record that changes its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The old path.
    pub from: MemberPath,
    /// The new path.
    pub to: MemberPath,
}

/// An object of which an interrupted operation had left no record, as the world shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Whose.
    pub member: MemberPath,
    /// The operation that made it; its end is recorded before anything else is done.
    pub op: String,
    /// What is recorded of it, with older objects of the member as deposed ones.
    pub record: Arc<Record>,
}

/// A difference between record and world.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Whose.
    pub member: MemberPath,
    /// Whether there is no object any more.
    pub gone: bool,
    /// Places of inputs (`/inputs/…`) or outputs (`/outputs/…`) that differ: before = record, after = world.
    pub changes: Vec<Change>,
}

/// A part of the deployment whose members are not known before something is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStructure {
    /// Which composite (or member of unknown kind).
    pub member: MemberPath,
    /// What it waits for.
    pub needs: BTreeSet<OutputRef>,
}

/// Why a plan cannot be applied, or what may go wrong then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whose fault; the root when it is nobody's.
    pub member: MemberPath,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// How many steps of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Objects to make.
    pub create: usize,
    /// Objects to change.
    pub update: usize,
    /// Objects to exchange.
    pub replace: usize,
    /// Objects to delete.
    pub delete: usize,
    /// Records to bring up to date.
    pub read: usize,
    /// Objects to take into the record.
    pub adopt: usize,
    /// Records to drop.
    pub forget: usize,
    /// Members with nothing to do.
    pub none: usize,
    /// Members with nothing to do as far as is known; whether that holds is decided at apply. They count under `read` or here alone.
    pub undecided: usize,
    /// Composites whose members are not known yet.
    pub open: usize,
}

/// What will be done, with no choice left but the ones marked open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What was asked.
    pub options: PlanOptions,
    /// Records to move first.
    pub moves: Vec<Move>,
    /// Objects of interrupted operations, to be recorded next.
    pub found: Vec<Found>,
    /// By member path; deletions last, in the order in which they can go.
    pub steps: Vec<Step>,
    /// Differences between record and world.
    pub drift: Vec<Drift>,
    /// What is decided at apply.
    pub open: Vec<OpenStructure>,
    /// Members that are part of it only because a target needs them.
    pub needed: BTreeSet<MemberPath>,
    /// Members within what is decided at apply of which an operation was left open: the last one. It was looked into.
    pub left_open: BTreeMap<MemberPath, String>,
    /// What was seen of records within what is decided at apply.
    pub observed: BTreeMap<MemberPath, Observation>,
    /// Composites that were seen, with their members.
    pub structures: BTreeMap<MemberPath, Vec<String>>,
    /// Why it cannot be applied; empty when it can.
    pub problems: Vec<Problem>,
    /// What may go wrong when it is applied, or is not as it should be already. It can be applied all the same.
    pub warnings: Vec<Problem>,
}

impl Plan {
    /// How many steps of each kind.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { open: self.open.len(), ..Summary::default() };
        for step in &self.steps {
            summary.undecided += usize::from(step.is_undecided());
            if step.is_undecided() && step.action == Action::None {
                continue;
            }
            *match step.action {
                Action::Create => &mut summary.create,
                Action::Update => &mut summary.update,
                Action::Replace => &mut summary.replace,
                Action::Delete => &mut summary.delete,
                Action::Read => &mut summary.read,
                Action::Adopt => &mut summary.adopt,
                Action::Forget => &mut summary.forget,
                Action::None => &mut summary.none,
            } += 1;
        }
        summary
    }

    /// Whether applying it would change nothing: neither world nor record.
    pub fn is_noop(&self) -> bool {
        self.moves.is_empty()
            && self.found.is_empty()
            && self.open.is_empty()
            && self.steps.iter().all(|s| s.action == Action::None && !s.is_undecided())
    }

    /// The step of `member`'s current object.
    pub fn step(&self, member: &MemberPath) -> Option<&Step> {
        self.steps.iter().find(|s| &s.member == member && s.deposed.is_none())
    }

    /// Whether it was made to delete everything.
    pub fn is_destroy(&self) -> bool {
        self.options.mode == Mode::Destroy
    }
}

/// A provider as text for people: its built-in name, or its executable.
pub(crate) fn provider_text(provider: &ProviderRef) -> String {
    match provider {
        ProviderRef::Builtin { name, .. } => name.clone(),
        ProviderRef::Stdio { executable, .. } => executable.clone(),
    }
}

fn write_list<T: std::fmt::Display>(
    f: &mut std::fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> std::fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}
