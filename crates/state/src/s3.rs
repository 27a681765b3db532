//! The S3 backend: every group of lines is an object of its own, with a number that can be taken once.
//!
//! ```text
//! PREFIXlog/000000000123.jsonl             a chunk line (number, hash of the chunk before, fencing token), then log lines
//! PREFIXsnapshot/000002-000000000123.json  what was before segment 2, which begins with chunk 123
//! PREFIXlock.json                          last fencing token, holder and lease, last chunk; changed by compare and swap
//! PREFIXaside/…                            what a repair moved aside
//! ```
//!
//! A chunk is put on the condition that there is none of its number (`If-None-Match: *`), so of two writers one is
//! refused. Whoever takes the lock puts an empty chunk first, and with it shuts out a writer that was only paused. A
//! store that ignores the condition is refused, unless there is a single writer by the operator's word: then the hashes
//! show a fork to the next reader.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use freehold_s3::{Client, Condition, Put, S3Error, Settings};
use serde_json::Value as Json;

use crate::backend::{Backend, Cut, Loaded, Piece};
use crate::error::StateError;
use crate::file::STATE_DIRECTORY;
use crate::line::{self, Chunk};
use crate::lock::{LockFile, LockInfo, LockRequest, lease_end};
use crate::replay::sha256;
use crate::seal::new_uuid;

/// Requests that read chunks at once.
const READERS: usize = 8;
/// Chunks after which a snapshot is worth its cost: reading them is a request each.
const SNAPSHOT_CHUNKS: u64 = 64;
/// Parts of one name that repairs may have moved aside.
const ASIDE_NAMES: u32 = 1000;
/// Attempts to change the lock while others change it too.
const LOCK_TRIES: u32 = 5;

/// A log in a bucket.
pub struct S3Backend {
    client: Client,
    prefix: String,
    single_writer: bool,
    inner: Mutex<Inner>,
}

/// Where the log ends, as far as this process knows.
#[derive(Default)]
struct Inner {
    /// Number of the last chunk, and the hash of it.
    chunk: u64,
    hash: String,
    /// First chunk of each segment that was begun here.
    segments: BTreeMap<u64, u64>,
    /// Chunks since the last snapshot.
    unsnapped: u64,
}

impl S3Backend {
    /// A log under `prefix` (`prod/` or empty) in the bucket of `settings`. `single_writer` accepts a store that ignores
    /// conditions.
    ///
    /// # Errors
    /// When the settings or credentials cannot be used. Nothing is requested yet.
    pub fn new(settings: &Settings, prefix: impl Into<String>, single_writer: bool) -> Result<Self, StateError> {
        let client = Client::new(settings).map_err(|e| remote("use", &settings.bucket, &e))?;
        Ok(Self { client, prefix: prefix.into(), single_writer, inner: Mutex::new(Inner::default()) })
    }

