//! What is named on the command line as store paths, and where this machine keeps what it remembers of caches.

use std::path::{Path, PathBuf};

use freehold_nar::{Sha256, StorePath};

use crate::failure::Failure;
use crate::places;

/// The store path that a text names: itself, something in it, or a link to it.
///
/// # Errors
/// When it is none.
pub(crate) fn store_path(text: &str) -> Result<StorePath, Failure> {
    let parsed = StorePath::parse(text.trim_end_matches('/'));
    if let Ok(path) = parsed {
        return Ok(path);
    }
    let whole = fs_err::canonicalize(text).unwrap_or_else(|_| PathBuf::from(text));
    let found = whole.ancestors().filter_map(Path::to_str).filter_map(|part| StorePath::parse(part).ok()).last();
    found.map_or_else(|| parsed.map_err(Failure::from), Ok)
}

/// All of them.
///
/// # Errors
/// When one is none.
pub(crate) fn store_paths(texts: &[String]) -> Result<Vec<StorePath>, Failure> {
    texts.iter().map(|text| store_path(text)).collect()
}

/// Where it is remembered what caches have; `None` without a home.
pub(crate) fn index_dir() -> Option<PathBuf> {
    places::cache_dir().ok().map(|dir| dir.join("caches"))
}

/// Where paths are staged that are pulled from there: the same for the same pull, so that it can be taken up.
///
/// # Errors
/// Without a home.
pub(crate) fn staging_dir(url: &str, roots: &[StorePath]) -> Result<PathBuf, Failure> {
    let mut what = url.to_owned();
    for root in roots {
        what += &format!("\n{root}");
    }
    let name = Sha256::of(what.as_bytes()).to_base32();
    Ok(places::cache_dir()?.join("staging").join(name))
}
