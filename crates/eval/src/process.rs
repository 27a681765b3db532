//! The Nix child process, the socket its bridges call, and the threads that turn both into messages.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::bridge::{SOCKET, nix_string};
use crate::core::Msg;
use crate::wire::{self, Line};
use crate::{EvalError, NixPrograms, Options, Source, confine, flake};

const DRIVER: &str = include_str!("../nix/driver.nix");
/// How the directories of evaluators begin, and the file in each that its process holds.
const PREFIX: &str = "freehold-eval-";
const ALIVE: &str = "alive";
/// From which age on a directory that nobody holds is a leftover.
const LEFTOVER: Duration = Duration::from_secs(600);
/// How long the bridge may take to say what it wants, and to take the answer.
const BRIDGE_PATIENCE: Duration = Duration::from_secs(30);
/// How often in a row a call that cannot be taken is tried again, and the pause before.
const ACCEPT_TRIES: u32 = 100;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long results are left to gather before they are read.
const CROWD: Duration = Duration::from_micros(100);
/// Variables that Nix, git and their libraries need; everything else, credentials above all, stays out. Two may hold some all the
/// same, and Nix fetches nothing without them where they do: `NIX_CONFIG` (access tokens) and the proxies (a user and password).
const ENV_NAMES: [&str; 32] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "LOCALE_ARCHIVE",
    "NIX_PATH",
    "NIX_CONFIG",
    "NIX_CONF_DIR",
    "NIX_USER_CONF_FILES",
    "NIX_STORE_DIR",
    "NIX_STATE_DIR",
    "NIX_LOCALSTATE_DIR",
    "NIX_LOG_DIR",
    "NIX_DATA_DIR",
    "NIX_REMOTE",
    "NIX_DAEMON_SOCKET_PATH",
    "NIX_SSL_CERT_FILE",
    "NIX_SSHOPTS",
    "NIX_CACHE_HOME",
    "NIX_CONFIG_HOME",
    "NIX_DATA_HOME",
    "NIX_STATE_HOME",
];
const ENV_PREFIXES: [&str; 3] = ["LC_", "XDG_", "NIXPKGS_"];

/// Everything that outlives one Nix process: its directory, its socket, what it is started with.
pub(crate) struct Host {
    pub(crate) options: Options,
    pub(crate) nonce: String,
    /// How messages call the root's source.
    pub(crate) what: String,
    token_prefix: String,
    dir: tempfile::TempDir,
    /// Locked as long as this process lives, so that others see that the directory is in use.
    _alive: fs_err::File,
    sender: Sender<Msg>,
    run: Vec<PathBuf>,
}

/// A running Nix.
pub(crate) struct Process {
    pub(crate) epoch: u64,
    pid: rustix::process::Pid,
}

impl Process {
    /// Ends it and whatever it started.
    pub(crate) fn kill(&self) {
        // Gone already is as good.
        let _ = rustix::process::kill_process_group(self.pid, rustix::process::Signal::KILL);
    }
}

/// The way back to Nix.
pub(crate) enum Reply {
    /// A bridge that waits.
    Bridge(UnixStream),
    /// Where Nix looks for an answer before it asks.
    File(PathBuf),
}

impl Reply {
    /// Answers. A bridge that is gone does not matter: its Nix is gone too, and that is noticed elsewhere. Neither does a file that
    /// cannot be written: Nix asks.
    pub(crate) fn send(self, answer: &Json) {
        match self {
            Reply::Bridge(mut bridge) => drop(bridge.write_all(&nix_string(&answer.to_string()))),
            Reply::File(path) => {
                let whole = path.with_extension("new");
                let _ = fs_err::write(&whole, answer.to_string()).and_then(|()| fs_err::rename(&whole, &path));
            }
        }
    }
}

