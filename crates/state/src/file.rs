//! The file backend: a directory `freehold.state/` beside the deployment.
//!
//! ```text
//! log-000001.jsonl       segments, appended to and synced; never rewritten
//! snapshot-000002.json   what was before segment 2; replaced atomically
//! lock                   last fencing token, holder and lease, last segment; replaced atomically
//! lock.held              locked by the kernel for as long as the holder lives: a kill frees it at once
//! lock.mutex             locked while `lock` is read and acted upon
//! *.torn-N, *.damaged-N  what a crash or a repair left over from byte N on; the second of a name ends with `-2`
//! ```
//!
//! All of it goes through [`Disk`], so that the simulator's crashes drive this very code.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, Cut, Loaded, Piece};
use crate::disk::{Disk, DiskLock, RealDisk};
use crate::error::StateError;
use crate::lock::{LockFile, LockInfo, LockRequest, Owner, lease_end};

/// Name of the directory, beside the deployment.
pub const STATE_DIRECTORY: &str = "freehold.state";

const LOCK: &str = "lock";
const HELD: &str = "lock.held";
const MUTEX: &str = "lock.mutex";

/// How long another's write may take before it counts as stuck.
const MUTEX_WAIT: Duration = Duration::from_secs(15);
const MUTEX_PAUSE: Duration = Duration::from_millis(2);

/// A log in a directory.
pub struct FileBackend<D = RealDisk> {
    disk: D,
    /// The kernel's lock, with the token it belongs to.
    held: Mutex<Option<(u64, Box<dyn DiskLock>)>>,
}

impl FileBackend<RealDisk> {
    /// The directory is made by the first write.
    pub fn new(dir: impl Into<std::path::PathBuf>) -> Self {
        Self::on(RealDisk::new(dir))
    }
}

impl<D: Disk> FileBackend<D> {
    /// On another kind of disk.
    pub fn on(disk: D) -> Self {
        Self { disk, held: Mutex::new(None) }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn failed(&self, step: &'static str, name: &str) -> impl FnOnce(io::Error) -> StateError {
        let path = self.disk.shown(name);
        move |e| StateError::io(step, path, e)
    }

    /// Keeps others from taking, breaking and writing under the lock. They hold it for one write and sync each, so one
    /// that does not get free is a writer that was stopped in the middle.
    fn mutex(&self) -> Result<Box<dyn DiskLock>, StateError> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lock) = self.disk.lock(MUTEX).map_err(self.failed("lock", MUTEX))? {
                return Ok(lock);
            }
            if waited >= MUTEX_WAIT {
                return Err(self.failed("lock", MUTEX)(io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(MUTEX_PAUSE);
            waited += MUTEX_PAUSE;
        }
    }

    fn read_lock(&self) -> Result<LockFile, StateError> {
        let bytes = self.disk.read(LOCK).map_err(self.failed("read", LOCK))?;
        match bytes {
            None => Ok(LockFile::default()),
            // Somebody may hold it: it is for the operator to say that nobody does, with `state unlock`.
            Some(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| LockFile {
                fence: 0,
                owner: Some(Owner {
                    user: "?".to_owned(),
                    host: "?".to_owned(),
                    pid: 0,
                    machine: String::new(),
                    command: format!("nobody knows who: `{}` cannot be read", self.disk.shown(LOCK)),
                    started: "?".to_owned(),
                }),
                expires: u64::MAX,
                written: 0,
            })),
        }
    }

    fn write_lock(&self, lock: &LockFile) -> Result<(), StateError> {
        let json = serde_json::to_vec(lock).unwrap_or_default();
        self.replace(LOCK, &json)
    }

