//! The supervisor of one instance: starts its program, starts it again when it ends, answers questions, ends it when asked.
//!
//! One small process, two threads, no clock but the monotonic one. It ends when its child does and is not to be started again, or
//! when it is asked to. Its lock says that it lives; when it is killed, its child is an orphan that the next one to look ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use freehold_manifest::{Restart, StartType};
use freehold_model::limits;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::client::Status;
use super::place::{self, Place, Spec};
use crate::{RuntimeError, ServiceRelease, environment};

/// How often it is looked whether the child has ended.
const POLL: Duration = Duration::from_millis(50);
/// How long an asker may take to say what it wants; on a busy host some time passes between connecting and asking.
const QUESTION: Duration = Duration::from_secs(10);

/// A question, and where the answer goes.
enum Question {
    Status(UnixStream),
    Stop(UnixStream),
}

/// Supervises the instance in this directory until it is over. The process belongs to it alone.
///
/// # Errors
/// The instance cannot be started at all: it has a supervisor, or its files cannot be used.
pub fn supervise(dir: &Path) -> Result<(), RuntimeError> {
    let place = Place::new(dir.to_owned());
    let result = Supervisor::begin(&place).and_then(|mut supervisor| supervisor.run());
    if let Err(error) = &result {
        place.write_last_words(&error.chain());
    }
    result
}

struct Supervisor<'a> {
    place: &'a Place,
    _lock: fs_err::File,
    spec: Spec,
    service: ServiceRelease,
    questions: Receiver<Question>,
    /// Set by a signal that asks this process to end: its child ends with it.
    stop: Arc<AtomicBool>,
    child: Option<Child>,
    began: Instant,
    restarts: u32,
    ended: Option<String>,
    /// Whether it is started again, as far as is known.
    goes_on: bool,
    /// How long the log was before the first start.
    log_from: u64,
    /// Whether a `oneshot` has done its work.
    is_done: bool,
}

impl<'a> Supervisor<'a> {
    fn begin(place: &'a Place) -> Result<Self, RuntimeError> {
        let Some(lock) = place.lock()? else {
            return Err(RuntimeError::Busy { workload: place.dir().display().to_string() });
        };
        let spec = place.spec()?.ok_or_else(|| {
            RuntimeError::file("read", place.dir().join("spec.json"))(std::io::ErrorKind::NotFound.into())
        })?;
        let release = freehold_rollout::Release::new(spec.id.clone(), spec.payload.clone());
        let release = release.map_err(|source| RuntimeError::NoRelease { service: spec.workload.clone(), source })?;
        let service = ServiceRelease::from_release(&release)?;
        // Detached from the terminal of whoever started it; a leader of its group already cannot be, and need not.
        let _ = rustix::process::setsid();
        // What its child leaves behind, in a session of its own or not, is ours to end: it becomes a child of this process.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(RuntimeError::file("listen for signals in", place.dir()))?;
        }
        let (sender, questions) = channel();
        listen(place, sender)?;
        let mut supervisor = Self {
            place,
            _lock: lock,
            spec,
            service,
            questions,
            stop,
            child: None,
            began: Instant::now(),
            restarts: 0,
            ended: None,
            goes_on: true,
            is_done: false,
            log_from: 0,
        };
        supervisor.log_from = fs_err::metadata(&supervisor.spec.log).map_or(0, |log| log.len());
        supervisor.start()?;
        Ok(supervisor)
    }

    fn start(&mut self) -> Result<(), RuntimeError> {
        let words = self.service.words()?;
        let (program, args) =
            words.split_first().map(|(program, args)| (program.clone(), args.to_vec())).unwrap_or_default();
        rotate(&self.spec.log);
        let log = fs_err::OpenOptions::new().create(true).append(true).open(&self.spec.log);
        let log = log.map_err(RuntimeError::file("open", &self.spec.log))?;
        let errors = log.try_clone().map_err(RuntimeError::file("open", &self.spec.log))?;
        let dir = self.service.systemd.working_directory.as_ref().map_or(self.spec.dir.as_path(), Path::new);
        let mut command = Command::new(&program);
        command.args(args).current_dir(dir).env_clear();
        command.env("PATH", format!("{}/bin:/usr/local/bin:/usr/bin:/bin", self.service.artifact.store_path));
        command.env("HOME", &self.spec.dir);
        command.envs(environment::of(&self.service, self.spec.port)?);
        command.stdin(Stdio::null()).stdout(log.into_parts().0).stderr(errors.into_parts().0).process_group(0);
        let child = command.spawn().map_err(|source| RuntimeError::Start { program, source })?;
        if let Ok(pid) = i32::try_from(child.id()) {
            // Without its beginning it cannot be told from another: then it is no orphan that anyone may end.
            if let Some(began) = place::began(pid) {
                self.place.write_child(place::Child { pid, began })?;
            }
        }
        self.child = Some(child);
        self.began = Instant::now();
        Ok(())
    }

    fn run(&mut self) -> Result<(), RuntimeError> {
        let mut start_at: Option<Instant> = None;
        loop {
            if self.stop.load(Ordering::SeqCst) {
                self.end();
                return Ok(());
            }
            let question = self.questions.recv_timeout(POLL);
            // An end that nobody has seen yet is part of the answer.
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                self.ended = Some(words(status));
                self.goes_on = self.is_to_go_on(status);
                self.is_done = self.is_oneshot() && status.success() && !self.goes_on;
                // A new start finds what it needs, such as its port, free.
                end_strays();
                start_at = self.goes_on.then(|| Instant::now() + self.pause());
            }
            match question {
                Ok(Question::Status(asker)) => answer(asker, &self.status()),
                Ok(Question::Stop(asker)) => {
                    self.end();
                    answer(asker, &self.status());
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
            }
            if start_at.is_some_and(|at| at <= Instant::now()) {
                self.restarts = self.restarts.saturating_add(1);
                start_at = match self.start() {
                    Ok(()) => None,
                    Err(error) => {
                        self.ended = Some(error.chain());
                        Some(Instant::now() + self.pause())
                    }
                };
            }
        }
    }

    fn is_oneshot(&self) -> bool {
        self.service.systemd.start_type == Some(StartType::Oneshot)
    }

    /// Whether it is started again after it ended like this.
    fn is_to_go_on(&self, status: ExitStatus) -> bool {
        let (well, by_signal) = (status.success(), status.signal().is_some());
        match self.service.systemd.restart.unwrap_or(Restart::OnFailure) {
            Restart::Always => true,
            Restart::OnSuccess => well,
            Restart::OnFailure => !well,
            Restart::OnAbnormal | Restart::OnAbort => by_signal,
            Restart::No | Restart::OnWatchdog => false,
        }
    }

    /// The pause before the next start: as declared, and longer with every start that did not last.
    fn pause(&self) -> Duration {
        let first = Duration::from_secs(u64::from(self.service.systemd.restart_sec.unwrap_or(5)));
        let grown = first.max(Duration::from_millis(100)) * 2_u32.pow(self.restarts.min(6));
        if self.began.elapsed() > limits::PROCESS_STEADY { first } else { grown.min(first.max(limits::PROCESS_PAUSE)) }
    }

    fn status(&self) -> Status {
        Status {
            pid: self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()),
            restarts: self.restarts,
            since_millis: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ended: self.ended.clone(),
            goes_on: self.goes_on,
            is_orphan: false,
            is_oneshot: self.is_oneshot(),
            is_done: self.is_done,
            log_from: self.log_from,
        }
    }

    /// Ends the child and all it has started, politely first.
    fn end(&mut self) {
        self.end_child();
        end_strays();
    }

    fn end_child(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
        let declared = self.service.systemd.timeout_stop_sec.map(|s| Duration::from_secs(u64::from(s)));
        let patience = declared.unwrap_or(limits::PROCESS_STOP).min(limits::PROCESS_STOP);
        // Gone already is as good.
        let _ = rustix::process::kill_process_group(pid, Signal::TERM);
        let end = Instant::now() + patience;
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        if let Ok(status) = child.wait() {
            self.ended = Some(words(status));
        }
    }
}

