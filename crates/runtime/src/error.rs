//! What can go wrong when a rollout is carried out.

use std::path::PathBuf;

use freehold_model::ErrorKind;
use freehold_rollout::{RecordError, ReleaseError};

/// Why a runtime, or the memory of rollouts, could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A file or directory of ours cannot be used.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// What was tried: `read`, `write`, `lock`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What is remembered of a workload cannot be read.
    #[error("the record of `{workload}` in `{}` cannot be used", .path.display())]
    Record {
        /// Whose.
        workload: String,
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: RecordError,
    },
    /// Another process works on this workload.
    #[error("somebody else works on `{workload}`")]
    Busy {
        /// Which.
        workload: String,
    },
    /// A release was not made by this runtime, or by a later version of it.
    #[error("the release `{id}` cannot be used here: {reason}")]
    Release {
        /// Its identity.
        id: String,
        /// Why not.
        reason: String,
    },
    /// A service cannot be made a release of.
    #[error("service `{service}` cannot be released")]
    NoRelease {
        /// Which.
        service: String,
        /// Why not.
        #[source]
        source: ReleaseError,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The program that a service names is not there.
    #[error("`{program}` is not a program{there}")]
    NoProgram {
        /// The path.
        program: String,
        /// What there is instead, in words; may be empty.
        there: String,
    },
    /// A supervisor, a unit or a job did not do in time what it was asked.
    #[error("{what} did not {action} within {seconds} s")]
    TooLong {
        /// Who.
        what: String,
        /// What was wanted.
        action: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The runtime refused, in its own words.
    #[error("{what}: {reason}")]
    Refused {
        /// What was asked, or of whom.
        what: String,
        /// Its words.
        reason: String,
    },
    /// The host's systemd does not answer, or refuses.
    #[error("systemd: cannot {action}")]
    Bus {
        /// What was asked: `reach the system's bus`, `Reload`.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<zbus::Error>,
    },
    /// A unit of the name that we need is not ours.
    #[error("unit `{unit}` is not ours: {what}")]
    Foreign {
        /// Its name.
        unit: String,
        /// What it is, in words.
        what: String,
    },
    /// A user or group that a service names is not there.
    #[error("{what} `{name}` does not exist")]
    NoUser {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A unit cannot hold what a service says.
    #[error("`{field}` cannot be written into a unit: {reason}")]
    Unwritable {
        /// The manifest's field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// This runtime cannot do that.
    #[error("the runtime `{runtime}` cannot {action}")]
    Unsupported {
        /// Which.
        runtime: &'static str,
        /// What.
        action: &'static str,
    },
}

impl RuntimeError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. } | Self::Start { .. } => ErrorKind::Host,
            Self::Record { source, .. } => source.kind(),
            Self::Busy { .. } | Self::TooLong { .. } | Self::Bus { .. } => ErrorKind::Transient,
            Self::NoRelease { source, .. } => source.kind(),
            Self::Release { .. } | Self::Refused { .. } | Self::NoUser { .. } => ErrorKind::Host,
            Self::NoProgram { .. } | Self::Unsupported { .. } | Self::Unwritable { .. } | Self::Foreign { .. } => {
                ErrorKind::User
            }
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { path, source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                let place = path.parent().unwrap_or(path).display();
                Some(format!("make room on the disk of `{place}`: what runs goes on, and so does this when there is room"))
            }
            Self::Record { source, .. } => source.hint(),
            Self::NoRelease { source, .. } => source.hint(),
            Self::Busy { .. } => Some("wait for it to finish".to_owned()),
            Self::NoProgram { .. } => {
                Some("name a program in the artifact's `bin`, or an absolute path, in `exec.command`".to_owned())
            }
            Self::Bus { .. } => Some("look at `systemctl status`; only root may start units".to_owned()),
            Self::Foreign { unit, .. } => Some(format!(
                "give the service another name, or remove the unit: `systemctl disable --now {unit}`, then its file"
            )),
            Self::NoUser { .. } => Some(
                "create it, let the agent create users, or leave out `exec.user` and `exec.group`: systemd then makes one"
                    .to_owned(),
            ),
            Self::Unwritable { .. } => {
                Some("change it in the manifest; what is longer or stranger belongs into a file on the host".to_owned())
            }
            _ => None,
        }
    }

    /// With its causes on one line, as records and alerts keep it.
    pub fn chain(&self) -> String {
        freehold_model::chain(self)
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
