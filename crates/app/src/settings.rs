//! What is said of an app beside its recipe and its `.env`: `freehold.app-settings/1`, as NixOS modules write it.
//!
//! What was given once is remembered beside the app's record, so that a timer needs no options. Names of secrets and paths of files
//! stand here, never a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use freehold_model::limits;
use freehold_rollout::{Gate, Policy, Settings, Strategy};
use freehold_runtime::write_durably;
use serde::{Deserialize, Serialize};

use crate::AppError;

/// What is said of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AppSettings {
    /// [`AppSettings::FORMAT`].
    pub format: String,
    /// The recipe; for an app that is not there yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// What alerts are named after; the domain when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The app's domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The version; with `auto` the floor. What the `.env` pins when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether its volumes are copied before an upgrade, and put back when it fails.
    pub stateful: bool,
    /// Whether secrets that can be made up are, when they are missing.
    pub generate_secrets: bool,
    /// Units that come before it; told here for people.
    pub after: Vec<String>,
    /// Which versions may come by themselves; `None` when nobody has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Values of the `.env`; what is not named stays.
    pub env: BTreeMap<String, String>,
    /// What must be seen before a version may stay.
    pub gate: Gate,
    /// Further things that must be seen.
    pub probes: Vec<Gate>,
    /// Seconds that the tasks may take to run, apart from the gate's.
    pub timeout_seconds: u32,
    /// Secrets that come from files of this host.
    pub secrets: Vec<SecretSource>,
}

/// A secret that comes from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSource {
    /// Its key in the compose file.
    pub name: String,
    /// Where its value lies; without one it is made up.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Where its value lies encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sops: Option<SopsValue>,
    /// When it becomes another version.
    #[serde(default)]
    pub rotation: Rotation,
    /// Its version, when that is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The variable of the `.env` that holds its version, when the recipe's name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_variable: Option<String>,
}

/// A value in a file that is encrypted with sops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SopsValue {
    /// The encrypted file.
    pub file: PathBuf,
    /// Its key there, `a/b` for a nested one; the whole file without one.
    #[serde(default)]
    pub key: Option<String>,
}

/// When a secret becomes another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// When somebody changes its version.
    #[default]
    Version,
    /// When its value changes: the version is derived from it.
    Content,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            format: Self::FORMAT.to_owned(),
            recipe: None,
            name: None,
            domain: None,
            version: None,
            stateful: false,
            generate_secrets: false,
            after: Vec::new(),
            policy: None,
            env: BTreeMap::new(),
            gate: Gate::default(),
            probes: Vec::new(),
            timeout_seconds: 600,
            secrets: Vec::new(),
        }
    }
}

impl AppSettings {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.app-settings/1";

    /// Reads a settings file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, AppError> {
        let bytes = fs_err::read(path).map_err(AppError::file("read", path))?;
        let wrong = |reason: String| AppError::SettingsFile { path: path.to_owned(), reason };
        if bytes.len() > limits::RECIPE_FILE_BYTES {
            return Err(wrong(format!("it has {} bytes", bytes.len())));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let settings: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| wrong(reason(&error)))?;
        if settings.format != Self::FORMAT {
            return Err(wrong(format!("its format is `{}`", settings.format)));
        }
        Ok(settings)
    }

    /// What was remembered in this directory; `None` when nothing was.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn remembered(dir: &Path) -> Result<Option<Self>, AppError> {
        let path = dir.join(REMEMBERED);
        if path.exists() { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// Remembers them in this directory.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn remember(&self, dir: &Path) -> Result<(), AppError> {
        if Self::remembered(dir).ok().flatten().as_ref() == Some(self) {
            return Ok(());
        }
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(write_durably(&dir.join(REMEMBERED), &bytes)?)
    }

    /// How a rollout of the app goes.
    ///
    /// # Errors
    /// The gate cannot be used.
    pub fn rollout(&self, domain: &str) -> Result<Settings, AppError> {
        let wrong = |source| AppError::Settings { domain: domain.to_owned(), source };
        for probe in &self.probes {
            probe.validate().map_err(|error| wrong(error.into()))?;
        }
        let mut gate = self.gate.clone();
        // What looks at nothing is never asked to look: the first of the probes is the gate's own look then.
        if let Some(probe) = self.probes.first().filter(|_| !gate.looks()) {
            (gate.http, gate.tcp, gate.exec) = (probe.http.clone(), probe.tcp.clone(), probe.exec.clone());
        }
        // Its own clock begins when the tasks run, and theirs when they are sent.
        gate.timeout_seconds = gate.timeout_seconds.saturating_add(self.timeout_seconds);
        let settings = Settings { gate, stateful: self.stateful, strategy: Strategy::Restart, ..Settings::default() };
        settings.validate().map_err(wrong)?;
        Ok(settings)
    }

    /// How long a gate that [`AppSettings::rollout`] gave may take by itself, without the time for the tasks. Each release has a gate of
    /// its own: the one that is gone back to may be slower than today's, and is never given less.
    pub(crate) fn own_time(&self, gate: &Gate) -> Duration {
        let own = gate.timeout_seconds.saturating_sub(self.timeout_seconds);
        Duration::from_secs(u64::from(own.max(self.gate.timeout_seconds)))
    }
}

