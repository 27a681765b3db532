//! A route as Caddy has it: one object of a server's `routes`, or several when other services' routes must stand between them.
//!
//! Caddy takes the first route that matches. So a service that has `/` and `/api/v2`, beside another that has `/api`, needs two
//! objects. They are named `freehold-OWNER-SERVICE`, `freehold-OWNER-SERVICE:2` and so on.
//! Facts: Caddy's JSON documentation of `http.handlers.reverse_proxy`, `http.matchers.host` and `http.matchers.path`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::route::{Route, is_service};
use crate::settings::Settings;

/// How early an object must stand: names before patterns, then the longest path.
type Place = (bool, std::cmp::Reverse<usize>);

/// One object, with what decides where it stands.
pub(crate) struct Piece {
    pub(crate) place: Place,
    pub(crate) service: String,
    pub(crate) json: Json,
}

/// What is told to Caddy beside the route itself.
pub(crate) struct Extras<'a> {
    /// Former upstreams whose requests are still counted.
    pub(crate) former: &'a [SocketAddr],
    /// Whether this Caddy knows `stream_close_delay`.
    pub(crate) close_delay: bool,
}

/// The objects of a checked route.
pub(crate) fn pieces(route: &Route, settings: &Settings, extras: &Extras<'_>) -> Vec<Piece> {
    let mut groups: BTreeMap<Place, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for domain in &route.domains {
        for path in &route.paths {
            // Different paths of one length are never below each other.
            let place = (domain.starts_with('*'), std::cmp::Reverse(path.len()));
            let (domains, paths) = groups.entry(place).or_default();
            for (all, one) in [(domains, domain), (paths, path)] {
                if !all.contains(&one.as_str()) {
                    all.push(one);
                }
            }
        }
    }
    let handle = handlers(route.upstream, settings, extras);
    let objects = groups.into_iter().enumerate().map(|(index, (place, (domains, paths)))| {
        let number = if index == 0 { String::new() } else { format!(":{}", index + 1) };
        let mut matcher = json!({ "host": domains });
        if paths != ["/"] {
            matcher["path"] = paths.iter().flat_map(|path| [(*path).to_owned(), format!("{path}/*")]).collect();
        }
        let id = format!("{}{}{number}", settings.prefix(), route.service);
        let json = json!({ "@id": id, "match": [matcher], "handle": handle, "terminal": true });
        Piece { place, service: route.service.clone(), json }
    });
    objects.collect()
}

/// The proxy, and behind it one for each former upstream, which no request ever reaches: an upstream that no handler names is
/// forgotten by Caddy before 2.11, together with the count of its requests (caddyserver/caddy#7277).
pub(crate) fn handlers(upstream: SocketAddr, settings: &Settings, extras: &Extras<'_>) -> Vec<Json> {
    let proxy = |upstream: &SocketAddr| {
        let mut handler = json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": upstream.to_string() }] });
        if extras.close_delay {
            handler["stream_close_delay"] = format!("{}ms", settings.stream_close_delay.as_millis()).into();
        }
        handler
    };
    std::iter::once(&upstream).chain(extras.former).map(proxy).collect()
}

/// The service of an object that is a route of ours.
pub(crate) fn service_of<'a>(object: &'a Json, prefix: &str) -> Option<&'a str> {
    let name = object.get("@id")?.as_str()?.strip_prefix(prefix)?;
    let service = name.split_once(':').map_or(name, |(service, _)| service);
    is_service(service).then_some(service)
}

/// Every upstream that an object names: the one that is used first, former ones behind it.
pub(crate) fn upstreams_of(object: &Json) -> Vec<SocketAddr> {
    let handlers = object.get("handle").and_then(Json::as_array).into_iter().flatten();
    let dials = handlers.filter_map(|handler| handler.pointer("/upstreams/0/dial")?.as_str()?.parse().ok());
    dials.collect()
}

/// The route that the objects of a service are, as far as they can be read: somebody may have edited them.
pub(crate) fn read(service: &str, objects: &[&Json]) -> Option<Route> {
    let upstream = *upstreams_of(objects.first()?).first()?;
    let matchers = || objects.iter().filter_map(|object| object.get("match")?.as_array()).flatten();
    let texts = |matcher: &Json, name: &str| -> Vec<String> {
        let list = matcher.get(name).and_then(Json::as_array).into_iter().flatten();
        list.filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let mut domains: Vec<String> = matchers().flat_map(|matcher| texts(matcher, "host")).collect();
    let mut paths: Vec<String> = Vec::new();
    for matcher in matchers() {
        let listed = texts(matcher, "path").into_iter().filter(|path| !path.ends_with("/*"));
        let before = paths.len();
        paths.extend(listed);
        if paths.len() == before {
            paths.push("/".to_owned());
        }
    }
    for list in [&mut domains, &mut paths] {
        list.sort();
        list.dedup();
    }
    Some(Route { service: service.to_owned(), domains, paths, upstream })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(route: &Route) -> Vec<Json> {
        let extras = Extras { former: &[], close_delay: true };
        pieces(route, &Settings::default(), &extras).into_iter().map(|piece| piece.json).collect()
    }

    #[test]
    fn a_route_is_one_object_that_matches_the_path_and_what_is_below_it() {
        let route = Route::local("web", &["a.org", "b.org"], 8000).below(&["/app"]);
        let expected = json!({
            "@id": "freehold-agent-web",
            "match": [{ "host": ["a.org", "b.org"], "path": ["/app", "/app/*"] }],
            "handle": [{
                "handler": "reverse_proxy",
                "upstreams": [{ "dial": "127.0.0.1:8000" }],
                "stream_close_delay": "300000ms",
            }],
            "terminal": true,
        });
        assert_eq!(objects(&route), [expected]);
    }

    #[test]
    fn names_and_patterns_and_paths_of_different_lengths_are_objects_of_their_own() {
        let route = Route::local("web", &["*.b.org", "a.org"], 8000).below(&["/", "/api", "/app"]);
        let objects = objects(&route);
        let ids: Vec<&Json> = objects.iter().map(|object| &object["@id"]).collect();
        let base = "freehold-agent-web";
        assert_eq!(ids, [base, &format!("{base}:2"), &format!("{base}:3"), &format!("{base}:4")]);
        assert_eq!(objects[0]["match"][0], json!({ "host": ["a.org"], "path": ["/api", "/api/*", "/app", "/app/*"] }));
        assert_eq!(objects[3]["match"][0], json!({ "host": ["*.b.org"] }));
    }

    #[test]
    fn a_route_is_read_back_as_it_was_made() {
        let route = Route::local("web", &["*.b.org", "a.org"], 8000).below(&["/", "/api", "/app"]);
        let objects = objects(&route);
        let read_back = read("web", &objects.iter().collect::<Vec<_>>());
        assert_eq!(read_back, Some(route));
    }

    #[test]
    fn an_id_is_ours_by_its_owner_only() {
        let service = |id: &str| service_of(&json!({ "@id": id }), "freehold-agent-").map(str::to_owned);
        assert_eq!(service("freehold-agent-web").as_deref(), Some("web"));
        assert_eq!(service("freehold-agent-web-2:3").as_deref(), Some("web-2"));
        for id in ["freehold-agent-", "freehold-agent", "freehold-agent2-web", "freehold-agent:server", "web", ""] {
            assert_eq!(service(id), None, "{id}");
        }
    }
}
