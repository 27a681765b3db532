//! A release: one version of a workload, absolute and immutable.
//!
//! What the identity is made of is the runtime's affair (store path, image digest, recipe version and commit and settings); here
//! it is opaque. Never relative: there is no "latest" and no "previous". Read on in `record.rs` for where releases are remembered.

use freehold_model::{ErrorKind, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One version of a workload: equal identities mean the same bits and the same settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// What it is, in the runtime's words.
    id: String,
    /// What the runtime needs to activate it again, whenever that is. No secrets: it is kept in the record.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    payload: Json,
}

/// Why something is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Nothing identifies it.
    #[error("a release has an empty identity")]
    Empty,
    /// Longer than anything that identifies.
    #[error("the identity of a release has {bytes} bytes; {} are the most", limits::ROLLOUT_RELEASE_BYTES)]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// It cannot be shown on a line.
    #[error("the identity of a release holds a control character")]
    Control,
    /// It means another thing tomorrow.
    #[error("`{id}` is not a release but a word that means another one tomorrow")]
    Relative {
        /// The word.
        id: String,
    },
}

impl ReleaseError {
    /// Who has to act: a runtime's driver made it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Relative { .. } => ErrorKind::User,
            _ => ErrorKind::Internal,
        }
    }

    /// The way out.
    pub fn hint(&self) -> Option<String> {
        matches!(self, Self::Relative { .. }).then(|| "name a version, a digest or a store path".to_owned())
    }
}

/// Words that name whichever release it happens to be.
const RELATIVE: [&str; 7] = ["latest", "previous", "current", "stable", "newest", "head", "rollback"];

impl Release {
    /// A release and what its runtime needs to activate it.
    ///
    /// # Errors
    /// The identity is empty, too long, holds control characters, or is a word such as `latest`.
    pub fn new(id: impl Into<String>, payload: Json) -> Result<Self, ReleaseError> {
        let id = id.into();
        if id.trim().is_empty() {
            return Err(ReleaseError::Empty);
        }
        if id.len() > limits::ROLLOUT_RELEASE_BYTES {
            return Err(ReleaseError::TooLong { bytes: id.len() });
        }
        if id.chars().any(char::is_control) {
            return Err(ReleaseError::Control);
        }
        let word = id.trim().to_ascii_lowercase();
        if RELATIVE.contains(&word.as_str()) || word.ends_with(":latest") {
            return Err(ReleaseError::Relative { id });
        }
        Ok(Self { id, payload })
    }

    /// The identity: what is compared, shown and remembered.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the runtime needs to activate it.
    pub fn payload(&self) -> &Json {
        &self.payload
    }

    /// Whether both are the same release, whatever their payloads say.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)
    }
}

impl<'de> Deserialize<'de> for Release {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Raw {
            id: String,
            #[serde(default)]
            payload: Json,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.id, raw.payload).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_absolute() {
        assert!(Release::new("/nix/store/abc-site-1.0", Json::Null).is_ok());
        assert_eq!(Release::new(" ", Json::Null), Err(ReleaseError::Empty));
        assert_eq!(Release::new("a\nb", Json::Null), Err(ReleaseError::Control));
        for word in ["latest", "Previous", "nginx:latest"] {
            assert_eq!(Release::new(word, Json::Null), Err(ReleaseError::Relative { id: word.to_owned() }));
        }
        let long = Release::new("x".repeat(5000), Json::Null).unwrap_err();
        assert_eq!(long.to_string(), "the identity of a release has 5000 bytes; 1024 are the most");
    }

    #[test]
    fn what_is_read_is_checked_as_well() {
        let error = serde_json::from_str::<Release>(r#"{"id":"latest"}"#).unwrap_err().to_string();
        assert!(error.contains("another one tomorrow"), "{error}");
        assert!(serde_json::from_str::<Release>(r#"{"id":"1.0","payload":{"image":"x"}}"#).is_ok());
    }
}
