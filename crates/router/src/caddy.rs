//! What one can do with routes: have exactly these, switch one, drain an upstream, take one away, look.
//!
//! Each is a loop of reading, deciding and one guarded write, until reading shows what is wanted.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use freehold_model::limits;
use serde_json::Value as Json;

use crate::admin::{Admin, Snapshot, Written};
use crate::change::{self, Write};
use crate::endpoint::Endpoint;
use crate::error::RouterError;
use crate::layout::{self, Layout, Wish};
use crate::route::{self, Route};
use crate::settings::Settings;

/// A Caddy whose admin API can be reached, and the routes in it that are ours. May be used from several threads.
pub struct Caddy {
    admin: Admin,
    settings: Settings,
}

/// What a change of routes came to; services by name, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synced {
    /// They had no route.
    pub added: Vec<String>,
    /// They had another route.
    pub replaced: Vec<String>,
    /// Their route is gone.
    pub removed: Vec<String>,
    /// Writes that took effect; each reloads Caddy. 0 when everything was as wanted.
    pub writes: u32,
}

/// What a switch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// Where requests went before: what is to be drained, and may be stopped then. `None` when it was switched already.
    pub from: Option<SocketAddr>,
    /// Writes that took effect; 0 when it was switched already.
    pub writes: u32,
}

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// No request is under way.
    Empty,
    /// The limit is over.
    Busy {
        /// Requests that are still under way.
        requests: u64,
    },
}

/// Decides what a configuration is to become.
type Decide<'a> = dyn Fn(&Json, &Wish<'_>) -> Result<Layout, RouterError> + 'a;

