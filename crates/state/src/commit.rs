//! Group commit: what waits is written together and synced once.
//!
//! The [`Committer`] does the work; the [`Writer`] is the thread that runs it. Without the thread (simulation) the store
//! runs it in the caller's.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::backend::Backend;
use crate::error::StateError;
use crate::event::Seq;
use crate::line;

/// Jobs that may wait before an append does.
const QUEUE: usize = 1024;
/// Bytes that are written in one go, unless a single append has more.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Told when events are durable, with the sequence number of the last one.
pub type Done = Box<dyn FnOnce(Result<Seq, StateError>) + Send>;

pub(crate) enum Job {
    /// Lines to be made durable; begun, see [`line::begin_event`].
    Lines { begun: Vec<Vec<u8>>, last: Seq, done: Done },
    /// A new segment begins here.
    Segment { number: u64, header: Vec<u8> },
    /// To be kept when there is time: makes the bytes of a snapshot.
    Snapshot { number: u64, make: MakeSnapshot },
}

/// Makes the bytes of a snapshot when there is time for it.
pub(crate) type MakeSnapshot = Box<dyn FnOnce() -> Result<Vec<u8>, StateError> + Send>;

/// Writes jobs to a backend.
pub(crate) struct Committer {
    backend: Arc<dyn Backend>,
    fence: u64,
    segment: u64,
    synced: Seq,
    failed: Option<Arc<StateError>>,
    snapshots: Vec<(u64, MakeSnapshot)>,
}

impl Committer {
    pub(crate) fn new(backend: Arc<dyn Backend>, fence: u64, segment: u64, synced: Seq) -> Self {
        Self { backend, fence, segment, synced, failed: None, snapshots: Vec::new() }
    }

    /// Writes a group of jobs and tells those who wait.
    pub(crate) fn commit(&mut self, jobs: Vec<Job>) {
        let mut group = Group::default();
        for job in jobs {
            match job {
                Job::Lines { begun, last, done } => {
                    for line in begun {
                        line::finish_event(&line, self.synced, &mut group.bytes);
                    }
                    group.last = last;
                    group.waiting.push((last, done));
                }
                Job::Segment { number, header } => {
                    self.write(std::mem::take(&mut group));
                    if self.failed.is_none() {
                        let started = self.backend.start_segment(self.fence, number, &header);
                        self.failed = started.err().map(Arc::new);
                        self.segment = number;
                    }
                }
                Job::Snapshot { number, make } => self.snapshots.push((number, make)),
            }
        }
        self.write(group);
    }

    fn write(&mut self, group: Group) {
        if group.waiting.is_empty() {
            return;
        }
        if self.failed.is_none() && !group.bytes.is_empty() {
            match self.backend.append(self.fence, self.segment, &group.bytes) {
                Ok(()) => self.synced = group.last,
                Err(error) => {
                    let error = Arc::new(error);
                    self.failed = Some(error.clone());
                    for (_, done) in group.waiting {
                        done(Err(StateError::clone(&error)));
                    }
                    return;
                }
            }
        }
        for (last, done) in group.waiting {
            done(match &self.failed {
                None => Ok(last),
                Some(source) => Err(StateError::Stopped { source: source.clone() }),
            });
        }
    }

    /// Writes the snapshots that were put off. One that fails is no loss: the log has everything.
    pub(crate) fn write_snapshots(&mut self) {
        for (number, make) in std::mem::take(&mut self.snapshots) {
            if self.failed.is_none() {
                let _ = make().and_then(|bytes| self.backend.write_snapshot(self.fence, number, &bytes));
            }
        }
    }
}

#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    last: Seq,
    waiting: Vec<(Seq, Done)>,
}

/// The thread that commits.
pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(committer: Committer) -> Result<Self, StateError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || run(committer, &queue))
            .map_err(|e| StateError::io("start the thread that writes", "the state log", e))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job; waits while the queue is full.
    pub(crate) fn send(&self, job: Job) {
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        if let Some(Job::Lines { done, .. }) = refused {
            done(Err(StateError::NotLocked));
        }
    }
}

impl Drop for Writer {
    /// Waits until everything queued is durable and snapshots are written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, those who waited have seen their callbacks dropped.
            let _ = thread.join();
        }
    }
}

fn run(mut committer: Committer, queue: &Receiver<Job>) {
    loop {
        let first = match queue.try_recv() {
            Ok(job) => job,
            Err(std::sync::mpsc::TryRecvError::Empty) => {
                committer.write_snapshots();
                let Ok(job) = queue.recv() else { break };
                job
            }
            Err(std::sync::mpsc::TryRecvError::Disconnected) => break,
        };
        let mut bytes = size(&first);
        let mut jobs = vec![first];
        while bytes < GROUP_BYTES
            && let Ok(job) = queue.try_recv()
        {
            bytes += size(&job);
            jobs.push(job);
        }
        committer.commit(jobs);
    }
    committer.write_snapshots();
}

fn size(job: &Job) -> usize {
    match job {
        Job::Lines { begun, .. } => begun.iter().map(Vec::len).sum(),
        Job::Segment { header, .. } => header.len(),
        Job::Snapshot { .. } => 0,
    }
}
