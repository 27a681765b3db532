//! Kinds of errors: what decides about retries and exit codes, never the text of a message.

use serde::{Deserialize, Serialize};

/// Who has to act when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// The deployment or the command line asks for something that cannot be.
    User,
    /// A provider, a backend or a credential is set up wrongly.
    Config,
    /// Trying again may help: time-outs, lost connections, throttling. The only kind that is retried.
    Transient,
    /// The machine lacks something: disk, permission, program.
    Host,
    /// A broken invariant: a defect of ours or of a provider.
    Internal,
}

impl ErrorKind {
    /// The word used on the wire and in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Config => "config",
            Self::Transient => "transient",
            Self::Host => "host",
            Self::Internal => "internal",
        }
    }

    /// Whether trying the same thing again can help.
    pub fn is_retryable(self) -> bool {
        self == Self::Transient
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