impl Host {
    pub(crate) fn new(
        mut options: Options,
        nonce: &str,
        token_prefix: &str,
        sender: Sender<Msg>,
    ) -> Result<Self, EvalError> {
        let place = short_temp_dir();
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place).map_err(EvalError::Prepare)?;
        let alive = fs_err::File::create(dir.path().join(ALIVE)).map_err(EvalError::Prepare)?;
        alive.file().lock().map_err(EvalError::Prepare)?;
        // Nothing waits for it: a temporary directory can be full of others'.
        let swept = std::thread::Builder::new().name("eval-sweep".into()).spawn(move || sweep(&place));
        swept.map_err(EvalError::Prepare)?;
        let what = options.source.describe();
        flake::lock(&mut options, dir.path())?;
        fs_err::write(dir.path().join("driver.nix"), DRIVER).map_err(EvalError::Prepare)?;
        let listener = UnixListener::bind(dir.path().join("socket")).map_err(EvalError::Prepare)?;
        let questions = sender.clone();
        std::thread::Builder::new()
            .name("eval-socket".into())
            .spawn(move || listen(&mut || listener.accept().map(|(stream, _)| stream), &questions))
            .map_err(EvalError::Prepare)?;
        let run = programs_to_run(&options);
        Ok(Self {
            options,
            nonce: nonce.to_owned(),
            what,
            token_prefix: token_prefix.to_owned(),
            dir,
            _alive: alive,
            sender,
            run,
        })
    }

    /// Where a Nix looks for what it is to begin with.
    pub(crate) fn first(&self, epoch: u64) -> PathBuf {
        self.dir.path().join(format!("first-{epoch}.json"))
    }

    /// Ends the listening thread.
    pub(crate) fn close(&self) {
        let _ = UnixStream::connect(self.dir.path().join("socket"));
    }

    /// Starts the persistent evaluator.
    pub(crate) fn start(&self, epoch: u64) -> Result<Process, EvalError> {
        let (mut child, process) = self.spawn(epoch, false)?;
        let stderr = child.stderr.take();
        let (lines, exit, nonce) = (self.sender.clone(), self.sender.clone(), self.nonce.clone());
        let threads = std::thread::Builder::new()
            .name("eval-stderr".into())
            .spawn(move || stderr.into_iter().for_each(|stderr| read_lines(stderr, epoch, &nonce, &lines)))
            .and_then(|_| {
                std::thread::Builder::new().name("eval-wait".into()).spawn(move || {
                    let status = child.wait().map_or_else(|error| error.to_string(), show_status);
                    let _ = exit.send(Msg::Exited { epoch, status });
                })
            });
        threads.map_err(EvalError::Prepare)?;
        Ok(process)
    }

    /// Starts a short-lived evaluator that says why the query with `id` fails.
    pub(crate) fn explain(&self, epoch: u64, id: u64) -> Result<Process, EvalError> {
        let (mut child, process) = self.spawn(epoch, true)?;
        let (sender, nonce, show_trace) = (self.sender.clone(), self.nonce.clone(), self.options.show_trace);
        let wait = move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_end(&mut text);
            }
            let failed = child.wait().is_ok_and(|status| !status.success());
            let marker = wire::marker(&nonce);
            let others = text.split(|byte| *byte == b'\n').filter_map(|line| match wire::read_line(line, &marker) {
                Line::Other(text) => Some(text),
                _ => None,
            });
            let others = others.collect::<Vec<_>>().join("\n");
            let message = failed.then(|| error_message(&others, show_trace)).flatten();
            let _ = sender.send(Msg::Explained { epoch, id, message });
        };
        std::thread::Builder::new().name("eval-explain".into()).spawn(wait).map_err(EvalError::Prepare)?;
        Ok(process)
    }

    fn spawn(&self, epoch: u64, explain: bool) -> Result<(Child, Process), EvalError> {
        let config = self.dir.path().join(format!("config-{epoch}.json"));
        fs_err::write(&config, self.config(epoch, explain).to_string()).map_err(EvalError::Prepare)?;
        let nix = self.options.nix.program("nix-instantiate");
        let mut command = Command::new(&nix);
        command.args(["--eval", "--read-write-mode", "--option", "allow-unsafe-native-code-during-evaluation", "true"]);
        command.args(["--option", "extra-experimental-features", "nix-command flakes"]);
        if self.options.show_trace {
            command.arg("--show-trace");
        }
        command.arg("--argstr").arg("config").arg(&config).arg(self.dir.path().join("driver.nix"));
        set_env(&mut command, &self.options.env);
        let scratch = self.dir.path().join("scratch");
        fs_err::create_dir_all(&scratch).map_err(EvalError::Prepare)?;
        command.env(SOCKET, self.dir.path().join("socket")).env("TMPDIR", &scratch);
        command.current_dir(&self.options.base_dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Its own process group: the terminal's Ctrl-C is for the engine, and the whole group can be ended at once.
        command.process_group(0);
        let spawned = if self.options.confine {
            confine::spawn(&mut command, &self.places_to_write(), &self.run)
        } else {
            command.spawn()
        };
        let child = spawned.map_err(|source| EvalError::StartNix { program: nix, source })?;
        let pid = rustix::process::Pid::from_child(&child);
        Ok((child, Process { epoch, pid }))
    }

    fn places_to_write(&self) -> Vec<PathBuf> {
        let variable = |name: &str| {
            let set = self.options.env.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            set.or_else(|| std::env::var_os(name)).map(PathBuf::from)
        };
        let mut places =
            vec![self.dir.path().join("scratch"), "/nix/store".into(), "/nix/var".into(), "/dev/null".into()];
        let named = ["NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"].into_iter().filter_map(variable);
        places.extend(named);
        let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        if let Some(nix_cache) = cache.map(|cache| cache.join("nix")) {
            places.push(nix_cache);
        }
        // A place that does not exist cannot be allowed: Nix makes these itself, so they have to be there before.
        for place in &places {
            if place.starts_with("/nix") || place.exists() {
                continue;
            }
            let _ = fs_err::create_dir_all(place);
        }
        places
    }

    fn config(&self, epoch: u64, explain: bool) -> Json {
        let options = &self.options;
        let source = match &options.source {
            Source::File(path) => json!({ "file": path }),
            Source::Flake { reference, attribute, instead, .. } => {
                json!({ "flake": reference, "attribute": attribute, "instead": instead })
            }
        };
        let bridge: Vec<_> = options.bridge.iter().map(|word| word.to_string_lossy()).collect();
        json!({
            "nonce": self.nonce,
            "token": self.token_prefix,
            "epoch": epoch.to_string(),
            "explain": explain,
            "first": (!explain).then(|| self.first(epoch)),
            "bridge": bridge,
            "source": source,
            "what": self.what,
            "library": options.library,
            "providers": options.providers,
            "system": options.system,
            "depth": freehold_model::limits::INPUT_DEPTH,
        })
    }
}

