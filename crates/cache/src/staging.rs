//! The directory in which a pull stages paths: a binary cache from which Nix takes them, for one pull at a time.
//!
//! It is known by a mark, whose lock a pull holds: another pull of the same paths waits for its turn and finds the work done. What
//! a pull that failed has left is used by the next one, and removed when nobody comes for long.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use freehold_model::limits;
use freehold_nar::{CacheInfo, NarInfo};
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};

use crate::error::CacheError;
use crate::pool::pause;

/// By this file a staging directory is known.
const MARK: &str = ".freehold-staging";
/// How often a lock that is taken is tried again.
const TICK: Duration = Duration::from_millis(50);

/// A directory that is a binary cache for the time of a pull, and ours.
pub(crate) struct Staging {
    dir: PathBuf,
    /// Its lock is given back when this is closed.
    _mark: File,
}

impl Staging {
    /// One that is new, empty, or left behind by a pull; says whether another pull was waited for, after it told
    /// `waiting` so.
    pub(crate) fn open(dir: &Path, waiting: &dyn Fn(), stop: &AtomicBool) -> Result<(Self, bool), CacheError> {
        let dir =
            std::path::absolute(dir).map_err(|source| CacheError::Files { what: "stage paths".to_owned(), source })?;
        let until = Instant::now() + limits::CACHE_STAGING_WAIT;
        let mut waited = false;
        loop {
            let Some(mark) = mark(&dir)? else { continue };
            while !try_lock(&mark).map_err(|e| failed(&dir, e))? {
                if !waited {
                    waiting();
                    waited = true;
                }
                if Instant::now() > until {
                    return Err(CacheError::Busy {
                        lock: dir.join(MARK),
                        seconds: limits::CACHE_STAGING_WAIT.as_secs(),
                    });
                }
                pause(TICK, stop)?;
            }
            // Whoever had the lock before may have removed the directory.
            if !is_at(&mark, &dir.join(MARK)) {
                continue;
            }
            mark.set_modified(SystemTime::now()).map_err(|e| failed(&dir, e))?;
            fs_err::create_dir_all(dir.join("nar")).map_err(|e| failed(&dir, e))?;
            return Ok((Self { dir, _mark: mark }, waited));
        }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the NAR of a path lies: by the path, so that nothing that a cache says becomes the name of a file here.
    pub(crate) fn nar(&self, info: &NarInfo) -> PathBuf {
        self.dir.join(url_of(info))
    }

    /// Makes it a binary cache, when all NARs are there.
    pub(crate) fn write_head<'a>(
        &self,
        store_dir: &str,
        infos: impl Iterator<Item = &'a NarInfo>,
    ) -> Result<(), CacheError> {
        let head = CacheInfo { store_dir: store_dir.to_owned(), want_mass_query: false, priority: None };
        fs_err::write(self.dir.join(CacheInfo::KEY), head.render()).map_err(|e| self.failed(e))?;
        for info in infos {
            // Where a NAR lies is not signed.
            let staged = NarInfo { url: url_of(info), ..info.clone() };
            fs_err::write(self.dir.join(info.key()), staged.render()).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    /// Removes it, the mark at last.
    pub(crate) fn remove(self) -> Result<(), CacheError> {
        for entry in fs_err::read_dir(&self.dir).map_err(|e| self.failed(e))? {
            let entry = entry.map_err(|e| self.failed(e))?;
            let is_dir = entry.file_type().map_err(|e| self.failed(e))?.is_dir();
            let removed = match is_dir {
                true => fs_err::remove_dir_all(entry.path()),
                false if entry.file_name() == MARK => Ok(()),
                false => fs_err::remove_file(entry.path()),
            };
            removed.map_err(|e| self.failed(e))?;
        }
        fs_err::remove_file(self.dir.join(MARK)).map_err(|e| self.failed(e))?;
        // Another pull may have taken it by now.
        let _ = fs_err::remove_dir(&self.dir);
        Ok(())
    }

    /// What it means that it cannot be used.
    pub(crate) fn failed(&self, source: io::Error) -> CacheError {
        failed(&self.dir, source)
    }
}

/// Removes the staging directories beside `dir` for which nobody has come for long. What cannot be removed is left.
pub(crate) fn sweep(dir: &Path) {
    let Ok(dir) = std::path::absolute(dir) else { return };
    if let Some(above) = dir.parent() {
        sweep_all(above, limits::CACHE_STAGING_AGE, Some(&dir));
    }
}

/// Removes the staging directories in `dir` that pulls have left behind and for which nobody has come for `age`. One in which a pull is
/// at work stays, and so does everything that is no staging directory, or cannot be removed.
pub fn sweep_staging(dir: &Path, age: Duration) {
    sweep_all(dir, age, None);
}

fn sweep_all(above: &Path, age: Duration, except: Option<&Path>) {
    for entry in fs_err::read_dir(above).into_iter().flatten().flatten() {
        if Some(entry.path().as_path()) != except {
            let _ = sweep_one(entry.path(), age);
        }
    }
}

fn sweep_one(dir: PathBuf, most: Duration) -> Result<(), CacheError> {
    let path = dir.join(MARK);
    let old = |meta: std::fs::Metadata| {
        let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age >= most)
    };
    if !fs_err::metadata(&path).is_ok_and(old) {
        return Ok(());
    }
    let mark = OpenOptions::new().write(true).open(&path).map_err(|e| failed(&dir, e))?;
    // Whoever holds the lock is at work there, or had it since we looked.
    if try_lock(&mark).map_err(|e| failed(&dir, e))? && is_at(&mark, &path) && mark.metadata().is_ok_and(old) {
        return Staging { dir, _mark: mark }.remove();
    }
    Ok(())
}

/// The mark of a staging directory, made when there is none; `None` when it was removed meanwhile.
fn mark(dir: &Path) -> Result<Option<File>, CacheError> {
    fs_err::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let path = dir.join(MARK);
    if !path.exists() {
        let others = fs_err::read_dir(dir)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name() != MARK)).collect::<io::Result<Vec<bool>>>());
        match others {
            // Another pull has begun here meanwhile.
            Ok(others) if others.contains(&true) && path.exists() => {}
            Ok(others) if others.contains(&true) => return Err(CacheError::StagingTaken { dir: dir.to_owned() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(dir, error)),
        }
    }
    let mut options = OpenOptions::new();
    match options.create(true).truncate(false).write(true).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(dir, error)),
    }
}

fn try_lock(mark: &File) -> io::Result<bool> {
    match flock(mark.file(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether an open file is the one that lies at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs_err::metadata(path)), (Ok(open), Ok(there)) if same(&open, &there))
}

fn failed(dir: &Path, source: io::Error) -> CacheError {
    CacheError::Files { what: format!("stage paths in `{}`", dir.display()), source }
}

fn url_of(info: &NarInfo) -> String {
    format!("nar/{}.nar{}", info.path.hash_part(), info.compression.suffix())
}
