//! What Caddy's configuration is to become for the routes that are wanted: a pure function over the whole of it.
//!
//! What is not ours stays as it is and in its order. Ours are known by their `@id`s and keep the places that they have; where there
//! are none yet they come first, so that a route of ours wins over a foreign one for the same name (that is how a service is taken
//! over), and foreign routes go on with everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use freehold_model::limits;
use serde_json::{Map, Value as Json, json};

use crate::error::RouterError;
use crate::piece::{self, Extras};
use crate::route::Route;
use crate::settings::{Https, Settings, ports_of};

/// How it is wanted, and what is known of this Caddy.
pub(crate) struct Wish<'a> {
    pub(crate) settings: &'a Settings,
    /// Whether this Caddy knows `stream_close_delay`.
    pub(crate) close_delay: bool,
    /// Upstreams with requests under way, when that was asked: former ones that are not among them are forgotten.
    pub(crate) busy: Option<&'a BTreeSet<SocketAddr>>,
}

/// What comes of it.
pub(crate) struct Layout {
    pub(crate) config: Json,
    pub(crate) added: Vec<String>,
    pub(crate) replaced: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Whether former upstreams are kept that might be forgotten.
    pub(crate) has_former: bool,
}

impl Layout {
    fn unchanged(config: &Json) -> Self {
        let (added, replaced, removed) = Default::default();
        Self { config: config.clone(), added, replaced, removed, has_former: false }
    }
}

/// Our routes in a configuration, by service, as far as they can be read.
pub(crate) fn routes_in(config: &Json, settings: &Settings) -> BTreeMap<String, Route> {
    let ours = objects_in(config, &settings.prefix());
    ours.into_iter()
        .filter_map(|(service, objects)| Some((service.to_owned(), piece::read(service, &objects)?)))
        .collect()
}

/// The same configuration with another upstream for one service, and the upstream that it had. Nothing else is touched, not even
/// other routes of ours.
///
/// # Errors
/// [`RouterError::NoRoute`] when it has none that can be read.
pub(crate) fn switch(
    config: &Json,
    service: &str,
    upstream: SocketAddr,
    wish: &Wish<'_>,
) -> Result<(Layout, SocketAddr), RouterError> {
    let none = || RouterError::NoRoute { service: service.to_owned() };
    let prefix = wish.settings.prefix();
    let ours = objects_in(config, &prefix).remove(service).ok_or_else(none)?;
    let from = ours.first().and_then(|object| piece::upstreams_of(object).first().copied()).ok_or_else(none)?;
    let former = former_upstreams(&ours, upstream, wish.busy);
    let extras = Extras { former: &former, close_delay: wish.close_delay };
    let handle = piece::handlers(upstream, wish.settings, &extras);
    let mut layout = Layout::unchanged(config);
    layout.has_former = !former.is_empty();
    layout.replaced.push(service.to_owned());
    for object in routes_of_servers(&mut layout.config).flatten() {
        if piece::service_of(object, &prefix) == Some(service) {
            object["handle"] = handle.clone().into();
        }
    }
    Ok((layout, from))
}

/// The same configuration without the route of one service. Nothing else is touched, not even other routes of ours.
pub(crate) fn remove(config: &Json, service: &str, settings: &Settings) -> Layout {
    let prefix = settings.prefix();
    let mut layout = Layout::unchanged(config);
    for routes in routes_of_servers(&mut layout.config) {
        let before = routes.len();
        routes.retain(|object| piece::service_of(object, &prefix) != Some(service));
        if routes.len() < before {
            layout.removed = vec![service.to_owned()];
        }
    }
    if !layout.removed.is_empty()
        && let Some(servers) = layout.config.pointer_mut("/apps/http/servers").and_then(Json::as_object_mut)
    {
        remove_idle_server(servers, settings);
    }
    layout
}

/// Decides for exactly these routes (checked, by service).
///
/// # Errors
/// [`RouterError::Shape`] when something else stands where routes have their place.
pub(crate) fn lay_out(config: &Json, wanted: &BTreeMap<String, Route>, wish: &Wish<'_>) -> Result<Layout, RouterError> {
    let prefix = wish.settings.prefix();
    let before = objects_in(config, &prefix);
    let mut pieces = Vec::new();
    let mut has_former = false;
    for (service, route) in wanted {
        let former =
            former_upstreams(before.get(service.as_str()).map_or(&[], Vec::as_slice), route.upstream, wish.busy);
        has_former |= !former.is_empty();
        let extras = Extras { former: &former, close_delay: wish.close_delay };
        pieces.extend(piece::pieces(route, wish.settings, &extras));
    }
    let mut after: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    for piece in &pieces {
        after.entry(&piece.service).or_default().push(&piece.json);
    }
    let names = |these: &mut dyn Iterator<Item = &&str>| these.map(ToString::to_string).collect();
    let mut layout = Layout {
        added: names(&mut after.keys().filter(|service| !before.contains_key(*service))),
        removed: names(&mut before.keys().filter(|service| !after.contains_key(*service))),
        replaced: names(&mut after.keys().filter(|s| before.get(*s).is_some_and(|old| !same(old, &after[*s])))),
        has_former,
        ..Layout::unchanged(config)
    };
    // Stable: pieces of one place stand in the order of their services.
    pieces.sort_by_key(|piece| piece.place);
    let objects = pieces.into_iter().map(|piece| piece.json).collect();
    lay_servers(&mut layout.config, objects, wish.settings)?;
    lay_policy(&mut layout.config, wanted, wish.settings)?;
    Ok(layout)
}

