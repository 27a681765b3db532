//! Rules for each Rust file by itself: a header, no shortcuts, errors that name the file.

use super::{Finding, Tree};

/// Crates where IO errors never reach a user, or that must stay without dependencies.
const MAY_USE_STD_FS: [&str; 3] = ["crates/testkit/", "crates/kill-test/", "xtask/"];

const OPENINGS: [&str; 3] = ["File::open(", "File::create(", "File::options("];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.code.keys().flat_map(|path| check_file(tree, path)).collect()
}

fn check_file(tree: &Tree, path: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let first = tree.texts[path].lines().next().unwrap_or_default();
    if !first.starts_with("//! ") {
        found.push(Finding::new(
            format!("{path}:1"),
            "no header; start with `//! ` and what this is, what it deliberately does not do, where to go next",
        ));
    }
    let code = &tree.code[path];
    for (at, line) in code.lines.iter().enumerate() {
        if line.contains("#[ignore") {
            let place = format!("{path}:{}", at + 1);
            found.push(Finding::new(place, "an ignored test; make it run, or report what is missing with `not_run`"));
        }
    }
    let is_test = path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/build.rs");
    if is_test {
        return found;
    }
    // The type is fine where something else opened the file.
    let opens_files = code.own_lines().any(|(_, line)| OPENINGS.iter().any(|name| line.contains(name)));
    for (number, line) in code.own_lines() {
        let place = format!("{path}:{number}");
        if line.contains("todo!(") || line.contains("unimplemented!(") {
            found.push(Finding::new(&place, "unfinished; finish it or leave it out"));
        }
        let is_type_only = line.contains("std::fs::File") && !opens_files;
        let uses_std_fs = (line.contains("std::fs::") && !is_type_only) || line.trim() == "use std::fs;";
        if uses_std_fs && !MAY_USE_STD_FS.iter().any(|prefix| path.starts_with(prefix)) && !is_extension(line) {
            found.push(Finding::new(&place, "`std::fs` errors do not name the file; use `fs_err`"));
        }
    }
    found
}

/// What `fs_err` has no version of, or returns itself.
fn is_extension(line: &str) -> bool {
    ["std::fs::DirBuilder", "std::fs::Permissions", "std::fs::Metadata", "std::fs::FileType", "std::fs::TryLockError"]
        .iter()
        .any(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let texts = [(path.to_owned(), text.to_owned())].into();
        let tree = Tree::new("/nowhere".into(), texts);
        check(&tree).into_iter().map(|finding| format!("{} {}", finding.place, finding.message)).collect()
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(messages("crates/a/src/lib.rs", "//! What.\nfn f() { /* todo!() */ }\n"), [""; 0]);
    }

    #[test]
    fn each_shortcut_is_found() {
        let text = format!("fn f() {{ {}!() }}\nfn g() {{ std::fs::read(x) }}\n#[{}]\n", "todo", "ignore");
        let found = messages("crates/a/src/lib.rs", &text);
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
