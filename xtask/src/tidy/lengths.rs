//! Functions fit on a screen and files stay readable; what is longer today is listed in a ratchet and may only shrink.

use std::collections::BTreeMap;

use super::{Finding, Tree};

/// The list of exceptions: `path lines` or `path::function lines`.
pub(super) const RATCHET: &str = "xtask/ratchet.txt";

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 600;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let allowed = parse(tree.texts.get(RATCHET).map_or("", String::as_str));
    let long = too_long(tree);
    let mut found = Vec::new();
    for (place, lines) in &long {
        let limit = if place.contains("::") { FUNCTION_LINES } else { FILE_LINES };
        match allowed.get(place) {
            Some(before) if lines <= before => {}
            Some(before) => {
                found.push(Finding::new(place, format!("{lines} lines; it had {before} and may only shrink")))
            }
            None => found.push(Finding::new(place, format!("{lines} lines; split it, {limit} is the limit"))),
        }
    }
    for (place, before) in &allowed {
        let now = long.get(place).copied().unwrap_or(0);
        if now < *before {
            let message = format!("no longer {before} lines; run `cargo run -p xtask -- tidy --update-ratchet`");
            found.push(Finding::new(place, message));
        }
    }
    found
}

/// The ratchet's text for the tree as it is.
pub(super) fn ratchet_of(tree: &Tree) -> String {
    let lines = too_long(tree).into_iter().map(|(place, lines)| format!("{place} {lines}\n"));
    std::iter::once(
        "# Longer than the limit today; may only shrink. Written by `xtask tidy --update-ratchet`.\n".to_owned(),
    )
    .chain(lines)
    .collect()
}

fn too_long(tree: &Tree) -> BTreeMap<String, usize> {
    let mut long = BTreeMap::new();
    for (path, code) in &tree.code {
        let is_test = path.contains("/tests/");
        if code.before_tests > FILE_LINES && !is_test {
            long.insert(path.clone(), code.before_tests);
        }
        for function in code.functions() {
            let lines = function.last + 1 - function.first;
            if lines > FUNCTION_LINES {
                long.insert(format!("{path}::{}", function.name), lines);
            }
        }
    }
    long
}

fn parse(text: &str) -> BTreeMap<String, usize> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(place, lines)| Some((place.to_owned(), lines.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(function_lines: usize, ratchet: &str) -> Tree {
        let body = "    x();\n".repeat(function_lines - 2);
        let texts = [
            ("a.rs".to_owned(), format!("//! A.\nfn long() {{\n{body}}}\n")),
            (RATCHET.to_owned(), ratchet.to_owned()),
        ];
        Tree::new("/nowhere".into(), texts.into())
    }

    fn messages(tree: &Tree) -> Vec<String> {
        check(tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_function_of_seventy_lines_is_the_longest_allowed() {
        assert_eq!(messages(&tree(70, "")), [""; 0]);
        assert_eq!(messages(&tree(71, "")), ["71 lines; split it, 70 is the limit"]);
    }

    #[test]
    fn the_ratchet_allows_and_tightens() {
        assert_eq!(messages(&tree(80, "a.rs::long 80\n")), [""; 0]);
        assert_eq!(messages(&tree(81, "a.rs::long 80\n")), ["81 lines; it had 80 and may only shrink"]);
        assert_eq!(messages(&tree(79, "a.rs::long 80\n")).len(), 1);
        assert_eq!(messages(&tree(30, "a.rs::long 80\n")).len(), 1);
        assert_eq!(parse(&ratchet_of(&tree(80, ""))), [("a.rs::long".to_owned(), 80)].into());
    }
}