/// Whether they are the same objects, in whatever order they stand.
fn same(old: &[&Json], new: &[&Json]) -> bool {
    old.len() == new.len() && new.iter().all(|object| old.contains(object))
}

fn objects_in<'a>(config: &'a Json, prefix: &str) -> BTreeMap<&'a str, Vec<&'a Json>> {
    let mut found: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    let servers = config.pointer("/apps/http/servers").and_then(Json::as_object);
    for server in servers.into_iter().flat_map(Map::values) {
        for object in server.get("routes").and_then(Json::as_array).into_iter().flatten() {
            if let Some(service) = piece::service_of(object, prefix) {
                found.entry(service).or_default().push(object);
            }
        }
    }
    found
}

fn routes_of_servers(config: &mut Json) -> impl Iterator<Item = &mut Vec<Json>> {
    let servers = config.pointer_mut("/apps/http/servers").and_then(Json::as_object_mut);
    servers.into_iter().flat_map(Map::values_mut).filter_map(|server| server.get_mut("routes")?.as_array_mut())
}

/// Where requests of the service may still be under way. The one that is left now is kept whatever is known of it: a request may
/// be about to reach it.
fn former_upstreams(objects: &[&Json], now: SocketAddr, busy: Option<&BTreeSet<SocketAddr>>) -> Vec<SocketAddr> {
    let mut former: Vec<SocketAddr> = Vec::new();
    let named = objects.first().map(|object| piece::upstreams_of(object)).unwrap_or_default();
    for (index, upstream) in named.into_iter().enumerate() {
        let may_be_busy = index == 0 || busy.is_none_or(|busy| busy.contains(&upstream));
        if may_be_busy && upstream != now && !former.contains(&upstream) {
            former.push(upstream);
        }
    }
    former.truncate(limits::ROUTER_FORMER);
    former
}

fn lay_servers(config: &mut Json, objects: Vec<Json>, settings: &Settings) -> Result<(), RouterError> {
    let ports = wanted_ports(config, settings);
    let listen = wanted_listen(config, settings);
    if objects.is_empty() && config.pointer("/apps/http/servers").and_then(Json::as_object).is_none() {
        return Ok(());
    }
    let servers = object_at(config, &["apps", "http", "servers"])?;
    let id = settings.server_id();
    let own = servers.iter().find(|(_, server)| server["@id"] == id.as_str()).map(|(name, _)| name.clone());
    let target = match objects.is_empty() {
        true => None,
        false => Some(match foreign_server(servers, &ports, settings) {
            Some(name) => name,
            None => own.clone().unwrap_or_else(|| free_name(servers)),
        }),
    };
    if let Some(name) = &target
        && own.as_ref().is_none_or(|own| own == name)
        && !servers.get(name).is_some_and(|server| server["@id"] != id.as_str())
    {
        let server = servers.entry(name).or_insert_with(|| json!({ "@id": id, "routes": [] }));
        server["listen"] = listen.into();
        if settings.https == Https::Off {
            server["automatic_https"] = json!({ "disable": true });
        } else if let Some(server) = server.as_object_mut() {
            server.remove("automatic_https");
        }
    }
    let prefix = settings.prefix();
    let mut objects = Some(objects);
    for (name, server) in servers.iter_mut() {
        let mine = if target.as_ref() == Some(name) { objects.take().unwrap_or_default() } else { Vec::new() };
        place(name, server, mine, &prefix)?;
    }
    remove_idle_server(servers, settings);
    Ok(())
}

/// Our own server goes with the last of its routes; others may have put theirs into it.
fn remove_idle_server(servers: &mut Map<String, Json>, settings: &Settings) {
    let id = settings.server_id();
    let is_idle = |server: &Json| server.get("routes").and_then(Json::as_array).is_none_or(Vec::is_empty);
    servers.retain(|_, server| server["@id"] != id.as_str() || !is_idle(server));
}

/// Puts our objects where ours have been, or at the front.
fn place(name: &str, server: &mut Json, mine: Vec<Json>, prefix: &str) -> Result<(), RouterError> {
    let is_ours = |object: &Json| piece::service_of(object, prefix).is_some();
    let there = match server.get("routes") {
        None | Some(Json::Null) => &[][..],
        Some(Json::Array(routes)) => routes,
        Some(other) if !mine.is_empty() => return Err(shape(&["apps", "http", "servers", name, "routes"], other)),
        Some(_) => return Ok(()),
    };
    let last = there.iter().rposition(is_ours);
    if mine.is_empty() && last.is_none() {
        return Ok(());
    }
    let mut mine = mine.into_iter();
    let mut routes: Vec<Json> = Vec::with_capacity(there.len() + mine.len());
    if last.is_none() {
        routes.extend(mine.by_ref());
    }
    for (index, object) in there.iter().enumerate() {
        match is_ours(object) {
            true => routes.extend(mine.next()),
            false => routes.push(object.clone()),
        }
        if last == Some(index) {
            routes.extend(mine.by_ref());
        }
    }
    server["routes"] = routes.into();
    Ok(())
}

