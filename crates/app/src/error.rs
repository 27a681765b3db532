//! What can go wrong with an app beside Docker, git and the recipe's own text.

use std::path::PathBuf;

use freehold_model::ErrorKind;
use freehold_recipe::RecipeError;
use freehold_recipe_source::SourceError;
use freehold_rollout::{ReleaseError, SettingsError};
use freehold_runtime::RuntimeError;
use freehold_swarm::SwarmError;

/// Why something about an app could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Docker.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The recipe, or the app's `.env`.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The recipe's repository, or `$ABRA_DIR`.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Records and alerts.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// No release can be made of it.
    #[error("no release can be made of `{domain}`")]
    Release {
        /// The app.
        domain: String,
        /// Why not.
        #[source]
        source: ReleaseError,
    },
    /// It is declared as an app of another recipe.
    #[error("`{domain}` is an app of the recipe `{said}`, and `{recipe}` is declared")]
    OtherRecipe {
        /// The app.
        domain: String,
        /// What is declared.
        recipe: String,
        /// What its `.env` says.
        said: String,
    },
    /// Its settings cannot be used.
    #[error("the settings of `{domain}` cannot be used")]
    Settings {
        /// The app.
        domain: String,
        /// Why not.
        #[source]
        source: SettingsError,
    },
    /// A settings file is none.
    #[error("`{}` holds no settings of an app: {reason}", .path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Settings of one app are given for another.
    #[error("the settings are for `{settings}`, not for `{domain}`")]
    OtherApp {
        /// The app that is meant.
        domain: String,
        /// The app that they are for.
        settings: String,
    },
    /// A file of ours cannot be used.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Lint found what would fail.
    #[error("the app cannot be deployed: {findings}")]
    Lint {
        /// What was found.
        findings: String,
        /// The way out of the first.
        hint: String,
    },
    /// Docker refuses something that stands in the recipe.
    #[error("{at}")]
    Refused {
        /// Where.
        at: freehold_recipe::Place,
        /// What it says.
        #[source]
        source: SwarmError,
    },
    /// A config or a secret is made of a file that is not there.
    #[error("{at}`{key}` is made of `{path}`, which the recipe does not have")]
    NoFile {
        /// Where it is declared, with a colon.
        at: String,
        /// The config or secret.
        key: String,
        /// The file.
        path: String,
    },
    /// A version that is to come next comes before the one that runs.
    #[error("`{version}` is not newer than `{running}`")]
    NotNewer {
        /// The version that was asked for.
        version: String,
        /// The one that runs.
        running: String,
        /// The app.
        domain: String,
    },
    /// A setting that the recipe cannot do without.
    #[error("the setting `{name}` is required and not set{reason}")]
    Required {
        /// The app.
        domain: String,
        /// The variable.
        name: String,
        /// What the recipe says of it, with a colon.
        reason: String,
    },
    /// Secrets that are to be removed are in use.
    #[error("`{domain}` runs and uses {}", .names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    SecretsUsed {
        /// The app.
        domain: String,
        /// Their names in the Swarm.
        names: Vec<String>,
    },
    /// A secret's file cannot be decrypted.
    #[error("cannot decrypt `{}`: {reason}", .file.display())]
    Sops {
        /// The file.
        file: PathBuf,
        /// What sops says.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A version that is not older than the one that runs.
    #[error("`{version}` is not older than `{running}`, which runs")]
    NotOlder {
        /// As asked for.
        version: String,
        /// What runs.
        running: String,
    },
    /// Secrets that a service needs are not in the Swarm.
    #[error("the app needs secrets that the Swarm does not have: {}", .names.join(", "))]
    NoSecrets {
        /// The app.
        domain: String,
        /// The version that needs them, when it is one of the recipe's.
        version: Option<String>,
        /// Their names.
        names: Vec<String>,
    },
    /// The app has no such secret.
    #[error("the app has no secret `{name}`")]
    NoSecret {
        /// As asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A secret that only a person can give.
    #[error("the secret `{name}` is not made up: the recipe says `generate=false`")]
    NotMadeUp {
        /// Its key.
        name: String,
    },
    /// A secret whose version no variable holds.
    #[error("the secret `{name}` cannot be rotated: no variable of the .env holds its version")]
    NotRotatable {
        /// Its key.
        name: String,
    },
    /// A release was composed under another `.env`, and what was composed is gone.
    #[error("`{release}` cannot be composed again: the .env of the app has changed since")]
    EnvChanged {
        /// Its identity.
        release: String,
    },
    /// There is no such copy.
    #[error("there is no snapshot `{name}`")]
    NoSnapshot {
        /// Its name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A name that no copy can have.
    #[error("`{name}` cannot be the name of a snapshot")]
    SnapshotName {
        /// As asked for.
        name: String,
    },
    /// A copy of that name is there; it is not replaced.
    #[error("there is a snapshot `{name}` already")]
    SnapshotExists {
        /// Its name.
        name: String,
    },
    /// A copy was being put back by hand, and that was broken off.
    #[error("the data of `{domain}` are not whole: putting `{snapshot}` back was broken off")]
    Restoring {
        /// The app.
        domain: String,
        /// The copy.
        snapshot: String,
    },
    /// The stack runs, and must not.
    #[error("`{domain}` runs")]
    Runs {
        /// The app.
        domain: String,
    },
    /// Two apps have one stack.
    #[error("`{domain}` and `{other}` have the same stack, `{stack}`: each would replace the other")]
    SharedStack {
        /// The app.
        domain: String,
        /// The app that has it as well.
        other: String,
        /// Its name.
        stack: String,
        /// The one that is to have another: the other one, where this one runs.
        renamed: String,
    },
    /// `STACK_NAME` was changed while the app runs.
    #[error(
        "`{domain}` runs as the stack `{before}`, and its .env names it `{now}` now: that would be a second one, without its data"
    )]
    StackRenamed {
        /// The app.
        domain: String,
        /// The name under which it runs.
        before: String,
        /// The name that the `.env` gives.
        now: String,
    },
    /// The stack that is to go was not deployed as this app.
    #[error("the stack `{stack}` was not deployed as `{domain}`: no service of it says that it is a Co-op Cloud app")]
    NotOurs {
        /// The app.
        domain: String,
        /// The stack.
        stack: String,
    },
    /// What runs could not be gone back to.
    #[error("there would be no way back to `{release}`, which runs: it cannot be composed")]
    NoWayBack {
        /// Its identity.
        release: String,
        /// Why not.
        #[source]
        source: Box<AppError>,
    },
    /// A stack of that name that was not deployed from here.
    #[error("`{domain}` runs as others have deployed it")]
    Foreign {
        /// The app.
        domain: String,
    },
    /// Nothing runs, or no such service.
    #[error("{} of `{domain}` does not run", .service.as_ref().map_or_else(|| "the stack".to_owned(), |name| format!("the service `{name}`")))]
    NotRunning {
        /// The app, or its stack.
        domain: String,
        /// The service that is meant.
        service: Option<String>,
        /// Those that run.
        known: Vec<String>,
    },
    /// A service runs where this endpoint does not reach its containers.
    #[error("the service `{service}` of `{domain}` runs on another node")]
    OtherNode {
        /// The app.
        domain: String,
        /// The service.
        service: String,
    },
    /// Docker keeps what was to be removed.
    #[error("of `{domain}` there is still {}", .names.join(", "))]
    Left {
        /// The app.
        domain: String,
        /// Secrets and volumes.
        names: Vec<String>,
    },
    /// What was stopped or started anew does not run.
    #[error("it does not run again: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// There is no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// Stopped by the operator before it was done.
    #[error("stopped; the next run goes on from here")]
    Stopped,
}

