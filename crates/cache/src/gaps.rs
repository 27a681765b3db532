//! Whether closures are in a cache: from path to path as a pull would go, without reading what is in the NARs.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{NarInfo, StorePath, TrustedKeys};

use crate::cache;
use crate::depot::Depot;
use crate::error::CacheError;
use crate::pool::each;
use crate::pull::signers;

/// Something that a pull of a closure would fail at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The path whose closure it is, of those that were asked for.
    pub root: StorePath,
    /// The path of the closure that cannot be had.
    pub path: StorePath,
    /// Why, in words that follow the path.
    pub what: String,
}

/// A path that is to be looked at, and why.
struct Step {
    path: StorePath,
    root: StorePath,
    referrer: Option<StorePath>,
}

/// What of the closures of `roots` a pull would not get: narinfos and NARs that are not there, or that no key of `trusted` has signed
/// (`None`: signatures are not looked at). What several closures share is told once.
///
/// # Errors
/// When the cache cannot be read, or has more than [`limits::CACHE_PATHS`] such paths.
pub fn gaps(
    depot: &Depot,
    roots: &[StorePath],
    trusted: Option<&TrustedKeys>,
    stop: &AtomicBool,
) -> Result<Vec<Gap>, CacheError> {
    let mut seen = HashSet::new();
    let first = |path: &StorePath| Step { path: path.clone(), root: path.clone(), referrer: None };
    let mut wave: Vec<Step> = roots.iter().filter(|path| seen.insert((*path).clone())).map(first).collect();
    let mut gaps = Vec::new();
    while !wave.is_empty() {
        let found = each(&wave, limits::CACHE_CHECKS, stop, |step, _| look(depot, step, trusted))?;
        let mut next = Vec::new();
        for (step, (info, what)) in wave.into_iter().zip(found) {
            for reference in info.iter().flat_map(|info| &info.references) {
                if seen.insert(reference.clone()) {
                    let referrer = Some(step.path.clone());
                    next.push(Step { path: reference.clone(), root: step.root.clone(), referrer });
                }
            }
            gaps.extend(what.map(|what| Gap { root: step.root, path: step.path, what }));
        }
        if seen.len() > limits::CACHE_PATHS {
            return Err(CacheError::TooMany { limit: limits::CACHE_PATHS });
        }
        wave = next;
    }
    Ok(gaps)
}

/// The narinfo of a path, when it can be read, and what is wrong with the path.
fn look(
    depot: &Depot,
    step: &Step,
    trusted: Option<&TrustedKeys>,
) -> Result<(Option<NarInfo>, Option<String>), CacheError> {
    let info = match cache::narinfo(depot, &step.path) {
        Ok(Some(info)) => info,
        Ok(None) => {
            let referrer = step.referrer.as_ref().map(|from| format!(" (`{from}` refers to it)"));
            return Ok((None, Some(format!("is not in the cache{}", referrer.unwrap_or_default()))));
        }
        Err(error @ (CacheError::BadText { .. } | CacheError::OtherPath { .. })) => {
            return Ok((None, Some(format!("has a bad narinfo: {}", freehold_model::chain(&error)))));
        }
        Err(error) => return Err(error),
    };
    let what = match depot.head(&info.url)? {
        _ if trusted.is_some_and(|trusted| info.signer(trusted).is_none()) => {
            Some(format!("is signed by no trusted key ({})", signers(&info)))
        }
        None => Some(format!("has no NAR: `{}` is missing", info.url)),
        Some(file) if info.file_size.is_some_and(|size| size != file.size) => {
            Some(format!("has a NAR of {} bytes instead of {}", file.size, info.file_size.unwrap_or_default()))
        }
        Some(_) => None,
    };
    Ok((Some(info), what))
}
