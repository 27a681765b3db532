//! Pulling: paths come from a cache into a staging directory that is a binary cache itself, and Nix takes them from there.
//!
//! Signatures, file hashes and NAR hashes are checked here, so that an error names the path; Nix then checks again for itself.
//! What was staged before a pull was killed is checked and used by the next one. What the store has already is not asked for.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Seek as _, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use freehold_model::limits;
use freehold_nar::{NarInfo, Sha256, StorePath, TrustedKeys};
use freehold_store::Nix;
use fs_err::{File, OpenOptions};

use crate::cache;
use crate::closure::levels;
use crate::depot::Depot;
use crate::error::CacheError;
use crate::pack::{self, Counted};
use crate::pool::{Halt, Permits, cores, each};
use crate::progress::{Listener, Progress};
use crate::staging::{self, Staging};

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
/// `staging` is a directory for pulls of these paths alone, on a disk with room for the compressed files; it is removed afterwards,
/// and kept for the next attempt when the pull fails. Of several pulls with the same directory one does the work and the others wait.
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
    let mut infos = pull.planned(roots)?;
    let Some(first) = roots.first().filter(|_| !infos.is_empty()) else { return Ok(Pulled::default()) };
    staging::sweep(staging);
    let (staging, waited) = Staging::open(staging, &|| listener(Progress::Behind), stop)?;
    // Another pull may have brought some of it meanwhile: one that was waited for, or one that had ended before it was met.
    let paths: Vec<String> = infos.keys().map(ToString::to_string).collect();
    if waited || nix.missing(&paths)?.len() < paths.len() {
        infos = pull.planned(roots)?;
    }
    if infos.is_empty() {
        staging.remove()?;
        return Ok(Pulled::default());
    }
    let moved = pull.nars(&infos, &staging)?;
    staging.write_head(first.dir(), infos.values())?;
    listener(Progress::Publishing);
    let order = levels(infos.values().map(|info| (&info.path, &info.references)).collect())?;
    let order: Vec<String> = order.concat().iter().map(ToString::to_string).collect();
    nix.copy_from_directory(staging.dir(), &order, &trusted.to_string(), stop, &mut |_| {})?;
    if let Some(path) = nix.missing(&order)?.into_iter().next() {
        return Err(CacheError::NotTaken { path });
    }
    staging.remove()?;
    Ok(Pulled {
        new: infos.len(),
        nar_bytes: infos.values().map(|info| info.nar_size).sum(),
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
    /// What is to be done, told to the listener.
    fn planned(&self, roots: &[StorePath]) -> Result<BTreeMap<StorePath, NarInfo>, CacheError> {
        let infos = self.find(roots)?;
        let nar_bytes = infos.values().map(|info| info.nar_size).sum();
        (self.listener)(Progress::Planned { paths: infos.len(), missing: infos.len(), nar_bytes });
        Ok(infos)
    }

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
        if !pack::can_unpack(&info.compression) {
            let compression = info.compression.as_str().to_owned();
            return Err(CacheError::Compressed { path: path.to_string(), cache: cache(), compression });
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
        let moved = self.fetch(info, &part, staging, permits, halt).and_then(|size| {
            fs_err::rename(&part, &place).map_err(|e| staging.failed(e))?;
            Ok((size, true))
        });
        if moved.is_err() {
            // It is begun anew in any case, and may be of no use to anybody.
            let _ = fs_err::remove_file(&part);
        }
        moved
    }

    /// Downloads a NAR into the file `part`, and checks it; gives its size.
    fn fetch(
        &self,
        info: &NarInfo,
        part: &Path,
        staging: &Staging,
        permits: &Permits,
        halt: &Halt<'_>,
    ) -> Result<u64, CacheError> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(true).read(true).write(true).open(part);
        let mut file = opened.map_err(|e| staging.failed(e))?;
        let known = fetch_nar(self.depot, info, &mut file, halt)?;
        let _permit = permits.take(1);
        check_nar(&mut file, info, Some(known), halt).map_err(|error| bad_nar(self.depot, info, &error, halt))
    }
}

/// Writes the compressed NAR of a path into `file`; gives its hash and size. Ends as soon as it is too large to be the one.
pub(crate) fn fetch_nar(
    depot: &Depot,
    info: &NarInfo,
    file: &mut File,
    halt: &Halt<'_>,
) -> Result<(Sha256, u64), CacheError> {
    let limit = most_file_bytes(info);
    let mut capped = Capped { inner: file, left: limit, is_over: false };
    let mut sink = Counted::new(&mut capped, Some(halt));
    let found = depot.download(&info.url, &mut sink);
    let known = sink.end();
    if halt.is_set() {
        return Err(CacheError::Stopped);
    }
    if capped.is_over {
        let reason = format!("its file has more than {limit} bytes");
        return Err(CacheError::BadNar { path: info.path.to_string(), cache: depot.url().to_string(), reason });
    }
    found?.map(|_| known).ok_or_else(|| CacheError::NoNar {
        path: info.path.to_string(),
        key: info.url.clone(),
        cache: depot.url().to_string(),
    })
}

/// What the file of a NAR may have at most. What a narinfo says of the file is not signed, the size of the NAR is; no compression
/// makes anything much larger.
fn most_file_bytes(info: &NarInfo) -> u64 {
    let most = info.nar_size.saturating_add(info.nar_size / 16).saturating_add(limits::CACHE_FILE_SLACK);
    info.file_size.map_or(most, |size| size.min(most))
}

/// Passes bytes on until there are too many.
struct Capped<'a> {
    inner: &'a mut File,
    left: u64,
    is_over: bool,
}

impl Write for Capped<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.len() as u64 > self.left {
            self.is_over = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
        }
        let written = self.inner.write(buffer)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
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
