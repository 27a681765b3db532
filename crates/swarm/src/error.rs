//! What can go wrong with Docker, named by what was tried.

use std::path::PathBuf;

use freehold_model::ErrorKind;

/// Why Docker could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// There is no daemon at the endpoint, or it does not answer.
    #[error("Docker cannot be reached at `{endpoint}`")]
    Reach {
        /// As the CLI names it.
        endpoint: String,
        /// Why not.
        #[source]
        source: Box<bollard::errors::Error>,
    },
    /// An endpoint of a kind that is not known here.
    #[error("the endpoint `{endpoint}` cannot be used: {reason}")]
    Endpoint {
        /// As the CLI names it.
        endpoint: String,
        /// Why not.
        reason: &'static str,
    },
    /// A request was refused, or went wrong on the way.
    #[error("Docker: cannot {action}")]
    Api {
        /// What was asked: `list the services of blog`.
        action: String,
        /// Why not.
        #[source]
        source: Box<bollard::errors::Error>,
    },
    /// Docker gives no answer.
    #[error("Docker: cannot {action}: no answer within {seconds} s")]
    TooLong {
        /// What was asked.
        action: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The docker CLI is not there, or cannot be started.
    #[error("cannot run `docker`")]
    NoCli {
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The docker CLI refuses, in its own words.
    #[error("`docker {command}`: {words}")]
    Cli {
        /// The subcommand.
        command: &'static str,
        /// What it said.
        words: String,
    },
    /// The docker CLI cannot compose stacks yet.
    #[error("the docker CLI {version} is too old: composing a stack needs 23 or newer")]
    OldCli {
        /// As it says.
        version: String,
    },
    /// A value that the docker CLI reads and does not print as it is.
    #[error(
        "the value of `{key}` begins with an empty line and spaces, or only with spaces: the docker CLI does not tell which"
    )]
    Unprinted {
        /// Its key in the composed stack.
        key: String,
    },
    /// An image that this node does not have, and no registry gives.
    #[error("the image `{image}` cannot be pulled: {words}")]
    Pull {
        /// Its name.
        image: String,
        /// What was said.
        words: String,
    },
    /// A command in a container failed.
    #[error("`{command}` in a container of `{service}`: {words}")]
    Exec {
        /// The service.
        service: String,
        /// The command.
        command: String,
        /// What it said.
        words: String,
    },
    /// Not part of a Swarm, or not one that may deploy.
    #[error("this Docker is not the manager of a Swarm: it is {state}")]
    NotManager {
        /// In Docker's words.
        state: String,
    },
    /// A network that must be there is not.
    #[error("there is no overlay network `{network}`")]
    NoNetwork {
        /// Its name.
        network: String,
    },
    /// A volume that must be there is not.
    #[error("there is no volume `{volume}`, and the recipe does not make it")]
    NoVolume {
        /// Its name.
        volume: String,
    },
    /// A config that must be there is not.
    #[error("there is no config `{config}`, and the recipe does not make it")]
    NoConfig {
        /// Its name.
        config: String,
    },
    /// A network of that name is no overlay.
    #[error("the network `{network}` is no overlay network of the Swarm: its driver is `{driver}`")]
    OtherNetwork {
        /// Its name.
        network: String,
        /// What it is.
        driver: String,
    },
    /// A secret of that name is there.
    #[error("the secret `{name}` exists; a secret is never overwritten")]
    SecretExists {
        /// Its name.
        name: String,
    },
    /// Parts of a stack do not go away.
    #[error("the stack `{stack}` is not gone after {seconds} s: {left}")]
    NotGone {
        /// Its name.
        stack: String,
        /// What is left.
        left: String,
        /// How long was waited.
        seconds: u64,
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
    /// A copy is not what it is a copy of.
    #[error("the copy of the volume `{volume}` differs from it: {reason}")]
    Differs {
        /// The volume.
        volume: String,
        /// How.
        reason: String,
    },
    /// A volume whose data Docker itself does not keep: it could not be emptied before a copy is put in its place.
    #[error("a copy of the volume `{volume}` could not be put back: its data lie elsewhere ({place})")]
    Elsewhere {
        /// The volume.
        volume: String,
        /// What its driver or its options say of where.
        place: String,
    },
    /// There is no room on a disk.
    #[error("there is no room for {needed} bytes in `{}`: {free} bytes are free", .path.display())]
    NoRoom {
        /// Where it should go.
        path: PathBuf,
        /// How much is needed.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// There are bytes, and no inodes.
    #[error("there is no room for {needed} files in `{}`: {free} inodes are free", .path.display())]
    NoInodes {
        /// Where they should go.
        path: PathBuf,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        free: u64,
    },
}

impl SwarmError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reach { .. } | Self::TooLong { .. } | Self::NotGone { .. } => ErrorKind::Transient,
            Self::Cli { .. } | Self::SecretExists { .. } | Self::Exec { .. } | Self::Unprinted { .. } => {
                ErrorKind::User
            }
            _ => ErrorKind::Host,
        }
    }

    /// The way out, when there is one.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Reach { endpoint, .. } if endpoint.starts_with("ssh://") => {
                return Some(format!("try `ssh {endpoint} docker version`: it has to work without a question"));
            }
            Self::Reach { .. } => {
                "is it started, and may you use it? Set DOCKER_HOST or `docker context use` for another"
            }
            Self::Cli { command: "context inspect", .. } => {
                "a server is a docker context: `docker context ls` lists them, `docker context create` makes one"
            }
            Self::Endpoint { .. } => "use unix://, ssh://, or tcp:// without TLS on a network of your own",
            Self::NoCli { .. } => "install the docker CLI, version 23 or newer, and put it on the PATH",
            Self::NotManager { state } => match state.as_str() {
                "inactive" => "`freehold app swarm init` makes it one",
                "a worker" => "use a docker context of a manager, or make it one there: `docker node promote`",
                _ => "`docker info` tells why",
            },
            Self::NoNetwork { network } if network == "proxy" => "`freehold app swarm init` makes it",
            Self::NoNetwork { .. } => "make it: `docker network create --driver overlay NAME`",
            Self::NoVolume { .. } => {
                "bring it there with what is to be in it, or make an empty one: `docker volume create NAME`"
            }
            Self::NoConfig { .. } => "make it: `docker config create NAME FILE`",
            Self::OtherNetwork { .. } => "remove it, then `freehold app swarm init`",
            Self::SecretExists { .. } => "`freehold app secret rotate` makes a new version of it",
            Self::NotGone { .. } => "look at `docker ps` on its nodes; it is waited for again by the next run",
            Self::Elsewhere { .. } => {
                "save such data where they lie, with the recipe's hooks for backups or on the server that has them; with \
                 `--stateless` (`\"stateful\": false`) rollouts leave data as they are"
            }
            Self::NoRoom { .. } | Self::NoInodes { .. } => {
                "make room: `freehold app prune` removes images that nothing would go back to"
            }
            Self::OldCli { .. } => {
                "install a newer one (https://docs.docker.com/engine/install), and put it first on the PATH"
            }
            Self::Unprinted { .. } => "leave its first line out, or the spaces behind it",
            Self::Pull { .. } => {
                "is the name right, does the registry answer, and does it want `docker login`? `docker pull` tells more"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// With its causes on one line, as records and alerts keep it.
    pub fn chain(&self) -> String {
        freehold_model::chain(self)
    }

    /// Whether Docker says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Api { source, .. } if status(source) == Some(404))
    }

    /// Whether Docker says that something uses it.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::Api { source, .. } if status(source) == Some(409))
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

pub(crate) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}