/// Ends what the child has left behind, politely first: processes of which this one became the parent.
fn end_strays() {
    let (begun, mut asked) = (Instant::now(), Vec::new());
    // What cannot even be killed is the kernel's affair.
    while begun.elapsed() < limits::PROCESS_STRAYS * 2 {
        let strays = strays();
        if strays.is_empty() {
            return;
        }
        for pid in strays {
            // One that has ended is gone when somebody has asked how.
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            if begun.elapsed() > limits::PROCESS_STRAYS {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            } else if !asked.contains(&pid) {
                asked.push(pid);
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The children of this process. It is asked when its own child has ended: these are others'.
fn strays() -> Vec<Pid> {
    let mut found = Vec::new();
    for task in fs_err::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let text = fs_err::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    found
}

/// Hears questions on the socket of the instance, on a thread of its own.
fn listen(place: &Place, sender: Sender<Question>) -> Result<(), RuntimeError> {
    let socket = place.socket();
    // Whoever held the lock before is gone, and with it whoever listened here.
    let _ = fs_err::remove_file(&socket);
    let dir = fs_err::File::open(place.dir()).map_err(RuntimeError::file("open", place.dir()))?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/socket", dir.file().as_raw_fd()))
        .map_err(RuntimeError::file("listen at", &socket))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who says nothing in time has nothing to ask.
            let _ = stream.set_read_timeout(Some(QUESTION));
            let Ok(copy) = stream.try_clone() else { continue };
            let mut line = String::new();
            let _ = BufReader::new(copy).read_line(&mut line);
            let question = match line.trim() {
                "stop" => Question::Stop(stream),
                "status" => Question::Status(stream),
                _ => continue,
            };
            if sender.send(question).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn answer(mut asker: UnixStream, status: &Status) {
    let mut line = serde_json::to_vec(status).unwrap_or_default();
    line.push(b'\n');
    // An asker that has gone wants no answer.
    let _ = asker.write_all(&line);
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "unknown".to_owned(),
    }
}

/// Moves a log aside that has become long; one older is kept.
fn rotate(log: &Path) {
    if fs_err::metadata(log).is_ok_and(|meta| meta.len() > limits::PROCESS_LOG_BYTES) {
        // A log that cannot be moved goes on growing, which stops no service.
        let _ = fs_err::rename(log, log.with_extension("log.1"));
    }
}