    /// Writes a file whole: before it has its name, it is durable.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let temporary = format!("{name}.tmp");
        let write = || {
            self.disk.remove(&temporary)?;
            self.disk.append(&temporary, bytes)?;
            self.disk.sync(&temporary)?;
            self.disk.rename(&temporary, name)?;
            self.disk.sync_dir()
        };
        write().map_err(|e| {
            // Leave no half file behind on a full disk; the error that matters is the first.
            let _ = self.disk.remove(&temporary);
            self.failed("write", name)(e)
        })
    }

    /// Notes in the lock file which segment is the last that has anything in it: all of it is durable. Nobody else writes now.
    fn note_last(&self) -> Result<(), StateError> {
        let mut last = 0;
        for number in self.numbers("log-", ".jsonl")?.into_iter().rev() {
            let name = segment_name(number);
            if self.disk.len(&name).map_err(self.failed("look at", &name))?.unwrap_or(0) > 0 {
                last = number;
                break;
            }
        }
        let lock = self.read_lock()?;
        if lock.written == last { Ok(()) } else { self.write_lock(&LockFile { written: last, ..lock }) }
    }

    /// Runs `work` while no other can take or break the lock, if `fence` is still in force.
    fn fenced<T>(&self, fence: u64, work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
        let _mutex = self.mutex()?;
        let now = self.read_lock()?.fence;
        if now != fence {
            return Err(StateError::Fenced { ours: fence, now });
        }
        work()
    }

    /// The kernel's lock on `lock.held`, if it can be had. The mutex is held.
    fn lock_held(&self, owned: bool) -> Result<Option<Box<dyn DiskLock>>, StateError> {
        let take = || self.disk.lock(HELD).map_err(self.failed("lock", HELD));
        if let Some(lock) = take()? {
            return Ok(Some(lock));
        }
        if owned {
            return Ok(None);
        }
        // Nobody owns the state, so whoever has this file was dispossessed and is only late to notice. A lock without the
        // kernel's would seem to be that of a dead process: the next holder gets a new file.
        self.disk.remove(HELD).map_err(self.failed("remove", HELD))?;
        match take()? {
            Some(lock) => Ok(Some(lock)),
            None => Err(self.failed("lock", HELD)(io::ErrorKind::WouldBlock.into())),
        }
    }

    /// Gives up the kernel's lock, if it is the one of that token.
    fn drop_held(&self, fence: u64) {
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(held, _)| *held == fence));
    }

    /// A name for what is moved aside that nothing has yet.
    fn aside(&self, name: &str, why: &str, offset: usize) -> Result<String, StateError> {
        let names = self.disk.list().map_err(self.failed("list", ""))?;
        let plain = format!("{name}.{why}-{offset}");
        let numbered = (2..).map(|n: u64| format!("{plain}-{n}"));
        Ok(std::iter::once(plain.clone()).chain(numbered).find(|free| !names.contains(free)).unwrap_or(plain))
    }

    /// Numbers of the files called `prefix-NNNNNN.suffix`, in order.
    fn numbers(&self, prefix: &str, suffix: &str) -> Result<Vec<u64>, StateError> {
        let names = self.disk.list().map_err(self.failed("list", ""))?;
        let number = |name: &String| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Moves a piece aside from some place on; one that is gone already has nothing to move.
    fn cut_piece(&self, cut: &Cut) -> Result<(), StateError> {
        let Some(piece) = self.read_piece(&cut.piece)? else { return Ok(()) };
        if cut.offset == 0 {
            let aside = self.aside(&cut.piece, cut.why, 0)?;
            return self.disk.rename(&cut.piece, &aside).map_err(self.failed("move aside", &cut.piece));
        }
        let rest = piece.bytes.get(cut.offset..).unwrap_or_default();
        self.replace(&self.aside(&cut.piece, cut.why, cut.offset)?, rest)?;
        let length = u64::try_from(cut.offset).unwrap_or(u64::MAX);
        let truncated = self.disk.truncate(&cut.piece, length).and_then(|()| self.disk.sync(&cut.piece));
        truncated.map_err(self.failed("cut", &cut.piece))
    }

    fn read_piece(&self, name: &str) -> Result<Option<Piece>, StateError> {
        let bytes = self.disk.read(name).map_err(self.failed("read", name))?;
        Ok(bytes.map(|bytes| Piece { name: name.to_owned(), bytes }))
    }

    /// Adds to a file and makes it durable; puts it back to its length when that does not work.
    fn append_durably(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let before = self.disk.len(name).map_err(self.failed("look at", name))?.unwrap_or(0);
        let written = self.disk.append(name, bytes).and_then(|()| self.disk.sync(name));
        written.map_err(|e| {
            // If even this fails, the next reader finds a torn tail and cuts it.
            let _ = self.disk.truncate(name, before).and_then(|()| self.disk.sync(name));
            self.failed("append to", name)(e)
        })
    }
}

fn segment_name(number: u64) -> String {
    format!("log-{number:06}.jsonl")
}

fn snapshot_name(number: u64) -> String {
    format!("snapshot-{number:06}.json")
}

impl<D: Disk> Backend for FileBackend<D> {
    fn place(&self) -> String {
        self.disk.shown("")
    }

    fn load(&self, before: Option<u64>) -> Result<Loaded, StateError> {
        // First of all: what is promised now is there from now on.
        let written = self.read_lock()?.written;
        let snapshots = self.numbers("snapshot-", ".json")?;
        let newest = snapshots.into_iter().rev().find(|n| before.is_none_or(|before| *n < before));
        let snapshot = match newest {
            Some(number) => self.read_piece(&snapshot_name(number))?.map(|piece| (number, piece)),
            None => None,
        };
        let first = snapshot.as_ref().map_or(0, |(number, _)| *number);
        let mut pieces = Vec::new();
        for number in self.numbers("log-", ".jsonl")?.into_iter().filter(|n| *n >= first) {
            pieces.extend(self.read_piece(&segment_name(number))?);
        }
        let promised = (written > 0 && written >= first).then(|| segment_name(written));
        Ok(Loaded { snapshot, pieces, promised })
    }

