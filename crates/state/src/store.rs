//! The store: a log that is open. Reading needs nothing; writing needs the lock.
//!
//! The view is ahead of the disk by what is being committed; whoever must not go on before something is durable waits
//! for its callback. Commands on the state (`list`, `mv`, `repair`, …) are in [`crate::commands`].

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use freehold_model::limits;

use crate::backend::Backend;
use crate::clock::{Clock, rfc3339};
use crate::commit::{Committer, Done, Job, Writer};
use crate::error::StateError;
use crate::event::{Event, NewEvent, Seq};
use crate::keys::Keys;
use crate::line::{self, Header, LOG_FORMAT};
use crate::lock::{Held, LockGuard, LockInfo, LockRequest, Owner};
use crate::replay::{self, Replayed};
use crate::seal::{Seal, new_uuid};
use crate::snapshot;
use crate::state::{Stamp, State};

/// An open log.
pub struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) keys: Keys,
    pub(crate) clock: Arc<dyn Clock>,
    threads: bool,
    line_limit: usize,
    pub(crate) log: Replayed,
    version: String,
    writing: Option<Writing>,
}

/// What there is while the lock is held.
struct Writing {
    held: Arc<Held>,
    who: String,
    seal: Option<Seal>,
    commit: Commit,
    failed: Option<Arc<StateError>>,
}

enum Commit {
    Thread(Writer),
    Inline(Box<Committer>),
}

impl Commit {
    fn send(&mut self, job: Job) {
        match self {
            Self::Thread(writer) => writer.send(job),
            Self::Inline(committer) => {
                committer.commit(vec![job]);
                committer.write_snapshots();
            }
        }
    }
}

impl Store {
    /// Reads the log. Nothing is made or changed: a log that does not exist is empty.
    ///
    /// # Errors
    /// When the log cannot be read, is damaged, or a later version wrote it.
    pub fn open(backend: Arc<dyn Backend>, keys: Keys, clock: Arc<dyn Clock>) -> Result<Self, StateError> {
        Self::open_with(backend, keys, clock, true)
    }

