//! Pushing: the closure of some paths comes into a cache, such that no path is ever known there before all that it needs.
//!
//! What is missing is found first (local index, then questions in parallel), then NARs travel, largest first, and at last the
//! narinfos in the order of references. A push that is killed leaves NARs that nobody knows of; the next one goes on with them.
//! A collection that happens meanwhile is noticed by the cache's epoch: its end is awaited, and what it took is pushed again.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{Compression, NarInfo, SecretKey, StorePath, TrustedKeys};
use freehold_s3::Condition;
use freehold_store::Nix;

use crate::cache;
use crate::closure::{Fact, closure, facts, levels};
use crate::depot::{Depot, Kind};
use crate::epoch;
use crate::error::CacheError;
use crate::index::{Index, Stored};
use crate::look::{Broken, Look, Looker};
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
    /// Paths that the cache had without the signature of our key, and now has with it.
    pub signed: usize,
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
        let waiting = || listener(Progress::Waiting);
        let epoch = match epoch::settled(depot, &waiting, stop)? {
            Some(epoch) => epoch,
            None => {
                cache::begin(depot, first.dir())?;
                epoch::settled_or_first(depot, &waiting, stop)?
            }
        };
        let index = Index::open(options.index, &depot.url().to_string(), &key.public(), &epoch);
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

