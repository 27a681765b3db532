//! Rules about how the world and the services reach each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Severity, Subject};
use crate::stack::Service;
use crate::yaml::Node;

/// Every service has its bare name as an alias on every network that it is on, also on one that all apps share.
pub(super) fn alias_collisions(subject: &Subject<'_>, findings: &mut Findings) {
    let shared = subject.stack.external_networks();
    let is_shared = |network: &&str| shared.contains_key(*network);
    for service in subject.stack.services() {
        let Some(network) = service.networks().into_iter().find(is_shared) else { continue };
        let callers: BTreeSet<&str> = subject
            .stack
            .services()
            .filter(|other| {
                let is_other = other.name != service.name;
                is_other
                    && other.networks().into_iter().any(|network| is_shared(&network))
                    && dials(subject, *other, service.name)
            })
            .map(|other| other.name)
            .collect();
        if let Some(caller) = callers.first() {
            let message = format!(
                "`{caller}` reaches `{0}` by its bare name, and both are on the shared network `{network}`: a service `{0}` of another app answers to it as well",
                service.name
            );
            let hint =
                format!("let it say `{}_{}`, or take one of them off `{network}`", subject.stack_name, service.name);
            findings.add(Severity::Warning, "alias-collision", subject.service_place(caller), message, hint);
        }
        for alias in service.aliases(network) {
            let message =
                format!("`{}` is called `{alias}` on the shared network `{network}`, for every app", service.name);
            let hint = "leave aliases to networks of the stack";
            findings.add(Severity::Warning, "shared-alias", subject.service_place(service.name), message, hint);
        }
    }
}

/// Whether a service's settings or config files name another one as a host.
fn dials(subject: &Subject<'_>, from: Service<'_>, to: &str) -> bool {
    let environment = from.environment().into_values().any(|value| names_host(value, to));
    let command = ["command", "entrypoint"].iter().filter_map(|key| from.json().get(key));
    let command = command.flat_map(texts_of).any(|text| names_host(text, to));
    let used: BTreeSet<String> = subject
        .stack
        .configs()
        .into_iter()
        .filter(|config| config.used_by.contains(from.name))
        .map(|config| config.key)
        .collect();
    let files = subject
        .files
        .iter()
        .flat_map(|file| file.section("configs"))
        .filter_map(|(key, config)| used.contains(key.text()?).then(|| config.get("file")?.text())?);
    let mut configs = files.filter_map(|file| subject.texts.get(file.trim_start_matches("./")));
    environment || command || configs.any(|text| text.lines().any(|line| names_host(line, to)))
}

fn texts_of(json: &serde_json::Value) -> Vec<&str> {
    match json {
        serde_json::Value::String(text) => vec![text],
        serde_json::Value::Array(items) => items.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a text has a name as a host: `//app`, `@app`, `app:80`, or nothing else.
fn names_host(text: &str, name: &str) -> bool {
    let text = text.trim();
    text == name
        || text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
            if before.ends_with(is_word) || after.starts_with(is_word) {
                return false;
            }
            let port = after.strip_prefix(':').is_some_and(|port| port.starts_with(|char: char| char.is_ascii_digit()));
            port || before.ends_with("//") || before.ends_with('@')
        })
}

/// The hosts that Traefik is asked to serve, with the services that ask.
fn hosts(subject: &Subject<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (service, rule) in rules(subject) {
        found.extend(hosts_of(rule).into_iter().map(|host| (host.to_owned(), service.to_owned())));
    }
    found
}

/// What Traefik is asked to route by: the service that asks, and the rule.
fn rules<'a>(subject: &Subject<'a>) -> Vec<(&'a str, &'a str)> {
    let is_rule = |label: &str| label.starts_with("traefik.") && label.ends_with(".rule");
    let of = |service: Service<'a>| service.labels().into_iter().map(move |(label, rule)| (service.name, label, rule));
    let all = subject.stack.services().flat_map(of);
    all.filter(|(_, label, _)| is_rule(label)).map(|(service, _, rule)| (service, rule)).collect()
}

/// The hosts that a rule names.
fn hosts_of(rule: &str) -> Vec<&str> {
    let mut hosts = Vec::new();
    for part in rule.split("Host").skip(1) {
        let inner = part.strip_prefix("SNI").unwrap_or(part);
        let inner = inner.strip_prefix('(').and_then(|inner| inner.split(')').next()).unwrap_or_default();
        let names = inner.split(',').map(|host| host.trim().trim_matches(['`', '"', '\'']));
        hosts.extend(names.filter(|host| !host.is_empty() && *host != "*"));
    }
    hosts
}

/// A host that another stack has as a whole: which of both answers is chance. Rules that say more than a host may share one.
pub(super) fn hosts_taken(subject: &Subject<'_>, findings: &mut Findings) {
    let says_more =
        |rule: &str| ["Path", "Header", "Method", "Query", "ClientIP"].iter().any(|part| rule.contains(part));
    for (service, rule) in rules(subject).into_iter().filter(|(_, rule)| !says_more(rule)) {
        for host in hosts_of(rule) {
            // A name is the same in capitals.
            let is_it = |other: &str| other.eq_ignore_ascii_case(host);
            let has_it =
                |other: &&super::ServedRule| !says_more(&other.rule) && hosts_of(&other.rule).into_iter().any(is_it);
            if let Some(other) = subject.served.iter().find(has_it) {
                let message = format!("`{host}` is served by {} already", other.by);
                let hint = "undeploy the other, or give this app another domain";
                findings.add(Severity::Error, "domain-taken", subject.service_place(service), message, hint);
            }
        }
    }
}

