//! Pushing: the closure of some paths comes into a cache, such that no path is ever known there before all that it needs.
//!
//! What is missing is found first (local index, then questions in parallel), then NARs travel, largest first, and at last the
//! narinfos in the order of references. A push that is killed leaves NARs that nobody knows of; the next one goes on with them.
//! A collection that happens meanwhile is noticed by the cache's epoch, and what it took is pushed again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use freehold_model::limits;
use freehold_nar::{Compression, NarInfo, SecretKey, StorePath};
use freehold_s3::Condition;
use freehold_store::Nix;

use crate::cache;
use crate::closure::{Fact, closure, facts, levels};
use crate::depot::{Depot, Kind};
use crate::error::CacheError;
use crate::index::{Index, Stored};
use crate::pack::{self, Packed};
use crate::pool::{Halt, Permits, each};
use crate::progress::{Listener, Progress};

/// How paths are pushed.
#[derive(Debug, Clone)]
pub struct PushOptions<'a> {
    /// How NARs are compressed.
    pub compression: Compression,
    /// Where this machine remembers what caches have; `None` for nowhere.
    pub index: Option<&'a Path>,
    /// Believe nothing that is remembered.
    pub recheck: bool,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Paths of the closure.
    pub paths: usize,
    /// Paths that the cache did not have.
    pub new: usize,
    /// Size of their NARs in bytes.
    pub nar_bytes: u64,
    /// Size of their compressed files in bytes.
    pub file_bytes: u64,
    /// Bytes of compressed files that travelled now: the others were there from an earlier attempt.
    pub travelled_bytes: u64,
}

/// Brings the closure of `roots` into the cache, signed with `key`.
///
/// # Errors
/// A root that is not in the store, a store whose contents were changed, a cache of another store directory, and all that
/// can go wrong on the way. What was done stays, and the next push goes on there.
pub fn push(
    nix: &Nix,
    depot: &Depot,
    roots: &[StorePath],
    key: &SecretKey,
    options: &PushOptions<'_>,
    listener: Listener<'_>,
    stop: &AtomicBool,
) -> Result<Pushed, CacheError> {
    let paths = closure(nix, roots)?;
    let Some(first) = roots.first() else { return Ok(Pushed::default()) };
    let mut pushed = Pushed { paths: paths.len(), ..Pushed::default() };
    for round in 0..limits::CACHE_ROUNDS {
        let epoch = match cache::epoch(depot)? {
            Some(epoch) => epoch,
            None => {
                cache::begin(depot, first.dir())?;
                cache::epoch_or_first(depot)?
            }
        };
        let index = Index::open(options.index, &depot.url().to_string(), &epoch);
        let push = Push { nix, depot, key, options, listener, stop, index, epoch };
        let believe = !options.recheck && round == 0;
        if push.round(&paths, roots, believe, &mut pushed)? {
            return Ok(pushed);
        }
        listener(Progress::Again);
    }
    Err(CacheError::Collected { cache: depot.url().to_string(), rounds: limits::CACHE_ROUNDS })
}

struct Push<'a> {
    nix: &'a Nix,
    depot: &'a Depot,
    key: &'a SecretKey,
    options: &'a PushOptions<'a>,
    listener: Listener<'a>,
    stop: &'a AtomicBool,
    index: Index,
    epoch: String,
}

/// What a look at the cache showed.
#[derive(Default)]
struct Look<'f> {
    missing: Vec<StorePath>,
    old: Vec<&'f StorePath>,
}

