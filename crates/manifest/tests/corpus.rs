//! Manifests that are wrong, each in one way: one for every keyword of the JSON Schema at every place where it stands, and one for every
//! rule beyond the schema. Each is refused at its own place, with its own code, and by the schema as well where that can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use freehold_manifest::{Manifest, schemas};
use serde_json::{Value as Json, json};

/// A manifest in which every field of the format is said.
const FULL: &str = include_str!("full.json");

fn full() -> Json {
    serde_json::from_str(FULL).unwrap()
}

/// Where a manifest is refused, and as what.
fn refused(manifest: &Json) -> Vec<(String, &'static str)> {
    match Manifest::parse(manifest.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let (said, hint) = (error.to_string(), error.hint().unwrap_or_default());
            assert!(!hint.is_empty(), "no hint: {said}");
            for word in ["u8", "u16", "u32", "u64", "struct ", "sequence", "map,", "string \"", "integer `", "at line"]
            {
                assert!(!format!("{said} {hint}").contains(word), "words of the language: {said}; {hint}");
            }
            assert!(error.places().iter().all(|(at, _)| said.contains(&format!("`{at}`"))), "no pointer: {said}");
            error.places()
        }
    }
}

/// A manifest with one mistake.
struct Case {
    what: String,
    manifest: Json,
    at: String,
    code: &'static str,
}

/// Walks the schema along the full manifest, and spoils it at each keyword.
struct Walk<'a> {
    root: &'a Json,
    cases: Vec<Case>,
    keywords: BTreeSet<String>,
}

impl Walk<'_> {
    fn spoil(&mut self, keyword: &str, at: &str, code: &'static str, change: impl FnOnce(&mut Json)) {
        let mut manifest = full();
        change(&mut manifest);
        self.keywords.insert(keyword.to_owned());
        let place = if at.is_empty() { "/" } else { at };
        self.cases.push(Case { what: format!("{keyword} at {place}"), manifest, at: place.to_owned(), code });
    }

    fn put(&mut self, keyword: &str, at: &str, code: &'static str, value: Json) {
        let target = at.to_owned();
        self.spoil(keyword, at, code, |manifest| *manifest.pointer_mut(&target).unwrap() = value);
    }

    /// The schema that a reference or a choice with `null` leads to.
    fn resolve<'b>(&'b self, schema: &'b Json) -> &'b Json {
        if let Some(name) = schema["$ref"].as_str() {
            return self.resolve(self.root.pointer(name.trim_start_matches('#')).unwrap());
        }
        match schema["anyOf"].as_array() {
            Some(any) if any.len() == 2 && any[1] == json!({"type": "null"}) => self.resolve(&any[0]),
            _ => schema,
        }
    }

    fn at(&mut self, schema: &Json, at: &str) {
        let schema = self.resolve(schema).clone();
        let value = full().pointer(at).unwrap_or_else(|| panic!("the full manifest says nothing at {at}")).clone();
        let words: Option<&Vec<Json>> =
            schema["enum"].as_array().or(schema["oneOf"].as_array()).or(schema["anyOf"].as_array());
        if words.is_some() {
            self.put("enum", at, "unknown-word", json!("no-such-word"));
            return;
        }
        if schema.get("type").is_some() {
            // What is none of a field's types: a list, and a number where that is none.
            let wrong = if value.is_array() { json!(7) } else { json!([["x"]]) };
            // The version is looked at first.
            let code = if at == "/version" { "unknown-version" } else { "wrong-type" };
            self.put("type", at, code, wrong);
        }
        if let Some(least) = schema["minimum"].as_u64().filter(|least| *least > 0) {
            let code = if at == "/version" { "unknown-version" } else { number_code(at) };
            self.put("minimum", at, code, json!(least - 1));
        } else if value.is_u64() {
            self.put("minimum", at, "out-of-range", json!(-1));
        }
        if let Some(most) = schema["maximum"].as_u64() {
            let code = if at == "/version" { "unknown-version" } else { number_code(at) };
            // Numbers that a field's type cannot hold are refused while they are read.
            let code = if most == 65_535 { "out-of-range" } else { code };
            self.put("maximum", at, code, json!(most + 1));
        }
        if schema["minItems"].as_u64() == Some(1) {
            self.put("minItems", at, "bad-value", json!([]));
        }
        if let (Some(items), true) = (schema.get("items"), value.as_array().is_some_and(|list| !list.is_empty())) {
            self.at(items, &format!("{at}/0"));
        }
        if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
            let name = value.as_object().unwrap().keys().next().unwrap().clone();
            self.at(inner, &format!("{at}/{name}"));
        }
        let Some(fields) = schema["properties"].as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap().to_owned();
            let target = at.to_owned();
            self.spoil("required", at, "missing-field", |manifest| {
                manifest.pointer_mut(&target).unwrap().as_object_mut().unwrap().remove(&name);
            });
        }
        if schema["additionalProperties"] == json!(false) {
            let (target, place) = (at.to_owned(), format!("{at}/noSuchField"));
            self.spoil("additionalProperties", &place, "unknown-field", |manifest| {
                manifest.pointer_mut(&target).unwrap()["noSuchField"] = json!(1);
            });
        }
        for (name, schema) in fields {
            // An address excludes path and port, which are said.
            if at.ends_with("/gate/http") && name == "url" {
                continue;
            }
            self.at(schema, &format!("{at}/{name}"));
        }
    }
}

