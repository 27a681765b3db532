//! Which routes a host is to have: those of every service that was ever found healthy here, to where it listens now.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use freehold_manifest::{HttpRoute, Service};
use freehold_rollout::Release;
use freehold_runtime::{Instance, ServiceRelease, write_durably};

use crate::agent::Shared;
use crate::alerts::ROUTES;
use crate::workload::Converged;
use crate::{Route, Router};

/// The file that remembers by which domains and paths the good release of each service is reached: a release that was taken back
/// takes its new domains with it.
const REMEMBERED: &str = "routes.json";

type Remembered = BTreeMap<String, HttpRoute>;

/// Sets them; an alert stands while they cannot be.
pub(crate) fn set_routes(
    shared: &Shared,
    declared: &[&Service],
    done: &BTreeMap<String, Converged>,
) -> Result<(), String> {
    let Some(router) = &shared.options.router else { return Ok(()) };
    let file = shared.options.state.join(REMEMBERED);
    // What cannot be read is found out again, from what is declared.
    let before: Remembered =
        fs_err::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut after = Remembered::new();
    let wanted: Vec<Route> =
        declared.iter().filter_map(|service| wanted(shared, service, done, &before, &mut after)).collect();
    if after != before {
        let bytes = serde_json::to_vec(&after).unwrap_or_default();
        write_durably(&file, &bytes).map_err(|error| error.chain())?;
    }
    let (wanted, refused) = usable(shared, router.as_ref(), declared, done, wanted);
    let result = match (router.sync(&wanted), refused.is_empty()) {
        (Ok(()), true) => Ok(()),
        (Ok(()), false) => Err(format!("{}; all others are set", refused.join("; "))),
        (Err(reason), _) => Err(std::iter::once(reason).chain(refused).collect::<Vec<_>>().join("; ")),
    };
    match &result {
        Ok(()) => shared.alert_over(ROUTES),
        Err(reason) => shared.alert_failed(ROUTES, reason),
    }
    let first = wanted.first().map(|route| route.service.clone());
    *shared.routed.lock().unwrap_or_else(PoisonError::into_inner) = first;
    result
}

/// Those that the router can have together, and why it cannot have the rest: one bad route is in nobody's way.
fn usable(
    shared: &Shared,
    router: &dyn Router,
    declared: &[&Service],
    done: &BTreeMap<String, Converged>,
    wanted: Vec<Route>,
) -> (Vec<Route>, Vec<String>) {
    let mut refused = router.unusable(&wanted);
    let mut usable = wanted;
    if !refused.is_empty() {
        // A release that was taken back may hold on to a domain that is another's by now: what is declared wins.
        let nothing = Remembered::new();
        let of = |service: &&Service| self::wanted(shared, service, done, &nothing, &mut Remembered::new());
        let as_declared: Vec<Route> = declared.iter().filter_map(of).collect();
        if as_declared != usable {
            refused = router.unusable(&as_declared);
            usable = as_declared;
        }
    }
    usable.retain(|route| !refused.iter().any(|(service, _)| *service == route.service));
    (usable, refused.into_iter().map(|(_, reason)| reason).collect())
}

/// The route of one service; `None` when it has none, or has not been healthy yet. Where its record or its instances cannot be read the
/// route stays: that is said with the service, and no reason to cut it off.
fn wanted(
    shared: &Shared,
    service: &Service,
    done: &BTreeMap<String, Converged>,
    before: &Remembered,
    after: &mut Remembered,
) -> Option<Route> {
    // Of one that runs as declared everything is known by now.
    if let Some(port) = done.get(&service.name).and_then(|done| done.well_at) {
        let http = service.http.as_ref()?;
        after.insert(service.name.clone(), http.clone());
        return Some(route(&service.name, http, port.unwrap_or(http.internal_port)));
    }
    let record = shared.records.read(&service.name);
    let good = match &record {
        Ok(record) => Some(record.last_good.as_ref()?),
        Err(_) => None,
    };
    let declared = ServiceRelease::of(service, shared.default_kind()).to_release(&service.name).ok();
    let is_declared = declared.zip(good).is_some_and(|(declared, good)| declared.is(good));
    let remembered = before.get(&service.name).filter(|_| !is_declared);
    let http = remembered.or(service.http.as_ref())?;
    after.insert(service.name.clone(), http.clone());
    let instances = shared.observe(&service.name).unwrap_or_default();
    let running = instance_of(&instances, good).and_then(|instance| instance.port);
    let recorded = || good.and_then(|good| ServiceRelease::from_release(good).ok()).and_then(|service| service.port);
    Some(route(&service.name, http, running.or_else(recorded).unwrap_or(http.internal_port)))
}

/// The instance that matters of those that run: the one of the good release, else the first.
pub(crate) fn instance_of<'a>(instances: &'a [Instance], good: Option<&Release>) -> Option<&'a Instance> {
    let is_good =
        |instance: &&Instance| instance.release.as_ref().zip(good).is_some_and(|(running, good)| running.is(good));
    instances.iter().find(is_good).or_else(|| instances.first())
}

/// The route of a service to a port.
pub(crate) fn route(name: &str, http: &HttpRoute, port: u16) -> Route {
    let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
    Route { service: name.to_owned(), domains: texts(http.all_domains()), paths: texts(http.all_paths()), port }
}
