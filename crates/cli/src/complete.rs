//! Shell completion of member paths: from the record, and from what the last evaluation saw. Never evaluates, never waits.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use clap_complete::CompletionCandidate;
use freehold_model::MemberPath;
use freehold_plan::Plan;
use freehold_state::{FileBackend, Keys, STATE_DIRECTORY, Store, SystemClock};

use crate::places::{WORK_DIRECTORY, work_dir};

/// File of member paths, in the deployment's work directory.
const SEEN: &str = "members";

/// Keeps the members of a plan for completion. A convenience: when it cannot be written, nothing is said.
pub(crate) fn remember(dir: &Path, plan: &Plan) {
    let composites = plan.structures.iter().flat_map(|(path, names)| names.iter().map(|n| path.child(n)));
    remember_members(dir, &plan.steps.iter().map(|s| s.member.clone()).chain(composites).collect());
}

/// Keeps these members for completion.
pub(crate) fn remember_members(dir: &Path, members: &BTreeSet<MemberPath>) {
    let text: String = members.iter().map(|m| format!("{m}\n")).collect();
    let dir = work_dir(dir);
    let file = dir.join(SEEN);
    if fs_err::read_to_string(&file).is_ok_and(|old| old == text) {
        return;
    }
    let _ = fs_err::create_dir_all(&dir).and_then(|()| fs_err::write(file, text));
}

/// Member paths that begin with what was typed.
pub(crate) fn members(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let Ok(cwd) = std::env::current_dir() else { return Vec::new() };
    known(&cwd).into_iter().filter(|m| m.starts_with(typed.as_ref())).map(CompletionCandidate::new).collect()
}

/// Built-in providers.
pub(crate) fn providers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let found = crate::builtin::ALL.iter().filter(|b| b.name.starts_with(typed.as_ref()));
    found.map(|b| CompletionCandidate::new(b.name).help(Some(b.description.into()))).collect()
}

fn known(dir: &Path) -> BTreeSet<String> {
    let seen = fs_err::read_to_string(dir.join(WORK_DIRECTORY).join(SEEN)).unwrap_or_default();
    let mut known: BTreeSet<String> = seen.lines().map(str::to_owned).collect();
    let backend = FileBackend::new(dir.join(STATE_DIRECTORY));
    if let Ok(store) = Store::open(std::sync::Arc::new(backend), Keys::none(), std::sync::Arc::new(SystemClock)) {
        known.extend(store.view().records().map(|(member, _)| member.to_string()));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_were_seen_are_known() {
        let scratch = freehold_testkit::Scratch::new();
        remember_members(scratch.path(), &["site.page", "id"].map(|m| m.parse().unwrap()).into());
        assert_eq!(known(scratch.path()), ["id", "site.page"].map(str::to_owned).into());
    }
}
