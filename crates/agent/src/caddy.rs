//! Routes by Caddy: what an agent wants, said to `freehold-router`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use freehold_model::limits;
use freehold_router::{Caddy, Drained, Route as Wanted, RouterError};

use crate::{Route, Router};

/// A router that is the Caddy of this host.
pub struct CaddyRouter {
    caddy: Caddy,
    /// Rollouts at once take turns: each reads all routes and writes them with its own changed.
    turn: Mutex<()>,
}

impl CaddyRouter {
    /// By this Caddy.
    pub fn new(caddy: Caddy) -> Self {
        Self { caddy, turn: Mutex::new(()) }
    }
}

impl Router for CaddyRouter {
    fn sync(&self, wanted: &[Route]) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<Wanted> = wanted.iter().map(to_wanted).collect();
        self.caddy.sync(&wanted).map(drop).map_err(|error| text(&error))
    }

    fn unusable(&self, wanted: &[Route]) -> Vec<(String, String)> {
        let wanted: Vec<Wanted> = wanted.iter().map(to_wanted).collect();
        let named = freehold_router::unusable(&wanted).into_iter();
        named.map(|(service, error)| (service, text(&error))).collect()
    }

    fn switch(&self, service: &str, port: u16) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match self.caddy.switch(service, address(port)) {
            // New, or damaged by somebody: the round's end sets it.
            Ok(_) | Err(RouterError::NoRoute { .. }) => Ok(()),
            Err(error) => Err(text(&error)),
        }
    }

    fn has(&self, service: &str) -> Option<bool> {
        self.caddy.has(service).ok()
    }

    fn drain(&self, port: u16) -> Result<(), String> {
        // Requests that do not end in time are cut off, which is said by nobody but their senders.
        match self.caddy.drain(address(port), limits::AGENT_DRAIN) {
            Ok(Drained::Empty | Drained::Busy { .. }) | Err(RouterError::Away { .. }) => Ok(()),
            Err(error) => Err(text(&error)),
        }
    }
}

fn to_wanted(route: &Route) -> Wanted {
    Wanted {
        service: route.service.clone(),
        domains: route.domains.clone(),
        paths: route.paths.clone(),
        upstream: address(route.port),
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn text(error: &RouterError) -> String {
    match error.hint() {
        Some(hint) => format!("{} ({hint})", error.chain()),
        None => error.chain(),
    }
}
