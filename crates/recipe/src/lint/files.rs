//! A rule about the files that a stack is made of: Docker reads them wherever they lie, and a recipe has only its own.

use super::{Finding, Findings, Severity, Subject};
use crate::ComposeFile;
use crate::yaml::Node;

/// Files of configs, of secrets and of `env_file` that are the host's, by the compose files alone: Docker reads the last of them
/// while it composes. A path with a variable is judged when it is composed.
pub fn foreign_files(files: &[ComposeFile]) -> Vec<Finding> {
    let mut findings = Findings::default();
    for file in files {
        for section in ["configs", "secrets"] {
            for (key, object) in file.section(section) {
                let made_of = object.get("file");
                tell(file.file(), &format!("`{}`", key.text().unwrap_or_default()), made_of, &mut findings);
            }
        }
        for (name, service) in file.section("services") {
            let Some(node) = service.get("env_file") else { continue };
            let what = format!("the environment of `{}`", name.text().unwrap_or_default());
            for one in std::iter::once(node).chain(node.items()) {
                tell(file.file(), &what, one.get("path").or(Some(one)), &mut findings);
            }
        }
    }
    findings.0
}

pub(super) fn of_the_host(subject: &Subject<'_>, findings: &mut Findings) {
    findings.0.extend(foreign_files(subject.files));
}

fn tell(file: &str, what: &str, made_of: Option<&Node>, findings: &mut Findings) {
    let Some((node, path)) = made_of.and_then(|node| Some((node, node.text()?))) else { return };
    if leads_out(path) {
        let message = format!("{what} is made of `{path}`, which is a file of the host and not of the recipe");
        let hint = "put the file into the recipe and name it from its root";
        findings.add(Severity::Error, "foreign-file", Some(node.place(file)), message, hint);
    }
}

/// Whether a path names nothing below the recipe's root; `~` is the home of whoever deploys.
fn leads_out(path: &str) -> bool {
    let mut depth = 0_i32;
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    path.starts_with(['/', '~'])
        || parts.any(|part| {
            depth += if part == ".." { -1 } else { 1 };
            depth < 0
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_out_of_the_recipe_is_told_from_one_within() {
        for path in ["/etc/shadow", "../x", "a/../../x", "./../x", "~/x"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["a", "./a/b", "a/../b", "..a", "${NAME}/x"] {
            assert!(!leads_out(path), "{path}");
        }
    }
}
