//! Why a round could not be done at all. What is wrong with one service is in the round's report.

use freehold_manifest::ManifestError;
use freehold_model::ErrorKind;
use freehold_publish::PublishError;
use freehold_runtime::RuntimeError;

/// Why a round could not be done; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The manifest cannot be read.
    #[error("the manifest cannot be read")]
    Read(#[source] PublishError),
    /// The manifest is not to be followed.
    #[error("the manifest is not followed")]
    Distrusted(#[source] ManifestError),
    /// Somebody put back an older manifest, perhaps to bring back a mistake.
    #[error("the manifest has serial {found}, and {seen} was seen before")]
    Older {
        /// What it has; 0 for none.
        found: u64,
        /// What was seen.
        seen: u64,
    },
    /// The manifest was taken away, perhaps by mistake: nobody has signed that nothing is to run.
    #[error("there is no manifest any more, and serial {seen} was seen before")]
    Gone {
        /// What was seen.
        seen: u64,
    },
    /// Another agent works with this state.
    #[error("another agent works in `{state}`")]
    Taken {
        /// Its directory.
        state: String,
    },
    /// What is remembered cannot be used.
    #[error("what is remembered cannot be used")]
    Memory(#[source] RuntimeError),
}

impl AgentError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Distrusted(error) => error.kind(),
            Self::Older { .. } | Self::Gone { .. } => ErrorKind::Config,
            Self::Taken { .. } => ErrorKind::Transient,
            Self::Memory(error) => error.kind(),
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Distrusted(error) => error.hint(),
            Self::Older { .. } => Some(
                "go back with `freehold rollback`, which makes a new serial, or let the agent take it with `--allow-rollback`"
                    .to_owned(),
            ),
            Self::Gone { .. } => Some(
                "publish again, or take services out with `freehold manifest remove`; with `--allow-rollback` the agent stops all"
                    .to_owned(),
            ),
            Self::Taken { .. } => Some("ask it with `freehold agent status`, or stop it first".to_owned()),
            Self::Memory(error) => error.hint(),
        }
    }
}
