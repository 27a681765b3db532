//! What a cache holds: its narinfos, all of them.

use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{NarError, NarInfo, StorePath};

use crate::depot::{Depot, Listed};
use crate::error::CacheError;
use crate::pool::each;

/// A narinfo that is there: where it lies, and what it says.
pub(crate) struct Found {
    pub(crate) listed: Listed,
    pub(crate) info: Result<NarInfo, NarError>,
}

/// All paths that the cache says it has, sorted by name; narinfos that cannot be read are left to [`crate::verify`].
///
/// # Errors
/// When the cache cannot be listed or read.
pub fn list(depot: &Depot, stop: &AtomicBool) -> Result<Vec<NarInfo>, CacheError> {
    let found = narinfos(depot, &depot.list("")?, stop)?;
    let mut infos: Vec<NarInfo> = found.into_iter().filter_map(|found| found.info.ok()).collect();
    infos.sort_by(|a, b| (a.path.name(), &a.path).cmp(&(b.path.name(), &b.path)));
    Ok(infos)
}

/// The narinfos of a listing. One that is deleted meanwhile is left out.
pub(crate) fn narinfos(depot: &Depot, listing: &[Listed], stop: &AtomicBool) -> Result<Vec<Found>, CacheError> {
    let listed: Vec<&Listed> = listing.iter().filter(|listed| is_narinfo(&listed.key)).collect();
    if listed.len() > limits::CACHE_PATHS {
        return Err(CacheError::TooMany { limit: limits::CACHE_PATHS });
    }
    let found = each(&listed, limits::CACHE_CHECKS, stop, |listed, _| {
        let Some(object) = depot.get(&listed.key)? else { return Ok(None) };
        Ok(Some(Found { listed: (*listed).clone(), info: NarInfo::parse(&object.body) }))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Whether a key is that of a narinfo.
pub(crate) fn is_narinfo(key: &str) -> bool {
    key.strip_suffix(".narinfo").is_some_and(StorePath::is_hash_part)
}
