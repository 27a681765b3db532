//! What a manifest says of one service. Field names are the manifest's; what is left out has the default that stands with it.
//!
//! Only the shape: what values may be is in `check.rs`, what they mean for a unit in the runtimes.

use std::collections::BTreeMap;

use freehold_rollout::{Gate, Policy};
use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// One service: what runs, where, how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name: letters, digits, `-`, `_` and `.`; unique in the manifest.
    pub name: String,
    /// What is run.
    pub artifact: Artifact,
    /// Names of the hosts that run it; none means every host that follows the manifest.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How it is started.
    pub exec: Exec,
    /// Its environment. No secrets: those come from `envFile` or `systemd.loadCredential`.
    #[serde(default, deserialize_with = "each_name_once")]
    pub env: BTreeMap<String, String>,
    /// A file on the host with further environment, such as secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<String>,
    /// Its route, when it is to be reached from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpRoute>,
    /// What its unit says beside the command.
    #[serde(default, skip_serializing_if = "Systemd::is_empty")]
    pub systemd: Systemd,
    /// What its unit may not do; everything here is on unless it is said otherwise.
    #[serde(default, skip_serializing_if = "Hardening::is_empty")]
    pub hardening: Hardening,
    /// Where it was built from: a commit, a tag. Shown and never interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What runs it; the agent's own default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What must be seen of a release before it may stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Which updates may go without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Committed releases that a host keeps, 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub keep_releases: Option<u32>,
    /// Whether the old instance is stopped first, or serves until the new one is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: ArtifactKind,
    /// The path in the Nix store; its closure is in the bucket.
    pub store_path: String,
}

/// Kinds of artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A store path with everything it needs.
    NixClosure,
}

/// How a service is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exec {
    /// The command line: a program in the artifact's `bin`, `.` for an artifact that is a program itself, or an absolute path; then
    /// its arguments, quoted as in a shell. Nothing is expanded.
    pub command: String,
    /// The user it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// How requests reach a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRoute {
    /// The name that requests are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Further names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The path below which requests are its own; `/` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Further paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The port it listens on, on its host.
    #[schemars(range(min = 1, max = 65_535))]
    pub internal_port: u16,
}

/// What runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// A systemd unit: what hosts are made for.
    Systemd,
    /// A process under a small supervisor: laptops, containers and demonstrations.
    Process,
    /// A stack of Docker Swarm.
    Swarm,
    /// A container under systemd by Podman.
    Quadlet,
    /// A job of Nomad.
    Nomad,
    /// A whole NixOS system.
    Nixos,
}

/// How many instances there are while a release takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Instances {
    /// One: the old is stopped before the new one starts.
    Single,
    /// Two: the new one starts on a free port, which it is told in `PORT`; routes switch when it is healthy.
    BlueGreen,
}

/// What a unit says beside the command. Names are systemd's, with a small first letter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Systemd {
    /// Units it starts after; `network-online.target` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// Units it starts before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<String>>,
    /// Units without which it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<Vec<String>>,
    /// Units that are started with it, and whose failure does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wants: Option<Vec<String>>,
    /// When it is started again; `on-failure` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Seconds before it is started again; 5 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_sec: Option<u32>,
    /// When it counts as started; `simple` when left out.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub start_type: Option<StartType>,
    /// Seconds that starting may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_start_sec: Option<u32>,
    /// Seconds that stopping may take before it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_stop_sec: Option<u32>,
    /// The directory it starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Directories below `/var/lib` that are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<Vec<String>>,
    /// Directories below `/var/cache` that are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_directory: Option<Vec<String>>,
    /// Directories below `/var/log` that are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_directory: Option<Vec<String>>,
    /// Directories below `/run` that are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_directory: Option<Vec<String>>,
    /// Secrets by name: files on the host that it finds in `$CREDENTIALS_DIRECTORY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_credential: Option<BTreeMap<String, String>>,
    /// Further groups of its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplementary_groups: Option<Vec<String>>,
    /// Most memory, as systemd writes it: `512M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<String>,
    /// Most processor time, as systemd writes it: `150%`.
    #[serde(rename = "cpuQuota", skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<String>,
    /// Most tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<u32>,
}

impl Systemd {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    No,
    /// Whenever it ended.
    Always,
    /// When it ended well.
    OnSuccess,
    /// When it did not end well.
    OnFailure,
    /// When it was ended by a signal or the watchdog.
    OnAbnormal,
    /// When it was ended by a signal that it did not expect.
    OnAbort,
    /// When the watchdog ended it.
    OnWatchdog,
}

/// When a service counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartType {
    /// At once.
    Simple,
    /// When its program was executed.
    Exec,
    /// When it says so.
    Notify,
    /// When its first process has ended and left another.
    Forking,
    /// When it has ended.
    Oneshot,
}

