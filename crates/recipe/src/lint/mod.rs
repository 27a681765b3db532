//! What breaks in practice, found before a deploy. Nothing here decides: errors are what a deploy would fail of, warnings what
//! bites later, notices what is good to know.
//!
//! To add a rule: a function `(&Subject, &mut Findings)` in the file it belongs to (`env.rs`, `fields.rs`, `files.rs`, `images.rs`,
//! `names.rs`, `network.rs`, `recipe.rs`, `references.rs`), a line in [`RULES`], and a case in `tests/lint.rs`.

mod env;
mod fields;
mod files;
mod images;
mod names;
mod network;
mod recipe;
mod references;

use std::collections::BTreeMap;

pub use fields::forbidden_fields;
pub use files::foreign_files;

use crate::{AbraSh, ComposeFile, EnvFile, Place, Port, Stack};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A deploy fails, or runs something else than what is written.
    Error,
    /// It bites later, or elsewhere.
    Warning,
    /// Good to know.
    Notice,
}

impl Severity {
    /// The word for `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// Something that breaks, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule, for scripts and for searching.
    pub code: &'static str,
    /// Where it stands, when it stands in a file.
    pub at: Option<Place>,
    /// What it is.
    pub message: String,
    /// The way out.
    pub hint: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]: ", self.severity.as_str(), self.code)?;
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A tag of the recipe's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Whether it is an object of its own; lightweight ones are not.
    pub is_annotated: bool,
}

/// A port that something on the node has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPort {
    /// The number.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Who has it, in words: `the stack traefik`, `a process of the host`.
    pub by: String,
}

/// A rule by which something else is routed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedRule {
    /// As its label says: ``Host(`blog.example.org`)``.
    pub rule: String,
    /// Which stack.
    pub by: String,
}

/// What is looked at. The files are those that the app is made of; what the caller does not know stays empty.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The compose files as they are written.
    pub files: &'a [ComposeFile],
    /// All text files of the recipe by their path: entry points, configs, notes.
    pub texts: &'a BTreeMap<String, String>,
    /// The app's `.env`.
    pub env: &'a EnvFile,
    /// The recipe's `.env.sample`.
    pub sample: Option<&'a EnvFile>,
    /// The recipe's `abra.sh`.
    pub abra_sh: &'a AbraSh,
    /// What `docker stack config` composed.
    pub stack: &'a Stack,
    /// The stack's name.
    pub stack_name: &'a str,
    /// The app's domain.
    pub domain: &'a str,
    /// The tags of the recipe's repository.
    pub tags: &'a [Tag],
    /// The domain that the proxy has a wildcard certificate for: `example.org` for `*.example.org`.
    pub wildcard: Option<&'a str>,
    /// Ports that others have on the nodes.
    pub taken: &'a [TakenPort],
    /// Rules by which other stacks are routed to.
    pub served: &'a [ServedRule],
}

type Rule = fn(&Subject<'_>, &mut Findings);

/// All rules, in the order in which their findings of one severity are told.
const RULES: [Rule; 27] = [
    recipe::no_app_service,
    recipe::lightweight_tags,
    recipe::version_label,
    recipe::backup_labels,
    env::undefined_variables,
    env::missing_settings,
    env::surprising_values,
    env::placeholder_values,
    env::unknown_exports,
    fields::forbidden_and_ignored,
    fields::variables_in_durations,
    fields::variables_in_keys,
    fields::quirks_of_interpolation,
    fields::defaults_in_defaults,
    fields::silent_rollback,
    files::of_the_host,
    references::undeclared,
    images::moving_tags,
    names::too_long,
    names::unversioned,
    network::alias_collisions,
    network::nested_subdomains,
    network::foreign_router_names,
    network::hosts_taken,
    network::ports_taken,
    network::ports_with_addresses,
    network::ports_that_collapse,
];

/// Looks at an app with every rule; the worst come first.
pub fn lint(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    for rule in RULES {
        rule(subject, &mut findings);
    }
    findings.0.sort_by_key(|finding| finding.severity);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: Option<Place>,
        message: String,
        hint: impl Into<String>,
    ) {
        let finding = Finding { severity, code, at, message, hint: hint.into() };
        // A variable that is used ten times is one finding.
        let is_same = |other: &Finding| other.code == code && other.message == finding.message;
        if !self.0.iter().any(is_same) {
            self.0.push(finding);
        }
    }
}

impl Subject<'_> {
    /// Where a service is first written.
    fn service_place(&self, service: &str) -> Option<Place> {
        self.place(&["services", service])
    }

    /// Where the value at a path of keys stands, in the last file that has it.
    fn place(&self, path: &[&str]) -> Option<Place> {
        self.files.iter().rev().find_map(|file| file.root.at(path).map(|node| node.place(file.file())))
    }

    fn published_ports(&self) -> Vec<Port> {
        self.stack.ports().into_iter().filter(|port| port.published.is_some()).collect()
    }
}
