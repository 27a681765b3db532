//! Stories of routes, readable: scripts with the requests and the routes that came of them.
//!
//! `>` lines are commands, the indented lines below them what they gave. `BLESS=1` writes what is given now.
//!
//! - `caddy JSON`: a Caddy with this configuration; `reload JSON`: somebody puts this in its place
//! - `want SERVICE DOMAINS PATHS PORT`: one more route that is wanted; `forget SERVICE`: not any more
//! - `sync`, `switch SERVICE PORT`, `remove SERVICE`: what the crate does; requests, then what it says
//! - `busy ADDRESS COUNT`: requests that Caddy counts; `show`: servers with their routes in order; `policies`
//! - `https off|automatic|internal`, `owner NAME`: for the commands to come
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use common::fake::Fake;
use freehold_router::{Caddy, Https, Route, RouterError, Settings, Synced};
use serde_json::{Value as Json, json};

struct Stage {
    fake: Fake,
    settings: Settings,
    wanted: BTreeMap<String, Route>,
}

#[test]
fn the_stories_go_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut stories: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty());
    for path in stories {
        let written = std::fs::read_to_string(&path).unwrap();
        let told = tell(&written);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &told).unwrap();
        } else {
            assert!(told == written, "{} goes otherwise:\n{told}", path.display());
        }
    }
}

fn tell(script: &str) -> String {
    let mut stage = Stage { fake: Fake::with(Json::Null), settings: Settings::default(), wanted: BTreeMap::new() };
    let mut told = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        told += &format!("{line}\n");
        if let Some(command) = line.strip_prefix("> ") {
            for given in stage.play(command) {
                told += &format!("  {given}\n");
            }
        }
    }
    told
}

impl Stage {
    fn play(&mut self, command: &str) -> Vec<String> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match (name, words.as_slice()) {
            ("caddy", _) => self.fake = Fake::with(serde_json::from_str(rest).unwrap()),
            ("reload", _) => self.fake.set_config(serde_json::from_str(rest).unwrap()),
            ("want", [service, domains, paths, port]) => {
                let list = |words: &str| words.split(',').map(str::to_owned).collect();
                let (domains, paths) = (list(domains), list(paths));
                let route = Route { domains, paths, ..Route::local(*service, &[], port.parse().unwrap()) };
                self.wanted.insert(route.service.clone(), route);
            }
            ("forget", [service]) => drop(self.wanted.remove(*service)),
            ("busy", [address, count]) => {
                let count: u32 = count.parse().unwrap();
                self.fake.set_upstreams(json!([{ "address": address, "num_requests": count }]));
            }
            ("owner", [owner]) => (*owner).clone_into(&mut self.settings.owner),
            ("https", [how]) => {
                self.settings.https = match *how {
                    "off" => Https::Off,
                    "automatic" => Https::Automatic,
                    "internal" => Https::Internal,
                    other => panic!("no such https: {other}"),
                }
            }
            ("sync", _) => {
                let wanted: Vec<Route> = self.wanted.values().cloned().collect();
                return self.act(|caddy| caddy.sync(&wanted).map(|synced| summary(&synced)));
            }
            ("remove", [service]) => return self.act(|caddy| caddy.remove(service).map(|synced| summary(&synced))),
            ("switch", [service, port]) => {
                let to = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
                return self.act(|caddy| {
                    let from = caddy.switch(service, to)?.from;
                    Ok(vec![from.map_or("was switched already".to_owned(), |from| format!("switched from {from}"))])
                });
            }
            ("show", _) => return show(&self.fake.config()),
            ("policies", _) => {
                let config = self.fake.config();
                let policies = config.pointer("/apps/tls/automation/policies").and_then(Json::as_array);
                return policies.into_iter().flatten().map(ToString::to_string).collect();
            }
            _ => panic!("no such command: {command}"),
        }
        Vec::new()
    }

    fn act(&self, act: impl FnOnce(&Caddy) -> Result<Vec<String>, RouterError>) -> Vec<String> {
        let said = act(&self.fake.caddy_with(self.settings.clone()));
        let mut lines = self.fake.requests();
        match said {
            Ok(said) => lines.extend(said),
            Err(error) => {
                lines.push(format!("error: {error}"));
                lines.extend(error.hint().map(|hint| format!("hint: {hint}")));
            }
        }
        lines
    }
}

fn summary(synced: &Synced) -> Vec<String> {
    let lists = [("added", &synced.added), ("replaced", &synced.replaced), ("removed", &synced.removed)];
    let said =
        lists.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| format!("{what}: {}", list.join(", ")));
    let said: Vec<String> = said.collect();
    if said.is_empty() && synced.writes == 0 { vec!["as wanted".to_owned()] } else { said }
}

fn show(config: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    let servers = config.pointer("/apps/http/servers").and_then(Json::as_object);
    for (name, server) in servers.into_iter().flatten() {
        let plain = if server["automatic_https"]["disable"] == true { ", without certificates" } else { "" };
        lines.push(format!("{name} {}{plain}", server["listen"]));
        for route in server["routes"].as_array().into_iter().flatten() {
            let id = route["@id"].as_str().unwrap_or("(without a name)");
            let hosts = &route["match"][0]["host"];
            let paths = route["match"][0].get("path").map(|paths| format!(" {paths}")).unwrap_or_default();
            let dials = route["handle"].as_array().into_iter().flatten();
            let dials: Vec<&str> = dials.filter_map(|handler| handler.pointer("/upstreams/0/dial")?.as_str()).collect();
            let to = if dials.is_empty() { String::new() } else { format!(" -> {}", dials.join(", formerly ")) };
            lines.push(format!("  {id}: {hosts}{paths}{to}"));
        }
    }
    lines
}