/// What a service may not do. Everything is on (or as strict as said) when left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hardening {
    /// A user made for it while it runs; on when neither `exec.user` nor `exec.group` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_user: Option<bool>,
    /// A `/tmp` of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_tmp: Option<bool>,
    /// The system's directories cannot be written; `strict` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_system: Option<ProtectSystem>,
    /// Homes cannot be seen; `true` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_home: Option<ProtectHome>,
    /// It gains no privileges by programs it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_new_privileges: Option<bool>,
    /// Only pseudo devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_devices: Option<bool>,
    /// Kernel variables cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_kernel_tunables: Option<bool>,
    /// Kernel modules cannot be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_kernel_modules: Option<bool>,
    /// The kernel's log cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_kernel_logs: Option<bool>,
    /// Control groups cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_control_groups: Option<bool>,
    /// The clock cannot be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_clock: Option<bool>,
    /// The host's name cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_hostname: Option<bool>,
    /// No set-user-id files can be made.
    #[serde(rename = "restrictSUIDSGID", skip_serializing_if = "Option::is_none")]
    pub restrict_suid_sgid: Option<bool>,
    /// No realtime scheduling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restrict_realtime: Option<bool>,
    /// No new namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restrict_namespaces: Option<bool>,
    /// The execution domain cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_personality: Option<bool>,
    /// No memory that is both written and executed; off when left out, for the sake of just-in-time compilers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_deny_write_execute: Option<bool>,
    /// Capabilities it may ever have; none when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability_bounding_set: Option<Vec<String>>,
    /// Capabilities it has without being root, such as `CAP_NET_BIND_SERVICE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambient_capabilities: Option<Vec<String>>,
    /// Address families it may use; Internet and Unix sockets when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restrict_address_families: Option<Vec<String>>,
    /// System calls it may make; `@system-service` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_call_filter: Option<Vec<String>>,
    /// Directories it may write in spite of `protectSystem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_write_paths: Option<Vec<String>>,
    /// Directories it may only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_paths: Option<Vec<String>>,
    /// Directories it may not see into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inaccessible_paths: Option<Vec<String>>,
    /// Permissions that new files do not get, in octal digits; `0077` when left out.
    #[serde(rename = "umask", skip_serializing_if = "Option::is_none")]
    pub umask: Option<String>,
}

impl Hardening {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How far the system's directories are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProtectSystem {
    /// `true`: `/usr` and the boot loader; `false`: not at all.
    Flag(bool),
    /// A word.
    Word(ProtectSystemWord),
}

/// Degrees of `protectSystem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectSystemWord {
    /// `/etc`, too.
    Full,
    /// Everything but `/dev`, `/proc` and `/sys`.
    Strict,
}

/// How homes are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProtectHome {
    /// `true`: empty and not to be opened; `false`: as they are.
    Flag(bool),
    /// A word.
    Word(ProtectHomeWord),
}

/// Degrees of `protectHome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectHomeWord {
    /// They can be read.
    ReadOnly,
    /// They are empty.
    Tmpfs,
}

impl Service {
    /// Whether a host of this name runs it.
    pub fn is_for(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|named| named == host)
    }

    /// Committed releases that a host keeps.
    pub fn kept_releases(&self) -> u32 {
        self.keep_releases.unwrap_or(5)
    }
}

impl Exec {
    /// The program and its arguments; `None` when quotes are not closed or there is nothing.
    pub fn words(&self) -> Option<Vec<String>> {
        shlex::split(&self.command).filter(|words| words.first().is_some_and(|program| !program.is_empty()))
    }
}

impl Artifact {
    /// The program that a command's first word means: an absolute path as it is, a path with a `/` within the artifact, `.` the
    /// artifact itself when it is a single file, and a name alone in its `bin`.
    pub fn program(&self, word: &str) -> String {
        match word {
            "." => self.store_path.clone(),
            _ if word.starts_with('/') => word.to_owned(),
            _ if word.contains('/') => format!("{}/{}", self.store_path, word.trim_start_matches("./")),
            _ => format!("{}/bin/{word}", self.store_path),
        }
    }
}

impl HttpRoute {
    /// All names that requests are for, in order, each once.
    pub fn all_domains(&self) -> Vec<&str> {
        each_once(self.domain.iter().chain(&self.domains))
    }

    /// All paths below which requests are its own, in order, each once; `/` when none is given.
    pub fn all_paths(&self) -> Vec<&str> {
        let paths = each_once(self.path.iter().chain(&self.paths));
        if paths.is_empty() { vec!["/"] } else { paths }
    }

    /// Every name with every path: what it takes of the requests that reach a host.
    pub fn requests(&self) -> impl Iterator<Item = (&str, &str)> {
        let paths = self.all_paths();
        self.all_domains().into_iter().flat_map(move |domain| paths.clone().into_iter().map(move |path| (domain, path)))
    }
}

/// An object of texts; of two with one name it cannot be told which is meant.
fn each_name_once<'de, D: Deserializer<'de>>(reader: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((name, text)) = entries.next_entry::<String, String>()? {
                if texts.contains_key(&name) {
                    return Err(A::Error::custom(format!("duplicate field `{name}`")));
                }
                texts.insert(name, text);
            }
            Ok(texts)
        }
    }
    reader.deserialize_map(Texts)
}

fn each_once<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for text in texts {
        if !all.contains(&text.as_str()) {
            all.push(text);
        }
    }
    all
}