/// What is wrong in a file, with its place there; what is no JSON has a line alone.
fn reason(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    match error.inner().classify() {
        serde_json::error::Category::Data => format!("at `{}`: {}", error.path(), error.inner()),
        _ => format!("it is not JSON: {}", error.inner()),
    }
}

const REMEMBERED: &str = "settings.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_nix_writes_them() {
        let scratch = freehold_testkit::Scratch::new();
        let text = r#"{"format":"freehold.app-settings/1","recipe":"ghost","name":"ghost","domain":"blog.example.org",
            "version":"1.3.0+6.42.0-alpine","stateful":true,"generateSecrets":true,"after":[],
            "policy":{"mode":"auto","upTo":"minor"},"env":{"LETS_ENCRYPT_ENV":"","TIMEOUT":"1200"},
            "gate":{"timeoutSeconds":120,"http":{"url":"https://blog.example.org/","expect":[200]}},"probes":[],
            "timeoutSeconds":1200,"secrets":[{"name":"db_password","file":"/run/secrets/x","rotation":"content"}]}"#;
        let path = scratch.write("settings.json", text);
        let read = AppSettings::read(&path).unwrap();
        assert_eq!(read.policy, Some(Policy::AUTO));
        let gate = read.rollout("blog.example.org").unwrap().gate;
        assert_eq!(gate.timeout_seconds, 1320);
        assert_eq!(read.own_time(&gate), Duration::from_secs(120));
        let slower = Gate { timeout_seconds: 1500, ..gate.clone() };
        assert_eq!(read.own_time(&slower), Duration::from_secs(300), "the gate of a slower release");
        assert_eq!(read.own_time(&Gate { timeout_seconds: 130, ..gate }), Duration::from_secs(120));
        assert_eq!(read.secrets[0].rotation, Rotation::Content);
        read.remember(&scratch.dir("state")).unwrap();
        assert_eq!(AppSettings::remembered(&scratch.join("state")).unwrap(), Some(read));
        assert_eq!(AppSettings::remembered(&scratch.join("elsewhere")).unwrap(), None);
    }

    #[test]
    fn what_is_wrong_in_them_is_told_with_its_place() {
        let scratch = freehold_testkit::Scratch::new();
        let told = |text: &str| {
            let error = AppSettings::read(&scratch.write("x.json", text)).unwrap_err().to_string();
            error.split_once("of an app: ").map(|(_, reason)| reason.to_owned()).unwrap_or(error)
        };
        let said = told(r#"{"format":"freehold.app-settings/1","gate":{"http":{"expect":["x"]}}}"#);
        assert!(said.starts_with("at `gate.http.expect[0]`: invalid type"), "{said}");
        assert_eq!(told("{domain:1}"), "it is not JSON: key must be a string at line 1 column 2");
        assert_eq!(told(r#"{"format":"freehold.app-settings/2"}"#), "its format is `freehold.app-settings/2`");
    }
}
