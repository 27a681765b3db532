//! What push, pull, verify and gc share: the head of a cache, its narinfos, and writes under conditions.

use freehold_nar::{CacheInfo, NarInfo, StorePath};
use freehold_s3::{Condition, S3Error};

use crate::depot::{Depot, Kind};
use crate::error::CacheError;

/// How often a value that two writers set at once is read again.
pub(crate) const TRIES: u32 = 4;

/// Checks that the cache is one of this store directory, and makes the place a cache when it is none yet.
pub(crate) fn begin(depot: &Depot, store_dir: &str) -> Result<(), CacheError> {
    if let Some(head) = head(depot)? {
        return check_head(depot, head, store_dir);
    }
    let info = CacheInfo { store_dir: store_dir.to_owned(), want_mass_query: true, priority: None };
    put_once(depot, CacheInfo::KEY, info.render().as_bytes(), Kind::CacheInfo).map(drop)
}

/// Whether the cache is one of this store directory; a place without a head is taken for one that is empty.
pub(crate) fn check(depot: &Depot, store_dir: &str) -> Result<(), CacheError> {
    head(depot)?.map_or(Ok(()), |head| check_head(depot, head, store_dir))
}

fn check_head(depot: &Depot, head: CacheInfo, store_dir: &str) -> Result<(), CacheError> {
    if head.store_dir == store_dir {
        return Ok(());
    }
    let cache = depot.url().to_string();
    Err(CacheError::OtherStore { cache, theirs: head.store_dir, ours: store_dir.to_owned() })
}

/// What the cache says of itself; `None` when it says nothing.
pub(crate) fn head(depot: &Depot) -> Result<Option<CacheInfo>, CacheError> {
    let Some(object) = depot.get(CacheInfo::KEY)? else { return Ok(None) };
    CacheInfo::parse(&object.body).map(Some).map_err(|source| CacheError::BadText {
        key: CacheInfo::KEY.to_owned(),
        cache: depot.url().to_string(),
        source,
    })
}

/// Writes an object unless there is one; says whether it did. Stores that know no conditions write it in any case.
pub(crate) fn put_once(depot: &Depot, key: &str, body: &[u8], kind: Kind) -> Result<bool, CacheError> {
    put_if(depot, key, body, kind, &Condition::Absent)
}

/// Writes an object if the condition holds; says whether it did. Stores that know no conditions write it in any case.
pub(crate) fn put_if(
    depot: &Depot,
    key: &str,
    body: &[u8],
    kind: Kind,
    condition: &Condition,
) -> Result<bool, CacheError> {
    match depot.put(key, body, kind, condition) {
        Ok(_) => Ok(true),
        Err(error) if error.is_precondition() => Ok(false),
        Err(error) if is_unknown_condition(&error) => depot.put(key, body, kind, &Condition::None).map(|_| true),
        Err(error) => Err(error),
    }
}

/// Whether a store refused a write because it does not know conditions.
pub(crate) fn is_unknown_condition(error: &CacheError) -> bool {
    matches!(error, CacheError::Bucket { source: S3Error::Refused { status: 400 | 501, .. }, .. })
}

/// The narinfo of a path; `None` when the cache does not have it.
pub(crate) fn narinfo(depot: &Depot, path: &StorePath) -> Result<Option<NarInfo>, CacheError> {
    Ok(narinfo_tagged(depot, path)?.map(|(info, _)| info))
}

/// As [`narinfo`], with its ETag.
pub(crate) fn narinfo_tagged(depot: &Depot, path: &StorePath) -> Result<Option<(NarInfo, String)>, CacheError> {
    let key = NarInfo::key_of(path);
    let Some(object) = depot.get(&key)? else { return Ok(None) };
    let cache = || depot.url().to_string();
    let info = NarInfo::parse(&object.body).map_err(|source| CacheError::BadText { key, cache: cache(), source })?;
    if info.path != *path {
        return Err(CacheError::OtherPath { path: path.to_string(), other: info.path.to_string(), cache: cache() });
    }
    Ok(Some((info, object.etag)))
}
