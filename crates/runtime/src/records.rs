//! What is remembered of workloads: one record file each, replaced atomically, with a lock that only one rollout at a time has;
//! and the alerts that stand.

use std::fs::TryLockError;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::{Alert, Record};

use crate::{Fingerprint, RuntimeError};

/// The directory of the records.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

/// The record of one workload, locked for as long as this lives.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    workload: String,
    _lock: fs_err::File,
}

impl Records {
    /// The records in this directory, which is made when it is first needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The workloads of which there is a record, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        names(&self.dir)
    }

    /// What is remembered of a workload, without locking it.
    ///
    /// # Errors
    /// The file cannot be read, or is no record.
    pub fn read(&self, workload: &str) -> Result<Record, RuntimeError> {
        read(&self.path(workload), workload)
    }

    /// Which bytes its record is made of; `None` when there is none.
    pub fn fingerprint(&self, workload: &str) -> Option<Fingerprint> {
        Fingerprint::of(&self.path(workload))
    }

    /// Locks a workload, so that nobody else rolls it out meanwhile.
    ///
    /// # Errors
    /// [`RuntimeError::Busy`] when somebody else does.
    pub fn lock(&self, workload: &str) -> Result<RecordFile, RuntimeError> {
        fs_err::create_dir_all(&self.dir).map_err(RuntimeError::file("make", &self.dir))?;
        let path = self.dir.join(format!("{workload}.lock"));
        let lock = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(RuntimeError::file("open", &path))?;
        match lock_soon(&lock) {
            Ok(()) => Ok(RecordFile { path: self.path(workload), workload: workload.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RuntimeError::Busy { workload: workload.to_owned() }),
            Err(TryLockError::Error(source)) => Err(RuntimeError::file("lock", path)(source)),
        }
    }

    fn path(&self, workload: &str) -> PathBuf {
        self.dir.join(format!("{workload}.json"))
    }
}

impl RecordFile {
    /// What is remembered; a new record when there is nothing.
    ///
    /// # Errors
    /// The file cannot be read, or is no record.
    pub fn read(&self) -> Result<Record, RuntimeError> {
        read(&self.path, &self.workload)
    }

    /// Puts a record in the place of the one before it, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, record: &Record) -> Result<(), RuntimeError> {
        write_durably(&self.path, &record.to_bytes())
    }

    /// Forgets a workload that is gone.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(self) -> Result<(), RuntimeError> {
        remove(&self.path)
    }
}

/// The alerts that stand: one file per workload.
#[derive(Debug, Clone)]
pub struct Alerts {
    dir: PathBuf,
}

impl Alerts {
    /// The alerts in this directory, which is made when it is first needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Lets an alert stand.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn raise(&self, alert: &Alert) -> Result<(), RuntimeError> {
        let path = self.path(&alert.workload);
        let mut bytes = serde_json::to_vec_pretty(alert).unwrap_or_default();
        bytes.push(b'\n');
        write_durably(&path, &bytes)
    }

    /// Lets no alert of this workload stand.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear(&self, workload: &str) -> Result<(), RuntimeError> {
        remove(&self.path(workload))
    }

    /// The alert of this workload, if one stands. One that cannot be read counts as none: it is written anew.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, workload: &str) -> Result<Option<Alert>, RuntimeError> {
        let path = self.path(workload);
        match fs_err::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RuntimeError::file("read", path)(error)),
        }
    }

    /// The workloads for which an alert stands, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        names(&self.dir)
    }

    fn path(&self, workload: &str) -> PathBuf {
        self.dir.join(format!("{workload}.json"))
    }
}

fn names(dir: &Path) -> Result<Vec<String>, RuntimeError> {
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RuntimeError::file("read", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RuntimeError::file("read", dir))?;
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".json")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path, workload: &str) -> Result<Record, RuntimeError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::new(workload)),
        Err(error) => return Err(RuntimeError::file("read", path)(error)),
    };
    Record::parse(&bytes).map_err(|source| RuntimeError::Record {
        workload: workload.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// Removes a file so that it is gone after a crash, too; one that is not there is as good.
///
/// # Errors
/// It cannot be removed.
pub fn remove_durably(path: &Path) -> Result<(), RuntimeError> {
    remove(path)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    match fs_err::File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RuntimeError::file("write", dir)(error)),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), RuntimeError> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RuntimeError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Locks a file for this process alone. A lock that was just given back may be held for a moment more, by a child that is being started
/// and has not become another program yet, or by somebody who looks whether it is held: so long it is waited for.
///
/// # Errors
/// Somebody else has it, or it cannot be locked.
pub fn lock_soon(file: &fs_err::File) -> Result<(), TryLockError> {
    let end = Instant::now() + limits::LOCK_PATIENCE;
    loop {
        match file.file().try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

/// Writes a file so that after a crash there is the old one or the new one, whole. Missing directories are made.
///
/// # Errors
/// It cannot be written.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), RuntimeError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(dir).map_err(RuntimeError::file("make", dir))?;
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs_err::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs_err::rename(&new, path)?;
        fs_err::File::open(dir)?.sync_all()
    };
    write().map_err(RuntimeError::file("write", path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use freehold_testkit::Scratch;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_one_has_it() {
        let scratch = Scratch::new();
        let records = Records::new(scratch.join("records"));
        assert_eq!(records.workloads().unwrap(), Vec::<String>::new());
        let file = records.lock("web").unwrap();
        assert!(file.read().unwrap().is_new());
        let error = records.lock("web").unwrap_err();
        assert_eq!(error.to_string(), "somebody else works on `web`");
        records.lock("other").unwrap();
        let mut record = Record::new("web");
        record.revision = 3;
        file.write(&record).unwrap();
        assert_eq!(records.read("web").unwrap(), record);
        assert_eq!(records.workloads().unwrap(), ["web"]);
        drop(file);
        records.lock("web").unwrap().forget().unwrap();
        assert!(records.read("web").unwrap().is_new());
    }

    #[test]
    fn a_damaged_record_is_refused_with_its_file() {
        let scratch = Scratch::new();
        scratch.write("records/web.json", "{");
        let error = Records::new(scratch.join("records")).read("web").unwrap_err();
        assert!(error.to_string().starts_with("the record of `web` in `/"), "{error}");
        assert!(error.hint().unwrap().contains("put back a copy"), "{error}");
    }
}
