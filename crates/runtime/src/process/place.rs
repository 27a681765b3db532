//! The files of an instance: what it is to run (`spec.json`), the supervisor's lock and socket, a note of its child.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freehold_model::limits;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::RuntimeError;
use crate::records::write_durably;

/// What a supervisor runs. No secrets: a file with those is read by the supervisor itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) workload: String,
    /// The release's identity and payload.
    pub(crate) id: String,
    pub(crate) payload: Json,
    /// The port it is told to listen on.
    pub(crate) port: Option<u16>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// Where it starts.
    pub(crate) dir: PathBuf,
}

/// The child of a supervisor, told from a later process with the same number by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    /// Clock ticks from boot to its start.
    pub(crate) began: u64,
}

/// The directory of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// What it is to run; `None` when the directory was made and nothing more.
    pub(crate) fn spec(&self) -> Result<Option<Spec>, RuntimeError> {
        self.read("spec.json")
    }

    pub(crate) fn write_spec(&self, spec: &Spec) -> Result<(), RuntimeError> {
        write_durably(&self.dir.join("spec.json"), &serde_json::to_vec(spec).unwrap_or_default())
    }

    pub(crate) fn write_child(&self, child: Child) -> Result<(), RuntimeError> {
        write_durably(&self.dir.join("child.json"), &serde_json::to_vec(&child).unwrap_or_default())
    }

    /// Why a supervisor gave up, for whoever started it.
    pub(crate) fn write_last_words(&self, words: &str) {
        // It is said to a person if it can be; the failure itself is seen without it.
        let _ = fs_err::write(self.dir.join("error"), words);
    }

    pub(crate) fn last_words(&self) -> Option<String> {
        fs_err::read_to_string(self.dir.join("error")).ok()
    }

    /// The supervisor's lock; `None` while a supervisor lives.
    pub(crate) fn lock(&self) -> Result<Option<fs_err::File>, RuntimeError> {
        let path = self.dir.join("lock");
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(RuntimeError::file("open", &path))?;
        match file.file().try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(source)) => Err(RuntimeError::file("lock", path)(source)),
        }
    }

    /// The child that still runs although its supervisor is gone.
    pub(crate) fn orphan(&self) -> Option<i32> {
        let pid = self.living_child()?;
        self.lock().is_ok_and(|lock| lock.is_some()).then_some(pid)
    }

    /// The child that was noted, if it still runs.
    fn living_child(&self) -> Option<i32> {
        let child: Child = self.read("child.json").ok()??;
        (began(child.pid) == Some(child.began)).then_some(child.pid)
    }

    /// Ends the orphan and all it has started, politely first. Whoever calls has the lock, so that what runs is one: asked for again the
    /// lock could seem taken, by a child that another thread is starting and that has not become another program yet, and the orphan
    /// would be left to itself.
    pub(crate) fn end_orphan(&self, _lock: &fs_err::File) -> Result<(), RuntimeError> {
        for (signal, patience) in [(Signal::TERM, limits::PROCESS_STOP), (Signal::KILL, Duration::from_secs(5))] {
            let Some(pid) = self.living_child() else { return Ok(()) };
            if let Some(pid) = Pid::from_raw(pid) {
                // Gone already is as good.
                let _ = rustix::process::kill_process_group(pid, signal);
            }
            let end = Instant::now() + patience;
            while self.living_child().is_some() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        match self.living_child() {
            None => Ok(()),
            Some(pid) => Err(RuntimeError::TooLong { what: format!("process {pid}"), action: "end", seconds: 5 }),
        }
    }

    pub(crate) fn remove(&self) -> Result<(), RuntimeError> {
        match fs_err::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(RuntimeError::file("remove", &self.dir)(error)),
            _ => Ok(()),
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, RuntimeError> {
        let path = self.dir.join(name);
        match fs_err::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| RuntimeError::file("read", path)(std::io::Error::other(error))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RuntimeError::file("read", path)(error)),
        }
    }
}

/// When a process began, in clock ticks since boot; `None` when there is none, or only what is left of one.
pub(crate) fn began(pid: i32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_gone = matches!(*fields.first()?, "Z" | "X");
    if is_gone { None } else { fields.get(19)?.parse().ok() }
}
