//! Cargo, run by a program that cargo runs.

use std::path::Path;
use std::process::Command;

/// Cargo at `root`. What it says to this package (`CARGO_MANIFEST_DIR`, `CARGO_PKG_…`) is not passed on: build scripts that look at it
/// would run again, and all that stands on them be built again.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
    }
    command
}
