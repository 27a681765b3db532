//! The runtime `process`: a laptop, a container, a demonstration without systemd. Not for production: no isolation, no boot.
//!
//! Each instance has a small supervisor of its own (`supervise.rs`, started as a detached process), so that services outlive whoever
//! started them; it is found again by its directory: a lock that it holds while it lives, a socket that answers, and a note of its
//! child, by which an orphan is found when the supervisor itself was killed. What is declared of users and hardening is not applied.
//!
//! Read on in `place.rs` (the files), `supervise.rs` (the supervisor), `client.rs` (talking to one).

mod client;
mod place;
mod supervise;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::{Release, Settling, StopWhat, Strategy};

use crate::{Instance, Runtime, RuntimeError, ServiceRelease, environment, host};
pub use client::Status;
use place::{Place, Spec};
pub use supervise::supervise;

/// Runs services as plain processes under supervisors.
#[derive(Debug, Clone)]
pub struct ProcessRuntime {
    dir: PathBuf,
    supervisor: Vec<String>,
}

impl ProcessRuntime {
    /// Below this directory, with this command as a supervisor: it is called with the directory of its instance and runs [`supervise`].
    pub fn new(dir: impl Into<PathBuf>, supervisor: Vec<String>) -> Self {
        Self { dir: dir.into(), supervisor }
    }

    /// The file with what a workload's instances have said.
    pub fn log(&self, workload: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{workload}.log"))
    }

    /// The directory that instances of a workload start in, and keep their data in.
    pub fn data(&self, workload: &str) -> PathBuf {
        self.dir.join("data").join(workload)
    }

    fn instances(&self, workload: &str) -> Result<Vec<Place>, RuntimeError> {
        let dir = self.dir.join("run").join(workload);
        Ok(host::names(&dir)?.into_iter().map(|name| Place::new(dir.join(name))).collect())
    }

    fn running(&self, workload: &str) -> Result<Vec<(Place, Spec, Status)>, RuntimeError> {
        let mut found = Vec::new();
        for place in self.instances(workload)? {
            let Some(spec) = place.spec()? else { continue };
            if let Some(status) = client::status(&place) {
                found.push((place, spec, status));
            } else if let Some(pid) = place.orphan() {
                found.push((place, spec, Status::orphan(pid)));
            }
        }
        Ok(found)
    }

