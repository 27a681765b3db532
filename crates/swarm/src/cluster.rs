//! The Swarm itself: made where there is none, with the network that proxied apps share.

use std::collections::HashMap;

use bollard::models::{NetworkCreateRequest, SwarmInitRequest};

use crate::{Docker, SwarmError};

/// What a Docker is in a Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `inactive`, `active`, `pending`, … in Docker's words.
    pub state: String,
    /// Whether it may deploy.
    pub is_manager: bool,
    /// How many nodes it has; 0 when it is no manager.
    pub nodes: u64,
    /// Which of them this Docker is; empty outside of a Swarm.
    pub node: String,
}

/// What of a Swarm had to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Init {
    /// The Swarm.
    pub swarm: bool,
    /// The network.
    pub network: bool,
}

impl Docker {
    /// What this Docker is in a Swarm.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn cluster(&self) -> Result<Cluster, SwarmError> {
        let info = self.ask("ask for its state", self.client.info())?;
        let swarm = info.swarm.unwrap_or_default();
        let state = swarm.local_node_state.map(|state| state.to_string()).unwrap_or_default();
        let is_manager = swarm.control_available.unwrap_or(false);
        let nodes = swarm.nodes.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        let node = swarm.node_id.unwrap_or_default();
        Ok(Cluster { nodes, node, state: if state.is_empty() { "inactive".to_owned() } else { state }, is_manager })
    }

    /// Where a Docker of this machine keeps images and volumes; `None` for one that is elsewhere.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn local_root(&self) -> Result<Option<std::path::PathBuf>, SwarmError> {
        if !self.endpoint.is_local() {
            return Ok(None);
        }
        let info = self.ask("ask for its state", self.client.info())?;
        Ok(info.docker_root_dir.filter(|dir| !dir.is_empty()).map(std::path::PathBuf::from))
    }

    /// Refuses what is no manager.
    ///
    /// # Errors
    /// [`SwarmError::NotManager`].
    pub fn check_manager(&self) -> Result<(), SwarmError> {
        refuse_others(self.cluster()?)
    }

    /// Makes the Swarm when there is none, and the overlay network when it is missing.
    ///
    /// # Errors
    /// [`SwarmError::NotManager`] on a worker, [`SwarmError::OtherNetwork`], and what Docker refuses.
    pub fn init(&self, advertise_address: Option<&str>, network: &str) -> Result<Init, SwarmError> {
        let mut made = Init::default();
        let cluster = self.cluster()?;
        if cluster.state == "inactive" {
            let request = SwarmInitRequest {
                listen_addr: Some("0.0.0.0:2377".to_owned()),
                advertise_addr: advertise_address.map(str::to_owned),
                ..SwarmInitRequest::default()
            };
            self.ask("make a Swarm", self.client.init_swarm(request))?;
            made.swarm = true;
        } else {
            refuse_others(cluster)?;
        }
        match self.check_network(network) {
            Ok(()) => Ok(made),
            Err(SwarmError::NoNetwork { .. }) => {
                let request = NetworkCreateRequest {
                    name: network.to_owned(),
                    driver: Some("overlay".to_owned()),
                    scope: Some("swarm".to_owned()),
                    ..NetworkCreateRequest::default()
                };
                self.ask(format!("make the network `{network}`"), self.client.create_network(request))?;
                made.network = true;
                Ok(made)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an overlay network of that name is there.
    ///
    /// # Errors
    /// [`SwarmError::NoNetwork`], [`SwarmError::OtherNetwork`].
    pub fn check_network(&self, network: &str) -> Result<(), SwarmError> {
        let options = bollard::query_parameters::ListNetworksOptions {
            filters: Some(HashMap::from([("name".to_owned(), vec![network.to_owned()])])),
        };
        let all = self.ask("list networks", self.client.list_networks(Some(options)))?;
        // The filter takes parts of names, too.
        let Some(found) = all.into_iter().find(|one| one.name.as_deref() == Some(network)) else {
            return Err(SwarmError::NoNetwork { network: network.to_owned() });
        };
        let driver = found.driver.unwrap_or_default();
        // `host` and `bridge` of the node may be named by a stack as well.
        if driver == "overlay" || found.scope.as_deref() == Some("swarm") || matches!(network, "host" | "bridge") {
            Ok(())
        } else {
            Err(SwarmError::OtherNetwork { network: network.to_owned(), driver })
        }
    }

    /// Whether a config of that name is there.
    ///
    /// # Errors
    /// [`SwarmError::NoConfig`].
    pub fn check_config(&self, config: &str) -> Result<(), SwarmError> {
        match self.ask(format!("look at the config `{config}`"), self.client.inspect_config(config)) {
            Err(error) if error.is_missing() => Err(SwarmError::NoConfig { config: config.to_owned() }),
            result => result.map(drop),
        }
    }
}

fn refuse_others(cluster: Cluster) -> Result<(), SwarmError> {
    let state = if cluster.state == "active" { "a worker".to_owned() } else { cluster.state };
    if cluster.is_manager { Ok(()) } else { Err(SwarmError::NotManager { state }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    #[test]
    fn who_is_no_manager_is_told_what_helps() {
        let told = |state: &str| {
            let cluster = Cluster { state: state.to_owned(), is_manager: false, nodes: 0, node: String::new() };
            let error = refuse_others(cluster).unwrap_err();
            format!("{error}; {}", error.hint().unwrap())
        };
        assert_eq!(
            told("inactive"),
            "this Docker is not the manager of a Swarm: it is inactive; `freehold app swarm init` makes it one"
        );
        assert_eq!(
            told("active"),
            "this Docker is not the manager of a Swarm: it is a worker; use a docker context of a manager, or make it one \
             there: `docker node promote`"
        );
        assert!(told("locked").ends_with("it is locked; `docker info` tells why"), "{}", told("locked"));
    }
}