/// A number out of range is what is wrong with it, but within a gate, whose own words say so.
fn number_code(at: &str) -> &'static str {
    if at.contains("/gate/") { "bad-value" } else { "out-of-range" }
}

#[test]
fn the_full_manifest_says_everything_and_is_good() {
    assert_eq!(refused(&full()), []);
    let schema = jsonschema::validator_for(&schemas()["manifest"]).unwrap();
    assert!(schema.is_valid(&full()), "{:?}", schema.validate(&full()).unwrap_err());
}

#[test]
fn a_manifest_that_is_wrong_at_a_keyword_of_the_schema_is_refused_there() {
    let root = schemas()["manifest"].clone();
    let validator = jsonschema::validator_for(&root).unwrap();
    let mut walk = Walk { root: &root, cases: Vec::new(), keywords: BTreeSet::new() };
    walk.at(&root, "");
    let mut wrong = Vec::new();
    for case in &walk.cases {
        let found = refused(&case.manifest);
        if found != [(case.at.clone(), case.code)] {
            wrong.push(format!("{}: expected {} {}, found {found:?}", case.what, case.at, case.code));
        }
        if validator.is_valid(&case.manifest) {
            wrong.push(format!("{}: the schema takes it", case.what));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), walk.cases.len(), wrong.join("\n"));
    let keywords: Vec<&str> = walk.keywords.iter().map(String::as_str).collect();
    assert_eq!(keywords, ["additionalProperties", "enum", "maximum", "minItems", "minimum", "required", "type"]);
    assert!(walk.cases.len() > 150, "{} cases", walk.cases.len());
}

/// What is put where, where that is refused, and as what.
type Rule = (String, Json, String, &'static str);

fn rule(put: &str, value: Json, refused: &str, code: &'static str) -> Rule {
    let at = |field: &str| format!("/services/0{field}");
    (at(put), value, at(refused), code)
}

/// The same of names, paths and what requests are for.
fn names_and_paths() -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut bad = |field: &str, value: Json| rules.push(rule(field, value, field, "bad-value"));
    for name in ["", "../ssh", "a/b", "a b", "a\nb", "a\u{0}b", ".hidden", "-a", "ünï", &"a".repeat(65)] {
        bad("/name", json!(name));
    }
    for path in [
        "",
        "/etc/passwd",
        "web-1.2",
        "/nix/store/../../etc/x",
        "/nix/store/short-web",
        "/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web/bin/web",
    ] {
        bad("/artifact/storePath", json!(path));
    }
    for command in ["", "  ", "a\nb", "a\u{0}", "a 'b", "a \"b", "bin/../../other/bin/web -v", "../x"] {
        bad("/exec/command", json!(command));
    }
    for user in ["", "a b", "a\nb", "a:b", "-a", "ünï", &"a".repeat(32)] {
        bad("/exec/user", json!(user));
        bad("/exec/group", json!(user));
        bad("/systemd/supplementaryGroups/0", json!(user));
    }
    for host in ["", "a b", "a/b", "a\nb"] {
        bad("/hosts/0", json!(host));
    }
    bad("/env/PORT", json!("a\u{0}b"));
    for file in ["", "web.env", "/etc/../shadow", "/etc/a\nb", "-web.env"] {
        bad("/envFile", json!(file));
    }
    for domain in ["", "Example.org", "example.org/x", "a b", "a..b", "-a.org", "https://a.org", "a.*.org", "a.org:80"]
    {
        bad("/http/domain", json!(domain));
        bad("/http/domains/0", json!(domain));
    }
    for path in [
        "", "api", "/a b", "/a*", "/a?b", "/a#b", "/{a}", "/a\nb", "/a//b", "//x", "/a//", "/./a", "/a/../b", "/a/..",
        "/é", "/a\\b", "/a\"b", "/a%", "/a%2", "/a%zz",
    ] {
        bad("/http/path", json!(path));
        bad("/http/paths/0", json!(path));
    }
    rules
}

