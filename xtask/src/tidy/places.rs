//! Nothing that is committed names the machine it was written on: its paths, its name, its registries.
//!
//! What to look for is read from the machine itself, so that this file names nothing either. On a machine where those names
//! are ordinary words (a checkout in `/src`, a host called `debian`) they are not looked for.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Tree};

/// Variables that may name a registry's mirror.
const MIRROR_VARIABLES: [&str; 8] = [
    "GOPROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
    "CARGO_REGISTRIES_CRATES_IO_INDEX",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
];

/// Hosts that everybody uses.
const PUBLIC_HOSTS: [&str; 6] =
    ["proxy.golang.org", "pypi.org", "registry.npmjs.org", "index.crates.io", "github.com", "deb.debian.org"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    look_for(tree, &names(&tree.root))
}

fn look_for(tree: &Tree, names: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in &tree.texts {
        for (at, line) in text.lines().enumerate() {
            if names.iter().any(|name| line.contains(name.as_str())) {
                let place = format!("{path}:{}", at + 1);
                found.push(Finding::new(place, "names a path, host or registry of this machine; write it without"));
            }
        }
    }
    found
}

fn names(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let root = root.to_string_lossy();
    if root.matches('/').count() >= 2 && root.len() >= 8 && !root.starts_with("/tmp/") {
        names.insert(root.into_owned());
    }
    if let Ok(home) = std::env::var("HOME") {
        names.extend([".cache", ".cargo", ".rustup", ".config"].map(|folder| format!("{home}/{folder}")));
    }
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    if host.len() >= 8 && host.contains(|character: char| character.is_ascii_digit()) {
        names.insert(host.to_owned());
    }
    let mirrors = MIRROR_VARIABLES.iter().filter_map(|variable| std::env::var(variable).ok());
    names.extend(mirrors.flat_map(|value| hosts_in(&value)));
    names
}

/// The host names of the URLs in a comma-separated list, without those that everybody uses.
fn hosts_in(value: &str) -> Vec<String> {
    value
        .split([',', '|', ' '])
        .filter_map(|url| url.split_once("://"))
        .filter_map(|(_, rest)| rest.split(['/', ':']).next())
        .filter_map(|host| host.rsplit('@').next())
        .filter(|host| host.contains('.') && !PUBLIC_HOSTS.contains(host) && !host.starts_with("127."))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_machine_is_found_with_its_place() {
        let texts = [("docs/a.md".to_owned(), "fine\nsee /somewhere/deep/file\n".to_owned())];
        let found = look_for(&Tree::new("/nowhere".into(), texts.into()), &["/somewhere/deep".to_owned()].into());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "docs/a.md:2");
    }

    #[test]
    fn mirrors_are_told_from_public_registries() {
        assert_eq!(hosts_in("https://mirror.example:8080/go,https://proxy.golang.org,direct"), ["mirror.example"]);
    }
}
