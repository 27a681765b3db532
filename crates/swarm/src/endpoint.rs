//! Where Docker is: found as the docker CLI finds it, by `DOCKER_HOST`, its contexts, the default socket.
//!
//! The CLI itself is asked which endpoint a context has, so that its files stay its own affair.

use std::time::Duration;

use bollard::{ClientVersion, Docker as Client};
use serde_json::Value as Json;

use crate::SwarmError;
use crate::cli::run;

/// What a `docker` command would talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The context that is named to the CLI; `None` for whatever it uses by itself.
    pub context: Option<String>,
    /// The address, such as `unix:///var/run/docker.sock`.
    pub address: String,
}

impl Endpoint {
    /// The endpoint of a server as abra names it: `default` is what the CLI uses by itself, all else is a context.
    ///
    /// # Errors
    /// The CLI is missing, or knows no such context.
    pub fn of_server(server: &str) -> Result<Self, SwarmError> {
        let context = (server != "default").then(|| server.to_owned());
        let from_host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        if let (None, Some(address)) = (&context, from_host) {
            return Ok(Self { context, address });
        }
        let mut words = vec!["context", "inspect"];
        words.extend(context.as_deref());
        let said = run("context inspect", &words, freehold_model::limits::DOCKER_COMPOSE)?;
        let json: Json = serde_json::from_slice(&said).unwrap_or_default();
        let address = json.pointer("/0/Endpoints/docker/Host").and_then(Json::as_str).unwrap_or_default().to_owned();
        Ok(Self { context, address })
    }

    /// Whether its daemon is on this machine.
    pub fn is_local(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// The options that make the CLI use this endpoint.
    pub(crate) fn options(&self) -> Vec<&str> {
        self.context.as_deref().map_or(Vec::new(), |context| vec!["--context", context])
    }

    pub(crate) fn connect(&self, patience: Duration, version: &ClientVersion) -> Result<Client, SwarmError> {
        let seconds = patience.as_secs();
        let address = self.address.as_str();
        let wrong = |reason| Err(SwarmError::Endpoint { endpoint: self.address.clone(), reason });
        let client = match address.split_once("://") {
            Some(("unix", path)) => Client::connect_with_unix(path, seconds, version),
            Some(("ssh", _)) => match crate::ssh::connect(address, seconds, version) {
                Some(client) => client,
                None => return wrong("it is not `ssh://[USER@]HOST[:PORT]`"),
            },
            Some(("tcp" | "http", _)) if std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|set| !set.is_empty()) => {
                return wrong("TLS with client certificates is not built in");
            }
            Some(("tcp" | "http", _)) => Client::connect_with_http(address, seconds, version),
            _ => return wrong("it is none of unix://, ssh:// and tcp://"),
        };
        client.map_err(|source| SwarmError::Reach { endpoint: self.address.clone(), source: Box::new(source) })
    }
}
