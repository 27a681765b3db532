//! What can go wrong with recipes' repositories and with the files of apps, by the step that failed.

use std::path::PathBuf;

use freehold_model::ErrorKind;
use freehold_recipe::RecipeError;

/// Why a recipe or an app's file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no git.
    #[error("cannot start `git`")]
    Start {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A remote that is not taken.
    #[error("`{remote}` is not taken as a recipe's repository: {reason}")]
    Remote {
        /// The remote, without what may be a secret in it.
        remote: String,
        /// Why not.
        reason: &'static str,
    },
    /// The repository could not be reached, and there is no mirror of it.
    #[error("cannot fetch the recipe `{recipe}` from {remote}: {reason}")]
    Fetch {
        /// The recipe.
        recipe: String,
        /// Where from.
        remote: String,
        /// In git's words.
        reason: String,
    },
    /// Nothing may be fetched, and there is no mirror.
    #[error("the recipe `{recipe}` was never fetched from {remote}, and nothing is fetched now")]
    Offline {
        /// The recipe.
        recipe: String,
        /// Where from.
        remote: String,
    },
    /// It took too long.
    #[error("git did not {what} within {seconds} s")]
    TimedOut {
        /// What was wanted.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// It was stopped on request.
    #[error("stopped before git could {what}")]
    Stopped {
        /// What was wanted.
        what: &'static str,
    },
    /// More than a recipe may be.
    #[error("the recipe `{recipe}` is too large: {what}")]
    TooLarge {
        /// The recipe.
        recipe: String,
        /// Which limit it broke.
        what: String,
    },
    /// Another process is at the same mirror.
    #[error("the mirror `{mirror}` is in use by another process", mirror = mirror.display())]
    Locked {
        /// The mirror.
        mirror: PathBuf,
    },
    /// git refuses or fails otherwise.
    #[error("git cannot {what}: {reason}")]
    Git {
        /// What was wanted.
        what: &'static str,
        /// In git's words.
        reason: String,
    },
    /// A commit that the repository does not have, or more than one.
    #[error("the recipe `{recipe}` has no commit `{commit}`")]
    NoCommit {
        /// The recipe.
        recipe: String,
        /// As asked for.
        commit: String,
    },
    /// A recipe with files that lead out of it.
    #[error("the recipe `{recipe}` holds `{path}`, which {reason}")]
    Unsafe {
        /// The recipe.
        recipe: String,
        /// The file.
        path: String,
        /// Why it is not taken.
        reason: &'static str,
    },
    /// There is no work tree of the recipe.
    #[error("there is no work tree of the recipe at `{path}`", path = path.display())]
    NoWorkTree {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {what} `{path}`", path = path.display())]
    File {
        /// What was wanted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No such app.
    #[error("there is no app `{domain}`")]
    NoApp {
        /// Its name.
        domain: String,
        /// One that may be meant.
        meant: Option<String>,
    },
    /// The same name on two servers.
    #[error("there are apps `{domain}` on several servers: {}", servers.join(", "))]
    SeveralApps {
        /// Their name.
        domain: String,
        /// The servers.
        servers: Vec<String>,
    },
    /// An app that is there already.
    #[error("there is an app `{domain}` already: `{file}`", file = file.display())]
    AppExists {
        /// Its name.
        domain: String,
        /// Its file.
        file: PathBuf,
    },
    /// A file that somebody else wrote meanwhile.
    #[error("`{file}` was changed by somebody else meanwhile", file = file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// What the files say cannot be taken.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

impl SourceError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Fetch { .. }
            | Self::TimedOut { .. }
            | Self::Stopped { .. }
            | Self::Locked { .. }
            | Self::Changed { .. } => ErrorKind::Transient,
            Self::Start { .. } | Self::File { .. } | Self::Git { .. } => ErrorKind::Host,
            Self::Remote { .. } => ErrorKind::Config,
            Self::Recipe(error) => error.kind(),
            _ => ErrorKind::User,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Start { .. } => "install git (on Debian: `apt-get install git`)".to_owned(),
            Self::Remote { reason, .. } if reason.contains("secret") => {
                "leave it out and let a credential helper of git give it (`git help credentials`)".to_owned()
            }
            Self::Remote { .. } => "write `https://…`, `ssh://…`, `git@host:path` or `file:///…`".to_owned(),
            Self::Fetch { .. } => {
                "is the name right, and can `git ls-remote` reach it without asking? A private one needs a credential helper".to_owned()
            }
            Self::Offline { .. } => "leave `--offline` away once".to_owned(),
            Self::Locked { .. } => "wait for it to end and try again".to_owned(),
            Self::NoCommit { .. } => "give at least 7 characters of a commit that is on a branch or tag".to_owned(),
            Self::NoWorkTree { .. } => "only `--chaos` needs one: `abra recipe fetch` or `git clone` makes it".to_owned(),
            Self::NoApp { meant: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::NoApp { .. } => "`freehold app new` makes one; `freehold app ls` lists them".to_owned(),
            Self::SeveralApps { .. } => "say which with `--server`".to_owned(),
            Self::AppExists { .. } => "`freehold app env` changes its settings".to_owned(),
            Self::Changed { .. } => "look at it, and do it again".to_owned(),
            Self::Recipe(error) => return error.hint(),
            _ => return None,
        })
    }
}

/// For `map_err`: a file that cannot be read or written.
pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.into();
    move |source| SourceError::File { what, path, source }
}