impl Push<'_> {
    /// Brings over what is missing; `false` when a collection came between and it has to be looked at again.
    fn round(
        &self,
        paths: &[StorePath],
        roots: &[StorePath],
        believe: bool,
        pushed: &mut Pushed,
    ) -> Result<bool, CacheError> {
        let key = TrustedKeys::new(vec![self.key.public()]);
        let looker = Looker { depot: self.depot, index: &self.index, stop: self.stop, key: &key, believe };
        let Look { missing, broken, unsigned, old } = looker.look(paths, roots)?;
        let missing: Vec<StorePath> = missing.into_iter().chain(broken.keys().cloned()).collect();
        let mut missing = facts(self.nix, &missing)?;
        missing.sort_by_key(|fact| std::cmp::Reverse(fact.nar_size));
        let nar_bytes = missing.iter().map(|fact| fact.nar_size).sum();
        (self.listener)(Progress::Planned { paths: paths.len(), missing: missing.len(), nar_bytes });
        if missing.is_empty() && unsigned.is_empty() && old.is_empty() {
            self.note(paths, &HashSet::new());
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
        let mut differing = HashSet::new();
        if !missing.is_empty() {
            if self.is_collected()? {
                return Ok(false);
            }
            (self.listener)(Progress::Publishing);
            self.depot.sync()?;
            self.publish_all(&missing, &stored, &broken, &mut differing)?;
        }
        self.sign_all(&unsigned, &mut differing, pushed)?;
        self.freshen(&old)?;
        self.depot.sync()?;
        // A collection that began after the last look may have taken what these refer to, or what they are.
        if self.is_collected()? {
            return Ok(false);
        }
        self.note(paths, &differing);
        Ok(true)
    }

    fn note(&self, paths: &[StorePath], except: &HashSet<StorePath>) {
        self.index.note_present(paths.iter().filter(|path| !except.contains(*path)).map(StorePath::hash_part));
    }

    /// Writes narinfos of old roots again, so that a collection takes them for just pushed.
    ///
    /// Else a path that nobody named for long could be collected between this push and the manifest that names it.
    fn freshen(&self, old: &[StorePath]) -> Result<(), CacheError> {
        each(old, limits::CACHE_CHECKS, self.stop, |path, _| {
            let key = NarInfo::key_of(path);
            let Some(object) = self.depot.get(&key)? else { return Ok(()) };
            match self.depot.put(&key, &object.body, Kind::NarInfo, &Condition::Match(object.etag)) {
                Err(error) if !error.is_precondition() && !cache::is_unknown_condition(&error) => Err(error),
                // It was collected, which the next look shows; or the store knows no conditions, and it stays old.
                _ => Ok(()),
            }
        })
        .map(drop)
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

    /// Makes paths known, each after what it refers to. `differing` gets those that others made known with other contents meanwhile.
    fn publish_all(
        &self,
        missing: &[Fact],
        stored: &[(Stored, bool)],
        broken: &HashMap<StorePath, Broken>,
        differing: &mut HashSet<StorePath>,
    ) -> Result<(), CacheError> {
        let by_path: HashMap<&StorePath, (&Fact, &Stored)> =
            missing.iter().zip(stored).map(|(fact, (stored, _))| (&fact.path, (fact, stored))).collect();
        for level in levels(missing.iter().map(|fact| (&fact.path, &fact.references)).collect())? {
            let signed = each(&level, limits::CACHE_TRANSFERS, self.stop, |path, _| {
                let Some((fact, stored)) = by_path.get(path) else { return Ok(true) };
                self.publish(fact, stored, broken.get(*path))
            })?;
            self.note_differing(level.into_iter().zip(signed), differing);
        }
        Ok(())
    }

    /// Makes a path known, in place of a broken narinfo, whose signatures stay if they are of the same contents. One that became known
    /// meanwhile is only signed; `false` when it has other contents.
    fn publish(&self, fact: &Fact, stored: &Stored, broken: Option<&Broken>) -> Result<bool, CacheError> {
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
        let before = broken.and_then(|broken| broken.info.as_ref());
        if let Some(before) = before.filter(|before| is_of(before, fact)) {
            info.signatures.clone_from(&before.signatures);
        }
        info.sign(self.key);
        let condition = broken.map_or(Condition::Absent, |broken| Condition::Match(broken.etag.clone()));
        if cache::put_if(self.depot, &info.key(), info.render().as_bytes(), Kind::NarInfo, &condition)? {
            return Ok(true);
        }
        cache::narinfo_tagged(self.depot, &fact.path)?.map_or(Ok(true), |(info, etag)| self.sign(info, etag, fact))
    }

    /// Adds our signature to narinfos. `differing` gets those that are about other contents than those of the store here.
    fn sign_all(
        &self,
        unsigned: &[(NarInfo, String)],
        differing: &mut HashSet<StorePath>,
        pushed: &mut Pushed,
    ) -> Result<(), CacheError> {
        if unsigned.is_empty() {
            return Ok(());
        }
        let paths: Vec<StorePath> = unsigned.iter().map(|(info, _)| info.path.clone()).collect();
        let facts: HashMap<StorePath, Fact> =
            facts(self.nix, &paths)?.into_iter().map(|fact| (fact.path.clone(), fact)).collect();
        let signed = each(unsigned, limits::CACHE_TRANSFERS, self.stop, |(info, etag), _| {
            facts.get(&info.path).map_or(Ok(false), |fact| self.sign(info.clone(), etag.clone(), fact))
        })?;
        pushed.signed += signed.iter().filter(|signed| **signed).count();
        self.note_differing(paths.iter().zip(signed), differing);
        Ok(())
    }

    /// Adds our signature to a narinfo with that ETag, unless it is about other contents than those of the store here.
    fn sign(&self, mut info: NarInfo, mut etag: String, fact: &Fact) -> Result<bool, CacheError> {
        let key = info.key();
        for _ in 0..cache::TRIES {
            if !is_of(&info, fact) {
                return Ok(false);
            }
            let before = info.clone();
            info.sign(self.key);
            let (text, condition) = (info.render(), Condition::Match(etag));
            if info == before || cache::put_if(self.depot, &key, text.as_bytes(), Kind::NarInfo, &condition)? {
                return Ok(true);
            }
            // Another key signed at the same time; or it was collected, which the next look shows.
            let Some(again) = cache::narinfo_tagged(self.depot, &info.path)? else { return Ok(true) };
            (info, etag) = again;
        }
        Err(CacheError::PreconditionFailed { key, cache: self.depot.url().to_string() })
    }

    fn note_differing<'p>(
        &self,
        signed: impl Iterator<Item = (&'p StorePath, bool)>,
        differing: &mut HashSet<StorePath>,
    ) {
        for (path, _) in signed.filter(|(_, signed)| !signed) {
            (self.listener)(Progress::Differs { path: path.to_string() });
            differing.insert(path.clone());
        }
    }

    fn is_collected(&self) -> Result<bool, CacheError> {
        Ok(!epoch::holds(self.depot, &self.epoch)?)
    }
}

/// Whether a narinfo is about the contents that the store has.
fn is_of(info: &NarInfo, fact: &Fact) -> bool {
    (info.nar_hash, info.nar_size, &info.references) == (fact.nar_hash, fact.nar_size, &fact.references)
}
