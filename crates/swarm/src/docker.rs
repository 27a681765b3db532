//! The connection: one daemon, asked one thing at a time, each with a limit of time.
//!
//! The client underneath is asynchronous; nobody outside of this crate sees that.

use std::future::Future;
use std::time::Duration;

use bollard::{ClientVersion, Docker as Client};
use freehold_model::limits;

use crate::error::status;
use crate::{Endpoint, SwarmError};

/// A daemon that answers.
#[derive(Debug)]
pub struct Docker {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Docker {
    /// Connects, and agrees on the version of the API.
    ///
    /// # Errors
    /// [`SwarmError::Reach`], [`SwarmError::Endpoint`].
    pub fn connect(endpoint: Endpoint) -> Result<Self, SwarmError> {
        // Each question has a limit of its own; the client's must not come before it.
        let connect = |version: &ClientVersion| endpoint.connect(limits::DOCKER_COPY, version);
        let mut client = connect(bollard::API_DEFAULT_VERSION)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SwarmError::file("start the client of", endpoint.address.clone()))?;
        let reach = |source| SwarmError::Reach { endpoint: endpoint.address.clone(), source: Box::new(source) };
        let version = runtime.block_on(async { tokio::time::timeout(limits::DOCKER_CALL, client.version()).await });
        let Ok(version) = version else {
            return Err(SwarmError::TooLong {
                action: format!("reach `{}`", endpoint.address),
                seconds: limits::DOCKER_CALL.as_secs(),
            });
        };
        let spoken = match version {
            Ok(version) => version.api_version,
            // An older daemon refuses a newer client, and says how new one may be.
            Err(error) => match most_of(&error) {
                Some(most) => Some(most),
                None => return Err(reach(error)),
            },
        };
        if let Some(older) = spoken.and_then(|text| parse(&text)).filter(|version| *version < client.client_version()) {
            client = connect(&older)?;
        }
        Ok(Self { endpoint, client, runtime })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks one thing. `action` completes `cannot …`.
    pub(crate) fn ask<T>(
        &self,
        action: impl Into<String>,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, SwarmError> {
        self.ask_within(limits::DOCKER_CALL, action, question)
    }

    pub(crate) fn ask_within<T>(
        &self,
        limit: Duration,
        action: impl Into<String>,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, SwarmError> {
        match self.runtime.block_on(async { tokio::time::timeout(limit, question).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) if status(&source) == Some(503) && source.to_string().contains("not a swarm manager") => {
                let is_worker = source.to_string().contains("Worker nodes");
                Err(SwarmError::NotManager { state: if is_worker { "a worker" } else { "inactive" }.to_owned() })
            }
            Ok(Err(source)) => Err(SwarmError::Api { action: action.into(), source: Box::new(source) }),
            Err(_) => Err(SwarmError::TooLong { action: action.into(), seconds: limit.as_secs() }),
        }
    }

    /// Lets something asynchronous of ours run to its end.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// The newest version that a daemon would have taken.
fn most_of(error: &bollard::errors::Error) -> Option<String> {
    let text = error.to_string();
    let most = text.split("Maximum supported API version is ").nth(1).filter(|_| status(error) == Some(400));
    most.map(|most| most.trim().to_owned())
}

fn parse(version: &str) -> Option<ClientVersion> {
    let (major, minor) = version.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}