/// Values that mean nothing where they stand.
fn values() -> Vec<Rule> {
    let mut rules = names_and_paths();
    let mut bad = |field: &str, value: Json| rules.push(rule(field, value, field, "bad-value"));
    for unit in ["", "postgresql", "a b.service", "a/b.service", "a\n.service", ".service"] {
        for field in ["after", "before", "requires", "wants"] {
            bad(&format!("/systemd/{field}/0"), json!(unit));
        }
    }
    for path in ["", "data", "/a/../b", "/a\nb"] {
        bad("/systemd/workingDirectory", json!(path));
        bad("/systemd/loadCredential/db", json!(path));
        for field in ["readWritePaths", "readOnlyPaths", "inaccessiblePaths"] {
            bad(&format!("/hardening/{field}/0"), json!(path));
        }
    }
    for directory in ["", "/a", "a/../b", "a b", "a//b"] {
        for field in ["stateDirectory", "cacheDirectory", "logsDirectory", "runtimeDirectory"] {
            bad(&format!("/systemd/{field}/0"), json!(directory));
        }
    }
    for size in ["", "512X", "M", "1.5G", "-1"] {
        bad("/systemd/memoryMax", json!(size));
    }
    for quota in ["", "150", "%", "a%"] {
        bad("/systemd/cpuQuota", json!(quota));
    }
    for word in ["", "a b", "a\nb"] {
        for field in ["capabilityBoundingSet", "ambientCapabilities", "restrictAddressFamilies", "systemCallFilter"] {
            bad(&format!("/hardening/{field}/0"), json!(word));
        }
    }
    for name in ["NET_BIND", "CAP_", "CAP_net-bind"] {
        bad("/hardening/capabilityBoundingSet/0", json!(name));
        bad("/hardening/ambientCapabilities/0", json!(name));
    }
    for mask in ["", "8", "rwx", "00777"] {
        bad("/hardening/umask", json!(mask));
    }
    for (field, value) in [
        ("/gate/http/path", json!("health")),
        ("/gate/http/bodyMatches", json!("(")),
        ("/gate/http/tlsName", json!("a:443")),
        ("/gate/http/host", json!("a b")),
        ("/gate/http/expect/0", json!(99)),
        ("/gate/exec/command", json!([""])),
        ("/gate/exec/command/1", json!("a\u{0}")),
    ] {
        bad(field, value);
    }
    rules
}