impl Push<'_> {
    /// Brings over what is missing; `false` when a collection came between and it has to be looked at again.
    fn round(
        &self,
        paths: &[StorePath],
        roots: &[StorePath],
        believe: bool,
        pushed: &mut Pushed,
    ) -> Result<bool, CacheError> {
        let Look { missing, old } = self.look(paths, roots, believe)?;
        let mut missing = facts(self.nix, &missing)?;
        missing.sort_by_key(|fact| std::cmp::Reverse(fact.nar_size));
        let nar_bytes = missing.iter().map(|fact| fact.nar_size).sum();
        (self.listener)(Progress::Planned { paths: paths.len(), missing: missing.len(), nar_bytes });
        if missing.is_empty() {
            if self.freshen(&old)? && self.is_collected()? {
                return Ok(false);
            }
            self.index.note_present(paths.iter().map(StorePath::hash_part));
            return Ok(true);
        }
        if let Some(first) = roots.first() {
            cache::begin(self.depot, first.dir())?;
        }
        let stored = self.nars(&missing)?;
        pushed.new += missing.len();
        pushed.nar_bytes += nar_bytes;
        pushed.file_bytes += stored.iter().map(|(stored, _)| stored.file_size).sum::<u64>();
        pushed.travelled_bytes +=
            stored.iter().filter(|(_, travelled)| *travelled).map(|(stored, _)| stored.file_size).sum::<u64>();
        if self.is_collected()? {
            return Ok(false);
        }
        (self.listener)(Progress::Publishing);
        let by_path: HashMap<&StorePath, (&Fact, &Stored)> =
            missing.iter().zip(&stored).map(|(fact, (stored, _))| (&fact.path, (fact, stored))).collect();
        for level in levels(missing.iter().map(|fact| (&fact.path, &fact.references)).collect())? {
            each(&level, limits::CACHE_TRANSFERS, self.stop, |path, _| {
                by_path.get(path).map_or(Ok(()), |(fact, stored)| self.publish(fact, stored))
            })?;
        }
        // A collection that began after the last look may have taken what these refer to.
        if self.is_collected()? {
            return Ok(false);
        }
        self.index.note_present(paths.iter().map(StorePath::hash_part));
        Ok(true)
    }

    /// What the cache does not have; and roots that it has had for long.
    fn look<'f>(&self, paths: &'f [StorePath], roots: &[StorePath], believe: bool) -> Result<Look<'f>, CacheError> {
        // A directory is asked as fast as an index.
        let believe = believe && self.depot.is_remote();
        let is_root = |path: &StorePath| roots.contains(path);
        let known = |path: &StorePath| believe && self.index.has(path.hash_part());
        let doubtful: Vec<&StorePath> = paths.iter().filter(|path| is_root(path) || !known(path)).collect();
        let found =
            each(&doubtful, limits::CACHE_CHECKS, self.stop, |path, _| self.depot.head(&NarInfo::key_of(path)))?;
        if doubtful.iter().zip(&found).any(|(path, found)| found.is_none() && known(path)) {
            // Somebody deleted from the cache without a word: nothing that is remembered is worth anything.
            return self.look(paths, roots, false);
        }
        let mut look = Look::default();
        for (path, found) in doubtful.into_iter().zip(found) {
            let age = found.as_ref().and_then(|f| f.modified).and_then(|at| SystemTime::now().duration_since(at).ok());
            match found {
                None => look.missing.push(path.clone()),
                Some(_) if is_root(path) && age.is_some_and(|age| age > limits::CACHE_GC_AGE / 2) => {
                    look.old.push(path);
                }
                Some(_) => {}
            }
        }
        Ok(look)
    }

    /// Writes narinfos of old roots again, so that a collection takes them for just pushed; says whether it had to.
    ///
    /// Else a path that nobody named for long could be collected between this push and the manifest that names it.
    fn freshen(&self, old: &[&StorePath]) -> Result<bool, CacheError> {
        each(old, limits::CACHE_CHECKS, self.stop, |path, _| {
            let key = NarInfo::key_of(path);
            let Some(object) = self.depot.get(&key)? else { return Ok(()) };
            match self.depot.put(&key, &object.body, Kind::NarInfo, &Condition::Match(object.etag)) {
                Err(error) if !error.is_precondition() && !cache::is_unknown_condition(&error) => Err(error),
                // It was collected, which the next look shows; or the store knows no conditions, and it stays old.
                _ => Ok(()),
            }
        })?;
        Ok(!old.is_empty())
    }

    /// Brings over NARs; says of each where it is and whether it travelled.
    fn nars(&self, missing: &[Fact]) -> Result<Vec<(Stored, bool)>, CacheError> {
        let permits = Permits::new(pack::packers(&self.options.compression));
        each(missing, limits::CACHE_TRANSFERS, self.stop, |fact, halt| {
            let moved = self.nar(fact, &permits, halt)?;
            (self.listener)(Progress::Moved {
                path: fact.path.to_string(),
                nar_bytes: fact.nar_size,
                file_bytes: moved.0.file_size,
                travelled: moved.1,
            });
            Ok(moved)
        })
    }

    fn nar(&self, fact: &Fact, permits: &Permits, halt: &Halt<'_>) -> Result<(Stored, bool), CacheError> {
        let suffix = format!(".nar{}", self.options.compression.suffix());
        let earlier = self.index.stored(fact.path.hash_part());
        if let Some(stored) = earlier.filter(|s| s.nar_hash == fact.nar_hash && s.key.ends_with(&suffix))
            && self.depot.head(&stored.key)?.is_some_and(|found| found.size == stored.file_size)
        {
            return Ok((stored, false));
        }
        let mut draft = self.depot.draft()?;
        let packed = {
            let compression = &self.options.compression;
            let weight = pack::weight(compression, fact.nar_size);
            let _permit = permits.take(weight);
            if halt.is_set() {
                return Err(CacheError::Stopped);
            }
            pack::pack(Path::new(fact.path.as_str()), compression, weight, &mut draft, halt)
                .map_err(|source| self.unpacked(fact, source, halt))?
        };
        let Packed { nar_hash, nar_size, file_hash, file_size } = packed;
        if (nar_hash, nar_size) != (fact.nar_hash, fact.nar_size) {
            return Err(CacheError::Changed {
                path: fact.path.to_string(),
                found: nar_hash.to_string(),
                expected: fact.nar_hash.to_string(),
            });
        }
        let key = format!("nar/{}{suffix}", file_hash.to_base32());
        let stored = Stored { nar_hash, key, file_hash, file_size };
        // Another machine may have begun this push.
        let ask = self.depot.is_remote() && file_size > limits::CACHE_ASK_BYTES;
        let there = ask && self.depot.head(&stored.key)?.is_some_and(|found| found.size == file_size);
        if !there {
            self.depot.commit(draft, &stored.key, Kind::Nar)?;
        }
        self.index.note_stored(fact.path.hash_part(), &stored);
        Ok((stored, !there))
    }

    fn unpacked(&self, fact: &Fact, source: std::io::Error, halt: &Halt<'_>) -> CacheError {
        if halt.is_set() { CacheError::Stopped } else { CacheError::Pack { path: fact.path.to_string(), source } }
    }

    /// Makes a path known. One that became known meanwhile is left as it is.
    fn publish(&self, fact: &Fact, stored: &Stored) -> Result<(), CacheError> {
        let mut info = NarInfo {
            path: fact.path.clone(),
            url: stored.key.clone(),
            compression: self.options.compression.clone(),
            file_hash: Some(stored.file_hash),
            file_size: Some(stored.file_size),
            nar_hash: fact.nar_hash,
            nar_size: fact.nar_size,
            references: fact.references.clone(),
            deriver: fact.deriver.clone(),
            signatures: Vec::new(),
            ca: None,
        };
        info.sign(self.key);
        cache::put_once(self.depot, &info.key(), info.render().as_bytes(), Kind::NarInfo).map(drop)
    }

    fn is_collected(&self) -> Result<bool, CacheError> {
        Ok(cache::epoch(self.depot)?.as_deref() != Some(self.epoch.as_str()))
    }
}
