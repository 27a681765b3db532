//! A depot in a directory. Objects are files that appear by being renamed; conditional writers take turns on a lock file.
//!
//! JSON (manifests) is on the disk when a write is answered. To wait for the disk once per NAR or narinfo would make a push several times
//! slower: whoever writes many says [`Directory::sync`] before what refers to them.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use freehold_model::limits;
use freehold_s3::Condition;
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};

use super::{Fetched, Kind, Listed, Object, check_key};
use crate::error::CacheError;

/// How the names of our own files begin; no key may.
pub(super) const OWN: &str = ".freehold-";
const LOCK: &str = ".freehold-lock";
const DRAFTS: &str = ".freehold-drafts";
/// How often a lock that is taken is tried again.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: PathBuf,
    shown: String,
}

/// A file that is written before it becomes an object. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    file: File,
    /// Where it lies until it is an object; `None` when it has no name.
    name: Option<PathBuf>,
}

impl Directory {
    pub(super) fn new(root: &Path, shown: &str) -> Self {
        Self { root: root.to_owned(), shown: shown.to_owned() }
    }

    pub(super) fn get_if_changed(&self, key: &str, etag: Option<&str>) -> Result<Fetched, CacheError> {
        let Some((file, meta)) = self.open(key)? else { return Ok(Fetched::Gone) };
        let now = etag_of(&meta);
        if etag == Some(now.as_str()) {
            return Ok(Fetched::NotModified);
        }
        let mut body = Vec::new();
        let read = file.take(limits::DEPOT_OBJECT_BYTES + 1).read_to_end(&mut body);
        read.map_err(|source| reading(key, source))?;
        if body.len() as u64 > limits::DEPOT_OBJECT_BYTES {
            return Err(CacheError::TooLarge { key: key.to_owned(), limit: limits::DEPOT_OBJECT_BYTES });
        }
        Ok(Fetched::Object(Object { body, etag: now }))
    }

    pub(super) fn download(&self, key: &str, sink: &mut dyn Write) -> Result<Option<u64>, CacheError> {
        let Some((mut file, _)) = self.open(key)? else { return Ok(None) };
        io::copy(&mut file, sink).map(Some).map_err(|source| reading(key, source))
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<Listed>, CacheError> {
        match fs_err::metadata(self.path(key)?) {
            Ok(meta) if meta.is_file() => Ok(Some(listed(key.to_owned(), &meta))),
            Ok(_) => Ok(None),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(CacheError::Files { what: format!("look at `{key}`"), source }),
        }
    }

    pub(super) fn put(&self, key: &str, body: &[u8], kind: Kind, condition: &Condition) -> Result<String, CacheError> {
        let path = self.path(key)?;
        let writing = |source| CacheError::Files { what: format!("write `{key}`"), source };
        let mut draft = self.draft()?;
        draft.write_all(body).map_err(writing)?;
        let lasting = kind == Kind::Json;
        if lasting {
            draft.file.sync_all().map_err(writing)?;
        }
        let _turn = self.lock()?;
        self.check(key, condition)?;
        draft.become_file(&path).map_err(writing)?;
        if lasting && let Some(parent) = path.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(writing)?;
        }
        Ok(etag_of(&fs_err::metadata(&path).map_err(writing)?))
    }

    pub(super) fn draft(&self) -> Result<Draft, CacheError> {
        Draft::named(&self.root.join(DRAFTS))
    }

    pub(super) fn commit(&self, draft: Draft, key: &str) -> Result<(), CacheError> {
        let path = self.path(key)?;
        draft.hurry();
        draft.become_file(&path).map_err(|source| CacheError::Files { what: format!("write `{key}`"), source })
    }

