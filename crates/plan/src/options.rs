//! What the operator asked of a plan.

use std::collections::BTreeSet;

use freehold_model::MemberPath;
use serde::{Deserialize, Serialize};

/// Which way a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Make the world as declared.
    #[default]
    Normal,
    /// Delete everything that is recorded.
    Destroy,
    /// Only bring the records up to what is observed.
    RefreshOnly,
}

/// What the operator asked for. Paths name a member and all below it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanOptions {
    /// Which way.
    pub mode: Mode,
    /// Read what can be read before deciding.
    pub refresh: bool,
    /// Only these and what they need; everything when empty.
    pub targets: BTreeSet<MemberPath>,
    /// Not these, nor what needs them and has no record to go by.
    pub excludes: BTreeSet<MemberPath>,
    /// Replace these even though nothing changed.
    pub replace: BTreeSet<MemberPath>,
    /// Drop these from the record where they cannot be deleted.
    pub forget: BTreeSet<MemberPath>,
}

impl PlanOptions {
    /// A plan as `freehold plan` makes it when nothing is said: everything, with a look at the world.
    pub fn normal() -> Self {
        Self { refresh: true, ..Self::default() }
    }

    /// Whether `member` is excluded.
    pub fn excludes(&self, member: &MemberPath) -> bool {
        self.excludes.iter().any(|e| member.is_within(e))
    }

    /// Whether `member` is named by a target (not merely needed by one).
    pub fn is_target(&self, member: &MemberPath) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|t| member.is_within(t))
    }

    /// Whether `member` has to be evaluated: it is, holds, or is needed by a target. What is needed may be a composite as a whole.
    pub fn wants(&self, member: &MemberPath, needed: &BTreeSet<MemberPath>) -> bool {
        self.is_target(member)
            || self.targets.iter().any(|t| t.is_within(member))
            || needed.iter().any(|n| n.is_within(member) || member.is_within(n))
    }

    /// Whether `member` is to be replaced by the operator's word.
    pub fn replaces(&self, member: &MemberPath) -> bool {
        self.replace.iter().any(|r| member.is_within(r))
    }

    /// Whether `member` may be dropped from the record.
    pub fn forgets(&self, member: &MemberPath) -> bool {
        self.forget.iter().any(|f| member.is_within(f))
    }
}