    /// As [`Self::new`], from `{ bucket, prefix, endpoint, region, … }`.
    ///
    /// # Errors
    /// As [`Self::new`], and when a setting is of the wrong kind.
    pub fn from_json(settings: &Json, single_writer: bool) -> Result<Self, StateError> {
        let parsed = Settings::from_json(settings).map_err(|e| remote("use", "s3", &e))?;
        let prefix = settings.get("prefix").and_then(Json::as_str).unwrap_or_default();
        Self::new(&parsed, folder(prefix), single_writer)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    fn chunk_key(&self, number: u64) -> String {
        self.key(&format!("log/{number:012}.jsonl"))
    }

    fn failed(&self, step: &'static str, key: &str) -> impl Fn(S3Error) -> StateError {
        let place = self.client.url(key);
        move |e| remote(step, &place, &e)
    }

    /// Whether writes can be conditional; an error when they cannot and must be.
    fn conditional(&self) -> Result<bool, StateError> {
        let prefix = self.key("");
        let honoured = self.client.honours_conditions(&prefix).map_err(self.failed("probe", &prefix))?.all();
        if !honoured && !self.single_writer {
            return Err(StateError::Unconditional { store: format!("`{}`", self.client.endpoint()) });
        }
        Ok(honoured)
    }

    /// Puts the next chunk; refused when another has put one of that number.
    fn put_chunk(&self, fence: u64, lines: &[u8]) -> Result<u64, StateError> {
        let conditional = self.conditional()?;
        let mut inner = self.inner();
        let number = inner.chunk + 1;
        let head = Chunk { chunk: number, prev: inner.hash.clone(), fence, nonce: new_uuid()? };
        let mut body = line::whole(&head);
        body.extend_from_slice(lines);
        let key = self.chunk_key(number);
        let condition = if conditional { Condition::Absent } else { Condition::None };
        if !conditional && self.client.head(&key).map_err(self.failed("look at", &key))?.is_some() {
            return Err(StateError::MovedOn { place: self.place() });
        }
        let content_type = Some("application/x-ndjson".to_owned());
        match self.client.put(&key, &body, &Put { condition, content_type, ..Put::default() }) {
            Ok(_) => {}
            Err(e) if e.is_precondition() => return Err(StateError::MovedOn { place: self.place() }),
            Err(e) => return Err(self.failed("write", &key)(e)),
        }
        inner.chunk = number;
        inner.hash = sha256(&body);
        inner.unsnapped += 1;
        Ok(number)
    }

    /// Numbers of all chunks, in order.
    fn chunks(&self) -> Result<Vec<u64>, StateError> {
        let prefix = self.key("log/");
        let listed = self.client.list_all(&prefix).map_err(self.failed("list", &prefix))?;
        let number = |key: &str| key.strip_prefix(&prefix)?.strip_suffix(".jsonl")?.parse().ok();
        let mut numbers: Vec<u64> = listed.iter().filter_map(|l| number(&l.key)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Segment, first chunk and key of every snapshot, in order.
    fn snapshots(&self) -> Result<Vec<(u64, u64, String)>, StateError> {
        let prefix = self.key("snapshot/");
        let listed = self.client.list_all(&prefix).map_err(self.failed("list", &prefix))?;
        let numbers = |key: String| {
            let (segment, chunk) = key.strip_prefix(&prefix)?.strip_suffix(".json")?.split_once('-')?;
            Some((segment.parse().ok()?, chunk.parse().ok()?, key))
        };
        let mut all: Vec<_> = listed.into_iter().filter_map(|l| numbers(l.key)).collect();
        all.sort_unstable();
        Ok(all)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.client.get(key).map_err(self.failed("read", key))?.map(|object| object.body))
    }

    /// Reads chunks, several at once.
    fn read_chunks(&self, numbers: &[u64]) -> Result<Vec<Piece>, StateError> {
        let read = |number: &u64| -> Result<Option<Piece>, StateError> {
            let key = self.chunk_key(*number);
            Ok(self.get(&key)?.map(|bytes| Piece { name: key, bytes }))
        };
        let share = numbers.len().div_ceil(READERS).max(1);
        let parts: Vec<Result<Vec<_>, StateError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = numbers
                .chunks(share)
                .map(|part| (part, scope.spawn(move || part.iter().map(read).collect())))
                .collect();
            let again = |part: &[u64]| part.iter().map(read).collect();
            threads.into_iter().map(|(part, t)| t.join().unwrap_or_else(|_| again(part))).collect()
        });
        Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().flatten().collect())
    }

    fn read_lock(&self) -> Result<(LockFile, Option<String>), StateError> {
        let key = self.key("lock.json");
        let Some(object) = self.client.get(&key).map_err(self.failed("read", &key))? else {
            return Ok((LockFile::default(), None));
        };
        let lock = serde_json::from_slice(&object.body).map_err(|e| StateError::Corrupt {
            piece: key,
            offset: e.column().saturating_sub(1),
            reason: e.to_string(),
        })?;
        Ok((lock, Some(object.meta.etag)))
    }

    /// Changes the lock by compare and swap. `change` says what it becomes, or why not.
    fn change_lock<T>(&self, change: impl Fn(&LockFile) -> Result<(LockFile, T), StateError>) -> Result<T, StateError> {
        let key = self.key("lock.json");
        let conditional = self.conditional()?;
        let mut tries = LOCK_TRIES;
        loop {
            let (lock, etag) = self.read_lock()?;
            let (new, result) = change(&lock)?;
            let condition = match etag {
                _ if !conditional => Condition::None,
                None => Condition::Absent,
                Some(etag) => Condition::Match(etag),
            };
            let body = serde_json::to_vec(&new).unwrap_or_default();
            match self.client.put(&key, &body, &Put { condition, ..Put::default() }) {
                Ok(_) => return Ok(result),
                Err(e) if e.is_precondition() && tries > 0 => tries -= 1,
                Err(e) => return Err(self.failed("change", &key)(e)),
            }
        }
    }

    /// As [`Self::change_lock`], for the holder with that token.
    fn change_own_lock(&self, fence: u64, change: impl Fn(&LockFile) -> LockFile) -> Result<(), StateError> {
        self.change_lock(|lock| {
            if lock.fence != fence {
                return Err(StateError::Fenced { ours: fence, now: lock.fence });
            }
            Ok((change(lock), ()))
        })
    }

    /// Refuses a writer whose lock is another's by now.
    fn check_fence(&self, fence: u64) -> Result<(), StateError> {
        let now = self.read_lock()?.0.fence;
        if now == fence { Ok(()) } else { Err(StateError::Fenced { ours: fence, now }) }
    }

    fn move_aside(&self, fence: u64, name: &str, offset: usize, why: &str) -> Result<(), StateError> {
        let conditional = self.conditional()?;
        let Some(found) = self.client.get(name).map_err(self.failed("read", name))? else { return Ok(()) };
        let rest = found.body.get(offset..).unwrap_or_default();
        let last = name.rsplit('/').next().unwrap_or(name);
        self.put_aside(&self.key(&format!("aside/{last}.{why}-{offset}")), rest, conditional)?;
        self.check_fence(fence)?;
        if offset == 0 {
            return self.client.delete(name).map_err(self.failed("delete", name));
        }
        let kept = &found.body[..offset.min(found.body.len())];
        let condition = if conditional { Condition::Match(found.meta.etag) } else { Condition::None };
        match self.client.put(name, kept, &Put { condition, ..Put::default() }) {
            Ok(_) => Ok(()),
            Err(e) if e.is_precondition() => Err(StateError::MovedOn { place: self.place() }),
            Err(e) => Err(self.failed("write", name)(e)),
        }
    }

    /// Keeps what is moved aside under a name that nothing has yet: numbers of chunks are used again after a repair.
    fn put_aside(&self, plain: &str, bytes: &[u8], conditional: bool) -> Result<(), StateError> {
        let condition = if conditional { Condition::Absent } else { Condition::None };
        for number in 1..=ASIDE_NAMES {
            let key = if number == 1 { plain.to_owned() } else { format!("{plain}-{number}") };
            if !conditional && self.client.head(&key).map_err(self.failed("look at", &key))?.is_some() {
                continue;
            }
            match self.client.put(&key, bytes, &Put { condition: condition.clone(), ..Put::default() }) {
                Ok(_) => return Ok(()),
                Err(e) if e.is_precondition() => {}
                Err(e) => return Err(self.failed("write", &key)(e)),
            }
        }
        let reason = format!("{ASIDE_NAMES} parts of this name are there already");
        Err(StateError::Remote {
            step: "write",
            place: format!("`{}`", self.client.url(plain)),
            reason,
            kind: freehold_model::ErrorKind::Config,
            hint: Some("move away what earlier repairs have put there".to_owned()),
        })
    }
}