    fn version(&self) -> Result<String, StateError> {
        let Some(last) = self.numbers("log-", ".jsonl")?.pop() else { return Ok(String::new()) };
        let name = segment_name(last);
        let len = self.disk.len(&name).map_err(self.failed("look at", &name))?.unwrap_or(0);
        Ok(format!("{last}:{len}"))
    }

    fn acquire(&self, request: &LockRequest) -> Result<u64, StateError> {
        let _mutex = self.mutex()?;
        let lock = self.read_lock()?;
        let alive = self.lock_held(lock.owner.is_some())?;
        // The kernel's lock tells at once that a holder on this host is dead. On a shared file system it may not reach
        // across hosts, so the holder of another host keeps it until its lease has run out.
        let busy = match (&alive, &lock.owner) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(_), Some(owner)) => owner.host != request.owner.host && !lock.expired(request.now),
        };
        if let (true, Some(holder)) = (busy, lock.info()) {
            return Err(StateError::Held { holder: Box::new(holder) });
        }
        let fence = lock.fence.max(request.above) + 1;
        let owner = Some(request.owner.clone());
        self.write_lock(&LockFile { fence, owner, expires: lease_end(request.now), written: lock.written })?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = alive.map(|lock| (fence, lock));
        Ok(fence)
    }

    fn renew(&self, fence: u64, expires: u64) -> Result<(), StateError> {
        self.fenced(fence, || {
            let lock = self.read_lock()?;
            self.write_lock(&LockFile { expires, ..lock })
        })
    }

    fn release(&self, fence: u64) -> Result<(), StateError> {
        let released = self.fenced(fence, || {
            let lock = self.read_lock();
            let written = lock.and_then(|lock| self.write_lock(&LockFile { fence, owner: None, expires: 0, ..lock }));
            // Before the mutex is: the next to take the lock finds both free, or neither.
            self.drop_held(fence);
            written
        });
        // What was lost to another, or could not be looked at, is not ours to keep either.
        self.drop_held(fence);
        match released {
            Err(StateError::Fenced { .. }) => Ok(()),
            other => other,
        }
    }

    fn holder(&self) -> Result<Option<LockInfo>, StateError> {
        let Some(info) = self.read_lock()?.info() else { return Ok(None) };
        let _mutex = self.mutex()?;
        // A holder that the kernel has freed is gone, whatever the file says.
        let gone = self.disk.lock(HELD).map_err(self.failed("lock", HELD))?.is_some();
        Ok((!gone || !is_this_host(&info)).then_some(info))
    }

    fn break_lock(&self) -> Result<Option<LockInfo>, StateError> {
        let _mutex = self.mutex()?;
        let lock = self.read_lock()?;
        let info = lock.info();
        self.write_lock(&LockFile { fence: lock.fence + 1, owner: None, expires: 0, written: lock.written })?;
        // The old holder still has the kernel's lock on the old file, if it lives; the next one gets a new file.
        self.disk.remove(HELD).map_err(self.failed("remove", HELD))?;
        Ok(info)
    }

    fn prepare(&self, fence: u64, torn: Option<&Cut>) -> Result<(), StateError> {
        if let Some(torn) = torn {
            self.cut(fence, torn)?;
        }
        // A writer that was killed between writing and syncing has left lines that are readable and not yet durable.
        self.fenced(fence, || {
            if let Some(last) = self.numbers("log-", ".jsonl")?.pop() {
                let name = segment_name(last);
                let synced = self.disk.sync(&name).and_then(|()| self.disk.sync_dir());
                synced.map_err(self.failed("sync", &name))?;
            }
            self.note_last()
        })
    }

    fn cut(&self, fence: u64, cut: &Cut) -> Result<(), StateError> {
        self.fenced(fence, || {
            for name in &cut.later {
                let aside = self.aside(name, cut.why, 0)?;
                self.disk.rename(name, &aside).map_err(self.failed("move aside", name))?;
            }
            self.cut_piece(cut)?;
            self.disk.sync_dir().map_err(self.failed("sync", ""))?;
            self.note_last()
        })
    }

    fn start_segment(&self, fence: u64, segment: u64, header: &[u8]) -> Result<(), StateError> {
        self.fenced(fence, || {
            let name = segment_name(segment);
            self.append_durably(&name, header)?;
            self.disk.sync_dir().map_err(self.failed("sync", ""))?;
            self.note_last()
        })
    }

    fn append(&self, fence: u64, segment: u64, lines: &[u8]) -> Result<(), StateError> {
        self.fenced(fence, || self.append_durably(&segment_name(segment), lines))
    }

    fn write_snapshot(&self, fence: u64, segment: u64, bytes: &[u8]) -> Result<(), StateError> {
        self.fenced(fence, || self.replace(&snapshot_name(segment), bytes))
    }
}

fn is_this_host(info: &LockInfo) -> bool {
    rustix::system::uname().nodename().to_string_lossy() == info.owner.host
}
