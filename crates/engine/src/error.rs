//! Why an engine could not do what was asked, apart from what a plan or a run reports member by member.

use std::path::PathBuf;

use freehold_eval::EvalError;
use freehold_model::{ErrorKind, MemberPath, did_you_mean};
use freehold_plan::Stale;
use freehold_state::StateError;
use freehold_store::StoreError;

/// Why something could not be done at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no deployment here.
    #[error("there is no deployment in `{}`", dir.display())]
    NoEntry {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The entry file cannot be read.
    #[error("cannot read the deployment `{}`", file.display())]
    ReadEntry {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--override-input` without a flake.
    #[error("input `{input}` cannot be overridden: the deployment is a file, not a flake")]
    OverrideWithoutFlake {
        /// Which.
        input: String,
    },
    /// The evaluator.
    #[error(transparent)]
    Evaluate(#[from] EvalError),
    /// Nix, before anything is asked of it.
    #[error(transparent)]
    Nix(#[from] StoreError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A saved plan does not hold any more.
    #[error("the saved plan no longer holds: {}", list_stale(.0))]
    StalePlan(Vec<Stale>),
    /// A saved plan of another deployment.
    #[error("the saved plan was made against another state (lineage `{theirs}`, here `{ours}`)")]
    ForeignPlan {
        /// As saved.
        theirs: String,
        /// As it is.
        ours: String,
    },
    /// A member that does not exist, or has no record.
    #[error("there is no member `{member}`{what}")]
    NoMember {
        /// Which.
        member: MemberPath,
        /// In what respect.
        what: &'static str,
        /// The nearest that does exist.
        suggestion: Option<String>,
    },
    /// Something about one member.
    #[error("`{member}`: {message}")]
    Member {
        /// Which.
        member: MemberPath,
        /// Who has to act.
        kind: ErrorKind,
        /// What is wrong.
        message: String,
        /// How to mend it.
        hint: Option<String>,
    },
    /// A provider that cannot be asked.
    #[error("provider `{provider}`: {message}")]
    Provider {
        /// Which.
        provider: String,
        /// Who has to act.
        kind: ErrorKind,
        /// What is wrong.
        message: String,
        /// How to mend it.
        hint: Option<String>,
    },
    /// The operator stopped an operation that was running.
    #[error("`{operation}` of `{member}` was stopped before it ended")]
    Stopped {
        /// Whose.
        member: MemberPath,
        /// Which.
        operation: String,
    },
    /// The operator stopped it before anything was done.
    #[error("stopped before anything was changed")]
    Interrupted,
}

/// The member that was probably meant.
pub(crate) fn nearest<'a>(member: &MemberPath, known: impl IntoIterator<Item = &'a MemberPath>) -> Option<String> {
    let known: Vec<String> = known.into_iter().map(ToString::to_string).collect();
    did_you_mean(&member.to_string(), known.iter().map(String::as_str)).map(str::to_owned)
}

impl EngineError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEntry { .. } | Self::OverrideWithoutFlake { .. } | Self::NoMember { .. } => ErrorKind::User,
            Self::Stopped { .. } | Self::Interrupted | Self::StalePlan(_) | Self::ForeignPlan { .. } => ErrorKind::User,
            Self::ReadEntry { .. } => ErrorKind::Host,
            Self::Evaluate(e) => e.kind(),
            Self::Nix(e) => e.kind(),
            Self::State(e) => e.kind(),
            Self::Member { kind, .. } | Self::Provider { kind, .. } => *kind,
        }
    }

    /// What would mend it.
    pub fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::NoEntry { .. } => one("`freehold init` starts one here; `--file PATH` names one that is elsewhere"),
            Self::ReadEntry { .. } => one("check the path given with `--file`"),
            Self::OverrideWithoutFlake { .. } => {
                one("leave out `--override-input`, or use a deployment that is a flake")
            }
            Self::Evaluate(e) => e.hint().into_iter().collect(),
            Self::Nix(e) => e.hint().into_iter().collect(),
            Self::State(e) => e.hint().into_iter().collect(),
            Self::StalePlan(_) => one("make a new plan with `freehold plan --out FILE`"),
            Self::ForeignPlan { .. } => one("apply it in the deployment (and with the `--state`) that it was made for"),
            Self::NoMember { suggestion, .. } => match suggestion {
                Some(name) => vec![format!("did you mean `{name}`?")],
                None => one("`freehold members` lists them"),
            },
            Self::Member { hint, .. } | Self::Provider { hint, .. } => hint.iter().cloned().collect(),
            Self::Stopped { .. } => one("what it has done until then stays; run it again when that is safe"),
            Self::Interrupted => Vec::new(),
        }
    }
}

fn list_stale(stale: &[Stale]) -> String {
    stale.iter().map(|s| format!("`{}` {}", s.member, s.why)).collect::<Vec<_>>().join("; ")
}