impl Backend for S3Backend {
    fn place(&self) -> String {
        format!("the state at `{}`", self.client.url(&self.prefix))
    }

    fn load(&self, before: Option<u64>) -> Result<Loaded, StateError> {
        // First of all: what is promised now is there from now on.
        let written = self.read_lock().map_or(0, |(lock, _)| lock.written);
        let newest = self.snapshots()?.into_iter().rev().find(|(n, _, _)| before.is_none_or(|before| *n < before));
        let numbers = self.chunks()?;
        let (snapshot, first) = match newest {
            None => (None, 0),
            Some((segment, chunk, key)) => (self.get(&key)?.map(|bytes| (segment, Piece { name: key, bytes })), chunk),
        };
        let wanted: Vec<u64> = numbers.iter().copied().filter(|n| *n >= first).collect();
        let pieces = self.read_chunks(&wanted)?;
        let mut inner = self.inner();
        inner.chunk = numbers.last().copied().unwrap_or(0);
        inner.hash = pieces.last().map_or_else(String::new, |piece| sha256(&piece.bytes));
        inner.unsnapped = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
        if let Some((segment, _)) = &snapshot {
            inner.segments.insert(*segment, first);
        }
        drop(inner);
        let promised = (written > 0 && written >= first).then(|| self.chunk_key(written));
        Ok(Loaded { snapshot, pieces, promised })
    }

    fn version(&self) -> Result<String, StateError> {
        Ok(self.chunks()?.last().copied().unwrap_or(0).to_string())
    }

    fn acquire(&self, request: &LockRequest) -> Result<u64, StateError> {
        self.change_lock(|lock| {
            if let Some(info) = lock.info()
                && !lock.expired(request.now)
                && !is_dead_here(&info, request)
            {
                return Err(StateError::Held { holder: Box::new(info) });
            }
            let fence = lock.fence.max(request.above) + 1;
            let owner = Some(request.owner.clone());
            Ok((LockFile { fence, owner, expires: lease_end(request.now), written: lock.written }, fence))
        })
    }

