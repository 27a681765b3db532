//! Which members a command is about: the flags that `plan`, `apply` and their kin share.

use std::collections::BTreeSet;

use clap_complete::ArgValueCompleter;
use freehold_model::MemberPath;
use freehold_plan::{Mode, PlanOptions};

use crate::complete;

/// What is part of a plan.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selection {
    /// Only this member, what is below it and what they need (when deleting: what needs them); may be given several times
    #[arg(long, value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) target: Vec<MemberPath>,
    /// Not this member, nor what is below it; may be given several times
    #[arg(long, value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) exclude: Vec<MemberPath>,
    /// Replace this member's object even though nothing changed; may be given several times
    #[arg(long, value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) replace: Vec<MemberPath>,
    /// Drop this member from the record where its object cannot be deleted; may be given several times
    #[arg(long, value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    pub(crate) forget: Vec<MemberPath>,
    /// Believe the record: do not look at the world first
    #[arg(long)]
    pub(crate) no_refresh: bool,
}

impl Selection {
    /// A flag that was given, if there is one.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--target", !self.target.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--replace", !self.replace.is_empty()),
            ("--forget", !self.forget.is_empty()),
            ("--no-refresh", self.no_refresh),
        ];
        given.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// The options of a plan; `members` are further targets.
    pub(crate) fn options(self, mode: Mode, members: Vec<MemberPath>) -> PlanOptions {
        // The root as a target is everything, which is what no target means.
        let targets: BTreeSet<MemberPath> = self.target.into_iter().chain(members).collect();
        let everything = targets.iter().any(MemberPath::is_root);
        PlanOptions {
            mode,
            refresh: !self.no_refresh,
            targets: if everything { BTreeSet::new() } else { targets },
            excludes: self.exclude.into_iter().collect(),
            replace: self.replace.into_iter().collect(),
            forget: self.forget.into_iter().collect(),
        }
    }
}
