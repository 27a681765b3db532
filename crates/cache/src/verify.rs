//! Whether everything in a cache is as it should be: every narinfo readable, signed and complete, every NAR what it is said to be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{CacheInfo, NarInfo, StorePath, TrustedKeys};

use crate::cache;
use crate::depot::{Depot, Draft, Listed};
use crate::error::CacheError;
use crate::list::{is_narinfo, narinfos};
use crate::pool::{Permits, cores, each};
use crate::progress::{Listener, Progress};
use crate::pull::{bad_nar, check_nar, fetch_nar, signers};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// Keys of which one must have signed each path; `None` when signatures are not looked at.
    pub trusted: Option<&'a TrustedKeys>,
    /// Whether NARs are read and hashed; otherwise only their size is looked at.
    pub contents: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object: a narinfo's key.
    pub key: String,
    /// The path that it is about, when that can be told.
    pub path: Option<String>,
    /// What is wrong, in words.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Paths that the cache says it has.
    pub paths: usize,
    /// Bytes of their compressed NARs.
    pub file_bytes: u64,
    /// NARs that no narinfo names: of a push that is under way or was killed. No problem; a collection removes old ones.
    pub unnamed_nars: usize,
    /// What is wrong, sorted by the names of paths; first what is about no path that can be told.
    pub problems: Vec<Problem>,
}

/// Looks at everything in a cache.
///
/// # Errors
/// When the cache cannot be read at all, and a place that is no cache; what is wrong in it is told in [`Verified::problems`].
pub fn verify(
    depot: &Depot,
    options: VerifyOptions<'_>,
    listener: Listener<'_>,
    stop: &AtomicBool,
) -> Result<Verified, CacheError> {
    let listing = depot.list("")?;
    let files: HashMap<&str, &Listed> = listing.iter().map(|listed| (listed.key.as_str(), listed)).collect();
    let (store_dir, mut problems) = head(depot, &listing)?;
    let mut infos: BTreeMap<String, NarInfo> = BTreeMap::new();
    for found in narinfos(depot, &listing, stop)? {
        let key = found.listed.key;
        match found.info {
            Ok(info) if info.key() == key => {
                infos.insert(key, info);
            }
            Ok(info) => {
                let what = format!("it is about `{}`", info.path);
                problems.push(Problem { path: None, what, key });
            }
            Err(error) => problems.push(Problem { key, path: None, what: error.to_string() }),
        }
    }
    for info in infos.values() {
        problems.extend(about(info, &infos, &files, options.trusted));
        if let Some(store_dir) = store_dir.as_deref().filter(|dir| *dir != info.path.dir()) {
            let what = format!("it is not in the cache's store directory, `{store_dir}`");
            problems.push(Problem { key: info.key(), path: Some(info.path.to_string()), what });
        }
    }
    let whole: Vec<&NarInfo> =
        infos.values().filter(|info| files.get(info.url.as_str()).is_some_and(|f| fits(info, f))).collect();
    if options.contents {
        problems.extend(contents(depot, &whole, listener, stop)?);
    }
    let name = |problem: &Problem| {
        problem.path.as_deref().and_then(|path| Some(StorePath::parse(path).ok()?.name().to_owned()))
    };
    problems.sort_by_cached_key(|problem| (name(problem), problem.clone()));
    let named: HashSet<&str> = infos.values().map(|info| info.url.as_str()).collect();
    let unnamed = listing.iter().filter(|l| l.key.starts_with("nar/") && !named.contains(l.key.as_str()));
    Ok(Verified {
        paths: infos.len(),
        file_bytes: named.iter().filter_map(|url| files.get(url)).map(|file| file.size).sum(),
        unnamed_nars: unnamed.count(),
        problems,
    })
}

/// The store directory of the cache, and what is wrong with what the cache says of itself.
fn head(depot: &Depot, listing: &[Listed]) -> Result<(Option<String>, Vec<Problem>), CacheError> {
    let what = match cache::head(depot) {
        Ok(Some(head)) => return Ok((Some(head.store_dir), Vec::new())),
        Ok(None) if !listing.iter().any(|listed| is_narinfo(&listed.key)) => {
            return Err(CacheError::NoCache { cache: depot.url().to_string() });
        }
        Ok(None) => "it is missing, so no Nix takes this for a cache".to_owned(),
        Err(CacheError::BadText { source, .. }) => source.to_string(),
        Err(error) => return Err(error),
    };
    Ok((None, vec![Problem { key: CacheInfo::KEY.to_owned(), path: None, what }]))
}

/// What can be seen without reading a NAR.
fn about(
    info: &NarInfo,
    infos: &BTreeMap<String, NarInfo>,
    files: &HashMap<&str, &Listed>,
    trusted: Option<&TrustedKeys>,
) -> Vec<Problem> {
    let mut found = Vec::new();
    if trusted.is_some_and(|trusted| info.signer(trusted).is_none()) {
        found.push(format!("no trusted key has signed it ({})", signers(info)));
    }
    if info.is_addressed_as_said() == Some(false) {
        let said = info.ca.as_deref().unwrap_or_default();
        found.push(format!("its line `CA: {said}` is not true: Nix would refuse it"));
    }
    match files.get(info.url.as_str()) {
        None => found.push(format!("its NAR is missing: `{}`", info.url)),
        Some(file) if !fits(info, file) => {
            found.push(format!("its NAR has {} bytes instead of {}", file.size, info.file_size.unwrap_or_default()))
        }
        Some(_) => {}
    }
    // By the whole path: another one may have the same hash part.
    let there = |path: &StorePath| infos.get(&NarInfo::key_of(path)).is_some_and(|found| found.path == *path);
    let gone = info.references.iter().filter(|reference| !there(reference));
    found.extend(gone.map(|reference| format!("it refers to `{reference}`, which is not there")));
    found.into_iter().map(|what| Problem { key: info.key(), path: Some(info.path.to_string()), what }).collect()
}

fn fits(info: &NarInfo, file: &Listed) -> bool {
    info.file_size.is_none_or(|size| size == file.size)
}

/// What is wrong inside NARs.
fn contents(
    depot: &Depot,
    infos: &[&NarInfo],
    listener: Listener<'_>,
    stop: &AtomicBool,
) -> Result<Vec<Problem>, CacheError> {
    let nar_bytes = infos.iter().map(|info| info.nar_size).sum();
    listener(Progress::Planned { paths: infos.len(), missing: infos.len(), nar_bytes });
    let permits = Permits::new(cores());
    let found = each(infos, limits::CACHE_TRANSFERS, stop, |info, halt| {
        let mut draft = Draft::unnamed()?;
        let checked = fetch_nar(depot, info, draft.file_mut(), halt).and_then(|known| {
            let _permit = permits.take(1);
            check_nar(draft.file_mut(), info, Some(known), halt).map_err(|e| bad_nar(depot, info, &e, halt))
        });
        let what = match checked {
            Ok(file_bytes) => {
                let (path, nar_bytes) = (info.path.to_string(), info.nar_size);
                listener(Progress::Moved { path, nar_bytes, file_bytes, travelled: true });
                return Ok(None);
            }
            Err(CacheError::BadNar { reason, .. }) => format!("its NAR is not what it says: {reason}"),
            Err(CacheError::NoNar { key, .. }) => format!("its NAR is missing: `{key}`"),
            Err(error) => return Err(error),
        };
        Ok(Some(Problem { key: info.key(), path: Some(info.path.to_string()), what }))
    })?;
    Ok(found.into_iter().flatten().collect())
}
