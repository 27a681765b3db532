//! An agent: one round, or rounds without end.

use std::fs::TryLockError;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_manifest::Runtime as Kind;
use freehold_model::limits;
use freehold_rollout::StopWhat;
use freehold_runtime::{Alerts, Records, RuntimeError};

use crate::memory::{Memory, read_memory};
use crate::round::{chain, follow, kept_manifest, read};
use crate::{AgentError, AgentOptions, Round};

/// Is told what goes on.
pub trait Voice: Send + Sync {
    /// A line, and the workload it is about.
    fn say(&self, workload: Option<&str>, text: &str);
}

/// What all services of a round share.
pub(crate) struct Shared {
    pub(crate) options: AgentOptions,
    pub(crate) records: Records,
    pub(crate) alerts: Alerts,
    pub(crate) voice: Box<dyn Voice>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The agent of a host. As long as it lives nobody else works with its state.
pub struct Agent {
    shared: Shared,
    memory: Memory,
    _lock: fs_err::File,
}

impl Agent {
    /// Takes the state. `stop` ends what is under way, which the next agent goes on with.
    ///
    /// # Errors
    /// Another agent has the state, or it cannot be read.
    pub fn open(options: AgentOptions, voice: Box<dyn Voice>, stop: Arc<AtomicBool>) -> Result<Self, AgentError> {
        let state = options.state.clone();
        let file = |action: &'static str| {
            let path = state.join("lock");
            move |source| AgentError::Memory(RuntimeError::File { action, path, source })
        };
        fs_err::create_dir_all(&state).map_err(file("make"))?;
        let lock = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(state.join("lock"));
        let lock = lock.map_err(file("open"))?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AgentError::Taken { state: state.display().to_string() }),
            Err(TryLockError::Error(source)) => return Err(file("lock")(source)),
        }
        // For whoever wants to wake it: only the holder of the lock is meant.
        fs_err::write(state.join("pid"), std::process::id().to_string()).map_err(file("write"))?;
        let mut memory = read_memory(&state).map_err(AgentError::Memory)?;
        memory.format = Memory::FORMAT.to_owned();
        memory.host = options.host.clone();
        let (records, alerts) = (Records::new(state.join("rollouts")), Alerts::new(state.join("alerts")));
        Ok(Self { shared: Shared { options, records, alerts, voice, stop }, memory, _lock: lock })
    }

    /// One round; `None` when it was stopped.
    ///
    /// # Errors
    /// The round could not be done, and nothing was changed.
    pub fn once(&mut self) -> Result<Option<Round>, AgentError> {
        self.memory.last_round = Some(now());
        let manifest = match read(&self.shared, &mut self.memory) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.memory.failures = self.memory.failures.saturating_add(1);
                self.memory.failure = Some(chain(&error));
                self.remember();
                return Err(error);
            }
        };
        self.memory.failures = 0;
        self.memory.failure = None;
        self.remember();
        Ok(self.followed(manifest.as_ref()))
    }

    /// Rounds until it is stopped. `wake` is set by whoever wants a look at once; `each` is told how a round went.
    pub fn run(&mut self, wake: &AtomicBool, each: &mut dyn FnMut(Result<&Round, &AgentError>)) {
        while !self.is_stopped() {
            wake.store(false, Ordering::SeqCst);
            let pause = match self.once() {
                Ok(Some(round)) => {
                    each(Ok(&round));
                    self.shared.options.poll
                }
                Ok(None) => return,
                Err(error) => {
                    each(Err(&error));
                    // What is known is kept running all the same.
                    if let Ok(manifest) = kept_manifest(&self.shared)
                        && let Some(round) = self.followed(Some(&manifest))
                    {
                        each(Ok(&round));
                    }
                    self.backed_off()
                }
            };
            self.wait(pause, wake);
        }
    }

    /// Stops every service of runtimes whose services do not outlive a stopped agent; they are started again by the next.
    ///
    /// # Errors
    /// A service that does not end.
    pub fn stop_services(&self) -> Result<(), RuntimeError> {
        for name in &self.shared.records.workloads()? {
            for (_, runtime) in self.shared.options.runtimes.iter().filter(|(kind, _)| *kind == Kind::Process) {
                runtime.stop(name, &StopWhat::Running)?;
            }
        }
        Ok(())
    }

    fn followed(&mut self, manifest: Option<&freehold_manifest::Manifest>) -> Option<Round> {
        let round = follow(&self.shared, manifest)?;
        self.memory.round = Some(round.clone());
        self.remember();
        Some(round)
    }

    fn remember(&self) {
        if let Err(error) = self.memory.write(&self.shared.options.state) {
            self.shared.voice.say(None, &error.chain());
        }
    }

    /// Longer with every failure, up to a limit.
    fn backed_off(&self) -> Duration {
        let poll = self.shared.options.poll;
        (poll * 2_u32.pow(self.memory.failures.saturating_sub(1).min(6))).min(poll.max(limits::AGENT_BACKOFF))
    }

    fn wait(&self, pause: Duration, wake: &AtomicBool) {
        const SLICE: Duration = Duration::from_millis(50);
        let end = Instant::now() + pause;
        while !self.is_stopped() && !wake.load(Ordering::SeqCst) && Instant::now() < end {
            std::thread::sleep(SLICE.min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }
}

/// Lets the agent that works with this state look at once; gives its process, `None` when there is no agent.
///
/// # Errors
/// The state cannot be read, or the process may not be signalled.
pub fn wake(state: &Path) -> Result<Option<i32>, RuntimeError> {
    let failed = |action| move |source| RuntimeError::File { action, path: state.join("pid"), source };
    let lock = match fs_err::File::open(state.join("lock")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("open"))?,
    };
    // Who has the lock is alive, and its number is in the file beside it.
    if lock.file().try_lock_shared().is_ok() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(state.join("pid")).map_err(failed("read"))?;
    let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return Ok(None) };
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).map_err(|e| failed("signal")(e.into()))?;
    Ok(Some(pid.as_raw_nonzero().get()))
}

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
