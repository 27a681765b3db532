//! The few things that the file backend asks of a disk. A simulator implements the same trait and crashes in between.
//!
//! Names are plain file names within one directory. Nothing is durable before `sync` (contents) or `sync_dir` (names).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err::{File, OpenOptions};
use rustix::fs::FlockOperation;

/// A directory of files.
pub trait Disk: Send + Sync {
    /// Names of all files; empty when the directory does not exist.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A file's contents; `None` when it does not exist.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Length of a file; `None` when it does not exist.
    fn len(&self, name: &str) -> io::Result<Option<u64>>;
    /// Makes a file (and the directory) unless it exists, and adds `bytes` to its end.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes the contents of a file durable.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Makes the names in the directory durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Cuts a file.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file if it exists.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Locks a file for this process; `None` when another has it. Freed when dropped or at death.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// How the file is called in messages.
    fn shown(&self, name: &str) -> String;
}

/// A lock on a file, held until it is dropped.
pub trait DiskLock: Send + Sync {}

/// A directory of the real file system.
pub struct RealDisk {
    dir: PathBuf,
    /// The file that is being appended to, kept open.
    tail: Mutex<Option<(String, File)>>,
}

impl RealDisk {
    /// The directory may not exist yet: it is made by the first write.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), tail: Mutex::new(None) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn with_tail<T>(&self, name: &str, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tail.as_ref().is_none_or(|(open, _)| open != name) {
            fs_err::create_dir_all(&self.dir)?;
            let file = OpenOptions::new().append(true).create(true).open(self.dir.join(name))?;
            *tail = Some((name.to_owned(), file));
        }
        match tail.as_mut() {
            Some((_, file)) => work(file),
            None => Err(io::Error::other("no file is open")),
        }
    }

    fn forget_tail(&self, name: &str) {
        let mut tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tail.as_ref().is_some_and(|(open, _)| open == name) {
            *tail = None;
        }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        optional(fs_err::read(self.dir.join(name)))
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(optional(fs_err::metadata(self.dir.join(name)))?.map(|m| m.len()))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with_tail(name, |file| file.write_all(bytes))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with_tail(name, |file| file.file().sync_data())
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()?;
        // The directory itself may be new.
        match self.dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.dir.join(name))?.set_len(len)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget_tail(from);
        self.forget_tail(to);
        fs_err::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget_tail(name);
        optional(fs_err::remove_file(self.dir.join(name))).map(drop)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(self.dir.join(name));
        // Locked around every write: the directory is made only where there is none.
        let file = match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs_err::create_dir_all(&self.dir)?;
                open()?
            }
            opened => opened?,
        };
        loop {
            match rustix::fs::flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Box::new(FileLock(file)))),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn shown(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// The kernel frees the lock when the descriptor is closed, be it by a kill.
struct FileLock(File);

impl DiskLock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that was forked and has not yet executed its program has the descriptor too.
        // If this fails, closing frees it as soon as that is over.
        let _ = rustix::fs::flock(self.0.file(), FlockOperation::Unlock);
    }
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
