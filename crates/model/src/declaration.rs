//! What a deployment declares: the structure of composites and the resources in them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Attrs, MemberPath, Pointer, Value};

/// One output of one member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutputRef {
    /// Whose output.
    pub member: MemberPath,
    /// Which one.
    pub output: String,
}

impl std::fmt::Display for OutputRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.outputs.{}", self.member, self.output)
    }
}

/// A composite as evaluated: which members it has, and what it says about records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    /// Names of the members, sorted.
    pub members: Vec<String>,
    /// Records to move before anything else is planned: (from, to).
    pub moved: Vec<(MemberPath, MemberPath)>,
    /// Records to drop without touching the world.
    pub removed: Vec<MemberPath>,
    /// What must hold of the composite.
    pub checks: Vec<Check>,
}

/// How a provider of a resource is started and spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderRef {
    /// A provider inside the `freehold` binary.
    Builtin {
        /// `local`, `s3`, `nix`, …
        name: String,
        /// Provider-wide settings.
        config: Value,
    },
    /// Any executable that speaks protocol v1 or v0 on stdio.
    Stdio {
        /// Absolute path, or a name looked up on `PATH`.
        executable: String,
        /// Its arguments.
        args: Vec<String>,
        /// Provider-wide settings.
        config: Value,
        /// Store paths (or `drv!output`) that have to be realised before it can be started.
        context: BTreeSet<String>,
    },
}

/// What the deployment says about the life of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    /// Refuse to delete or replace it.
    pub protect: bool,
    /// Places of the inputs whose change alone changes nothing.
    pub ignore_changes: Vec<Pointer>,
    /// A change of this value replaces the resource.
    pub replace_when: Option<Value>,
    /// Make the new object before the old one is deleted.
    pub create_before_destroy: bool,
    /// Earlier paths of this member.
    pub moved: Vec<MemberPath>,
    /// Never delete its object: where it would be (the member leaves, `destroy`, a replacement), forget it and leave it in the world.
    pub keep: bool,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Whether it holds; [`Value::Unknown`] before that can be told.
    pub assertion: Value,
    /// What is wrong when it does not.
    pub message: String,
}

impl Check {
    /// What is wrong about it as a condition `what` of a member; nothing when it holds or cannot be told yet.
    pub fn refusal(&self, what: &str) -> Option<String> {
        match self.assertion {
            Value::Bool(true) | Value::Unknown => None,
            Value::Bool(false) => Some(self.message.clone()),
            _ => Some(format!("its {what} is neither true nor false: {}", self.message)),
        }
    }
}

/// An operation that is a script of the deployment (those of providers stand in their schemas).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOperation {
    /// Program, arguments, environment and standard input, each possibly holding secrets: `{executable, args, env, stdin}`.
    pub command: Value,
    /// One line for help.
    pub description: String,
    /// Store paths to realise first.
    pub context: BTreeSet<String>,
}

/// A resource as evaluated. Values may be unknown in part while planning; they are wholly known when it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Who implements it.
    pub provider: ProviderRef,
    /// Resource type within the provider: `file`.
    pub type_name: String,
    /// Inputs by name.
    pub inputs: Attrs,
    /// Store paths that the inputs carry and that must be realised first.
    pub context: BTreeSet<String>,
    /// Names of its outputs.
    pub outputs: BTreeSet<String>,
    /// The member that holds its record; `None` for the deployment's own state.
    pub holder: Option<MemberPath>,
    /// How it lives and dies.
    pub lifecycle: Lifecycle,
    /// Members that must be done first although no value flows.
    pub depends_on: BTreeSet<MemberPath>,
    /// Checked before anything is done to it.
    pub preconditions: Vec<Check>,
    /// Checked after.
    pub postconditions: Vec<Check>,
    /// Scripts, by name.
    pub operations: BTreeMap<String, ScriptOperation>,
}

impl Declaration {
    /// Whether every value that decides what happens to it is known.
    pub fn is_known(&self) -> bool {
        self.inputs.values().all(Value::is_known)
            && self.lifecycle.replace_when.as_ref().is_none_or(Value::is_known)
            && self.preconditions.iter().all(|c| c.assertion.is_known())
    }
}
