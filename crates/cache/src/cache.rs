//! What push, pull, verify and gc share: the head of a cache, its narinfos, and its epoch.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use freehold_nar::{CacheInfo, NarInfo, StorePath};
use freehold_s3::{Condition, S3Error};

use crate::depot::{Depot, Kind};
use crate::error::CacheError;

/// An object that every collection writes anew before it deletes: what a push remembers of a cache is true within one epoch.
const EPOCH: &str = "freehold-epoch";
/// How often a value that two writers set at once is read again.
const TRIES: u32 = 4;

/// Reads what the cache says of itself, and makes it a cache when it is none yet.
pub(crate) fn begin(depot: &Depot, store_dir: &str) -> Result<(), CacheError> {
    let Some(object) = depot.get(CacheInfo::KEY)? else {
        let info = CacheInfo { store_dir: store_dir.to_owned(), want_mass_query: true, priority: None };
        put_once(depot, CacheInfo::KEY, info.render().as_bytes(), Kind::CacheInfo)?;
        return Ok(());
    };
    check_info(depot, &object.body, store_dir)
}

/// Whether the cache is one of this store directory; a place without a head is taken for one that is empty.
pub(crate) fn check(depot: &Depot, store_dir: &str) -> Result<(), CacheError> {
    depot.get(CacheInfo::KEY)?.map_or(Ok(()), |object| check_info(depot, &object.body, store_dir))
}

fn check_info(depot: &Depot, body: &[u8], store_dir: &str) -> Result<(), CacheError> {
    let cache = || depot.url().to_string();
    let info = CacheInfo::parse(body).map_err(|source| CacheError::BadText {
        key: CacheInfo::KEY.to_owned(),
        cache: cache(),
        source,
    })?;
    if info.store_dir != store_dir {
        return Err(CacheError::OtherStore { cache: cache(), theirs: info.store_dir, ours: store_dir.to_owned() });
    }
    Ok(())
}

/// The epoch of the cache; `None` before the first push.
pub(crate) fn epoch(depot: &Depot) -> Result<Option<String>, CacheError> {
    let object = depot.get(EPOCH)?;
    Ok(object.map(|object| String::from_utf8_lossy(&object.body).trim().chars().take(64).collect()))
}

/// The epoch of the cache, begun if there was none.
pub(crate) fn epoch_or_first(depot: &Depot) -> Result<String, CacheError> {
    for _ in 0..TRIES {
        if let Some(epoch) = epoch(depot)? {
            return Ok(epoch);
        }
        put_once(depot, EPOCH, new_epoch().as_bytes(), Kind::Text)?;
    }
    Err(CacheError::PreconditionFailed { key: EPOCH.to_owned(), cache: depot.url().to_string() })
}

/// Begins another epoch.
pub(crate) fn next_epoch(depot: &Depot) -> Result<(), CacheError> {
    depot.put(EPOCH, new_epoch().as_bytes(), Kind::Text, &Condition::None).map(drop)
}

/// Writes an object unless there is one; says whether it did. Stores that know no conditions write it in any case.
pub(crate) fn put_once(depot: &Depot, key: &str, body: &[u8], kind: Kind) -> Result<bool, CacheError> {
    match depot.put(key, body, kind, &Condition::Absent) {
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
    let key = NarInfo::key_of(path);
    let Some(object) = depot.get(&key)? else { return Ok(None) };
    let cache = || depot.url().to_string();
    let info = NarInfo::parse(&object.body).map_err(|source| CacheError::BadText { key, cache: cache(), source })?;
    if info.path != *path {
        return Err(CacheError::OtherPath { path: path.to_string(), other: info.path.to_string(), cache: cache() });
    }
    Ok(Some(info))
}

fn new_epoch() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}\n", random(), random())
}