    fn renew(&self, fence: u64, expires: u64) -> Result<(), StateError> {
        let written = self.inner().chunk;
        self.change_own_lock(fence, |lock| LockFile { expires, written, ..lock.clone() })
    }

    fn release(&self, fence: u64) -> Result<(), StateError> {
        let written = self.inner().chunk;
        match self.change_own_lock(fence, |_| LockFile { fence, owner: None, expires: 0, written }) {
            Err(StateError::Fenced { .. }) => Ok(()),
            other => other,
        }
    }

    fn holder(&self) -> Result<Option<LockInfo>, StateError> {
        Ok(self.read_lock()?.0.info())
    }

    fn break_lock(&self) -> Result<Option<LockInfo>, StateError> {
        self.change_lock(|lock| {
            let written = lock.written;
            Ok((LockFile { fence: lock.fence + 1, owner: None, expires: 0, written }, lock.info()))
        })
    }

    /// Shuts out a writer that lost the lock and does not know it: the number it would take next is taken. Objects are
    /// never torn.
    fn prepare(&self, fence: u64, torn: Option<&Cut>) -> Result<(), StateError> {
        if let Some(cut) = torn {
            return Err(StateError::Corrupt {
                piece: cut.piece.clone(),
                offset: cut.offset,
                reason: "the object is not whole".to_owned(),
            });
        }
        self.put_chunk(fence, b"").map(drop)
    }

    fn cut(&self, fence: u64, cut: &Cut) -> Result<(), StateError> {
        self.check_fence(fence)?;
        for name in cut.later.iter().rev() {
            self.move_aside(fence, name, 0, cut.why)?;
        }
        self.move_aside(fence, &cut.piece, cut.offset, cut.why)?;
        let written = self.chunks()?.last().copied().unwrap_or(0);
        self.inner().chunk = written;
        self.change_own_lock(fence, |lock| LockFile { written, ..lock.clone() })
    }

    fn start_segment(&self, fence: u64, segment: u64, header: &[u8]) -> Result<(), StateError> {
        let chunk = self.put_chunk(fence, header)?;
        self.inner().segments.insert(segment, chunk);
        Ok(())
    }

    fn append(&self, fence: u64, _segment: u64, lines: &[u8]) -> Result<(), StateError> {
        self.put_chunk(fence, lines).map(drop)
    }

    fn wants_snapshot(&self) -> bool {
        self.inner().unsnapped >= SNAPSHOT_CHUNKS
    }

    fn write_snapshot(&self, fence: u64, segment: u64, bytes: &[u8]) -> Result<(), StateError> {
        self.check_fence(fence)?;
        let Some(chunk) = self.inner().segments.get(&segment).copied() else { return Ok(()) };
        let key = self.key(&format!("snapshot/{segment:06}-{chunk:012}.json"));
        let condition = if self.conditional()? { Condition::Absent } else { Condition::None };
        match self.client.put(&key, bytes, &Put { condition, ..Put::default() }) {
            Ok(_) => {}
            // Another has written a snapshot of the same place: it says the same.
            Err(e) if e.is_precondition() => {}
            Err(e) => return Err(self.failed("write", &key)(e)),
        }
        let mut inner = self.inner();
        inner.unsnapped = inner.chunk.saturating_sub(chunk);
        Ok(())
    }
}

/// Whether the holder was a process that would be seen from here, and is no more. The name of the host alone says nothing: containers
/// share one.
fn is_dead_here(info: &LockInfo, request: &LockRequest) -> bool {
    let pid = i32::try_from(info.owner.pid).ok().and_then(rustix::process::Pid::from_raw);
    info.owner.host == request.owner.host
        && !info.owner.machine.is_empty()
        && info.owner.machine == request.owner.machine
        && pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// A prefix is a folder: `team/demo` and `team/demo/` are the same, and none is `freehold.state/`.
fn folder(prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    format!("{}/", if prefix.is_empty() { STATE_DIRECTORY } else { prefix })
}

fn remote(step: &'static str, place: &str, error: &S3Error) -> StateError {
    use std::error::Error as _;
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    StateError::Remote { step, place: format!("`{place}`"), reason, kind: error.kind(), hint: error.hint() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_folder_and_has_a_name() {
        assert_eq!(["team/demo", "team/demo/", "/team/demo/"].map(folder), ["team/demo/"; 3]);
        assert_eq!(["", "/"].map(folder), ["freehold.state/"; 2]);
    }
}