    /// As [`Self::open`], but everything happens in the caller's thread: an append is durable, or has failed, when it
    /// returns, and the lease is renewed by the caller. For simulation.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_inline(backend: Arc<dyn Backend>, keys: Keys, clock: Arc<dyn Clock>) -> Result<Self, StateError> {
        Self::open_with(backend, keys, clock, false)
    }

    fn open_with(
        backend: Arc<dyn Backend>,
        keys: Keys,
        clock: Arc<dyn Clock>,
        threads: bool,
    ) -> Result<Self, StateError> {
        let version = backend.version()?;
        let log = replay::replay(backend.as_ref(), &keys)?.intact()?;
        let line_limit = limits::STATE_LINE_BYTES;
        Ok(Self { backend, keys, clock, threads, line_limit, log, version, writing: None })
    }

    /// What is recorded, including what is being committed.
    pub fn view(&self) -> &State {
        &self.log.state
    }

    /// Where the log is kept.
    pub fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// What opens and seals secrets here.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Uses other keys from the next lock on: those that were just made, for a log without secrets so far.
    pub fn use_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// A copy of the view; cheap, because records are shared.
    pub fn snapshot_view(&self) -> State {
        self.log.state.clone()
    }

    /// Where the log is.
    pub fn place(&self) -> String {
        self.backend.place()
    }

    /// What was noticed while reading and did no harm: snapshots that were skipped, as text.
    pub fn warnings(&self) -> Vec<String> {
        let skipped = self.log.warnings.iter().map(|e| format!("a snapshot was skipped: {e}"));
        // Half a line may be one that is being written now: whoever only reads takes no lock.
        let is_written = matches!(self.backend.holder(), Ok(Some(_)));
        let torn =
            self.log.torn.iter().filter(|_| !is_written).map(|cut| {
                format!("a crash left {} torn at byte {}; what was durable is intact", cut.piece, cut.offset)
            });
        skipped.chain(torn).collect()
    }

    /// Who holds the lock.
    ///
    /// # Errors
    /// When the backend cannot be read.
    pub fn holder(&self) -> Result<Option<LockInfo>, StateError> {
        self.backend.holder()
    }

    /// Takes the lock, reads what was written in the meantime, and moves a torn tail aside.
    ///
    /// # Errors
    /// [`StateError::Held`] when another has it; or what reading and writing may fail with.
    pub fn lock(&mut self, owner: &Owner) -> Result<LockGuard, StateError> {
        let request = LockRequest { owner: owner.clone(), now: self.clock.unix_millis(), above: self.log.state.fence };
        let fence = self.backend.acquire(&request)?;
        let guard = LockGuard::new(self.backend.clone(), self.clock.clone(), fence, self.threads)?;
        self.catch_up(fence)?;
        let committer = Committer::new(self.backend.clone(), fence, self.log.segment, self.log.state.seq);
        let commit =
            if self.threads { Commit::Thread(Writer::start(committer)?) } else { Commit::Inline(Box::new(committer)) };
        let seal = self.continued_seal();
        self.writing = Some(Writing { held: guard.held.clone(), who: owner.who(), seal, commit, failed: None });
        Ok(guard)
    }

    /// Reads what others have written and makes the log ready to be gone on with. A writer that lost its lock may still
    /// get a last word in between; then it is read again.
    fn catch_up(&mut self, fence: u64) -> Result<(), StateError> {
        let mut tries = 3;
        loop {
            let version = self.backend.version()?;
            if version != self.version {
                self.log = replay::replay(self.backend.as_ref(), &self.keys)?.intact()?;
                self.version = version;
            }
            match self.backend.prepare(fence, self.log.torn.as_ref()) {
                Err(StateError::MovedOn { .. }) if tries > 0 => tries -= 1,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.log.torn = None;
        Ok(())
    }

    /// Appends events, all or none, and calls `done` when they are durable (from another thread) or refused.
    /// The view has them at once. After a failure nothing more is accepted.
    pub fn append(&mut self, events: Vec<NewEvent>, done: Done) {
        match self.prepare(events) {
            Err(error) => done(Err(error)),
            Ok((begun, last)) => {
                if let Some(writing) = &mut self.writing {
                    writing.commit.send(Job::Lines { begun, last, done });
                }
            }
        }
    }

    /// Appends events and waits until they are durable; returns the sequence number of the last.
    ///
    /// # Errors
    /// When the lock is not held or was lost, a secret cannot be encrypted, or writing fails.
    pub fn append_wait(&mut self, events: Vec<NewEvent>) -> Result<Seq, StateError> {
        let (begun, last) = self.prepare(events)?;
        let (tell, told) = sync_channel(1);
        // The receiver waits below: it cannot be gone.
        let done: Done = Box::new(move |result| drop(tell.send(result)));
        if let Some(writing) = &mut self.writing {
            writing.commit.send(Job::Lines { begun, last, done });
        }
        let result = told.recv().unwrap_or(Err(StateError::NotLocked));
        self.note_failure(&result);
        result
    }

    /// Waits until everything appended is durable, writes snapshots that are due, and stops writing.
    pub fn close_writer(&mut self) {
        let due = self.backend.wants_snapshot() && self.log.state.locked.is_empty() && self.check_writable().is_ok();
        if due {
            // It only saves time later; the log has everything.
            let _ = self.write_snapshot();
        }
        self.writing = None;
    }

    /// Goes over to a new segment; a snapshot of what is before it is written when there is time.
    ///
    /// # Errors
    /// When the lock is not held.
    pub fn start_segment(&mut self) -> Result<(), StateError> {
        let state = self.log.state.clone();
        let (number, created) = self.begin_segment()?;
        if state.seq > 0 && state.locked.is_empty() {
            let keys = self.keys.clone();
            let make = Box::new(move || snapshot::write(&state, number, created, &keys));
            if let Some(writing) = &mut self.writing {
                writing.commit.send(Job::Snapshot { number, make });
            }
        }
        Ok(())
    }

    /// Goes over to a new segment and writes a snapshot of what is before it now; returns its number.
    ///
    /// # Errors
    /// When the lock is not held, a record has secrets that cannot be read, or writing fails.
    pub fn write_snapshot(&mut self) -> Result<u64, StateError> {
        if let Some(member) = self.log.state.locked.first() {
            return Err(StateError::Locked { member: member.to_string() });
        }
        let state = self.log.state.clone();
        let (number, created) = self.begin_segment()?;
        self.flush()?;
        let bytes = snapshot::write(&state, number, created, &self.keys)?;
        let fence = self.writing.as_ref().map_or(0, |w| w.held.fence);
        self.backend.write_snapshot(fence, number, &bytes)?;
        Ok(number)
    }

    /// Waits until everything appended is durable.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub fn flush(&mut self) -> Result<Seq, StateError> {
        self.check_writable()?;
        let (tell, told) = sync_channel(1);
        let done: Done = Box::new(move |result| drop(tell.send(result)));
        let last = self.log.state.seq;
        if let Some(writing) = &mut self.writing {
            writing.commit.send(Job::Lines { begun: Vec::new(), last, done });
        }
        let result = told.recv().unwrap_or(Err(StateError::NotLocked));
        self.note_failure(&result);
        result
    }

    fn begin_segment(&mut self) -> Result<(u64, String), StateError> {
        self.check_writable()?;
        let (header, seal) = self.new_header()?;
        let (number, created) = (header.segment, header.created.clone());
        let Some(writing) = &mut self.writing else { return Err(StateError::NotLocked) };
        writing.commit.send(Job::Segment { number, header: line::whole(&header) });
        writing.seal = Some(seal);
        self.log.state.lineage.clone_from(&header.lineage);
        self.log.segment = number;
        self.log.header = Some(header);
        self.log.events_in_segment = 0;
        Ok((number, created))
    }

    fn note_failure(&mut self, result: &Result<Seq, StateError>) {
        if let (Err(error), Some(writing)) = (result, &mut self.writing) {
            writing.failed.get_or_insert_with(|| Arc::new(error.clone()));
        }
    }

    /// Encodes events and takes them into the view.
    fn prepare(&mut self, events: Vec<NewEvent>) -> Result<(Vec<Vec<u8>>, Seq), StateError> {
        self.check_writable()?;
        self.refuse_taken_ops(&events)?;
        if self.segment_is_over() {
            self.start_segment()?;
        }
        let Some(writing) = &self.writing else { return Err(StateError::NotLocked) };
        let Some(seal) = &writing.seal else { return Err(StateError::NotLocked) };
        let (time, fence) = (rfc3339(self.clock.unix_millis()), writing.held.fence);
        let mut begun = Vec::with_capacity(events.len());
        let mut seq = self.log.state.seq;
        for NewEvent { op, event } in &events {
            seq += 1;
            let line = line::begin_event(seq, &time, &writing.who, op, fence, &event.encode(seal)?);
            if let Some(bytes) = line::excess(&line, self.line_limit) {
                let what = event
                    .member()
                    .map_or("an event".to_owned(), |member| format!("what is to be recorded of `{member}`"));
                return Err(StateError::LineTooLong { what, bytes, limit: self.line_limit });
            }
            begun.push(line);
        }
        let mut stamp = Stamp { seq: self.log.state.seq, time, who: writing.who.clone(), op: String::new(), fence };
        for NewEvent { op, event } in events {
            stamp.seq += 1;
            stamp.op = op;
            self.log.state.apply_event(&stamp, &event);
        }
        self.log.events_in_segment += u64::try_from(begun.len()).unwrap_or(u64::MAX);
        Ok((begun, seq))
    }

    /// What is open on a member is known by its id alone: another's must not come in its place.
    fn refuse_taken_ops(&self, events: &[NewEvent]) -> Result<(), StateError> {
        let mut ended: Vec<&str> = Vec::new();
        for NewEvent { op, event } in events {
            match event {
                Event::End { .. } => ended.push(op),
                Event::Begin(begin) if !ended.contains(&op.as_str()) => match self.log.state.intent(op) {
                    Some(open) if open.member != begin.member => {
                        let (member, open) = (begin.member.clone(), open.member.clone());
                        return Err(StateError::OpTaken { op: op.clone(), member, open });
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), StateError> {
        let writing = self.writing.as_ref().filter(|w| w.held.is_usable()).ok_or(StateError::NotLocked)?;
        match &writing.failed {
            Some(source) => Err(StateError::Stopped { source: source.clone() }),
            None => Ok(()),
        }
    }

    /// A segment is over when there is none, or when it has so many events that a snapshot is worth its cost: at
    /// least [`limits::SNAPSHOT_EVENTS`], and as many as there are records, so that the cost per event stays the same.
    /// (With two a log that only grows would get no second snapshot: a new record takes two events.)
    fn segment_is_over(&self) -> bool {
        let records = u64::try_from(self.log.state.records.len()).unwrap_or(u64::MAX);
        self.writing.as_ref().is_some_and(|w| w.seal.is_none())
            || self.log.events_in_segment >= limits::SNAPSHOT_EVENTS.max(records)
    }

    /// The seal of the last segment, if it can be gone on with: its key opens, for the recipients of today.
    fn continued_seal(&self) -> Option<Seal> {
        let header = self.log.header.as_ref()?;
        if header.keys.recipients != self.keys.recipients() {
            return None;
        }
        let seal = replay::open_seal(header, &self.keys);
        (seal.is_open() || header.keys.recipients.is_empty()).then_some(seal)
    }

    fn new_header(&self) -> Result<(Header, Seal), StateError> {
        let Some(writing) = &self.writing else { return Err(StateError::NotLocked) };
        let lineage = match self.log.state.lineage.as_str() {
            "" => new_uuid()?,
            known => known.to_owned(),
        };
        let (key, keys) = self.keys.new_data_key()?;
        let header = Header {
            format: LOG_FORMAT.to_owned(),
            lineage,
            segment: self.log.segment + 1,
            seq: self.log.state.seq,
            created: rfc3339(self.clock.unix_millis()),
            fence: writing.held.fence,
            keys,
            voids: None,
        };
        let seal = Seal::new(key.as_ref(), header.seal_context());
        Ok((header, seal))
    }
}

#[cfg(test)]
mod tests {
    use freehold_model::MemberPath;

    use super::*;
    use crate::event::Event;
    use crate::simulate::SimDisk;
    use crate::{FileBackend, SystemClock};

    #[test]
    fn an_event_that_is_too_long_is_refused_before_anything_of_its_group_is_written() {
        let disk = SimDisk::new(1);
        let backend = Arc::new(FileBackend::on(disk.clone()));
        let mut store = Store::open_inline(backend, Keys::none(), Arc::new(SystemClock)).unwrap();
        let _guard = store.lock(&Owner::current("test", &SystemClock)).unwrap();
        store.append_wait(vec![Event::ApplyStarted { command: "a".into() }.into()]).unwrap();
        let (before, used) = (store.snapshot_view(), disk.used());
        store.line_limit = 1000;
        let member: MemberPath = "x".repeat(1000).parse().unwrap();
        let group = vec![Event::ApplyStarted { command: "b".into() }.into(), Event::Forgotten { member }.into()];
        let error = store.append_wait(group).unwrap_err();
        assert!(matches!(error, StateError::LineTooLong { bytes: 1001..2000, limit: 1000, .. }), "{error}");
        assert_eq!((store.view(), disk.used()), (&before, used));
        // What is shorter goes on.
        store.append_wait(vec![Event::ApplyStarted { command: "c".into() }.into()]).unwrap();
    }
}
