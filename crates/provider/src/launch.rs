//! How a provider is started, and the limits of the pool.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use freehold_model::{Value, limits};

/// How a provider is started and configured. Calls with equal launches share processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// What messages call it: `local`.
    pub name: String,
    /// Absolute path, or a name looked up on `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment.
    pub env: EnvPolicy,
    /// Provider-wide settings with credentials resolved (see [`crate::credentials`]).
    pub config: Value,
    /// Which protocol to speak.
    pub protocol: ProtocolChoice,
    /// Where it runs, and what relative paths in inputs are relative to. None means the current directory.
    pub cwd: Option<PathBuf>,
}

impl Launch {
    /// A provider without settings, with our environment.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: EnvPolicy::default(),
            config: Value::Null,
            protocol: ProtocolChoice::Auto,
            cwd: None,
        }
    }
}

/// What of our environment a provider sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvPolicy {
    /// Names that are kept; none keeps all.
    pub keep: Option<Vec<String>>,
    /// What is set beside.
    pub set: BTreeMap<String, String>,
}

impl EnvPolicy {
    /// Gives a program that is to be started this environment.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(keep) = &self.keep {
            command.env_clear();
            command.envs(keep.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        }
        command.envs(&self.set);
    }
}

/// Which protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolChoice {
    /// Ask with `initialize`; a provider that does not know it is spoken to in v0.
    #[default]
    Auto,
    /// NixOps4's.
    V0,
    /// Ours.
    V1,
}

/// Limits of a pool.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// What `initialize` calls us.
    pub client_version: String,
    /// Processes per launch.
    pub processes: usize,
    /// Requests at once per process.
    pub concurrency: usize,
    /// From start to the answer to `initialize`.
    pub start_timeout: Duration,
    /// From sending to the reply, unless the request says otherwise.
    pub call_timeout: Duration,
    /// How long a process that was asked to stop may go on.
    pub stop_timeout: Duration,
    /// How long a process without work is kept.
    pub idle_timeout: Duration,
    /// Longest line that a provider may write, in bytes.
    pub message_bytes: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            processes: limits::PROVIDER_PROCESSES,
            concurrency: limits::PROVIDER_CONCURRENCY,
            start_timeout: limits::PROVIDER_START,
            call_timeout: limits::PROVIDER_CALL,
            stop_timeout: limits::PROVIDER_STOP,
            idle_timeout: Duration::from_secs(60),
            message_bytes: limits::PROVIDER_MESSAGE_BYTES,
        }
    }
}