    fn start(&self, workload: &str, release: &Release, blue_green: bool) -> Result<(), RuntimeError> {
        let service = ServiceRelease::from_release(release)?;
        let name = release.id().rsplit('#').next().unwrap_or_default();
        let place = Place::new(self.dir.join("run").join(workload).join(name));
        end(&place)?;
        let data = self.data(workload);
        for dir in [place.dir(), &data, &self.dir.join("logs")] {
            fs_err::create_dir_all(dir).map_err(RuntimeError::file("make", dir))?;
        }
        let port = match (service.port, blue_green) {
            (Some(_), true) => Some(host::free_port()?),
            (port, _) => port,
        };
        place.write_spec(&Spec {
            workload: workload.to_owned(),
            id: release.id().to_owned(),
            payload: release.payload().clone(),
            port,
            log: self.log(workload),
            dir: data,
        })?;
        let (program, args) = self
            .supervisor
            .split_first()
            .ok_or(RuntimeError::Unsupported { runtime: "process", action: "start without a supervisor" })?;
        let mut command = Command::new(program);
        command.args(args).arg(place.dir()).current_dir("/").env_clear();
        for name in ["PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|source| RuntimeError::Start { program: program.clone(), source })?;
        // The supervisor goes on by itself as soon as it answers; until then its death is ours to see.
        let end = Instant::now() + limits::SUPERVISOR_START;
        while client::status(&place).is_none() {
            if let Ok(Some(status)) = child.try_wait() {
                let reason = place.last_words().unwrap_or_else(|| format!("it ended with {status}"));
                return Err(RuntimeError::Refused { what: format!("the supervisor of `{workload}`"), reason });
            }
            if Instant::now() > end {
                let what = format!("the supervisor of `{workload}`");
                return Err(RuntimeError::TooLong {
                    what,
                    action: "answer",
                    seconds: limits::SUPERVISOR_START.as_secs(),
                });
            }
            std::thread::sleep(POLL);
        }
        // Whoever starts something has to wait for its end; a thread does, as long as we live.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

/// How often a change is looked for.
const POLL: Duration = Duration::from_millis(10);

impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn workloads(&self) -> Result<Vec<String>, RuntimeError> {
        let mut names = host::names(&self.dir.join("run"))?;
        names.retain(|name| self.instances(name).is_ok_and(|places| !places.is_empty()));
        Ok(names)
    }

    fn observe(&self, workload: &str) -> Result<Vec<Instance>, RuntimeError> {
        let running = self.running(workload)?.into_iter().filter(|(_, _, status)| status.is_running());
        let instances = running.map(|(_, spec, status)| Instance {
            release: Release::new(spec.id, spec.payload).ok(),
            port: spec.port,
            text: status.to_string(),
        });
        Ok(instances.collect())
    }

    fn check(&self, _: &str, release: &Release) -> Result<(), RuntimeError> {
        let service = ServiceRelease::from_release(release)?;
        host::check_program(&service)?;
        environment::of(&service, None).map(drop)
    }

    fn activate(&self, workload: &str, release: &Release, strategy: Strategy) -> Result<(), RuntimeError> {
        let running = self.running(workload)?;
        let is_there = running.iter().any(|(_, spec, status)| spec.id == release.id() && status.is_running());
        if strategy == Strategy::Restart {
            // Also what is only being started, or was left by a crash: its supervisor finds its directory gone, and ends.
            for place in self.instances(workload)? {
                let is_kept = is_there && place.spec()?.is_some_and(|spec| spec.id == release.id());
                if !is_kept {
                    end(&place)?;
                }
            }
        }
        if is_there {
            return Ok(());
        }
        self.start(workload, release, strategy == Strategy::BlueGreen)
    }

    fn stop(&self, workload: &str, what: &StopWhat) -> Result<(), RuntimeError> {
        for place in self.instances(workload)? {
            let is_kept = match what {
                StopWhat::AllBut(kept) => place.spec()?.is_some_and(|spec| spec.id == kept.id()),
                StopWhat::Running | StopWhat::Workload => false,
            };
            if !is_kept {
                end(&place)?;
            }
        }
        Ok(())
    }

    fn settle(&self, workload: &str, release: &Release) -> Settling {
        let running = match self.running(workload) {
            Ok(running) => running,
            Err(error) => return Settling::Busy { reason: error.chain() },
        };
        match running.into_iter().find(|(_, spec, _)| spec.id == release.id()) {
            None => Settling::Broken { reason: "it does not run".to_owned() },
            Some((_, spec, status)) => match (status.settling(), last_words(&spec, &status)) {
                (Settling::Broken { reason }, Some(words)) => {
                    Settling::Broken { reason: format!("{reason}; it said: {words}") }
                }
                (settling, _) => settling,
            },
        }
    }

    fn commit(&self, _: &str, _: &Release) -> Result<(), RuntimeError> {
        // There is no boot: whoever keeps the record starts it again.
        Ok(())
    }
}

/// How many of the last lines of a service are told, and how many bytes of them.
const LINES: usize = 5;
const BYTES: u64 = 1024;

/// The last lines that an instance has written, on one line; `None` when it has not ended, or said nothing.
fn last_words(spec: &Spec, status: &Status) -> Option<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    status.ended.as_ref()?;
    let mut log = fs_err::File::open(&spec.log).ok()?;
    let length = log.metadata().ok()?.len();
    // A log that was begun anew since is its own from the start.
    let from = if status.log_from > length { 0 } else { status.log_from };
    log.seek(SeekFrom::Start(from.max(length.saturating_sub(BYTES)))).ok()?;
    let mut bytes = Vec::new();
    log.take(BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!words.is_empty()).then(|| words[words.len().saturating_sub(LINES)..].join(" / "))
}

/// Ends an instance, its supervisor first, and removes its directory.
fn end(place: &Place) -> Result<(), RuntimeError> {
    if !place.dir().exists() {
        return Ok(());
    }
    let lock = client::stop(place)?;
    place.end_orphan(&lock)?;
    place.remove()
}
