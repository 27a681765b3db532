//! Rules about fields of compose files: what `docker stack deploy` refuses, ignores, or does behind one's back.
//!
//! Source of the lists: docker/cli 29, `cli/compose/types`.

use super::{Finding, Findings, Severity, Subject};
use crate::ComposeFile;
use crate::yaml::Node;

/// Fields that a stack refuses, with what to write instead.
const FORBIDDEN: [(&str, &str); 8] = [
    ("extends", "write the service out, or use a YAML anchor"),
    ("volume_driver", "give the driver to the volume"),
    ("volumes_from", "name the volumes"),
    ("cpu_quota", "write `deploy.resources.limits.cpus`"),
    ("cpu_shares", "write `deploy.resources.reservations.cpus`"),
    ("cpuset", "write `deploy.resources.limits.cpus`"),
    ("mem_limit", "write `deploy.resources.limits.memory`"),
    ("memswap_limit", "write `deploy.resources.limits.memory`"),
];

/// Fields that a stack takes no notice of.
const IGNORED: [&str; 19] = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "container_name",
    "devices",
    "domainname",
    "expose",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "security_opt",
    "shm_size",
    "userns_mode",
    "profiles",
    "pull_policy",
];

/// Fields that hold a duration.
const DURATIONS: [&[&str]; 10] = [
    &["healthcheck", "interval"],
    &["healthcheck", "timeout"],
    &["healthcheck", "start_period"],
    &["healthcheck", "start_interval"],
    &["stop_grace_period"],
    &["deploy", "update_config", "delay"],
    &["deploy", "update_config", "monitor"],
    &["deploy", "rollback_config", "delay"],
    &["deploy", "restart_policy", "delay"],
    &["deploy", "restart_policy", "window"],
];

/// What no stack may have, by the files alone: Docker refuses to compose it, and does not say where.
pub fn forbidden_fields(files: &[ComposeFile]) -> Vec<Finding> {
    let mut findings = Findings::default();
    for file in files {
        for (name, service) in file.section("services") {
            for (key, _) in service.entries() {
                forbidden(file.file(), name.text().unwrap_or_default(), key, &mut findings);
            }
        }
    }
    findings.0
}

fn forbidden(file: &str, service: &str, key: &Node, findings: &mut Findings) {
    let field = key.text().unwrap_or_default();
    if let Some((_, instead)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == field) {
        let message = format!("`{service}` has `{field}`, which no stack may have");
        findings.add(Severity::Error, "forbidden-field", Some(key.place(file)), message, *instead);
    }
}

pub(super) fn forbidden_and_ignored(subject: &Subject<'_>, findings: &mut Findings) {
    each_service(subject, |file, name, service| {
        for (key, _) in service.entries() {
            let field = key.text().unwrap_or_default();
            let at = Some(key.place(file));
            forbidden(file, name, key, findings);
            if IGNORED.contains(&field) {
                let message = format!("`{name}` has `{field}`, which a stack takes no notice of");
                findings.add(Severity::Notice, "ignored-field", at, message, "remove it, or do not rely on it");
            }
        }
        let depends = service.get("depends_on");
        let names = depends.into_iter().flat_map(|node| node.items().iter().chain(node.entries().map(|(key, _)| key)));
        for needed in names.filter(|needed| needed.text().is_some_and(|needed| subject.stack.service(needed).is_none()))
        {
            let message = format!("`{name}` depends on `{}`, which is no service", needed.text().unwrap_or_default());
            let hint = "a stack takes no notice of `depends_on`, and other tools refuse this";
            findings.add(Severity::Notice, "depends-on-nobody", Some(needed.place(file)), message, hint);
        }
    });
}