    /// Waits until the file system has all that was written before.
    pub(super) fn sync(&self) -> Result<(), CacheError> {
        let syncing = |source| CacheError::Files { what: "bring the cache to the disk".to_owned(), source };
        let root = File::open(&self.root).map_err(syncing)?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(root.file()).map_err(|e| syncing(e.into()))?;
        #[cfg(not(target_os = "linux"))]
        {
            drop(root);
            rustix::fs::sync();
        }
        Ok(())
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Listed>, CacheError> {
        let mut found = Vec::new();
        let listing = |source| CacheError::Files { what: "list the cache".to_owned(), source };
        walk(&self.root, "", prefix, &mut found).map_err(listing)?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    pub(super) fn delete(&self, key: &str) -> Result<(), CacheError> {
        match fs_err::remove_file(self.path(key)?) {
            Ok(()) => Ok(()),
            Err(source) if is_absent(&source) => Ok(()),
            Err(source) => Err(CacheError::Files { what: format!("delete `{key}`"), source }),
        }
    }

    /// Removes drafts of processes that were killed long ago.
    pub(super) fn sweep(&self, now: SystemTime) -> Result<(), CacheError> {
        let sweeping = |source| CacheError::Files { what: "remove old drafts".to_owned(), source };
        let entries = match fs_err::read_dir(self.root.join(DRAFTS)) {
            Err(e) if is_absent(&e) => return Ok(()),
            other => other.map_err(sweeping)?,
        };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > limits::DEPOT_DRAFT_AGE) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf, CacheError> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn open(&self, key: &str) -> Result<Option<(File, std::fs::Metadata)>, CacheError> {
        let opened = File::open(self.path(key)?).and_then(|file| file.metadata().map(|meta| (file, meta)));
        match opened {
            Ok((file, meta)) if meta.is_file() => Ok(Some((file, meta))),
            Ok(_) => Ok(None),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(reading(key, source)),
        }
    }

    fn check(&self, key: &str, condition: &Condition) -> Result<(), CacheError> {
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => self.open(key)?.is_none(),
            Condition::Match(etag) => self.open(key)?.is_some_and(|(_, meta)| etag_of(&meta) == *etag),
        };
        if holds {
            return Ok(());
        }
        Err(CacheError::PreconditionFailed { key: key.to_owned(), cache: self.shown.clone() })
    }

    /// Held until the file is closed.
    fn lock(&self) -> Result<File, CacheError> {
        let path = self.root.join(LOCK);
        let locking = |source| CacheError::Files { what: "lock the cache".to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path).map_err(locking)?;
        let until = Instant::now() + limits::DEPOT_LOCK;
        loop {
            match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(TICK),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(CacheError::Busy { lock: path, seconds: limits::DEPOT_LOCK.as_secs() });
                }
                Err(source) => return Err(locking(source.into())),
            }
        }
    }
}

impl Draft {
    /// A file without a name, among the temporary ones.
    pub(crate) fn unnamed() -> Result<Self, CacheError> {
        let dir = std::env::temp_dir();
        let file = tempfile::tempfile_in(&dir).map_err(making)?;
        Ok(Self { file: File::from_parts(file, dir.join("(unnamed)")), name: None })
    }

    /// A file in `dir`, which is made when it is not there.
    fn named(dir: &Path) -> Result<Self, CacheError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Other machines may write to the same directory, with the same process ids.
        let nonce = RandomState::new().build_hasher().finish();
        let name = format!("{}-{}-{nonce:016x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(name);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        let file = match options.open(&path) {
            Err(e) if is_absent(&e) => {
                fs_err::create_dir_all(dir).map_err(making)?;
                options.open(&path)
            }
            other => other,
        };
        Ok(Self { file: file.map_err(making)?, name: Some(path) })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file itself, to read and write.
    pub(crate) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Lets the system begin to write it to the disk now, while others are still made: whoever waits for all of them later waits less.
    fn hurry(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(self.file.file(), 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Moves it to its place; directories on the way are made.
    fn become_file(mut self, path: &Path) -> io::Result<()> {
        let Some(name) = &self.name else { return Err(io::Error::other("the draft has no name")) };
        match fs_err::rename(name, path) {
            Err(e) if is_absent(&e) => {
                if let Some(parent) = path.parent() {
                    fs_err::create_dir_all(parent)?;
                }
                fs_err::rename(name, path)?;
            }
            other => other?,
        }
        self.name = None;
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What is left is litter that the next collection removes.
            let _ = fs_err::remove_file(name);
        }
    }
}

/// Changes whenever a file is replaced or written to: no clock of ours can set the time of change.
fn etag_of(meta: &std::fs::Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}-{:x}\"", meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.size())
}

fn listed(key: String, meta: &std::fs::Metadata) -> Listed {
    Listed { key, size: meta.len(), modified: meta.modified().ok() }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn reading(key: &str, source: io::Error) -> CacheError {
    CacheError::Files { what: format!("read `{key}`"), source }
}

fn making(source: io::Error) -> CacheError {
    CacheError::Files { what: "make a temporary file".to_owned(), source }
}

/// Files below `dir`, whose key is `at`; directories that cannot hold a key of that prefix are left out.
fn walk(dir: &Path, at: &str, prefix: &str, found: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs_err::read_dir(dir) {
        Err(e) if is_absent(&e) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(OWN) {
            continue;
        }
        let key = format!("{at}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let below = format!("{key}/");
            if below.starts_with(prefix) || prefix.starts_with(&below) {
                walk(&entry.path(), &below, prefix, found)?;
            }
        } else if key.starts_with(prefix) {
            match fs_err::metadata(entry.path()) {
                Ok(meta) => found.push(listed(key, &meta)),
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}
