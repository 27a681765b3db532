//! What one says once about the routes of an owner.

use std::time::Duration;

use freehold_model::limits;

use crate::error::RouterError;

/// Whose routes these are and how they are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Tells our routes from those of another program of ours on the same Caddy: lower-case letters, digits and `_`. No two
    /// programs may have the same. `agent` when nothing is said.
    pub owner: String,
    /// Listen addresses in Caddy's spelling, such as `:443`. Routes go to the server that listens on one of these ports; when there is
    /// none, a server of our own is made that listens on all of them. When empty: Caddy's port for HTTPS (443, or `https_port`),
    /// with [`Https::Off`] that for HTTP (80, or `http_port`).
    pub listen: Vec<String>,
    /// Where certificates come from.
    pub https: Https,
    /// How long upgraded connections (such as WebSockets) live on after a change of routes; Caddy before 2.8 is not told.
    pub stream_close_delay: Duration,
    /// How long one request to the admin API may take.
    pub patience: Duration,
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Https {
    /// As Caddy does it by itself: from a public authority, by the names of the routes.
    #[default]
    Automatic,
    /// From Caddy's internal authority, which clients do not trust by themselves: for tests and closed networks.
    Internal,
    /// None: something in front of Caddy does it.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: "agent".to_owned(),
            listen: Vec::new(),
            https: Https::default(),
            stream_close_delay: limits::ROUTER_STREAM_CLOSE,
            patience: limits::ROUTER_ANSWER,
        }
    }
}

impl Settings {
    /// Refuses what could be taken for something else in an `@id`, and addresses without a port.
    pub(crate) fn check(&self) -> Result<(), RouterError> {
        // Without `-`: it ends the owner in the name of a route.
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !(1..=limits::ROUTER_OWNER_BYTES).contains(&self.owner.len()) || !self.owner.chars().all(is_allowed) {
            return Err(RouterError::Owner { owner: self.owner.clone() });
        }
        match self.listen.iter().find(|address| ports_of(address).is_none()) {
            Some(address) => Err(RouterError::Listen { address: address.clone() }),
            None => Ok(()),
        }
    }

    /// Names of our routes begin with it.
    pub(crate) fn prefix(&self) -> String {
        format!("freehold-{}-", self.owner)
    }

    /// The `@id` of our own server; no route can have it.
    pub(crate) fn server_id(&self) -> String {
        format!("freehold-{}:server", self.owner)
    }

    /// The `@id` of our policy for certificates; no route can have it.
    pub(crate) fn policy_id(&self) -> String {
        format!("freehold-{}:tls", self.owner)
    }
}

/// First and last port of a listen address of Caddy (`[NETWORK/]HOST:PORT[-PORT]`); `None` for sockets and what is none.
pub(crate) fn ports_of(address: &str) -> Option<(u16, u16)> {
    let address = match address.split_once('/') {
        Some((network, rest)) if network.starts_with("tcp") => rest,
        Some(_) => return None,
        None => address,
    };
    let ports = address.rsplit_once(':')?.1;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_every_spelling_of_an_address() {
        for (address, ports) in [
            (":443", Some((443, 443))),
            ("0.0.0.0:80", Some((80, 80))),
            ("[::]:443", Some((443, 443))),
            ("tcp/:443", Some((443, 443))),
            ("tcp4/127.0.0.1:8000-8010", Some((8000, 8010))),
            ("udp/:443", None),
            ("unix//run/x.sock", None),
            ("localhost", None),
            (":http", None),
            (":70000", None),
        ] {
            assert_eq!(ports_of(address), ports, "{address}");
        }
    }

    #[test]
    fn an_owner_cannot_be_taken_for_another() {
        let owned_by = |owner: &str| Settings { owner: owner.to_owned(), ..Settings::default() }.check();
        assert!(owned_by("agent").is_ok() && owned_by("ci_2").is_ok());
        for owner in ["", "a-b", "A", "a:b", "a/b", "ä", &"a".repeat(33)] {
            assert!(matches!(owned_by(owner), Err(RouterError::Owner { .. })), "{owner}");
        }
    }
}