/// Rules about more than one value.
fn relations() -> Vec<Rule> {
    let mut rules = Vec::new();
    rules.push(rule("/gate/successes", json!(100), "/gate/successes", "bad-value"));
    rules.push(rule("/env", json!({"A-B": "x"}), "/env/A-B", "bad-value"));
    rules.push(rule("/env", json!({"1A": "x"}), "/env/1A", "bad-value"));
    rules.push(rule("/env", json!({"A\nB": "x"}), "/env/A\nB", "bad-value"));
    rules.push(rule("/systemd/loadCredential", json!({"a:b": "/x"}), "/systemd/loadCredential/a:b", "bad-value"));
    rules.push(rule("/systemd/loadCredential", json!({"a/b": "/x"}), "/systemd/loadCredential/a~1b", "bad-value"));
    rules.push(rule("/systemd/tasksMax", json!(0), "/systemd/tasksMax", "out-of-range"));
    rules.push(rule("/gate/http", json!({"url": "ftp://a"}), "/gate/http/url", "bad-value"));
    rules.push(rule("/gate/http", json!({"url": "http://a/", "path": "/"}), "/gate/http/url", "bad-value"));
    rules.push(rule("/http", json!({"internalPort": 8000}), "/http", "bad-value"));
    rules.push(rule("/instances", json!("blue-green"), "/gate/http/port", "contradiction"));
    rules.push(rule("/exec", json!({"command": "web"}), "/hardening/dynamicUser", "contradiction"));
    let without_port = json!({"name": "api", "artifact": full()["services"][1]["artifact"], "exec": {"command": "api"}, "instances": "blue-green"});
    rules.push(("/services/1".to_owned(), without_port, "/services/1/instances".to_owned(), "contradiction"));
    for (look, at) in [(json!({"http": {"path": "/h"}}), "http"), (json!({"tcp": {}}), "tcp")] {
        let blind = json!({"name": "api", "artifact": full()["services"][1]["artifact"], "exec": {"command": "api"}, "gate": look});
        rules.push(("/services/1".to_owned(), blind, format!("/services/1/gate/{at}"), "contradiction"));
    }
    rules.push(("/generation".to_owned(), json!("tuesday"), "/generation".to_owned(), "bad-value"));
    rules.push(("/generation".to_owned(), json!("2025-02-30T00:00:00Z"), "/generation".to_owned(), "bad-value"));
    // The second service is the first one's neighbour.
    rules.push(("/services/1/name".to_owned(), json!("web"), "/services/1/name".to_owned(), "duplicate-name"));
    rules.push((
        "/services/1/http/internalPort".to_owned(),
        json!(8000),
        "/services/1/http/internalPort".to_owned(),
        "port-taken",
    ));
    rules.push((
        "/services/1/http/domain".to_owned(),
        json!("www.example.org"),
        "/services/1/http".to_owned(),
        "route-taken",
    ));
    // The first has `/api`, which Caddy cannot tell from these.
    for path in ["/api", "/api/", "/API"] {
        let http = json!({"domain": "www.example.org", "path": path, "internalPort": 8001});
        rules.push(("/services/1/http".to_owned(), http, "/services/1/http".to_owned(), "route-taken"));
    }
    rules
}

#[test]
fn a_manifest_that_breaks_a_rule_beyond_the_schema_is_refused_at_its_place() {
    let mut wrong = Vec::new();
    let rules: Vec<Rule> = values().into_iter().chain(relations()).collect();
    for (field, value, at, code) in &rules {
        let mut manifest = full();
        *manifest.pointer_mut(field).unwrap_or_else(|| panic!("nothing at {field}")) = value.clone();
        let found = refused(&manifest);
        if !found.contains(&(at.clone(), *code)) {
            wrong.push(format!("{value} at {field}: expected {at} {code}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rules.len(), wrong.join("\n"));
}

#[test]
fn what_is_no_manifest_at_all_is_refused_as_a_whole() {
    let places = |bytes: &[u8]| Manifest::parse(bytes).unwrap_err().places();
    let whole = |code| vec![("/".to_owned(), code)];
    assert_eq!(places(b""), whole("no-json"));
    assert_eq!(places(b"{"), whole("no-json"));
    assert_eq!(places(b"\xff"), whole("no-json"));
    assert_eq!(places(b"[]"), whole("wrong-type"));
    assert_eq!(places(format!("{FULL} {{}}").as_bytes()), whole("no-json"));
    let twice = FULL.replacen("\"version\": 1,", "\"version\": 1, \"version\": 1,", 1);
    assert_eq!(places(twice.as_bytes()), whole("duplicate-field"));
    let twice = FULL.replacen("\"PORT\":", "\"PORT\": \"1\", \"PORT\":", 1);
    assert_eq!(places(twice.as_bytes()), [("/services/0/env".to_owned(), "duplicate-field")]);
    let deep = "[".repeat(100_000);
    assert!(!places(deep.as_bytes()).is_empty());
    let huge = vec![b' '; freehold_model::limits::MANIFEST_BYTES + 1];
    assert_eq!(places(&huge), whole("too-large"));
    let mut crowded = full();
    let one = crowded["services"][1].clone();
    let many = (0..=freehold_model::limits::MANIFEST_SERVICES).map(|n| {
        let mut service = one.clone();
        service["name"] = json!(format!("s{n}"));
        service.as_object_mut().unwrap().remove("http");
        service
    });
    crowded["services"] = many.collect();
    assert_eq!(refused(&crowded), [("/services".to_owned(), "out-of-range")]);
}
