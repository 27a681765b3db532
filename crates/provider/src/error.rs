//! Everything that can go wrong with a call, each as its own variant, with what is needed to mend it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use freehold_model::ErrorKind;
use freehold_protocol::v1::Diagnostic;

use crate::Object;

/// Where it happened: which provider, and what it left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// The provider's name as launched.
    pub provider: String,
    /// Its program.
    pub program: PathBuf,
    /// The end of its standard error.
    pub stderr: String,
    /// How it ended, when it has: `exit status 3`, `signal 9`.
    pub status: Option<String>,
}

/// What a provider says about a failure of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// JSON-RPC code.
    pub code: i64,
    /// Who has to act.
    pub kind: ErrorKind,
    /// What went wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Which inputs are at fault.
    pub diagnostics: Vec<Diagnostic>,
    /// What exists in the world although a create failed.
    pub partial: Option<Object>,
}

/// Why a call has no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The program cannot be started.
    #[error("cannot start provider `{}` (`{}`)", .scene.provider, .scene.program.display())]
    Spawn {
        /// Where.
        scene: Box<Scene>,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// It ended before it had answered `initialize`.
    #[error("provider `{}` ended before it said anything ({})", .scene.provider, status(.scene))]
    ExitedEarly {
        /// Where.
        scene: Box<Scene>,
    },
    /// It did not answer `initialize` in time.
    #[error("provider `{}` did not answer `initialize` within {} s", .scene.provider, .after.as_secs_f32())]
    StartTimedOut {
        /// Where.
        scene: Box<Scene>,
        /// The limit.
        after: Duration,
    },
    /// It speaks no version that we speak.
    #[error("provider `{}` wants protocol version {version}; this program speaks 1 and 0", .scene.provider)]
    Version {
        /// Where.
        scene: Box<Scene>,
        /// What it wants.
        version: u32,
    },
    /// It wrote something that is no message.
    #[error("provider `{}` wrote something that is not a message: {line}", .scene.provider)]
    Rubbish {
        /// Where.
        scene: Box<Scene>,
        /// The beginning of the line, or what is wrong with it where it may hold secrets.
        line: String,
    },
    /// It answered a request that it had not been asked, or answered one twice.
    #[error("provider `{}` answered request {id}, which it was not asked", .scene.provider)]
    Unasked {
        /// Where.
        scene: Box<Scene>,
        /// The id in its answer.
        id: String,
    },
    /// A line was longer than `limits::PROVIDER_MESSAGE_BYTES`.
    #[error("provider `{}` wrote a line of more than {limit} bytes", .scene.provider)]
    LineTooLong {
        /// Where.
        scene: Box<Scene>,
        /// The limit.
        limit: usize,
    },
    /// It ended, or closed its output, while it was working on the call. Whether the work was done is not known.
    #[error("provider `{}` ended in the middle of `{method}` ({})", .scene.provider, status(.scene))]
    DiedMidway {
        /// Where.
        scene: Box<Scene>,
        /// What it was doing.
        method: &'static str,
    },
    /// The call took too long. Whether the work was done is not known.
    #[error("provider `{}` did not finish `{method}` within {} s", .scene.provider, .after.as_secs_f32())]
    TimedOut {
        /// Where.
        scene: Box<Scene>,
        /// What it was doing.
        method: &'static str,
        /// The limit.
        after: Duration,
    },
    /// Its result has another shape than the method's.
    #[error("provider `{}` answered `{method}` with a result of the wrong shape", .scene.provider)]
    BadReply {
        /// Where.
        scene: Box<Scene>,
        /// What it was asked.
        method: &'static str,
        /// What is wrong with it.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// It refused its settings.
    #[error("provider `{}` refuses its configuration: {}", .scene.provider, .error.message)]
    Configure {
        /// Where.
        scene: Box<Scene>,
        /// What it says.
        error: Box<ProviderError>,
    },
    /// The work failed, and this is what the provider says.
    #[error("{}", .error.message)]
    Failed {
        /// Where.
        scene: Box<Scene>,
        /// What it says.
        error: Box<ProviderError>,
    },
    /// The protocol that it speaks has no such request.
    #[error("provider `{}` speaks protocol v{protocol}, which has no `{method}`", .scene.provider)]
    Unsupported {
        /// Where.
        scene: Box<Scene>,
        /// Version.
        protocol: u32,
        /// What was asked.
        method: &'static str,
    },
    /// The call was cancelled on our side.
    #[error("`{method}` was cancelled")]
    Cancelled {
        /// What was asked.
        method: &'static str,
        /// Whether it had been sent, so that it is not known whether the work was done.
        sent: bool,
    },
    /// The process was killed on our side, for another reason than this call.
    #[error("provider `{}` was killed in the middle of `{method}`: {because}", .scene.provider)]
    Killed {
        /// Where.
        scene: Box<Scene>,
        /// What it was doing.
        method: &'static str,
        /// Why.
        because: &'static str,
    },
    /// The pool has been shut down.
    #[error("the provider pool has been shut down")]
    PoolClosed,
}

impl CallError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::Config,
            Self::Spawn { .. } => ErrorKind::Host,
            Self::ExitedEarly { .. } | Self::Version { .. } => ErrorKind::Config,
            Self::Rubbish { .. } | Self::Unasked { .. } | Self::LineTooLong { .. } | Self::BadReply { .. } => {
                ErrorKind::Internal
            }
            Self::DiedMidway { .. } | Self::PoolClosed => ErrorKind::Internal,
            Self::StartTimedOut { .. } | Self::TimedOut { .. } => ErrorKind::Transient,
            Self::Configure { error, .. } | Self::Failed { error, .. } => error.kind,
            Self::Unsupported { .. } | Self::Cancelled { .. } | Self::Killed { .. } => ErrorKind::User,
        }
    }

    /// How to mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn { scene, source } if source.kind() == io::ErrorKind::NotFound => Some(format!(
                "there is no program `{}`: check `provider.executable`, or build it first",
                scene.program.display()
            )),
            Self::Spawn { scene, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("make it executable: chmod +x {}", scene.program.display()))
            }
            Self::ExitedEarly { scene } => {
                Some(format!("run `{}` by hand and see what it says", scene.program.display()))
            }
            Self::StartTimedOut { .. } => Some("does this program read requests from its standard input?".into()),
            Self::Rubbish { .. } => Some("a provider must write nothing but messages to its standard output".into()),
            Self::LineTooLong { .. } | Self::Unasked { .. } | Self::BadReply { .. } => {
                Some("this is a defect of the provider; `freehold provider test` shows such defects".into())
            }
            Self::DiedMidway { .. } | Self::TimedOut { .. } | Self::Killed { .. } => {
                Some("run `freehold plan` to see what exists".into())
            }
            Self::Configure { error, .. } | Self::Failed { error, .. } => error.hint.clone(),
            Self::Unsupported { protocol: 0, method: "delete", .. } => {
                Some("remove the object by hand and drop it from the record with `--forget MEMBER`".into())
            }
            _ => None,
        }
    }

    /// Where it happened.
    pub fn scene(&self) -> Option<&Scene> {
        match self {
            Self::Spawn { scene, .. }
            | Self::ExitedEarly { scene }
            | Self::StartTimedOut { scene, .. }
            | Self::Version { scene, .. }
            | Self::Rubbish { scene, .. }
            | Self::Unasked { scene, .. }
            | Self::LineTooLong { scene, .. }
            | Self::DiedMidway { scene, .. }
            | Self::TimedOut { scene, .. }
            | Self::BadReply { scene, .. }
            | Self::Configure { scene, .. }
            | Self::Failed { scene, .. }
            | Self::Unsupported { scene, .. }
            | Self::Killed { scene, .. } => Some(scene),
            Self::Cancelled { .. } | Self::PoolClosed => None,
        }
    }

    /// The end of the provider's standard error; empty when it said nothing.
    pub fn stderr_tail(&self) -> &str {
        self.scene().map_or("", |scene| &scene.stderr)
    }

    /// Which inputs are at fault, as the provider says.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Configure { error, .. } | Self::Failed { error, .. } => &error.diagnostics,
            _ => &[],
        }
    }

    /// What exists in the world although a create failed.
    pub fn partial(&self) -> Option<&Object> {
        match self {
            Self::Failed { error, .. } => error.partial.as_ref(),
            _ => None,
        }
    }

    /// The same, to be changed: for marking what is a secret in it.
    pub fn partial_mut(&mut self) -> Option<&mut Object> {
        match self {
            Self::Failed { error, .. } => error.partial.as_mut(),
            _ => None,
        }
    }

    /// Whether the work may have been done, wholly or in part, although no reply came.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::DiedMidway { .. }
            | Self::TimedOut { .. }
            | Self::BadReply { .. }
            | Self::Rubbish { .. }
            | Self::Unasked { .. }
            | Self::LineTooLong { .. }
            | Self::Killed { .. } => true,
            Self::Cancelled { sent, .. } => *sent,
            _ => false,
        }
    }
}

fn status(scene: &Scene) -> &str {
    scene.status.as_deref().unwrap_or("it closed its standard output")
}
