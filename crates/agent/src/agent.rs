//! An agent: one round, or rounds without end.

use std::fs::TryLockError;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_cache::sweep_staging;
use freehold_manifest::Runtime as Kind;
use freehold_model::limits;
use freehold_rollout::StopWhat;
use freehold_runtime::{Alerts, Records, RuntimeError, lock_soon};

use crate::alerts::MANIFEST;
use crate::closures::STAGING;
use crate::memory::{Memory, read_memory};
use crate::reporter::Reporter;
use crate::round::{Kept, follow, kept_manifest, read};
use crate::standing::Standings;
use crate::turnstile::Turnstile;
use crate::{AgentError, AgentOptions, HostReport, Round, read_status};

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
    pub(crate) voice: Arc<dyn Voice>,
    pub(crate) stop: Arc<AtomicBool>,
    /// A service that has a route since the last round: when it has none any more the router was restarted.
    pub(crate) routed: Mutex<Option<String>>,
    /// What is known of services that were well.
    pub(crate) standings: Standings,
    /// Before it rollouts put units in place, after it they start them.
    pub(crate) turnstile: Turnstile,
}

/// The agent of a host. As long as it lives nobody else works with its state.
pub struct Agent {
    shared: Shared,
    memory: Memory,
    kept: Option<Kept>,
    reporter: Option<Reporter>,
    /// Held as long as this lives; says which process can be woken.
    lock: fs_err::File,
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
        match lock_soon(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AgentError::Taken { state: state.display().to_string() }),
            Err(TryLockError::Error(source)) => return Err(file("lock")(source)),
        }
        // Whom an earlier agent was is nobody to wake.
        lock.set_len(0).map_err(file("write"))?;
        let mut memory = read_memory(&state).map_err(AgentError::Memory)?;
        memory.format = Memory::FORMAT.to_owned();
        memory.host = options.host.clone();
        let (records, alerts) = (Records::new(state.join("rollouts")), Alerts::new(state.join("alerts")));
        let voice: Arc<dyn Voice> = voice.into();
        let reporter = options.report.clone().map(|place| {
            let voice = Arc::clone(&voice);
            Reporter::start(place, move |text| voice.say(None, text))
        });
        options.board.depot().heed(&stop);
        // What an agent before this one has pulled half may be wanted still; what nobody came for is not.
        sweep_staging(&state.join(STAGING), limits::CACHE_STAGING_AGE);
        let shared = Shared {
            options,
            records,
            alerts,
            voice,
            stop,
            routed: Mutex::new(None),
            standings: Standings::default(),
            turnstile: Turnstile::default(),
        };
        Ok(Self { shared, memory, kept: None, reporter, lock })
    }

    /// One round; `None` when it was stopped.
    ///
    /// # Errors
    /// The round could not be done, and nothing was changed.
    pub fn once(&mut self) -> Result<Option<Round>, AgentError> {
        if let Some(notify) = &self.shared.options.notify {
            notify.round_begins();
        }
        self.memory.last_round = Some(now());
        let before = self.memory.followed();
        let manifest = match read(&self.shared, &mut self.memory, &mut self.kept) {
            Ok(manifest) => manifest,
            // What was cut off says nothing of the bucket.
            Err(_) if self.is_stopped() => return Ok(None),
            Err(error) => {
                self.memory.failures = self.memory.failures.saturating_add(1);
                self.memory.failure = Some(freehold_model::chain(&error));
                if self.memory.failures >= limits::AGENT_MANIFEST_FAILURES {
                    self.shared.alert_failed(MANIFEST, &freehold_model::chain(&error));
                }
                self.remember();
                self.tell();
                return Err(error);
            }
        };
        self.memory.failures = 0;
        self.memory.failure = None;
        self.shared.alert_over(MANIFEST);
        // What is about to be followed is remembered before it is; that there was another look is, with what came of it.
        if self.memory.followed() != before {
            self.remember();
        }
        Ok(self.followed(manifest.as_deref()))
    }

    /// Rounds until it is stopped. `wake` is set by whoever wants a look at once; `each` is told how a round went.
    pub fn run(&mut self, wake: &AtomicBool, each: &mut dyn FnMut(Result<&Round, &AgentError>)) {
        if let Err(error) = self.be_woken() {
            self.shared.voice.say(None, &error.chain());
        }
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
                    if self.memory.generation.is_some()
                        && let Ok(manifest) = kept_manifest(&self.shared, &self.memory)
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
        if round.is_well() {
            // Everything that is declared is here: nothing that was pulled half will be gone on with.
            sweep_staging(&self.shared.options.state.join(STAGING), Duration::ZERO);
        }
        self.memory.round = Some(round.clone());
        self.remember();
        self.tell();
        Some(round)
    }

    /// Lets those know who watch: publishers by a report, the manager of this service by a line.
    fn tell(&mut self) {
        if let Some(notify) = &self.shared.options.notify {
            notify.round_is_over(&self.memory.summary());
        }
        let Some(reporter) = &mut self.reporter else { return };
        match read_status(&self.shared.options.state) {
            Ok(status) => reporter.tell(HostReport::of(status, now())),
            Err(error) => self.shared.voice.say(None, &format!("the report cannot be made: {}", error.chain())),
        }
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

    /// Says whom to wake: only who waits can be.
    fn be_woken(&mut self) -> Result<(), RuntimeError> {
        use std::io::Write as _;
        let path = self.shared.options.state.join("lock");
        write!(self.lock, "{}", std::process::id()).map_err(|source| RuntimeError::File {
            action: "write",
            path,
            source,
        })
    }

    fn wait(&mut self, pause: Duration, wake: &AtomicBool) {
        const SLICE: Duration = Duration::from_millis(50);
        let now = Instant::now();
        let (end, mut look) = (now + pause, now + limits::AGENT_ROUTES_LOOK);
        while !self.is_stopped() && !wake.load(Ordering::SeqCst) && Instant::now() < end {
            if Instant::now() >= look {
                if self.has_lost_routes() {
                    return;
                }
                look = Instant::now() + limits::AGENT_ROUTES_LOOK;
            }
            if let Some(notify) = &self.shared.options.notify {
                notify.loop_goes_on();
            }
            if self.reporter.as_ref().is_some_and(Reporter::is_due) {
                self.tell();
            }
            std::thread::sleep(SLICE.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Whether the router answers, and has no route of ours any more: it was restarted.
    fn has_lost_routes(&self) -> bool {
        let routed = self.shared.routed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((service, router)) = routed.zip(self.shared.options.router.as_ref()) else { return false };
        router.has(&service) == Some(false)
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }
}

/// Lets the agent that works with this state look at once; gives its process, `None` when there is none that waits.
///
/// # Errors
/// The state cannot be read, or the process may not be signalled.
pub fn wake(state: &Path) -> Result<Option<i32>, RuntimeError> {
    let path = state.join("lock");
    if !is_at_work(state)? {
        return Ok(None);
    }
    let failed = |action: &'static str, source| RuntimeError::File { action, path: path.clone(), source };
    // Its number is in the file; one that does a single round has none there.
    let text = fs_err::read_to_string(&path).map_err(|error| failed("read", error))?;
    let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return Ok(None) };
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).map_err(|error| failed("signal", error.into()))?;
    Ok(Some(pid.as_raw_nonzero().get()))
}

/// Whether an agent works with this state, or waits for its next round: it has the lock as long as it lives.
pub(crate) fn is_at_work(state: &Path) -> Result<bool, RuntimeError> {
    let path = state.join("lock");
    match fs_err::File::open(&path) {
        Ok(lock) => Ok(lock.file().try_lock_shared().is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(RuntimeError::File { action: "open", path, source }),
    }
}

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