/// Nix's own message out of its standard error: the last `error:` with what follows, or all of it with `whole`.
pub(crate) fn error_message(stderr: &str, whole: bool) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().collect();
    let first = lines.iter().position(|line| line.trim_start().starts_with("error:"))?;
    let last = lines
        .iter()
        .rposition(|line| line.trim_start().strip_prefix("error:").is_some_and(|rest| !rest.trim().is_empty()));
    let start = if whole { first } else { last.unwrap_or(first).max(first) };
    let indent = lines[start].len() - lines[start].trim_start().len();
    let dedented = lines[start..].iter().map(|line| {
        let spaces = line.len() - line.trim_start().len();
        &line[spaces.min(indent)..]
    });
    // Said on every error; the manual page of each command names the flag.
    let told = dedented.filter(|line| whole || !line.trim_start().starts_with("(use '--show-trace'"));
    let text = told.collect::<Vec<_>>().join("\n");
    let text = text.trim_end();
    Some(text.strip_prefix("error:").unwrap_or(text).trim_start().to_owned())
}

/// Sets the environment of a program of Nix: what it needs, without credentials.
pub(crate) fn set_env(command: &mut Command, extra: &[(OsString, OsString)]) {
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passes)));
    command.envs(extra.iter().map(|(name, value)| (name, value)));
}

