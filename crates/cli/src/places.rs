//! Where things of the user are: caches, keys, and what belongs to one deployment.

use std::path::{Path, PathBuf};

use freehold_model::ErrorKind;
use freehold_state::Keys;

use crate::failure::Failure;

/// Name of the directory, beside the deployment, of what can be made again: GC roots, scratch files, what completion knows.
pub(crate) const WORK_DIRECTORY: &str = ".freehold";

/// `$XDG_CACHE_HOME/freehold`.
///
/// # Errors
/// Without a home.
pub(crate) fn cache_dir() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("freehold"))
        .ok_or_else(|| {
            let mut failure = Failure::user("there is no place for caches: neither XDG_CACHE_HOME nor HOME is set");
            failure.kind = ErrorKind::Host;
            failure.hint("set HOME")
        })
}

/// The private key of this operator.
pub(crate) fn identity() -> Option<PathBuf> {
    Keys::identity_path(|name| std::env::var_os(name))
}

/// What can be made again of a deployment in `dir`.
pub(crate) fn work_dir(dir: &Path) -> PathBuf {
    dir.join(WORK_DIRECTORY)
}

/// This program.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::host("cannot find this program's own file", e))
}
