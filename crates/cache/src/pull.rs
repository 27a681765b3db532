//! Pulling: paths come from a cache into a staging directory that is a binary cache itself, and Nix takes them from there.
//!
//! Signatures, file hashes and NAR hashes are checked here, so that an error names the path; Nix then checks again for itself.
//! What was staged before a pull was killed is checked and used by the next one. What the store has already is not asked for.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{CacheInfo, NarInfo, Sha256, StorePath, TrustedKeys};
use freehold_store::Nix;
use fs_err::{File, OpenOptions};

use crate::cache;
use crate::closure::levels;
use crate::depot::Depot;
use crate::error::CacheError;
use crate::pack::{self, Counted};
use crate::pool::{Halt, Permits, cores, each};
use crate::progress::{Listener, Progress};

/// By this file a staging directory is known.
const MARK: &str = ".freehold-staging";

/// What a pull did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pulled {
    /// Paths that the store did not have.
    pub new: usize,
    /// Size of their NARs in bytes.
    pub nar_bytes: u64,
    /// Size of their compressed files in bytes.
    pub file_bytes: u64,
    /// Bytes of compressed files that travelled now: the others had been staged before.
    pub travelled_bytes: u64,
}

/// Makes sure that `roots` and all that they refer to are in the store. Paths that are not there must be signed by a trusted key.
///
/// `staging` is a directory for this pull alone, on a disk with room for the compressed files; it is removed afterwards, and kept
/// for the next attempt when the pull fails.
///
/// # Errors
/// A path that is not in the cache, not signed, or not what its narinfo says, by its name; Nix's own words when it refuses.
pub fn pull(
    nix: &Nix,
    depot: &Depot,
    roots: &[StorePath],
    trusted: &TrustedKeys,
    staging: &Path,
    listener: Listener<'_>,
    stop: &AtomicBool,
) -> Result<Pulled, CacheError> {
    let pull = Pull { nix, depot, trusted, listener, stop };
    let infos = pull.find(roots)?;
    let nar_bytes = infos.values().map(|info| info.nar_size).sum();
    listener(Progress::Planned { paths: infos.len(), missing: infos.len(), nar_bytes });
    let Some(first) = roots.first().filter(|_| !infos.is_empty()) else { return Ok(Pulled::default()) };
    let staging = Staging::open(staging)?;
    let moved = pull.nars(&infos, &staging)?;
    staging.write_head(first.dir(), infos.values())?;
    listener(Progress::Publishing);
    let order = levels(infos.values().map(|info| (&info.path, &info.references)).collect())?;
    let order: Vec<String> = order.concat().iter().map(ToString::to_string).collect();
    nix.copy_from_directory(&staging.dir, &order, &trusted.to_string(), stop, &mut |_| {})?;
    if let Some(path) = nix.missing(&order)?.into_iter().next() {
        return Err(CacheError::NotTaken { path });
    }
    staging.remove()?;
    Ok(Pulled {
        new: infos.len(),
        nar_bytes,
        file_bytes: moved.iter().map(|(bytes, _)| bytes).sum(),
        travelled_bytes: moved.iter().filter(|(_, travelled)| *travelled).map(|(bytes, _)| bytes).sum(),
    })
}

struct Pull<'a> {
    nix: &'a Nix,
    depot: &'a Depot,
    trusted: &'a TrustedKeys,
    listener: Listener<'a>,
    stop: &'a AtomicBool,
}