/// abra checks the file before it puts variables in, and takes the text for a malformed duration.
pub(super) fn variables_in_durations(subject: &Subject<'_>, findings: &mut Findings) {
    each_service(subject, |file, name, service| {
        for path in DURATIONS {
            let Some(node) = service.at(path) else { continue };
            if node.text().is_some_and(|text| !crate::compose::variables_in(text).is_empty()) {
                let message =
                    format!("`{}` of `{name}` has a variable in a duration, which abra refuses", path.join("."));
                let hint = "write the duration out; Freehold and docker take it as it is";
                findings.add(Severity::Warning, "variable-in-duration", Some(node.place(file)), message, hint);
            }
        }
    });
}

/// Docker puts variables into values only: a label written as a map keeps `${STACK_NAME}` in its name.
pub(super) fn variables_in_keys(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.files {
        for key in file.root.keys() {
            let text = key.text().unwrap_or_default();
            if !crate::compose::variables_in(text).is_empty() {
                let message =
                    format!("the key `{text}` has a variable, which Docker leaves as it is: only values are looked at");
                let hint = "write labels as a list of `NAME=value`";
                findings.add(Severity::Warning, "variable-in-key", Some(key.place(file.file())), message, hint);
            }
        }
    }
}

/// `${X:?must-set}` gives `set`: Docker looks for `-` before it looks for `?`.
pub(super) fn quirks_of_interpolation(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.files {
        for node in file.root.scalars() {
            let text = node.text().unwrap_or_default();
            for part in text.split("${").skip(1).filter_map(|part| part.split('}').next()) {
                let question = part.find('?').filter(|at| !part[..*at].contains('-'));
                if question.is_some_and(|at| part[at..].contains('-')) {
                    let name = part.split([':', '?']).next().unwrap_or_default();
                    let message = format!(
                        "`${{{part}}}` is never an error: Docker takes what stands behind the `-` as the value, also when `{name}` is set"
                    );
                    findings.add(
                        Severity::Error,
                        "required-with-dash",
                        Some(node.place(file.file())),
                        message,
                        "write the message without `-`",
                    );
                }
            }
        }
    }
}

/// `${X:-${Y}}` gives `${Y}` as it stands there: Docker puts no variables into a default, and its end is the first `}`.
pub(super) fn defaults_in_defaults(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.files {
        for node in file.root.scalars() {
            let text = node.text().unwrap_or_default().replace("$$", "");
            for part in text.split("${").skip(1) {
                let Some((name, default)) = part.split_once(['-', '?']) else { continue };
                // What is within the braces, and what they would have held had the next ones not begun.
                let is_cut = !part.contains('}');
                let within = default.split('}').next().unwrap_or_default();
                if name.contains('}') || !(is_cut || within.contains('$')) {
                    continue;
                }
                let name = name.trim_end_matches(':');
                let message = format!(
                    "the default of `{name}` holds a variable, which Docker leaves as it is: the container gets the text of it"
                );
                let hint = "give the default in the recipe's .env.sample, or write it out";
                findings.add(Severity::Warning, "default-in-default", Some(node.place(file.file())), message, hint);
            }
        }
    }
}

/// A rollback by the Swarm itself puts the old labels back and leaves the old task answering: it looks like success.
pub(super) fn silent_rollback(subject: &Subject<'_>, findings: &mut Findings) {
    for service in subject.stack.services() {
        let config = service.json().get("deploy").and_then(|deploy| deploy.get("update_config"));
        let action = config.and_then(|config| config.get("failure_action")).and_then(serde_json::Value::as_str);
        if action == Some("rollback") {
            let at = subject.place(&["services", service.name, "deploy", "update_config", "failure_action"]);
            let message =
                format!("the Swarm takes a failed update of `{}` back by itself and reports no failure", service.name);
            let hint =
                "Freehold sees it (the update's state and the labels are read back); `docker stack deploy` does not";
            findings.add(Severity::Notice, "silent-rollback", at, message, hint);
        }
    }
}

fn each_service(subject: &Subject<'_>, mut look: impl FnMut(&str, &str, &Node)) {
    for file in subject.files {
        for (name, service) in file.section("services") {
            look(file.file(), name.text().unwrap_or_default(), service);
        }
    }
}