/// A server of others that listens where we would; rather one where routes of ours are.
fn foreign_server(servers: &Map<String, Json>, ports: &[(u16, u16)], settings: &Settings) -> Option<String> {
    let listens = |server: &Json| {
        let addresses = server.get("listen").and_then(Json::as_array).into_iter().flatten();
        let mut theirs = addresses.filter_map(Json::as_str).filter_map(ports_of);
        theirs.any(|(first, last)| ports.iter().any(|(from, to)| first <= *to && *from <= last))
    };
    let prefix = settings.prefix();
    let has_ours = |server: &Json| {
        let routes = server.get("routes").and_then(Json::as_array).into_iter().flatten();
        routes.into_iter().any(|object| piece::service_of(object, &prefix).is_some())
    };
    let id = settings.server_id();
    let fitting = servers.iter().filter(|(_, server)| server["@id"] != id.as_str() && listens(server));
    fitting.min_by_key(|(name, server)| (!has_ours(server), *name)).map(|(name, _)| name.clone())
}

fn free_name(servers: &Map<String, Json>) -> String {
    let mut name = "freehold".to_owned();
    for number in 2..servers.len() + 3 {
        if !servers.contains_key(&name) {
            break;
        }
        name = format!("freehold-{number}");
    }
    name
}

fn wanted_listen(config: &Json, settings: &Settings) -> Vec<String> {
    if !settings.listen.is_empty() {
        return settings.listen.clone();
    }
    let (field, usual) = match settings.https {
        Https::Off => ("http_port", 80),
        Https::Automatic | Https::Internal => ("https_port", 443),
    };
    let port = config.pointer(&format!("/apps/http/{field}")).and_then(Json::as_u64).filter(|port| *port > 0);
    vec![format!(":{}", port.unwrap_or(usual))]
}

fn wanted_ports(config: &Json, settings: &Settings) -> Vec<(u16, u16)> {
    wanted_listen(config, settings).iter().filter_map(|address| ports_of(address)).collect()
}

/// With [`Https::Internal`], the policy that has our names certified by Caddy's own authority; names that a policy of others
/// decides are left to it.
fn lay_policy(config: &mut Json, wanted: &BTreeMap<String, Route>, settings: &Settings) -> Result<(), RouterError> {
    let id = settings.policy_id();
    let is_ours = |policy: &Json| policy["@id"] == id.as_str();
    let mut subjects: BTreeSet<&str> = BTreeSet::new();
    if settings.https == Https::Internal {
        subjects.extend(wanted.values().flat_map(|route| &route.domains).map(String::as_str));
    }
    let there = match config.pointer("/apps/tls/automation/policies") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(policies)) => policies.clone(),
        Some(_) if subjects.is_empty() => return Ok(()),
        Some(other) => return Err(shape(&["apps", "tls", "automation", "policies"], other)),
    };
    for policy in there.iter().filter(|policy| !is_ours(policy)) {
        for subject in policy.get("subjects").and_then(Json::as_array).into_iter().flatten() {
            subject.as_str().map(|subject| subjects.remove(subject));
        }
    }
    let ours = json!({ "@id": id, "subjects": subjects, "issuers": [{ "module": "internal" }] });
    let mut ours = if subjects.is_empty() { None } else { Some(ours) };
    let mut policies = Vec::with_capacity(there.len() + 1);
    // Caddy takes the first that fits, and one without subjects fits everything.
    if !there.iter().any(is_ours) {
        policies.extend(ours.take());
    }
    for policy in &there {
        match is_ours(policy) {
            true => policies.extend(ours.take()),
            false => policies.push(policy.clone()),
        }
    }
    if policies != there {
        object_at(config, &["apps", "tls", "automation"])?.insert("policies".to_owned(), policies.into());
    }
    Ok(())
}

/// The object at a place, made where there is nothing.
fn object_at<'a>(config: &'a mut Json, place: &[&str]) -> Result<&'a mut Map<String, Json>, RouterError> {
    let mut at = config;
    for (depth, key) in place.iter().enumerate() {
        at = as_object(at, &place[..depth])?.entry(*key).or_insert(Json::Null);
    }
    as_object(at, place)
}

fn as_object<'a>(value: &'a mut Json, place: &[&str]) -> Result<&'a mut Map<String, Json>, RouterError> {
    if value.is_null() {
        *value = json!({});
    }
    match value {
        Json::Object(object) => Ok(object),
        other => Err(shape(place, other)),
    }
}

fn shape(place: &[&str], found: &Json) -> RouterError {
    let found = match found {
        Json::Null => "nothing",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    RouterError::Shape { place: format!("/{}", place.join("/")), found }
}