/// A certificate for `*.example.org` is good for one label: not for `minio.drive.example.org`.
pub(super) fn nested_subdomains(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(wildcard) = subject.wildcard else { return };
    for (host, service) in hosts(subject) {
        let label = host.strip_suffix(wildcard).and_then(|rest| rest.strip_suffix('.'));
        if host == wildcard || label.is_some_and(|label| !label.is_empty() && !label.contains('.')) {
            continue;
        }
        let flat = label.map(|label| format!("{}.{wildcard}", label.replace('.', "-")));
        let hint = match flat {
            Some(flat) => format!("use a name of one label, such as `{flat}`"),
            None => format!("use a name below `{wildcard}`, or have a certificate for it"),
        };
        let message = format!("`{host}` is not covered by the certificate for `*.{wildcard}`");
        findings.add(Severity::Warning, "nested-subdomain", subject.service_place(&service), message, hint);
    }
}

/// Routers are named by the recipe, and Traefik knows each name once, whichever app it is of.
pub(super) fn foreign_router_names(subject: &Subject<'_>, findings: &mut Findings) {
    for service in subject.stack.services() {
        for label in service.labels().into_keys() {
            let Some(router) = label.strip_prefix("traefik.").and_then(|rest| rest.split_once(".routers.")) else {
                continue;
            };
            let name = router.1.split('.').next().unwrap_or_default();
            if !name.starts_with(subject.stack_name) {
                let message = format!(
                    "the router `{name}` of `{}` is not named after the stack: two apps of this recipe share it",
                    service.name
                );
                let hint = "name it `${STACK_NAME}` in the recipe";
                findings.add(Severity::Warning, "router-name", subject.service_place(service.name), message, hint);
            }
        }
    }
}

pub(super) fn ports_taken(subject: &Subject<'_>, findings: &mut Findings) {
    for port in subject.published_ports() {
        let Some(number) = port.published else { continue };
        let is_same = |taken: &&super::TakenPort| taken.port == number && taken.protocol == port.protocol;
        if let Some(taken) = subject.taken.iter().find(is_same) {
            let message =
                format!("`{}` publishes the port {number}/{}, which {} has", port.service, port.protocol, taken.by);
            let at = subject.place(&["services", &port.service, "ports"]);
            findings.add(Severity::Error, "port-taken", at, message, "stop the other, or choose another port");
        }
    }
}

/// A port of a stack is open on every address of a node, whatever the file says.
pub(super) fn ports_with_addresses(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.files {
        for (name, service) in file.section("services") {
            for port in service.get("ports").into_iter().flat_map(Node::items) {
                let address = port.text().filter(|text| text.matches(':').count() > 1);
                if let Some(text) = address {
                    let service = name.text().unwrap_or_default();
                    let message = format!(
                        "`{service}` publishes `{text}`, and a stack takes no notice of the address: the port is open to all"
                    );
                    let hint = "leave the port out and use a network, or close it in a firewall";
                    findings.add(Severity::Warning, "port-address", Some(port.place(file.file())), message, hint);
                }
            }
        }
    }
}

/// Where a service is in several files, Docker joins its ports by their published number alone: of tcp and udp on one number, one
/// is left.
pub(super) fn ports_that_collapse(subject: &Subject<'_>, findings: &mut Findings) {
    let composed = subject.published_ports();
    for file in subject.files {
        for (name, service) in file.section("services") {
            let service_name = name.text().unwrap_or_default();
            for port in service.get("ports").into_iter().flat_map(Node::items) {
                let Some((number, protocol)) = written_port(port) else { continue };
                let is_there = composed.iter().any(|one| {
                    one.service == service_name && one.published == Some(number) && one.protocol == protocol
                });
                let has_number =
                    composed.iter().any(|one| one.service == service_name && one.published == Some(number));
                if !is_there && has_number {
                    let message = format!(
                        "the port {number}/{protocol} of `{service_name}` is lost: Docker keeps one protocol of a port when a service is in several files"
                    );
                    let hint = "write all ports of the service into one file";
                    findings.add(Severity::Error, "port-lost", Some(port.place(file.file())), message, hint);
                }
            }
        }
    }
}

/// The published number and the protocol, when they are written without variables.
fn written_port(port: &Node) -> Option<(u16, String)> {
    if let Some(text) = port.text() {
        let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let mut parts = text.rsplit(':');
        let published = parts.nth(1)?;
        return Some((published.parse().ok()?, protocol.to_owned()));
    }
    let get = |key: &str| port.get(key).and_then(Node::text);
    Some((get("published")?.parse().ok()?, get("protocol").unwrap_or("tcp").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_a_word() {
        for text in [
            "http://app:3000",
            "app:3000",
            "reverse_proxy http://app",
            "postgres://u:p@app/db",
            "app",
            "server app:80;",
        ] {
            assert!(names_host(text, "app"), "{text}");
        }
        for text in [
            "my-app:3000",
            "http://app-two",
            "an app",
            "apps:80",
            "http://s_app:80",
            "application",
            "x.app:80",
            "app: 1",
        ] {
            assert!(!names_host(text, "app"), "{text}");
        }
    }
}
