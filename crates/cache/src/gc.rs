//! Collecting: paths that no manifest names any more leave a cache.
//!
//! Kept are the closures of what `manifest.json` and everything under `manifests/` name, of what the operator names, and of
//! what was pushed a short while ago: a manifest may be about to name it. A new epoch begins before the cache is listed, and
//! carries a mark until the end, so that pushes wait and look again. Paths go before what they refer to, and NARs last, so that nothing
//! is ever half there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use freehold_model::limits;
use freehold_nar::{NarInfo, StorePath};
use serde_json::Value as Json;

use crate::cache;
use crate::closure::levels;
use crate::depot::{Depot, Listed};
use crate::epoch::{self, Mark};
use crate::error::CacheError;
use crate::list::narinfos;
use crate::pool::each;

/// The manifest that holds now, and the folder of those that held before.
const MANIFEST: &str = "manifest.json";
const MANIFESTS: &str = "manifests/";

/// What is collected.
#[derive(Debug, Clone)]
pub struct GcOptions<'a> {
    /// Paths that are kept with their closures, whoever names them.
    pub keep: &'a [StorePath],
    /// What is younger is kept.
    pub age: Duration,
    /// Whether anything is deleted; otherwise it is only told what would be.
    pub delete: bool,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Paths that go, sorted by name.
    pub paths: Vec<String>,
    /// NARs that go, among them those that no path names.
    pub nars: usize,
    /// Bytes of these NARs.
    pub bytes: u64,
    /// Paths that stay.
    pub kept: usize,
    /// Paths that are to be kept and are not there: a manifest names them.
    pub absent: Vec<String>,
    /// Narinfos that cannot be read: they stay, and so does what they might name.
    pub unreadable: Vec<String>,
}

/// Deletes what nobody needs, or tells what that is.
///
/// # Errors
/// A manifest that cannot be read, since nobody knows then what is needed; before something is deleted, a path of
/// [`GcOptions::keep`] that is not there; and all that can go wrong with the cache.
pub fn gc(depot: &Depot, options: &GcOptions<'_>, stop: &AtomicBool) -> Result<Collected, CacheError> {
    if !options.delete {
        return collect(depot, options, None, stop);
    }
    depot.sweep()?;
    epoch::collecting(depot, stop, |mark| collect(depot, options, Some(mark), stop))
}

/// What a cache holds.
struct Inventory {
    listing: Vec<Listed>,
    infos: BTreeMap<StorePath, NarInfo>,
    /// Paths whose narinfo is younger than the age below which they are kept.
    young: BTreeSet<StorePath>,
    unreadable: Vec<String>,
}

impl Inventory {
    fn take(depot: &Depot, is_young: &dyn Fn(&Listed) -> bool, stop: &AtomicBool) -> Result<Self, CacheError> {
        let listing = depot.list("")?;
        let (mut infos, mut young, mut unreadable) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for found in narinfos(depot, &listing, stop)? {
            match found.info {
                Ok(info) if info.key() == found.listed.key => {
                    if is_young(&found.listed) {
                        young.insert(info.path.clone());
                    }
                    infos.insert(info.path.clone(), info);
                }
                _ => unreadable.push(found.listed.key),
            }
        }
        Ok(Self { listing, infos, young, unreadable })
    }
}

/// Looks at everything, and deletes under `mark`.
fn collect(
    depot: &Depot,
    options: &GcOptions<'_>,
    mark: Option<&Mark<'_>>,
    stop: &AtomicBool,
) -> Result<Collected, CacheError> {
    let now = SystemTime::now();
    let is_young = |listed: &Listed| {
        // A clock that is behind makes everything young.
        listed.modified.and_then(|at| now.duration_since(at).ok()).is_none_or(|age| age < options.age)
    };
    let Inventory { listing, infos, young, unreadable } = Inventory::take(depot, &is_young, stop)?;
    let mut roots = manifest_roots(depot, &listing, &infos)?;
    roots.extend(options.keep.iter().cloned());
    roots.extend(young);
    let absent = roots.iter().filter(|root| !infos.contains_key(root)).map(ToString::to_string).collect();
    let live = live(&infos, roots);
    let dead: Vec<&NarInfo> = infos.values().filter(|info| !live.contains(&info.path)).collect();
    let needed: HashSet<&str> =
        infos.values().filter(|info| live.contains(&info.path)).map(|info| info.url.as_str()).collect();
    let loose = |listed: &&Listed| listed.key.starts_with("nar/") && !needed.contains(listed.key.as_str());
    // With an unreadable narinfo about, a NAR without a name may be its own.
    let sure = unreadable.is_empty();
    let of_dead: HashSet<&str> = dead.iter().map(|info| info.url.as_str()).collect();
    let nars: Vec<&Listed> = listing
        .iter()
        .filter(loose)
        .filter(|listed| !is_young(listed) && (sure || of_dead.contains(listed.key.as_str())))
        .collect();
    let mut paths: Vec<&StorePath> = dead.iter().map(|info| &info.path).collect();
    paths.sort_by_key(|path| (path.name(), *path));
    let collected = Collected {
        paths: paths.iter().map(ToString::to_string).collect(),
        nars: nars.len(),
        bytes: nars.iter().map(|listed| listed.size).sum(),
        kept: live.len(),
        absent,
        unreadable,
    };
    if let Some(mark) = mark {
        if let Some(path) = options.keep.iter().find(|path| !infos.contains_key(path)) {
            return Err(CacheError::NothingToKeep { path: path.to_string(), cache: depot.url().to_string() });
        }
        delete_paths(depot, &dead, mark, stop)?;
        let late = late_urls(depot, &listing, stop)?;
        let nars: Vec<&Listed> = nars.into_iter().filter(|listed| !late.contains(&listed.key)).collect();
        mark.renew()?;
        each(&nars, limits::CACHE_TRANSFERS, stop, |nar, _| mark.check().and_then(|()| depot.delete(&nar.key)))?;
    }
    Ok(collected)
}

