//! Places that are not ours to write to: the Nix store and the directory of a deployment's state.
//!
//! Whether something else is in the way of a new file is told by [`crate::atomic`] and the resource types.

use std::path::{Component, Path, PathBuf};

use freehold_model::{Attrs, Value};
use freehold_provider::sdk::{Context, Failure};

/// Name of the state's directory where the command line names no other.
const STATE_DIRECTORY: &str = "freehold.state";
/// A file in each directory of a state, whatever that is called.
const STATE_MARK: &str = "lock.mutex";
/// How the names of a state's files begin.
const STATE_FILES: [&str; 3] = ["log-", "snapshot-", "lock"];

/// What can be told of the input `path` without looking: for the plan.
pub(crate) fn check(inputs: &Attrs) -> Result<(), Failure> {
    match inputs.get("path") {
        Some(Value::String(path)) => refuse(&plain(Path::new(path)), path),
        _ => Ok(()),
    }
}

/// The same of where it really is, with links followed and the directory looked at: before it is written.
pub(crate) fn check_at(ctx: &Context, given: &str) -> Result<(), Failure> {
    let path = real(&plain(&ctx.resolve(given)));
    refuse(&path, given)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_like = STATE_FILES.iter().any(|beginning| name.starts_with(beginning));
    if is_like && path.parent().is_some_and(|above| above.join(STATE_MARK).exists()) {
        return Err(state(given));
    }
    Ok(())
}

fn refuse(path: &Path, given: &str) -> Result<(), Failure> {
    if stores().any(|store| path.starts_with(store)) {
        return Err(Failure::user(format!("`{given}` is in the Nix store, where nothing is written but by Nix"))
            .hint("write the path as a string: `path = \"./x\"` is a place beside the deployment, `path = ./x` a copy in the store")
            .at("path"));
    }
    if path.parent().is_some_and(|above| above.iter().any(|name| name == STATE_DIRECTORY)) {
        return Err(state(given));
    }
    Ok(())
}

fn state(given: &str) -> Failure {
    Failure::user(format!("`{given}` is in the directory of the state")).hint("choose another path").at("path")
}

fn stores() -> impl Iterator<Item = PathBuf> {
    let named = std::env::var_os("NIX_STORE_DIR").or_else(|| std::env::var_os("NIX_STORE")).map(PathBuf::from);
    std::iter::once(PathBuf::from("/nix/store")).chain(named.filter(|store| store.is_absolute()))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// With the links followed in as much of the directories above as there is.
fn real(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find_map(|above| Some((above, fs_err::canonicalize(above).ok()?)));
    match above {
        Some((above, real)) => path.strip_prefix(above).map_or_else(|_| path.to_owned(), |rest| real.join(rest)),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str) -> Option<String> {
        check(&[("path".to_owned(), path.into())].into()).err().map(|e| e.message().to_owned())
    }

    #[test]
    fn the_store_and_the_state_are_told_however_they_are_spelt() {
        for path in ["/nix/store/abc-x", "/nix/./store/../store/abc-x", "/tmp/../nix/store/abc-x"] {
            assert!(refused(path).unwrap().ends_with("where nothing is written but by Nix"), "{path}");
        }
        for path in ["freehold.state/log-000001.jsonl", "./a/../freehold.state/x", "/srv/freehold.state/a/b"] {
            assert!(refused(path).unwrap().ends_with("is in the directory of the state"), "{path}");
        }
        for path in ["/nix/stores", "nix/store/x", "freehold.state", "freehold.state.txt", "../x"] {
            assert_eq!(refused(path), None, "{path}");
        }
    }
}
