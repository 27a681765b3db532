//! How an agent stands, as Prometheus reads it: text format 0.0.4.
//!
//! Names and labels are an interface: they are listed in `docs/reference/metrics.md`. What is shown is [`Status`], and nothing else.

use std::fmt::Write as _;

use freehold_rollout::Outcome;

use crate::Status;

/// The whole text.
pub fn metrics(status: &Status) -> String {
    let mut text = Text(String::new());
    agent(&mut text, status);
    services(&mut text, status);
    text.0
}

fn agent(text: &mut Text, status: &Status) {
    text.family("freehold_agent_info", "The host of this agent, the generation that it follows, and its version.");
    let generation = status.generation.as_deref().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    text.sample(
        "freehold_agent_info",
        &[("host", &status.host), ("generation", generation), ("version", version)],
        1.0,
    );
    text.one("freehold_agent_serial", "Serial of the manifest that is followed.", number(status.serial));
    if let Some(millis) = status.last_round {
        let help = "When a round began last, in seconds since 1970.";
        text.one("freehold_agent_last_round_timestamp_seconds", help, number(millis) / 1000.0);
    }
    let help = "Rounds in a row in which the manifest could not be followed.";
    text.one("freehold_agent_manifest_failures", help, f64::from(status.failures));
    text.one("freehold_agent_services", "Services that the last round found here.", count(status.services.len()));
    text.one(
        "freehold_agent_alerts",
        "Alerts that stand, those of the agent itself among them.",
        count(status.alerts.len()),
    );
}

fn services(text: &mut Text, status: &Status) {
    text.family("freehold_service_healthy", "Whether what runs was found in order.");
    for service in &status.services {
        text.sample("freehold_service_healthy", &[("service", &service.name)], flag(service.healthy));
    }
    text.family("freehold_service_as_declared", "Whether it runs as declared and is in order.");
    for service in &status.services {
        text.sample("freehold_service_as_declared", &[("service", &service.name)], flag(service.is_well()));
    }
    text.family(
        "freehold_service_outcome",
        "What the last round came to: 1 for one of the outcomes, 0 for the others.",
    );
    for service in &status.services {
        for outcome in Outcome::ALL {
            let labels = [("service", service.name.as_str()), ("outcome", outcome.as_str())];
            text.sample("freehold_service_outcome", &labels, flag(service.action == outcome));
        }
    }
    text.family("freehold_service_alert", "Whether an alert stands for it.");
    for service in &status.services {
        text.sample("freehold_service_alert", &[("service", &service.name)], flag(service.alert.is_some()));
    }
    text.family("freehold_alert_since_timestamp_seconds", "Since when an alert stands, in seconds since 1970.");
    for alert in &status.alerts {
        let labels = [("workload", alert.workload.as_str()), ("outcome", alert.outcome.as_str())];
        text.sample("freehold_alert_since_timestamp_seconds", &labels, number(alert.since) / 1000.0);
    }
    text.family("freehold_alert_seen", "How often an alert was found to stand, the first time included.");
    for alert in &status.alerts {
        let labels = [("workload", alert.workload.as_str()), ("outcome", alert.outcome.as_str())];
        text.sample("freehold_alert_seen", &labels, f64::from(alert.count));
    }
}

struct Text(String);

impl Text {
    /// All of these are gauges: they go up and down.
    fn family(&mut self, name: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds and serials are far below 2^53")]
fn number(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss, reason = "a manifest has a limit")]
fn count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;

    type Series = (String, Vec<(String, String)>);

    /// Reads the text format by its rules: HELP and TYPE once and before the samples of a family, its samples together, names and
    /// labels well formed, no series twice.
    fn parse(text: &str) -> BTreeMap<Series, f64> {
        let (mut series, mut done, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'), "the last line has to end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && is_name(name), "{line}");
                assert!(done.insert(name.to_owned()), "`{name}` comes twice");
                name.clone_into(&mut current);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest, format!("{current} gauge"));
            } else {
                let end = line.find(['{', ' ']).unwrap();
                assert_eq!(line[..end], current, "a sample of another family");
                let (labels, rest) = labels(&line[end..]);
                let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
                assert!(series.insert((current.clone(), labels), value).is_none(), "{line} comes twice");
            }
        }
        series
    }

    fn is_name(name: &str) -> bool {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
    }

    fn labels(text: &str) -> (Vec<(String, String)>, &str) {
        let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
        let mut labels = Vec::new();
        loop {
            let (name, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(name), "`{name}`");
            let (mut value, mut escaped, mut end) = (String::new(), false, None);
            for (at, c) in after.char_indices() {
                match (escaped, c) {
                    (false, '\\') => escaped = true,
                    (false, '"') => {
                        end = Some(at);
                        break;
                    }
                    (true, c) => {
                        value.push(match c {
                            'n' => '\n',
                            '"' | '\\' => c,
                            other => panic!("`\\{other}` is no escape"),
                        });
                        escaped = false;
                    }
                    (false, c) => value.push(c),
                }
            }
            labels.push((name.to_owned(), value));
            rest = &after[end.unwrap() + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => return (labels, more),
                (other, _) => panic!("`{other}` after a label"),
            }
        }
    }

    fn status() -> Status {
        let alert = json!({"format": "freehold.alert/1", "workload": "web", "outcome": "rolled-back", "reason": "it fell over", "since": 1500, "seen": 2000, "count": 3});
        let service = |name: &str, action: &str, alert: serde_json::Value| {
            serde_json::from_value(json!({"name": name, "action": action, "declared": "/nix/store/a", "running": "/nix/store/a", "healthy": true, "reason": null, "alert": alert})).unwrap()
        };
        Status {
            format: Status::FORMAT,
            running: Some(true),
            host: "a\"b\\c\nd".to_owned(),
            generation: None,
            serial: 7,
            last_round: Some(2500),
            failures: 0,
            failure: None,
            services: vec![service("web", "rolled-back", alert.clone()), service("db", "none", json!(null))],
            alerts: vec![serde_json::from_value(alert).unwrap()],
        }
    }

    #[test]
    fn the_text_keeps_the_rules_of_its_format() {
        let series = parse(&metrics(&status()));
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            series.get(&(name.to_owned(), labels)).copied()
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            value("freehold_agent_info", &[("host", "a\"b\\c\nd"), ("generation", ""), ("version", version)]),
            Some(1.0)
        );
        assert_eq!(value("freehold_agent_last_round_timestamp_seconds", &[]), Some(2.5));
        assert_eq!(value("freehold_agent_alerts", &[]), Some(1.0));
        assert_eq!(value("freehold_service_healthy", &[("service", "web")]), Some(1.0));
        assert_eq!(value("freehold_service_as_declared", &[("service", "web")]), Some(0.0));
        assert_eq!(value("freehold_service_outcome", &[("service", "web"), ("outcome", "rolled-back")]), Some(1.0));
        assert_eq!(value("freehold_service_outcome", &[("service", "web"), ("outcome", "none")]), Some(0.0));
        assert_eq!(value("freehold_service_alert", &[("service", "db")]), Some(0.0));
        assert_eq!(value("freehold_alert_seen", &[("workload", "web"), ("outcome", "rolled-back")]), Some(3.0));
    }

    #[test]
    fn an_agent_that_has_done_nothing_yet_has_metrics_all_the_same() {
        let nothing = Status { last_round: None, services: Vec::new(), alerts: Vec::new(), ..status() };
        assert_eq!(parse(&metrics(&nothing)).len(), 5);
    }
}
