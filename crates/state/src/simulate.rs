//! A disk in memory that crashes when told: after a number of operations, with writes torn, reordered and lost.
//!
//! It drives the same code as the real disk. What was synced survives; of the rest, a seed decides. Changes of names
//! survive in order (as in a journal), and only up to some point, unless the directory was synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskLock};

/// Bytes that a device writes whole or not at all.
const SECTOR: usize = 512;

/// A simulated disk; clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the directory was synced.
    journal: Vec<NameChange>,
    /// Who has the lock on a file.
    locks: BTreeMap<String, u64>,
    last_lock: u64,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    capacity: Option<usize>,
    random: u64,
}

#[derive(Default, Clone)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

impl SimDisk {
    /// An empty disk; the seed decides what a crash leaves of unsynced writes.
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.inner().random = seed ^ 0x9e37_79b9_7f4a_7c15;
        disk
    }

    /// Crash at the `n`th operation from now (0: the next); every operation after it fails too.
    pub fn crash_after(&self, n: u64) {
        let mut inner = self.inner();
        inner.crash_at = Some(inner.operations + n);
    }

    /// Operations so far that could have crashed.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Whether the crash has come.
    pub fn has_crashed(&self) -> bool {
        self.inner().crashed
    }

    /// How many bytes fit on it in all.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.inner().capacity = bytes;
    }

    /// The process was killed and starts again: what was written is there, locks are free.
    pub fn restart_after_kill(&self) {
        let mut inner = self.inner();
        inner.locks.clear();
        inner.crashed = false;
        inner.crash_at = None;
    }

    /// The machine lost power and starts again: only what was synced is there for certain.
    pub fn restart_after_power_loss(&self) {
        self.restart_after_kill();
        let mut inner = self.inner();
        inner.lose_unsynced();
    }

    /// How many bytes are on it.
    pub fn used(&self) -> usize {
        self.inner().used()
    }

    /// All bytes on the disk, for a test that looks for what must not be there.
    pub fn all_bytes(&self) -> Vec<u8> {
        self.inner().files.iter().flat_map(|f| [f.now.as_slice(), f.synced.as_slice()].concat()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Counts an operation that changes something; fails from the crash on.
    fn step(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the simulated machine is off"));
        }
        let now = self.operations;
        self.operations += 1;
        if self.crash_at.is_some_and(|at| now >= at) {
            self.crashed = true;
            return Err(io::Error::other("simulated crash"));
        }
        Ok(())
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("the simulated machine is off")) } else { Ok(()) }
    }

    /// splitmix64: small, and the same everywhere.
    fn next(&mut self) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0)
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    fn used(&self) -> usize {
        self.names.values().filter_map(|f| self.files.get(*f)).map(|f| f.now.len()).sum()
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Contents> {
        let index = *self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.files.get_mut(index).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.journal.push(change);
    }

    fn lose_unsynced(&mut self) {
        let kept = self.below(self.journal.len() + 1);
        for change in self.journal.drain(..).take(kept) {
            apply(&mut self.durable_names, &change);
        }
        self.names = self.durable_names.clone();
        for index in 0..self.files.len() {
            let Contents { now, synced } = self.files[index].clone();
            if now != synced {
                let left = self.remains(&now, &synced);
                self.files[index] = Contents { now: left.clone(), synced: left };
            }
        }
    }

    /// What is left of a file of which only `synced` was made durable.
    fn remains(&mut self, now: &[u8], synced: &[u8]) -> Vec<u8> {
        let new = if now.starts_with(synced) { &now[synced.len()..] } else { &[] };
        match self.below(4) {
            0 => synced.to_vec(),
            1 => now.to_vec(),
            2 => [synced, &new[..self.below(new.len() + 1)]].concat(),
            // Some sectors were written and others not: those read as zeros.
            _ => {
                let mut left = now.to_vec();
                for start in (0..left.len()).step_by(SECTOR) {
                    let lost = self.below(2) == 0;
                    let range = start.max(synced.len())..(start + SECTOR).min(left.len());
                    if lost && !new.is_empty() && range.start < range.end {
                        left[range].fill(0);
                    }
                }
                left
            }
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Link(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.alive()?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut inner = self.inner();
        inner.alive()?;
        Ok(inner.file(name).ok().map(|f| f.now.clone()))
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.read(name)?.map(|bytes| bytes.len() as u64))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.alive()?;
        if !inner.names.contains_key(name) {
            inner.step()?;
            inner.files.push(Contents::default());
            let index = inner.files.len() - 1;
            inner.change(NameChange::Link(name.to_owned(), index));
        }
        let room = inner.capacity.map_or(usize::MAX, |c| c.saturating_sub(inner.used()));
        let crashed = inner.step();
        let written = match &crashed {
            Ok(()) => bytes.len().min(room),
            Err(_) => inner.below(bytes.len() + 1).min(room),
        };
        inner.file(name)?.now.extend_from_slice(&bytes[..written]);
        crashed?;
        if written < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        let file = inner.file(name)?;
        file.synced = file.now.clone();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.durable_names = inner.names.clone();
        inner.journal.clear();
        Ok(())
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.file(name)?.now.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.file(from)?;
        inner.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        if inner.names.contains_key(name) {
            inner.change(NameChange::Unlink(name.to_owned()));
        }
        // A lock is on the file that was there, not on the next one of its name.
        inner.locks.remove(name);
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut inner = self.inner();
        inner.alive()?;
        if inner.locks.contains_key(name) {
            return Ok(None);
        }
        inner.last_lock += 1;
        let id = inner.last_lock;
        inner.locks.insert(name.to_owned(), id);
        Ok(Some(Box::new(SimLock { disk: self.clone(), name: name.to_owned(), id })))
    }

    fn shown(&self, name: &str) -> String {
        format!("simulated disk/{name}")
    }
}

struct SimLock {
    disk: SimDisk,
    name: String,
    id: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        // Neither a lock of the process after it, nor one on another file of that name.
        if inner.locks.get(&self.name) == Some(&self.id) {
            inner.locks.remove(&self.name);
        }
    }
}