impl Pull<'_> {
    /// Narinfos of all paths that are needed and not in the store, each of them trusted. Goes from references to references.
    fn find(&self, roots: &[StorePath]) -> Result<BTreeMap<StorePath, NarInfo>, CacheError> {
        let mut infos = BTreeMap::new();
        let mut seen: HashSet<StorePath> = roots.iter().cloned().collect();
        let mut wave: Vec<(StorePath, Option<StorePath>)> = roots.iter().map(|path| (path.clone(), None)).collect();
        wave.sort();
        wave.dedup();
        let mut is_first = true;
        while !wave.is_empty() {
            let texts: Vec<String> = wave.iter().map(|(path, _)| path.to_string()).collect();
            let missing: HashSet<String> = self.nix.missing(&texts)?.into_iter().collect();
            wave.retain(|(path, _)| missing.contains(path.as_str()));
            if let (true, Some((path, _))) = (std::mem::take(&mut is_first), wave.first()) {
                cache::check(self.depot, path.dir())?;
            }
            let found = each(&wave, limits::CACHE_CHECKS, self.stop, |(path, referrer), _| {
                self.narinfo(path, referrer.as_ref())
            })?;
            wave.clear();
            for info in found {
                for reference in &info.references {
                    if seen.insert(reference.clone()) {
                        wave.push((reference.clone(), Some(info.path.clone())));
                    }
                }
                infos.insert(info.path.clone(), info);
            }
            if seen.len() > limits::CACHE_PATHS {
                return Err(CacheError::TooMany { limit: limits::CACHE_PATHS });
            }
        }
        Ok(infos)
    }

    fn narinfo(&self, path: &StorePath, referrer: Option<&StorePath>) -> Result<NarInfo, CacheError> {
        let cache = || self.depot.url().to_string();
        let info = cache::narinfo(self.depot, path)?.ok_or_else(|| CacheError::NotThere {
            path: path.to_string(),
            cache: cache(),
            referrer: referrer.map(ToString::to_string),
        })?;
        if info.signer(self.trusted).is_none() {
            return Err(CacheError::Untrusted { path: path.to_string(), cache: cache(), signers: signers(&info) });
        }
        Ok(info)
    }

    /// Stages NARs, the largest first; gives the size of each file and whether it travelled.
    fn nars(&self, infos: &BTreeMap<StorePath, NarInfo>, staging: &Staging) -> Result<Vec<(u64, bool)>, CacheError> {
        let mut order: Vec<&NarInfo> = infos.values().collect();
        order.sort_by_key(|info| std::cmp::Reverse(info.nar_size));
        let permits = Permits::new(cores());
        each(&order, limits::CACHE_TRANSFERS, self.stop, |info, halt| {
            let (file_bytes, travelled) = self.nar(info, staging, &permits, halt)?;
            (self.listener)(Progress::Moved {
                path: info.path.to_string(),
                nar_bytes: info.nar_size,
                file_bytes,
                travelled,
            });
            Ok((file_bytes, travelled))
        })
    }

    fn nar(
        &self,
        info: &NarInfo,
        staging: &Staging,
        permits: &Permits,
        halt: &Halt<'_>,
    ) -> Result<(u64, bool), CacheError> {
        let place = staging.nar(info);
        if let Ok(mut file) = File::open(&place) {
            let _permit = permits.take(1);
            if let Ok(size) = check_nar(&mut file, info, None, halt) {
                return Ok((size, false));
            }
        }
        let part = place.with_extension("part");
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(true).read(true).write(true).open(&part);
        let mut file = opened.map_err(|e| staging.failed(e))?;
        let (file_hash, size) = fetch_nar(self.depot, info, &mut file, halt)?;
        let _permit = permits.take(1);
        check_nar(&mut file, info, Some((file_hash, size)), halt).map_err(|error| {
            // What was downloaded is of no use to anybody.
            let _ = fs_err::remove_file(&part);
            bad_nar(self.depot, info, &error, halt)
        })?;
        fs_err::rename(&part, &place).map_err(|e| staging.failed(e))?;
        Ok((size, true))
    }
}

/// Writes the compressed NAR of a path into `file`; gives its hash and size.
pub(crate) fn fetch_nar(
    depot: &Depot,
    info: &NarInfo,
    file: &mut File,
    halt: &Halt<'_>,
) -> Result<(Sha256, u64), CacheError> {
    let mut sink = Counted::new(file, Some(halt));
    let found = depot
        .download(&info.url, &mut sink)
        .map_err(|error| if halt.is_set() { CacheError::Stopped } else { error })?;
    found.map(|_| sink.end()).ok_or_else(|| CacheError::NoNar {
        path: info.path.to_string(),
        key: info.url.clone(),
        cache: depot.url().to_string(),
    })
}

