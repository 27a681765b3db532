//! The release of a service: what of its declaration makes another thing run, and nothing else.
//!
//! Gate, policy, routes, hosts and revision can change without a restart, so they are no part of it. The payload is all that is
//! needed to start it again at any later time: a rollback needs no manifest.

use freehold_manifest::{Artifact, Exec, Hardening, Instances, Runtime, Service, Systemd};
use freehold_rollout::{Release, Settings, Strategy};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

use crate::RuntimeError;

/// What is started when a release of a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRelease {
    /// What runs it.
    pub runtime: Runtime,
    /// The store path.
    pub artifact: Artifact,
    /// The command, the user, the group.
    pub exec: Exec,
    /// Its environment, no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A file on the host with further environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<String>,
    /// The port it listens on, when it takes requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What its unit says beside the command.
    #[serde(default, skip_serializing_if = "Systemd::is_empty")]
    pub systemd: Systemd,
    /// What its unit may not do.
    #[serde(default, skip_serializing_if = "Hardening::is_empty")]
    pub hardening: Hardening,
    /// Whether two instances run while one takes the place of the other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub blue_green: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ServiceRelease {
    /// What is started of a declared service; `default` runs those that name no runtime.
    pub fn of(service: &Service, default: Runtime) -> Self {
        Self {
            runtime: service.runtime.unwrap_or(default),
            artifact: service.artifact.clone(),
            exec: service.exec.clone(),
            env: service.env.clone(),
            env_file: service.env_file.clone(),
            port: service.http.as_ref().map(|http| http.internal_port),
            systemd: service.systemd.clone(),
            hardening: service.hardening.clone(),
            blue_green: service.instances == Some(Instances::BlueGreen),
        }
    }

    /// As the rollout knows it: the store path, and a digest of everything else.
    ///
    /// # Errors
    /// The store path is no identity.
    pub fn to_release(&self, service: &str) -> Result<Release, RuntimeError> {
        let payload = serde_json::to_value(self).unwrap_or_default();
        let digest = Sha256::digest(payload.to_string());
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Release::new(format!("{}#{digest}", self.artifact.store_path), payload)
            .map_err(|source| RuntimeError::NoRelease { service: service.to_owned(), source })
    }

    /// What a recorded release starts.
    ///
    /// # Errors
    /// It was made by something else, or a later version.
    pub fn from_release(release: &Release) -> Result<Self, RuntimeError> {
        Self::deserialize(release.payload())
            .map_err(|error| RuntimeError::Release { id: release.id().to_owned(), reason: error.to_string() })
    }

    /// The program and its arguments, the program as an absolute path.
    ///
    /// # Errors
    /// The command line is none.
    pub fn words(&self) -> Result<Vec<String>, RuntimeError> {
        let mut words = self
            .exec
            .words()
            .ok_or_else(|| RuntimeError::NoProgram { program: self.exec.command.clone(), there: String::new() })?;
        if let Some(program) = words.first_mut() {
            *program = self.artifact.program(program);
        }
        Ok(words)
    }

    /// How a declared service is rolled out.
    pub fn settings(service: &Service) -> Settings {
        let strategy = match service.instances {
            Some(Instances::BlueGreen) => Strategy::BlueGreen,
            _ => Strategy::Restart,
        };
        let gate = service.gate.clone().unwrap_or_default();
        Settings { gate, strategy, stateful: false, keep_releases: service.kept_releases() }
    }
}
