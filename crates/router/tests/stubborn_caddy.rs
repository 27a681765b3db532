//! Routes and an admin API that misbehaves: every wait ends, and what is not ours survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use common::LONG;
use common::fake::{Fake, Fault};
use freehold_model::{ErrorKind, limits};
use freehold_router::{Caddy, Drained, Endpoint, Https, Route, RouterError, Settings};
use freehold_testkit::Scratch;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn site() -> Json {
    json!({ "apps": { "http": { "servers": { "theirs": { "listen": [":80"], "routes": [{ "@id": "their" }] } } } } })
}

fn web() -> Vec<Route> {
    vec![Route::local("web", &["web.test"], 8000)]
}

/// What ends by its own limit, of a second at most, has ended by then also on a busy machine; without that limit it would take longer:
/// the limit that stands where none is said is `limits::ROUTER_ANSWER`.
const ENDED: Duration = Duration::from_secs(50);

fn writes(fake: &Fake) -> usize {
    fake.requests().iter().filter(|request| !request.starts_with("GET ")).count()
}

#[test]
fn a_configuration_that_always_changes_meanwhile_is_given_up() {
    let fake = Fake::with(site());
    fake.always("write", Fault::OtherWriter);
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("others kept changing caddy's configuration ({} attempts)", limits::ROUTER_ATTEMPTS)
    );
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(writes(&fake), limits::ROUTER_ATTEMPTS as usize);
}

#[test]
fn a_configuration_that_changes_once_meanwhile_keeps_both_changes() {
    let fake = Fake::with(site());
    fake.fault("PATCH", Fault::OtherWriter);
    let synced = fake.caddy().sync(&web()).unwrap();
    assert_eq!((synced.added, synced.writes), (vec!["web".to_owned()], 1));
    assert_eq!(fake.config()["other"], json!("xxx"));
    assert_eq!(fake.caddy().routes().unwrap(), web());
}

#[test]
fn a_caddy_that_never_takes_its_tag_back_is_not_written_to() {
    let fake = Fake::with(site());
    fake.always("write", Fault::Say(412, "{}"));
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert!(matches!(error, RouterError::Unguarded { .. }), "{error:?}");
    assert_eq!((fake.config(), writes(&fake)), (site(), limits::ROUTER_ATTEMPTS as usize));
}

#[test]
fn a_caddy_without_tags_is_not_written_to() {
    let fake = Fake::with(site());
    fake.always("GET", Fault::NoTag);
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert_eq!(error.to_string(), "caddy's configuration cannot be changed safely: it has no tag");
    assert_eq!(writes(&fake), 0);
}

#[test]
fn a_write_whose_answer_is_lost_is_looked_after_and_not_done_twice() {
    let fake = Fake::with(site());
    fake.fault("GET", Fault::CloseBefore);
    fake.fault("PATCH", Fault::CloseAfter);
    let synced = fake.caddy().sync(&web()).unwrap();
    assert_eq!((synced.added, synced.writes), (vec!["web".to_owned()], 1));
    let patch = "PATCH /config/apps/http/servers/theirs/routes";
    assert_eq!(fake.requests(), ["GET /config/", "GET /config/", patch, "GET /config/"]);
}

#[test]
fn a_write_that_did_not_arrive_is_done_again_and_counted_once() {
    let fake = Fake::with(site());
    fake.fault("PATCH", Fault::CloseBefore);
    fake.fault("PATCH", Fault::CloseAfter);
    let synced = fake.caddy().sync(&web()).unwrap();
    assert_eq!((synced.added, synced.writes), (vec!["web".to_owned()], 1));
    assert_eq!(writes(&fake), 2);
}

#[test]
fn a_write_that_never_arrives_is_given_up() {
    let fake = Fake::with(site());
    fake.always("write", Fault::CloseBefore);
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert!(matches!(error, RouterError::Lost { .. }), "{error:?}");
    assert_eq!((error.kind(), writes(&fake)), (ErrorKind::Transient, limits::ROUTER_ATTEMPTS as usize));
}

#[test]
fn a_write_that_is_accepted_and_not_done_is_found_out() {
    let fake = Fake::with(site());
    fake.always("write", Fault::Body(""));
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert!(matches!(error, RouterError::NotTaken { .. }), "{error:?}");
}