/// What a failed check is to whoever asked for the path.
pub(crate) fn bad_nar(depot: &Depot, info: &NarInfo, error: &io::Error, halt: &Halt<'_>) -> CacheError {
    if halt.is_set() {
        return CacheError::Stopped;
    }
    CacheError::BadNar { path: info.path.to_string(), cache: depot.url().to_string(), reason: error.to_string() }
}

/// Whether a compressed NAR is the one of the narinfo; gives its size. `known` saves reading the file for its hash.
pub(crate) fn check_nar(
    file: &mut File,
    info: &NarInfo,
    known: Option<(Sha256, u64)>,
    halt: &Halt<'_>,
) -> io::Result<u64> {
    let odd = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let (hash, size) = match known {
        Some(known) => known,
        None => pack::hash(&mut *file, u64::MAX, halt)?,
    };
    if let Some(expected) = info.file_size.filter(|expected| *expected != size) {
        return Err(odd(format!("its file has {size} bytes instead of {expected}")));
    }
    if let Some(expected) = info.file_hash.filter(|expected| *expected != hash) {
        return Err(odd(format!("its file hashes to {hash} instead of {expected}")));
    }
    file.rewind()?;
    let (nar_hash, nar_size) = pack::unpack(file, &info.compression, info.nar_size, halt)?;
    if nar_size != info.nar_size {
        return Err(odd(format!("it has {nar_size} bytes instead of {}", info.nar_size)));
    }
    if nar_hash != info.nar_hash {
        return Err(odd(format!("it hashes to {nar_hash} instead of {}", info.nar_hash)));
    }
    Ok(size)
}

/// By whom a path is said to be signed, for a message.
pub(crate) fn signers(info: &NarInfo) -> String {
    let names: Vec<String> =
        info.signatures.iter().filter_map(|s| Some(format!("`{}`", s.split_once(':')?.0))).collect();
    if names.is_empty() { "it has no signature".to_owned() } else { format!("it names {}", names.join(", ")) }
}

/// A directory that is a binary cache for the time of a pull.
struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// One that is new, empty, or left behind by a pull.
    fn open(dir: &Path) -> Result<Self, CacheError> {
        let staging = Self {
            dir: std::path::absolute(dir)
                .map_err(|source| CacheError::Files { what: "stage paths".to_owned(), source })?,
        };
        let mark = staging.dir.join(MARK);
        if !mark.exists() {
            fs_err::create_dir_all(&staging.dir).map_err(|e| staging.failed(e))?;
            if fs_err::read_dir(&staging.dir).map_err(|e| staging.failed(e))?.next().is_some() {
                return Err(CacheError::StagingTaken { dir: staging.dir });
            }
            fs_err::write(&mark, "").map_err(|e| staging.failed(e))?;
        }
        fs_err::create_dir_all(staging.dir.join("nar")).map_err(|e| staging.failed(e))?;
        Ok(staging)
    }

    /// Where the NAR of a path lies: by the path, so that nothing that a cache says becomes the name of a file here.
    fn nar(&self, info: &NarInfo) -> PathBuf {
        self.dir.join(url_of(info))
    }

    /// Makes it a binary cache, when all NARs are there.
    fn write_head<'a>(&self, store_dir: &str, infos: impl Iterator<Item = &'a NarInfo>) -> Result<(), CacheError> {
        let head = CacheInfo { store_dir: store_dir.to_owned(), want_mass_query: false, priority: None };
        fs_err::write(self.dir.join(CacheInfo::KEY), head.render()).map_err(|e| self.failed(e))?;
        for info in infos {
            // Where a NAR lies is not signed.
            let staged = NarInfo { url: url_of(info), ..info.clone() };
            fs_err::write(self.dir.join(info.key()), staged.render()).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    fn remove(&self) -> Result<(), CacheError> {
        fs_err::remove_dir_all(&self.dir).map_err(|e| self.failed(e))
    }

    fn failed(&self, source: io::Error) -> CacheError {
        CacheError::Files { what: format!("stage paths in `{}`", self.dir.display()), source }
    }
}

fn url_of(info: &NarInfo) -> String {
    format!("nar/{}.nar{}", info.path.hash_part(), info.compression.suffix())
}