/// Whatever refers to something goes before it. Nothing goes unless the mark is surely ours.
fn delete_paths(depot: &Depot, dead: &[&NarInfo], mark: &Mark<'_>, stop: &AtomicBool) -> Result<(), CacheError> {
    let order = levels(dead.iter().map(|info| (&info.path, &info.references)).collect())?;
    for level in order.iter().rev() {
        mark.renew()?;
        each(level, limits::CACHE_TRANSFERS, stop, |path, _| {
            mark.check().and_then(|()| depot.delete(&NarInfo::key_of(path)))
        })?;
    }
    Ok(())
}

/// NARs of paths that became known after the listing: by a push that had looked before, and may have been killed since.
fn late_urls(depot: &Depot, listing: &[Listed], stop: &AtomicBool) -> Result<HashSet<String>, CacheError> {
    let before: HashSet<&str> = listing.iter().map(|listed| listed.key.as_str()).collect();
    let mut late = depot.list("")?;
    late.retain(|listed| !before.contains(listed.key.as_str()));
    Ok(narinfos(depot, &late, stop)?.into_iter().filter_map(|found| Some(found.info.ok()?.url)).collect())
}

/// The closure of `roots`, as far as it is there.
fn live(infos: &BTreeMap<StorePath, NarInfo>, roots: BTreeSet<StorePath>) -> HashSet<StorePath> {
    let mut live = HashSet::new();
    let mut next: Vec<StorePath> = roots.into_iter().collect();
    while let Some(path) = next.pop() {
        if let Some(info) = infos.get(&path)
            && live.insert(path)
        {
            next.extend(info.references.iter().cloned());
        }
    }
    live
}

/// Every store path that a manifest names, wherever in it. The store directory is the one that the cache says it has, and those of
/// its paths: a wrong one would let everything go.
fn manifest_roots(
    depot: &Depot,
    listing: &[Listed],
    infos: &BTreeMap<StorePath, NarInfo>,
) -> Result<BTreeSet<StorePath>, CacheError> {
    let mut store_dirs: BTreeSet<String> = infos.keys().map(|path| path.dir().to_owned()).collect();
    store_dirs.extend(cache::head(depot)?.map(|head| head.store_dir));
    let mut roots = BTreeSet::new();
    let manifests = listing.iter().filter(|l| l.key == MANIFEST || l.key.starts_with(MANIFESTS));
    for key in manifests.map(|listed| &listed.key) {
        let Some(object) = depot.get(key)? else { continue };
        let json: Json = serde_json::from_slice(&object.body).map_err(|e| CacheError::BadManifest {
            key: key.clone(),
            cache: depot.url().to_string(),
            reason: e.to_string(),
        })?;
        store_dirs.iter().for_each(|store_dir| name_paths(&json, store_dir, &mut roots));
    }
    Ok(roots)
}

fn name_paths(json: &Json, store_dir: &str, roots: &mut BTreeSet<StorePath>) {
    match json {
        Json::String(text) => {
            // A command may be a file in a path, or a line with several.
            for (at, _) in text.match_indices(store_dir) {
                let rest = text.get(at + store_dir.len()..).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._?=".contains(c));
                let base = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                roots.extend(StorePath::parse(&format!("{store_dir}/{base}")));
            }
        }
        Json::Array(items) => items.iter().for_each(|item| name_paths(item, store_dir, roots)),
        Json::Object(items) => items.values().for_each(|item| name_paths(item, store_dir, roots)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_a_manifest_names_them() {
        let hash = "bssq1i34r9ixn22c79qfqskrvfvh9ipq";
        let json = serde_json::json!({ "services": [{
            "artifact": { "storePath": format!("/nix/store/{hash}-a") },
            "exec": { "command": format!("/nix/store/{hash}-b/bin/b --with '/nix/store/{hash}-c'") },
            "env": { "X": "/nix/store/short", "Y": format!("/other/store/{hash}-d") },
        }]});
        let mut roots = BTreeSet::new();
        name_paths(&json, "/nix/store", &mut roots);
        let names: Vec<&str> = roots.iter().map(StorePath::name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
