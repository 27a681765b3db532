//! Arrows point down: which crate may depend on which, and what the pure ones must never touch.
//!
//! A new crate gets a line in `RANKS`. Dev-dependencies are free.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, Tree};
use crate::{Outcome, stdout_of};

/// A crate may depend on crates of ours with a lower rank only.
const RANKS: [(&str, u32); 32] = [
    ("freehold-model", 0),
    ("freehold-protocol", 1),
    ("freehold-plan", 2),
    ("freehold-rollout", 2),
    ("freehold-recipe", 2),
    ("freehold-manifest", 3),
    ("freehold-nar", 2),
    ("freehold-apply", 3),
    ("freehold-s3", 4),
    ("freehold-provider", 4),
    ("freehold-secrets", 4),
    ("freehold-store", 5),
    ("freehold-state", 5),
    ("freehold-eval", 5),
    ("freehold-router", 5),
    ("freehold-recipe-source", 5),
    ("freehold-swarm", 5),
    ("freehold-cache", 6),
    ("freehold-runtime", 6),
    ("freehold-publish", 7),
    ("freehold-provider-local", 7),
    ("freehold-provider-s3", 7),
    ("freehold-provider-nix", 7),
    ("freehold-provider-host", 7),
    ("freehold-provider-workload", 9),
    ("freehold-provider-opentofu", 7),
    ("freehold-engine", 8),
    ("freehold-agent", 8),
    ("freehold-app", 8),
    ("freehold-ci", 8),
    ("freehold-panel", 8),
    ("freehold-cli", 10),
];

/// Crates that do no IO, have no clock and no threads.
const PURE: [&str; 8] = ["model", "protocol", "plan", "apply", "rollout", "recipe", "manifest", "nar"];

/// What a pure crate must not even have in its dependencies' dependencies.
const IMPURE_PACKAGES: [&str; 6] = ["tokio", "mio", "hyper", "reqwest", "ureq", "fs-err"];

/// Crates that only tests use.
const FOR_TESTS: [&str; 3] = ["freehold-testkit", "freehold-fuzz", "freehold-kill-test"];

/// Names that a pure crate's code must not contain.
const IMPURE_NAMES: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "fs_err",
    "tokio",
    "println!",
    "eprintln!",
];

/// What providers must not know of.
const NOT_FOR_PROVIDERS: [&str; 4] = ["freehold-plan", "freehold-apply", "freehold-state", "freehold-eval"];

pub(super) fn check(tree: &Tree) -> Outcome<Vec<Finding>> {
    let metadata = stdout_of(&tree.root, "cargo", &["metadata", "--format-version", "1", "--offline"])
        .or_else(|_| stdout_of(&tree.root, "cargo", &["metadata", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let graph = Graph::of(&metadata);
    let mut found = graph.check_ranks();
    found.extend(graph.check_purity());
    found.extend(impure_names(tree));
    Ok(found)
}

/// Packages by name, with the names of their normal and build dependencies.
struct Graph {
    ours: BTreeSet<String>,
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let name = |id: &Value| names.get(&text(id)).cloned().unwrap_or_default();
        let ours = list(&metadata["workspace_members"]).iter().map(name).collect();
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let entry = needs.entry(name(&node["id"])).or_default();
            for dependency in list(&node["deps"]) {
                let is_dev = |kind: &Value| kind["kind"] == "dev";
                if !list(&dependency["dep_kinds"]).iter().all(is_dev) {
                    entry.insert(name(&dependency["pkg"]));
                }
            }
        }
        Self { ours, needs }
    }

    fn check_ranks(&self) -> Vec<Finding> {
        let ranks: BTreeMap<&str, u32> = RANKS.into();
        let mut found = Vec::new();
        for package in self
            .ours
            .iter()
            .filter(|package| package.starts_with("freehold-") && !FOR_TESTS.contains(&package.as_str()))
        {
            let Some(rank) = ranks.get(package.as_str()) else {
                found.push(Finding::new(package, "not in the table of layers; add it to xtask/src/tidy/edges.rs"));
                continue;
            };
            for need in self.needs.get(package).into_iter().flatten().filter(|need| self.ours.contains(*need)) {
                let below = ranks.get(need.as_str()).is_some_and(|other| other < rank);
                let is_provider = package.starts_with("freehold-provider-");
                if !below || (is_provider && NOT_FOR_PROVIDERS.contains(&need.as_str())) {
                    found.push(Finding::new(package, format!("depends on `{need}`, which is not below it")));
                }
            }
        }
        found
    }

    fn check_purity(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for folder in PURE {
            let package = format!("freehold-{folder}");
            for need in self.all_needs(&package) {
                if IMPURE_PACKAGES.contains(&need.as_str()) {
                    found.push(Finding::new(&package, format!("is pure and must not depend on `{need}`")));
                }
            }
        }
        found
    }

    fn all_needs(&self, package: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next = vec![package.to_owned()];
        while let Some(package) = next.pop() {
            for need in self.needs.get(&package).into_iter().flatten() {
                if seen.insert(need.clone()) {
                    next.push(need.clone());
                }
            }
        }
        seen
    }
}

fn impure_names(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, code) in &tree.code {
        if !PURE.iter().any(|folder| path.starts_with(&format!("crates/{folder}/src/"))) {
            continue;
        }
        for (number, line) in code.own_lines() {
            for name in IMPURE_NAMES.iter().filter(|name| has_name(line, name)) {
                found.push(Finding::new(format!("{path}:{number}"), format!("a pure crate must not use `{name}`")));
            }
            if line.trim_start().starts_with("use std::{") {
                let place = format!("{path}:{number}");
                found.push(Finding::new(place, "write one `use std::…` per module, so that this check can read it"));
            }
        }
    }
    found
}

/// Whether the name stands in the line as a word of its own.
fn has_name(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + name.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            needs.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        let all = edges.iter().flat_map(|(from, to)| [*from, *to]);
        let ours = all.filter(|name| name.starts_with("freehold-")).map(str::to_owned).collect();
        Graph { ours, needs }
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        assert_eq!(graph(&[("freehold-engine", "freehold-plan")]).check_ranks(), []);
        assert_eq!(graph(&[("freehold-plan", "freehold-engine")]).check_ranks().len(), 1);
        assert_eq!(graph(&[("freehold-provider-local", "freehold-state")]).check_ranks().len(), 1);
        assert_eq!(graph(&[("freehold-agent", "freehold-engine")]).check_ranks().len(), 1);
        assert_eq!(graph(&[("freehold-engine", "freehold-attic")]).check_ranks().len(), 2);
    }

    #[test]
    fn an_impure_package_is_found_behind_another() {
        let graph = graph(&[("freehold-plan", "helper"), ("helper", "tokio")]);
        assert_eq!(graph.check_purity().len(), 1);
    }

    #[test]
    fn impure_names_are_found_in_pure_crates_only() {
        let line = "//! A.\nuse std::fs::File;\nlet mystd::fsx = 1;\n";
        let texts = [
            ("crates/plan/src/a.rs".to_owned(), line.to_owned()),
            ("crates/state/src/a.rs".to_owned(), line.to_owned()),
        ];
        let found = impure_names(&Tree::new("/nowhere".into(), texts.into()));
        assert_eq!(found, [Finding::new("crates/plan/src/a.rs:2", "a pure crate must not use `std::fs`")]);
    }
}
