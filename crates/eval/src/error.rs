//! What can go wrong between the engine and Nix.

use std::path::PathBuf;

use freehold_model::{ErrorKind, MemberPath};

/// Why something could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The directory in which the conversation happens could not be made.
    #[error("cannot prepare the evaluator's directory")]
    Prepare(#[source] std::io::Error),
    /// Nix was found but did not start.
    #[error("cannot start `{}`", program.display())]
    StartNix {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The flake could not be locked.
    #[error("cannot lock flake `{flake}`: {message}")]
    LockFlake {
        /// The flake.
        flake: String,
        /// What Nix said.
        message: String,
    },
    /// The file or flake attribute does not give a deployment.
    #[error("cannot evaluate {what}: {message}")]
    Root {
        /// The file or flake attribute.
        what: String,
        /// What Nix said.
        message: String,
    },
    /// A member does not evaluate, whatever outputs become known.
    #[error("cannot evaluate `{member}`{}: {message}", at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default())]
    Member {
        /// Which.
        member: MemberPath,
        /// Which part of it: `inputs.contents`.
        at: Option<String>,
        /// What Nix said.
        message: String,
        /// How to mend it, when that can be told.
        hint: Option<String>,
    },
    /// A secret was on its way into the Nix store, which everybody can read.
    #[error("a sensitive output reaches the Nix store through `{member}`: `{store_path}` would hold it")]
    SecretInStore {
        /// The member whose inputs carry the path.
        member: MemberPath,
        /// The derivation or file.
        store_path: String,
    },
    /// Nix ended again and again without saying why.
    #[error("the Nix evaluator ended {times} times without a message ({status})")]
    Died {
        /// How often.
        times: u32,
        /// Its last exit status.
        status: String,
    },
    /// Nix did not get to its first word in time.
    #[error("the Nix evaluator gave no sign of life for {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// What Nix asks can no longer be heard.
    #[error("cannot hear what the Nix evaluator asks")]
    Deaf(#[source] std::io::Error),
    /// The evaluator broke the rules of the conversation.
    #[error("the evaluator's conversation is broken: {0}")]
    Conversation(String),
}

impl EvalError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Prepare(_) | Self::StartNix { .. } | Self::Died { .. } | Self::Silent { .. } | Self::Deaf(_) => {
                ErrorKind::Host
            }
            Self::LockFlake { .. } | Self::Root { .. } | Self::Member { .. } | Self::SecretInStore { .. } => {
                ErrorKind::User
            }
            Self::Conversation(_) => ErrorKind::Internal,
        }
    }

    /// What would mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Member { hint: Some(hint), .. } => Some(hint.clone()),
            Self::SecretInStore { .. } => Some(
                "pass the secret as an input of its own (a resource reads it when it is applied), not inside a derivation or a file of the store"
                    .to_owned(),
            ),
            Self::Died { status, .. } if status == "signal 9" => {
                Some("it may have run out of memory: see `dmesg`, or evaluate less at once with `--target`".to_owned())
            }
            other => {
                let text = freehold_model::chain(other);
                // A store of this user alone is built in by the evaluator itself, which may not.
                let builds = text.contains("pseudoterminal") || text.contains("import-from-derivation");
                builds.then(|| {
                    "a derivation is built while it is evaluated (import from derivation), which the confined evaluator cannot do by itself: let a Nix daemon build (`NIX_REMOTE=daemon`), build it before, or give `--no-confine`".to_owned()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_speaks_of_memory() {
        let hint = |status: &str| EvalError::Died { times: 1, status: status.to_owned() }.hint();
        assert!(hint("signal 9").is_some_and(|hint| hint.contains("memory")));
        assert_eq!((hint("exit code 19"), hint("signal 19")), (None, None));
    }
}