#[test]
fn refusals_carry_caddys_words_and_are_not_repeated() {
    for (status, body, message) in [
        (500, r#"{"error":"unknown module"}"#, "caddy could not take the routes: status 500: unknown module"),
        (400, "", "caddy could not take the routes: status 400"),
        (502, "<html>\u{1b}[2J</html>", "caddy could not take the routes: status 502: <html>\\u{1b}[2J</html>"),
    ] {
        let fake = Fake::with(site());
        fake.always("write", Fault::Say(status, body));
        let error = fake.caddy().sync(&web()).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (message, ErrorKind::Host));
        assert_eq!((fake.config(), writes(&fake)), (site(), 1));
    }
    let fake = Fake::with(site());
    fake.always("GET", Fault::Say(403, r#"{"error":"client is not allowed to access from origin ''"}"#));
    let error = fake.caddy().sync(&web()).unwrap_err();
    assert!(matches!(&error, RouterError::Closed { message, .. } if message.contains("origin")), "{error:?}");
}

#[test]
fn what_is_no_answer_of_caddy_is_said() {
    for body in ["", "<html>", "{", "\u{0}", "[1,"] {
        let fake = Fake::with(site());
        fake.always("GET", Fault::Body(body));
        let error = fake.caddy().sync(&web()).unwrap_err();
        assert!(matches!(error, RouterError::Answer { .. }), "{body}: {error:?}");
        let error = fake.caddy().drain("127.0.0.1:1".parse().unwrap(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, RouterError::Answer { .. }), "{body}: {error:?}");
        assert_eq!(writes(&fake), 0);
    }
    let fake = Fake::with(site());
    for upstreams in [json!(3), json!([{}]), json!([{ "address": "a:1", "num_requests": "many" }])] {
        fake.set_upstreams(upstreams);
        let error = fake.caddy().drain("127.0.0.1:1".parse().unwrap(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, RouterError::Answer { .. }), "{error:?}");
    }
}

#[test]
fn a_silent_or_dripping_caddy_is_given_up_in_time() {
    for fault in [Fault::Silence, Fault::Drip] {
        for method in ["GET", "write"] {
            let fake = Fake::with(site());
            fake.always(method, fault);
            let begun = Instant::now();
            let result = fake.impatient_caddy().sync(&web());
            // A write that is answered at length is a good answer, whatever follows.
            if (fault, method) != (Fault::Drip, "write") {
                assert!(matches!(result, Err(RouterError::Slow { .. })), "{fault:?} {method}: {result:?}");
            }
            assert!(begun.elapsed() < ENDED, "{:?}", begun.elapsed());
        }
    }
}

#[test]
fn a_socket_whose_server_no_longer_accepts_is_given_up() {
    let scratch = Scratch::new();
    let path = scratch.join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let settings = Settings { patience: Duration::from_secs(1), ..Settings::default() };
    let caddy = Caddy::with_settings(Endpoint::Unix(path.clone()), settings).unwrap();
    let begun = Instant::now();
    let error = caddy.routes().unwrap_err();
    assert!(matches!(error, RouterError::Slow { .. }), "{error:?}");
    assert!(begun.elapsed() < ENDED, "{:?}", begun.elapsed());
    drop(listener);
    // The socket's file is left behind: nobody listens. That is seen at once, and not because a patience is over.
    assert!(matches!(Caddy::new(Endpoint::Unix(path)).routes().unwrap_err(), RouterError::Away { .. }));
}

#[test]
fn draining_ends_with_its_limit() {
    let fake = Fake::with(site());
    fake.set_upstreams(json!([{ "address": "127.0.0.1:8000", "num_requests": 2, "fails": 0 }, { "address": "127.0.0.1:80", "num_requests": 1 }]));
    let begun = Instant::now();
    let drained = fake.caddy().drain("127.0.0.1:8000".parse().unwrap(), Duration::from_millis(250)).unwrap();
    assert_eq!(drained, Drained::Busy { requests: 2 });
    assert!((Duration::from_millis(250)..ENDED).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(fake.caddy().drain("127.0.0.1:9".parse().unwrap(), LONG).unwrap(), Drained::Empty);
}

#[test]
fn a_place_with_something_else_in_it_is_an_error_and_no_write() {
    for (config, place) in [
        (json!(3), "/"),
        (json!({ "apps": [] }), "/apps"),
        (json!({ "apps": { "http": "x" } }), "/apps/http"),
        (json!({ "apps": { "http": { "servers": true } } }), "/apps/http/servers"),
        (
            json!({ "apps": { "http": { "servers": { "a b": { "listen": [":80"], "routes": {} } } } } }),
            "/apps/http/servers/a b/routes",
        ),
    ] {
        let fake = Fake::with(config.clone());
        let error = fake.caddy().sync(&web()).unwrap_err();
        assert!(matches!(&error, RouterError::Shape { place: found, .. } if found == place), "{error}");
        assert_eq!((fake.config(), writes(&fake)), (config, 0));
        assert_eq!(fake.caddy().sync(&[]).unwrap().writes, 0);
    }
}

/// JSON of any shape, with a taste for what Caddy's configuration is made of.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[ -~é]{0,6}".prop_map(Json::from),
        prop::sample::select(vec![
            ":80",
            ":443",
            "tcp/:80",
            "freehold-agent-web",
            "freehold-agent-old:2",
            "freehold-agent:server",
            "freehold-ci-web",
            "*.test"
        ])
        .prop_map(Json::from),
    ];
    let key = prop_oneof![
        4 => prop::sample::select(vec!["apps", "http", "servers", "routes", "@id", "listen", "match", "handle", "tls", "automation", "policies", "subjects", "freehold", "a/b", "..."]).prop_map(str::to_owned),
        1 => "[a-z.~ /]{0,4}",
    ];
    leaf.prop_recursive(8, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// A configuration that is one at its outside, and anything within.
fn any_config() -> impl Strategy<Value = Json> {
    let route = prop_oneof![
        2 => any_json(),
        1 => any_json().prop_map(|handle| json!({ "@id": "freehold-agent-web", "handle": handle })),
        1 => any_json().prop_map(|list| json!({ "@id": "freehold-agent-old", "match": list })),
        2 => any_json().prop_map(|handle| json!({ "@id": "theirs", "match": [{ "host": ["web.test"] }], "handle": handle })),
    ];
    let server = (prop::sample::select(vec![":80", ":443", ":81"]), prop::collection::vec(route, 0..6), any_json())
        .prop_map(|(listen, routes, more)| json!({ "listen": [listen], "routes": routes, "more": more }));
    let servers = prop::collection::btree_map("[a-z/ ]{0,3}|freehold", prop_oneof![4 => server, 1 => any_json()], 0..4);
    let whole = (servers, any_json(), any_json()).prop_map(|(servers, tls, more)| {
        let servers: serde_json::Map<String, Json> = servers.into_iter().collect();
        json!({ "apps": { "http": { "servers": servers }, "tls": tls, "more": more }, "admin": { "listen": "x" } })
    });
    prop_oneof![3 => whole, 1 => any_json()]
}

/// The configuration without what is ours, and without empty places that ours would have needed.
fn without_ours(mut config: Json) -> Json {
    let is_ours = |json: &Json| json["@id"].as_str().is_some_and(is_our_id);
    if let Some(servers) = config.pointer_mut("/apps/http/servers").and_then(Json::as_object_mut) {
        for server in servers.values_mut() {
            if let Some(routes) = server.get_mut("routes").and_then(Json::as_array_mut) {
                routes.retain(|route| !is_ours(route));
            }
        }
        servers.retain(|_, server| server["@id"] != "freehold-agent:server");
    }
    if let Some(policies) = config.pointer_mut("/apps/tls/automation/policies").and_then(Json::as_array_mut) {
        policies.retain(|policy| policy["@id"] != "freehold-agent:tls");
    }
    without_empty(config).unwrap_or(Json::Null)
}

fn is_our_id(id: &str) -> bool {
    id.strip_prefix("freehold-agent-").is_some_and(|name| !name.is_empty())
}

fn without_empty(json: Json) -> Option<Json> {
    match json {
        Json::Null => None,
        Json::Array(list) if list.is_empty() => None,
        Json::Object(map) => {
            let map: serde_json::Map<String, Json> =
                map.into_iter().filter_map(|(key, value)| Some((key, without_empty(value)?))).collect();
            (!map.is_empty()).then_some(Json::Object(map))
        }
        other => Some(other),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_others_have_configured_is_never_damaged(config in any_config(), internal in any::<bool>()) {
        let fake = Fake::with(config.clone());
        let https = if internal { Https::Internal } else { Https::Off };
        let caddy = fake.caddy_with(Settings { https, ..Settings::default() });
        let wanted = [Route::local("web", &["web.test", "*.web.test"], 8000).below(&["/", "/a"]), Route::local("b", &["b.test"], 81)];
        match caddy.sync(&wanted) {
            Ok(_) => {
                let mut routes = caddy.routes().unwrap();
                routes.sort_by(|a, b| b.service.cmp(&a.service));
                let mut expected = wanted.clone();
                expected[0].domains.sort();
                prop_assert_eq!(routes, expected);
                prop_assert_eq!(without_ours(fake.config()), without_ours(config.clone()));
                prop_assert_eq!(caddy.sync(&wanted).unwrap().writes, 0);
                caddy.switch("web", "127.0.0.1:9000".parse().unwrap()).unwrap();
                prop_assert_eq!(without_ours(fake.config()), without_ours(config.clone()));
                caddy.remove("b").unwrap();
                prop_assert_eq!(without_ours(fake.config()), without_ours(config.clone()));
                caddy.sync(&[]).unwrap();
                prop_assert_eq!(caddy.routes().unwrap(), []);
                prop_assert_eq!(without_ours(fake.config()), without_ours(config));
            }
            Err(error) => {
                prop_assert!(matches!(error, RouterError::Shape { .. }), "{error:?}");
                prop_assert_eq!(fake.config(), config);
            }
        }
    }
}
