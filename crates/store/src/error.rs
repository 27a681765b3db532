//! What can go wrong with the store, by the step that failed.

use std::path::PathBuf;

use freehold_model::ErrorKind;

/// Why something of the store could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no Nix.
    #[error("cannot find Nix: no `nix-store` in {looked}")]
    NoNix {
        /// Where it was looked for.
        looked: String,
    },
    /// A program of Nix does not start.
    #[error("cannot start `{program}`")]
    Start {
        /// Which.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A derivation does not build.
    #[error("cannot build `{derivation}`: {reason}")]
    Build {
        /// Its store path.
        derivation: String,
        /// In Nix's words.
        reason: String,
        /// The last lines that its builder said.
        log: Vec<String>,
    },
    /// Nix refuses or fails for another reason.
    #[error("cannot {what}: {message}")]
    Failed {
        /// What was wanted.
        what: String,
        /// In Nix's words.
        message: String,
    },
    /// It was stopped on request.
    #[error("stopped before Nix could {what}")]
    Stopped {
        /// What was wanted.
        what: String,
    },
    /// It took too long.
    #[error("Nix did not {what} within {seconds} s")]
    TimedOut {
        /// What was wanted.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// Not the form of a store path or of `drv!output`.
    #[error("`{text}` is no store path: {reason}")]
    BadTarget {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nix said something that we do not understand.
    #[error("cannot make sense of what Nix says when asked to {what}: {reason}")]
    Answer {
        /// What was wanted.
        what: String,
        /// What is odd.
        reason: String,
    },
    /// A GC root's link cannot be made, read or removed.
    #[error("cannot keep the GC root `{link}`", link = link.display())]
    Root {
        /// The link.
        link: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A GC root's link is in use for something else.
    #[error("cannot keep the GC root `{link}`: something else is there", link = link.display())]
    RootTaken {
        /// The link.
        link: PathBuf,
    },
}

impl StoreError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Build { .. } | Self::BadTarget { .. } | Self::RootTaken { .. } => ErrorKind::User,
            Self::Failed { .. } => ErrorKind::Config,
            Self::NoNix { .. } | Self::Start { .. } | Self::Root { .. } => ErrorKind::Host,
            Self::Stopped { .. } | Self::TimedOut { .. } => ErrorKind::Transient,
            Self::Answer { .. } => ErrorKind::Internal,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoNix { .. } => {
                "install Nix (on Debian: `apt-get install nix-bin`; elsewhere see https://nixos.org/download), or set FREEHOLD_NIX_BIN to the directory that holds it"
                    .to_owned()
            }
            Self::Build { derivation, .. } => format!("the whole log: `nix-store --read-log {derivation}`"),
            Self::RootTaken { link } => format!("move `{}` out of the way", link.display()),
            _ => return None,
        })
    }

    /// The last lines that a failed builder said; empty for other failures.
    pub fn log(&self) -> &[String] {
        match self {
            Self::Build { log, .. } => log,
            _ => &[],
        }
    }
}