impl Caddy {
    /// With the settings of the agent: automatic HTTPS on Caddy's own ports. Nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let settings = Settings::default();
        Self { admin: Admin::new(endpoint, settings.patience), settings }
    }

    /// With these settings.
    ///
    /// # Errors
    /// An owner or a listen address that cannot be used.
    pub fn with_settings(endpoint: Endpoint, settings: Settings) -> Result<Self, RouterError> {
        settings.check()?;
        Ok(Self { admin: Admin::new(endpoint, settings.patience), settings })
    }

    /// Our routes as Caddy has them now, by service; one that was damaged by hand is left out, and mended by the next sync.
    ///
    /// # Errors
    /// Caddy is away, closed or slow.
    pub fn routes(&self) -> Result<Vec<Route>, RouterError> {
        Ok(layout::routes_in(&self.admin.read()?.config, &self.settings).into_values().collect())
    }

    /// Whether a service has a route in it: one small question, to notice that Caddy was restarted without our routes.
    ///
    /// # Errors
    /// Caddy is away, closed or slow.
    pub fn has(&self, service: &str) -> Result<bool, RouterError> {
        self.admin.has(&format!("{}{service}", self.settings.prefix()))
    }

    /// Sees to it that exactly these are our routes: adds, replaces in place, removes, in one write. Reads once and writes nothing
    /// when they are already. What is not ours is neither changed nor reordered.
    ///
    /// # Errors
    /// Routes that cannot be or overlap (before anything is sent); Caddy is away, closed, slow or refuses; others keep writing.
    pub fn sync(&self, wanted: &[Route]) -> Result<Synced, RouterError> {
        let wanted = route::checked(wanted)?;
        self.settle(&|config, wish| layout::lay_out(config, &wanted, wish))
    }

    /// Takes away the route of one service; others stay. Requests that are under way are finished; Caddy before 2.11 does not count
    /// them any more, so [`drain`](Self::drain) does not wait for them.
    ///
    /// # Errors
    /// As of [`sync`](Self::sync).
    pub fn remove(&self, service: &str) -> Result<Synced, RouterError> {
        self.settle(&|config, wish| Ok(layout::remove(config, service, wish.settings)))
    }

    /// Sends the requests of a service to another upstream, in one write; no request is lost. The former upstream goes on with what
    /// it has: see [`drain`](Self::drain).
    ///
    /// # Errors
    /// [`RouterError::NoRoute`] when the service has none, otherwise as of [`sync`](Self::sync).
    pub fn switch(&self, service: &str, upstream: SocketAddr) -> Result<Switched, RouterError> {
        if upstream.port() == 0 || upstream.ip().is_unspecified() {
            return Err(route::unreachable(service, upstream));
        }
        let from = Cell::new(None);
        let synced = self.settle(&|config, wish| {
            let (layout, before) = layout::switch(config, service, upstream, wish)?;
            // The first look tells: after our own write it is the new one.
            from.set(from.get().or(Some(before)));
            Ok(layout)
        })?;
        Ok(Switched { from: from.get().filter(|before| *before != upstream), writes: synced.writes })
    }

    /// Waits until Caddy has no request under way to an upstream that was switched away from, or the limit is over (an hour at most).
    /// Upgraded connections, such as WebSockets, count until they are closed.
    ///
    /// # Errors
    /// Caddy is away (then nothing is under way), closed or slow.
    pub fn drain(&self, upstream: SocketAddr, limit: Duration) -> Result<Drained, RouterError> {
        let deadline = Instant::now() + limit.min(limits::ROUTER_DRAIN);
        let mut empty_looks = 0;
        loop {
            let requests = self.admin.requests()?.get(&upstream.to_string()).copied().unwrap_or(0);
            empty_looks = if requests == 0 { empty_looks + 1 } else { 0 };
            if empty_looks >= limits::ROUTER_DRAIN_LOOKS {
                return Ok(Drained::Empty);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Drained::Busy { requests });
            }
            std::thread::sleep(limits::ROUTER_DRAIN_PAUSE.min(left));
        }
    }

    fn settle(&self, decide: &Decide<'_>) -> Result<Synced, RouterError> {
        let mut synced = Synced::default();
        let mut refused: Option<String> = None;
        // A write whose answer was lost: the next look tells whether it took effect.
        let mut open = None;
        let mut trouble = RouterError::Busy { attempts: limits::ROUTER_ATTEMPTS };
        for attempt in 1..=limits::ROUTER_ATTEMPTS {
            let snapshot = self.admin.read()?;
            let Some((write, layout)) = self.next_write(&snapshot, decide)? else {
                return Ok(open.unwrap_or(synced));
            };
            let Layout { added, replaced, removed, .. } = layout;
            let after = Synced { added, replaced, removed, writes: synced.writes + 1 };
            open = None;
            match self.admin.write(&write, &snapshot.tag) {
                Ok(Written::Done) => {
                    trouble = RouterError::NotTaken { attempts: attempt };
                    synced = after;
                }
                Ok(Written::Changed) => {
                    // A few times may be others who write and take it back.
                    if attempt == limits::ROUTER_ATTEMPTS && refused.as_ref() == Some(&snapshot.tag) {
                        return Err(RouterError::Unguarded { reason: "it does not take its own tag back" });
                    }
                    refused = Some(snapshot.tag);
                    trouble = RouterError::Busy { attempts: attempt };
                    std::thread::sleep(pause(attempt));
                }
                // The tag keeps a second write from doing harm.
                Err(error @ RouterError::Lost { .. }) => {
                    trouble = error;
                    open = Some(after);
                    std::thread::sleep(pause(attempt));
                }
                Err(error) => return Err(error),
            }
        }
        Err(trouble)
    }

    /// What is to be written; `None` when everything is as wanted.
    fn next_write(&self, snapshot: &Snapshot, decide: &Decide<'_>) -> Result<Option<(Write, Layout)>, RouterError> {
        let mut wish = Wish { settings: &self.settings, close_delay: snapshot.is_recent, busy: None };
        let layout = decide(&snapshot.config, &wish)?;
        let Some(write) = change::between(&snapshot.config, &layout.config) else { return Ok(None) };
        if !layout.has_former {
            return Ok(Some((write, layout)));
        }
        // Only now, since there is a write anyway: what nobody uses any more is forgotten with it.
        let requests = self.admin.requests()?.into_iter().filter(|(_, requests)| *requests > 0);
        let busy: BTreeSet<SocketAddr> = requests.filter_map(|(address, _)| address.parse().ok()).collect();
        wish.busy = Some(&busy);
        let layout = decide(&snapshot.config, &wish)?;
        Ok(change::between(&snapshot.config, &layout.config).map(|write| (write, layout)))
    }
}

/// Between half and the whole of the doubled pause.
fn pause(attempt: u32) -> Duration {
    let full = limits::ROUTER_PAUSE.saturating_mul(1 << attempt.min(16)).min(limits::ROUTER_PAUSE_MAX);
    let random = std::hash::RandomState::new().build_hasher().finish();
    full / 2 + full / 2 * u32::try_from(random % 1000).unwrap_or(0) / 1000
}
