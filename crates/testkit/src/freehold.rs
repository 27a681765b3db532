//! Runs the `freehold` binary as a user would, in an environment that holds nothing of the developer's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::{Guarded, Nix, Scratch, nixes, repository_root, run_limited};

const LIMIT: Duration = Duration::from_secs(300);

/// The path of the `freehold` binary: `FREEHOLD_BIN`, or what `cargo build` makes now from this checkout.
#[must_use]
pub fn freehold_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("FREEHOLD_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// One call of `freehold`, built up like a [`Command`].
pub struct Freehold {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// What a call left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; 128 + N when signal N ended it.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Freehold {
    /// A call in `directory`, with `HOME`, the XDG directories and a Nix store of its own in `scratch`,
    /// on the oldest Nix at hand. No other variable is passed on.
    #[must_use]
    pub fn new(scratch: &Scratch, directory: impl AsRef<Path>) -> Self {
        let home = scratch.dir("home");
        let mut command = Command::new(freehold_binary());
        command
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env("TMPDIR", scratch.dir("tmp"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_STATE_HOME", home.join("state"))
            .env("XDG_RUNTIME_DIR", scratch.dir("run"))
            .env("HOME", &home);
        if let Some(nix) = nixes().first() {
            command.envs(nix.env(&home));
        }
        Self { command, input: Vec::new(), limit: LIMIT }
    }

    /// Uses this Nix instead. `scratch` must be the one given to [`Freehold::new`].
    #[must_use]
    pub fn nix(mut self, nix: &Nix, scratch: &Scratch) -> Self {
        self.command.envs(nix.env(&scratch.dir("home")));
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Unsets a variable.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Gives it something to read on stdin (nothing, unless called).
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Changes the time after which the test fails (300 s).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(mut self) -> Finished {
        let output = run_limited(&mut self.command, &self.input, self.limit);
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Finished {
            code: output.status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command as built, to be started in another way.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it with piped stdout and stderr, for tests that interrupt or kill it. Read both, or it may block.
    #[must_use]
    pub fn spawn(mut self) -> Guarded {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Guarded::spawn(&mut self.command)
    }
}

impl Finished {
    /// Returns itself when the exit code is 0; else panics with all that was printed.
    #[must_use]
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// Returns itself when the exit code is `expected`; else panics with all that was printed.
    #[must_use]
    pub fn code(self, expected: i32) -> Self {
        assert!(
            self.code == expected,
            "exit code {} instead of {expected}\n--- stdout\n{}--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let release = !cfg!(debug_assertions);
    let mut command = Command::new(cargo);
    // What cargo says to a test of its package is no part of this build: build scripts that look at it would run again, and all that
    // stands on them be built again, at each change from one package's tests to another's.
    let is_of_the_test = |name: &str| {
        ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
            || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"].contains(&name)
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_the_test)) {
        command.env_remove(name);
    }
    command
        .current_dir(repository_root())
        .args(["build", "--quiet", "--package", "freehold-cli", "--bin", "freehold"])
        .args(release.then_some("--release"))
        .arg("--message-format=json-render-diagnostics");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("cannot run cargo to build freehold: {error}"));
    assert!(output.status.success(), "freehold does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\""))
        .filter_map(|(_, rest)| rest.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
        .next_back();
    executable.unwrap_or_else(|| panic!("cargo did not say where freehold is:\n{messages}"))
}