/// Whether Nix is given the variable of that name.
fn passes(name: &str) -> bool {
    ENV_NAMES.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
        || ENV_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Takes the bridges' calls. That one cannot be taken passes (no file descriptor is free, the caller is gone again); only when it lasts
/// is it told.
fn listen(accept: &mut dyn FnMut() -> io::Result<UnixStream>, sender: &Sender<Msg>) {
    let mut failures = 0;
    loop {
        let mut stream = match accept() {
            Ok(stream) => stream,
            Err(_) if failures < ACCEPT_TRIES => {
                failures += 1;
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
            Err(error) => {
                // Nobody listens any more: it has ended anyway.
                let _ = sender.send(Msg::Deaf { error });
                return;
            }
        };
        failures = 0;
        let _ = stream.set_read_timeout(Some(BRIDGE_PATIENCE));
        let _ = stream.set_write_timeout(Some(BRIDGE_PATIENCE));
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let delivered = match wire::read_question(&bytes) {
            Some((epoch, question)) => sender.send(Msg::Question { epoch, question, reply: Reply::Bridge(stream) }),
            // Nobody's question: the bridge sees the connection close.
            None => sender.send(Msg::Tick),
        };
        if delivered.is_err() {
            return;
        }
    }
}

/// Turns Nix's standard error into messages, as many lines at a time as have arrived.
fn read_lines(mut stderr: ChildStderr, epoch: u64, nonce: &str, sender: &Sender<Msg>) {
    let mut bytes = vec![0; 256 * 1024];
    let mut rest = Vec::new();
    let marker = wire::marker(nonce);
    while let Ok(count) = stderr.read(&mut bytes) {
        if count == 0 {
            break;
        }
        let fresh = rest.len();
        rest.extend_from_slice(&bytes[..count]);
        let Some(end) = rest[fresh..].iter().rposition(|byte| *byte == b'\n').map(|at| fresh + at) else { continue };
        let lines: Vec<Line> =
            rest[..end].split(|byte| *byte == b'\n').map(|line| wire::read_line(line, &marker)).collect();
        rest.drain(..=end);
        // Results come in crowds, each with a system call of Nix's: a reader that waits a little wakes nobody for each.
        let in_crowd = matches!(lines.last(), Some(Line::Result(..) | Line::Ahead(..)));
        if sender.send(Msg::Lines { epoch, lines }).is_err() {
            return;
        }
        if in_crowd {
            std::thread::sleep(CROWD);
        }
    }
    if !rest.is_empty() {
        let line = wire::read_line(&rest, &marker);
        let _ = sender.send(Msg::Lines { epoch, lines: vec![line] });
    }
    let _ = sender.send(Msg::StderrClosed { epoch });
}

fn show_status(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit code {}", status.code().unwrap_or(-1)),
    }
}

/// Removes what was left behind by processes that were killed: directories of ours, not new, that nobody holds.
fn sweep(place: &Path) {
    let is_ours = |meta: &std::fs::Metadata| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
    let is_old = |meta: &std::fs::Metadata| {
        meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > LEFTOVER)
    };
    for entry in fs_err::read_dir(place).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Of the entry itself: a link is nobody's directory.
        let is_leftover = is_named_so && entry.metadata().is_ok_and(|meta| is_ours(&meta) && is_old(&meta));
        let alive = fs_err::File::open(entry.path().join(ALIVE));
        if is_leftover && alive.is_ok_and(|file| file.file().try_lock().is_ok()) {
            // What cannot be removed now is met again.
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

/// A directory whose name leaves room for a socket (a path of at most 107 bytes).
fn short_temp_dir() -> PathBuf {
    let dir = std::env::temp_dir();
    if dir.as_os_str().len() > 60 { "/tmp".into() } else { dir }
}

/// What a confined evaluator may execute: Nix, git, the bridge, and the loaders they are started by.
fn programs_to_run(options: &Options) -> Vec<PathBuf> {
    let NixPrograms { bin_dir } = &options.nix;
    let mut programs: Vec<PathBuf> =
        ["nix-instantiate", "nix", "nix-store"].iter().map(|name| bin_dir.join(name)).collect();
    programs.extend(options.bridge.first().map(PathBuf::from));
    programs.extend(on_path("git"));
    let mut run: Vec<PathBuf> = programs.iter().filter_map(|program| fs_err::canonicalize(program).ok()).collect();
    let loaders: Vec<PathBuf> = run.iter().filter_map(|program| loader(program)).collect();
    run.extend(loaders);
    run.extend(
        ["/usr/lib/git-core", "/usr/libexec/git-core"].map(PathBuf::from).into_iter().filter(|dir| dir.exists()),
    );
    run.sort();
    run.dedup();
    run
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The ELF interpreter of a program, which the kernel executes with it; `None` for a static one.
fn loader(program: &Path) -> Option<PathBuf> {
    const MAX_FIELD: usize = 4096;
    const INTERPRETER: usize = 3;
    // Only what is needed is read: the bridge alone has many megabytes, and this is done at every start.
    let file = fs_err::File::open(program).ok()?;
    let read = |at: usize, size: usize| -> Option<Vec<u8>> {
        let mut bytes = vec![0; size.min(MAX_FIELD)];
        file.file().read_exact_at(&mut bytes, at as u64).ok()?;
        Some(bytes)
    };
    let number = |at: usize, size: usize| -> Option<usize> {
        Some(read(at, size)?.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    if read(0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let header = (0..count).map(|i| headers + i * size).find(|at| number(*at, 4) == Some(INTERPRETER))?;
    let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    let name = read(offset, length)?;
    let name = name.split(|b| *b == 0).next()?;
    fs_err::canonicalize(OsStr::new(std::str::from_utf8(name).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_call_that_cannot_be_taken_is_not_the_end_and_a_lasting_failure_is_told() {
        let (mut bridge, ours) = UnixStream::pair().unwrap();
        bridge.write_all(b"7\0next\0").unwrap();
        bridge.shutdown(std::net::Shutdown::Write).unwrap();
        let mut calls = vec![Ok(ours), Err(io::ErrorKind::ConnectionAborted.into())];
        let (sender, heard) = channel();
        listen(&mut || calls.pop().unwrap_or_else(|| Err(io::Error::other("no file descriptor"))), &sender);
        assert!(matches!(heard.recv().unwrap(), Msg::Question { epoch: 7, .. }));
        assert!(matches!(heard.recv().unwrap(), Msg::Deaf { error } if error.to_string() == "no file descriptor"));
    }

    #[test]
    fn of_the_variables_only_those_that_nix_needs_are_passed_on() {
        for name in [
            "PATH",
            "HTTPS_PROXY",
            "https_proxy",
            "NIX_PATH",
            "NIX_REMOTE",
            "NIX_CONFIG",
            "LC_ALL",
            "NIXPKGS_ALLOW_UNFREE",
        ] {
            assert!(passes(name), "{name}");
        }
        for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NIX_GITHUB_TOKEN", "NIX_CONFIG_TOKEN"] {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn the_loader_of_a_program_is_found_and_a_text_has_none() {
        let found = loader(Path::new("/bin/sh")).unwrap();
        assert!(found.file_name().unwrap().to_string_lossy().contains("ld-"), "{}", found.display());
        assert_eq!(loader(Path::new("/etc/passwd")), None);
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, is_old: bool| {
            let dir = place.path().join(name);
            fs_err::create_dir(&dir).unwrap();
            let alive = std::fs::File::create(dir.join(ALIVE)).unwrap();
            let age = if is_old { LEFTOVER * 2 } else { Duration::ZERO };
            std::fs::File::open(&dir).unwrap().set_modified(std::time::SystemTime::now() - age).unwrap();
            alive
        };
        make("freehold-eval-left", true);
        make("freehold-eval-new", false);
        make("of-another-program", true);
        let used = make("freehold-eval-used", true);
        used.lock().unwrap();
        sweep(place.path());
        let mut stay: Vec<_> = fs_err::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        stay.sort();
        assert_eq!(stay, ["freehold-eval-new", "freehold-eval-used", "of-another-program"]);
    }
}
