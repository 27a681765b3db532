//! How a workload is rolled out: what its declaration says beside the release.
//!
//! Not what is rolled out (`release.rs`), nor whether (`policy.rs`). The record keeps a copy, so that a rollout goes on as it began.

use freehold_model::{ErrorKind, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Gate, GateError};

/// How a workload is rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What must be seen before a release may stay.
    pub gate: Gate,
    /// Whether the old instance is replaced, or runs on beside the new one until that is healthy.
    pub strategy: Strategy,
    /// Whether it has data that a release may change: they are copied first, with the workload stopped, and put back on a rollback.
    pub stateful: bool,
    /// Committed releases that are kept, the running one included.
    #[schemars(range(min = 1, max = 100))]
    pub keep_releases: u32,
}

/// How the new release takes the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The instance that runs is restarted with the new release.
    #[default]
    Restart,
    /// A new instance is started beside the old one; routes switch when it is healthy.
    BlueGreen,
}

impl Default for Settings {
    fn default() -> Self {
        Self { gate: Gate::default(), strategy: Strategy::Restart, stateful: false, keep_releases: 5 }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The gate cannot be used.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Two instances would write the same data.
    #[error("a workload with data cannot be rolled out `blue-green`: two instances would share the data")]
    SharedData,
    /// No release at all, or more than anyone needs.
    #[error("`keepReleases` is {given}")]
    KeepReleases {
        /// What was asked for.
        given: u32,
    },
}

impl SettingsError {
    /// Who has to act: who wrote the declaration.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }

    /// The way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Gate(error) => error.hint(),
            Self::SharedData => {
                Some("use `restart`, or leave `stateful` out if no release changes the data".to_owned())
            }
            Self::KeepReleases { .. } => Some(format!("it may be from 1 to {}", limits::ROLLOUT_KEEP_RELEASES)),
        }
    }
}

impl Settings {
    /// Checks what a declaration says.
    ///
    /// # Errors
    /// The gate is wrong, data would be shared by two instances, or the number of releases to keep is out of range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.gate.validate()?;
        if self.stateful && self.strategy == Strategy::BlueGreen {
            return Err(SettingsError::SharedData);
        }
        if !(1..=limits::ROLLOUT_KEEP_RELEASES).contains(&self.keep_releases) {
            return Err(SettingsError::KeepReleases { given: self.keep_releases });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_never_share_data() {
        let mut settings = Settings { strategy: Strategy::BlueGreen, ..Settings::default() };
        assert_eq!(settings.validate(), Ok(()));
        settings.stateful = true;
        assert_eq!(settings.validate(), Err(SettingsError::SharedData));
        let settings = Settings { keep_releases: 0, ..Settings::default() };
        assert_eq!(settings.validate(), Err(SettingsError::KeepReleases { given: 0 }));
    }
}