impl AppError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Swarm(error) => error.kind(),
            Self::Recipe(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Release { source, .. } => source.kind(),
            Self::Settings { source, .. } => source.kind(),
            Self::Refused { source, .. } => source.kind(),
            Self::NoWayBack { source, .. } => source.kind(),
            Self::File { .. } | Self::Random | Self::NotStarted { .. } | Self::Left { .. } => ErrorKind::Host,
            Self::Stopped => ErrorKind::Transient,
            _ => ErrorKind::User,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Swarm(error) => error.hint(),
            Self::Recipe(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Release { source, .. } => source.hint(),
            Self::Settings { source, .. } => source.hint(),
            Self::Refused { source, .. } => source.hint(),
            Self::OtherRecipe { domain, said, .. } => Some(format!(
                "an app keeps its recipe, for its data are that recipe's: declare `{said}`, give the new app another domain, or take this one away with `freehold app rm {domain}`; where the same recipe lies elsewhere now, change TYPE in its .env"
            )),
            Self::Required { domain, name, .. } => Some(format!("`freehold app env {domain} {name}=VALUE` sets it")),
            Self::SecretsUsed { domain, .. } => Some(format!("`freehold app undeploy {domain}` first")),
            Self::Sops { hint, .. } => Some(hint.clone()),
            Self::NoFile { path, .. } if path.starts_with('/') => {
                Some("configs and secrets are made of files of the recipe, never of the host".to_owned())
            }
            Self::NoFile { .. } => Some("take another version; this one is not whole".to_owned()),
            Self::NotNewer { version, domain, .. } => {
                Some(format!("`freehold app rollback {domain} {version}` goes back"))
            }
            Self::NotOlder { .. } => Some("`freehold app upgrade` goes forward".to_owned()),
            Self::Lint { hint, .. } => Some(hint.clone()),
            Self::NoSecrets { domain, version, .. } => {
                // Without it the version that is pinned is meant, which may need fewer.
                let version = version.as_ref().map_or_else(String::new, |version| format!(" --version {version}"));
                Some(format!(
                    "`freehold app secret generate {domain}{version}` makes those that can be made up, \
                     `freehold app secret insert {domain} NAME{version}` takes others"
                ))
            }
            Self::NoSecret { known, .. } if known.is_empty() => Some("it has none at all".to_owned()),
            Self::NoSecret { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::NotMadeUp { .. } => {
                Some("give its value to `secret insert`, or to `secret rotate`, with `--file FILE` or `-`".to_owned())
            }
            Self::NotRotatable { .. } => Some("the recipe has to name it `…_${SECRET_NAME_VERSION}`".to_owned()),
            Self::NoSnapshot { known, .. } if known.is_empty() => Some("there is none".to_owned()),
            Self::NoSnapshot { known, .. } => Some(format!("there is {}", known.join(", "))),
            Self::SnapshotName { .. } => {
                Some("it is no path, does not begin with a dot, and does not end in `.draft`".to_owned())
            }
            Self::SnapshotExists { .. } => Some("take another name, or leave `--name` out".to_owned()),
            Self::Restoring { domain, snapshot } => Some(format!(
                "`freehold app restore {domain} {snapshot}` finishes it, or another copy with the same volumes"
            )),
            Self::OtherNode { .. } => {
                Some("use the docker context of that node: `docker stack ps` names it".to_owned())
            }
            Self::NotRunning { known, .. } if known.is_empty() => Some("`freehold app deploy` starts it".to_owned()),
            Self::NotRunning { known, .. } => Some(format!("there is {}", known.join(", "))),
            Self::Runs { domain } => Some(format!("`freehold app undeploy {domain}` first")),
            Self::SettingsFile { .. } => Some("it is JSON with `\"format\": \"freehold.app-settings/1\"`".to_owned()),
            _ => self.hint_of_stack(),
        }
    }

    /// The way out where something stands between an app and its stack.
    fn hint_of_stack(&self) -> Option<String> {
        match self {
            Self::SharedStack { renamed, .. } => Some(format!(
                "`freehold app env {renamed} STACK_NAME=NAME` gives that one a stack of its own; if one of the two is no longer used, \
                 delete its .env file"
            )),
            Self::StackRenamed { domain, before, now } => Some(format!(
                "`freehold app env {domain} STACK_NAME={before}` goes on with it; to rename it, undeploy it under that name first, and \
                 bring its volumes from `{before}_…` to `{now}_…`"
            )),
            Self::NotOurs { domain, .. } => {
                Some(format!("`freehold app undeploy {domain} --take-over` takes it away all the same"))
            }
            Self::NoWayBack { source, .. } => Some(match &**source {
                Self::EnvChanged { .. } => {
                    "put the .env back as it was, `freehold app deploy`, and change it after that".to_owned()
                }
                other => other.hint().unwrap_or_else(|| "mend that, or `freehold app undeploy` first".to_owned()),
            }),
            Self::Foreign { domain } => Some(format!(
                "nothing here could start it again as it is: `freehold app undeploy {domain} --take-over` first, \
                 and `freehold app deploy {domain}` afterwards"
            )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_one_that_works() {
        let domain = || "x.example.org".to_owned();
        let hint = |error: AppError| error.hint().unwrap();
        // What is taken up as it runs has no label of ours: only stopping it makes it ours to start.
        let foreign = hint(AppError::Foreign { domain: domain() });
        assert!(foreign.contains("`freehold app undeploy x.example.org --take-over` first"), "{foreign}");
        let secrets = |version: Option<&str>| {
            hint(AppError::NoSecrets { domain: domain(), version: version.map(str::to_owned), names: Vec::new() })
        };
        let generate = "`freehold app secret generate x.example.org";
        assert!(secrets(Some("2.0.0+9")).starts_with(&format!("{generate} --version 2.0.0+9` makes")));
        assert!(secrets(None).starts_with(&format!("{generate}` makes")));
    }
}
