//! The house rules, each one function from the tree to findings.
//!
//! It reads the files that git knows or would add, and never changes any but `xtask/ratchet.txt` (with `--update-ratchet`).
//! To add a rule: a file here with `pub(super) fn check(tree: &Tree) -> Vec<Finding>`, and a line in [`findings`].

mod edges;
mod lengths;
mod places;
mod source;
mod style;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Outcome, generate, stdout_of};
use source::Code;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// What the rules look at.
struct Tree {
    root: PathBuf,
    /// Text files by their path from the root.
    texts: BTreeMap<String, String>,
    /// The Rust files among them, with comments and strings blanked out.
    code: BTreeMap<String, Code>,
}

/// Checks every rule; the error lists what is broken.
pub(crate) fn run(root: &Path) -> Outcome<()> {
    let tree = Tree::read(root)?;
    let mut broken = findings(&tree)?;
    if let Err(message) = generate::check(root) {
        broken.push(Finding::new("generated files", message));
    }
    if broken.is_empty() {
        println!("tidy: {} files, no findings", tree.texts.len());
        return Ok(());
    }
    Err(list(&broken))
}

/// Writes the lengths that are over the limit today to the ratchet.
pub(crate) fn update_ratchet(root: &Path) -> Outcome<()> {
    let tree = Tree::read(root)?;
    let path = root.join(lengths::RATCHET);
    std::fs::write(&path, lengths::ratchet_of(&tree))
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

fn findings(tree: &Tree) -> Outcome<Vec<Finding>> {
    let mut all = Vec::new();
    all.extend(style::check(tree));
    all.extend(lengths::check(tree));
    all.extend(edges::check(tree)?);
    all.extend(places::check(tree));
    all.sort();
    Ok(all)
}

fn list(findings: &[Finding]) -> String {
    let mut text = format!("tidy: {} findings\n", findings.len());
    for finding in findings {
        text.push_str(&format!("{}: {}\n", finding.place, finding.message));
    }
    text
}

impl Tree {
    fn read(root: &Path) -> Outcome<Self> {
        let listed = stdout_of(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut texts = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // Deleted but not yet committed, a symlink to nowhere, or not text: nothing to read.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                texts.insert(path.to_owned(), text);
            }
        }
        Ok(Self::new(root.to_owned(), texts))
    }

    fn new(root: PathBuf, texts: BTreeMap<String, String>) -> Self {
        let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        let code = rust.map(|(path, text)| (path.clone(), Code::of(text))).collect();
        Self { root, texts, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let tree = Tree::read(&crate::repository_root()).unwrap();
        let broken = findings(&tree).unwrap();
        assert!(broken.is_empty(), "{}", list(&broken));
    }
}
