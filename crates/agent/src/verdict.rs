//! What the reports of hosts say of one publish: which host is done, and how. Pure; who asks again, and when, is the caller's affair.
//!
//! A report counts from the serial of the publish on; what a host said before it is of another manifest.

use freehold_rollout::Outcome;
use serde::Serialize;

use crate::HostReport;

/// What was published, as far as reports are held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The service.
    pub service: String,
    /// The store path that it is to run.
    pub store_path: String,
    /// The serial of the manifest that says so.
    pub serial: u64,
}

/// How far a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// It runs what was published, and is healthy.
    Healthy,
    /// It has not got there yet, or has not said so.
    Waiting,
    /// It follows a newer publish, which says something else of the service.
    Overtaken,
    /// A policy wants a person to look first.
    Held,
    /// It does not run what was published, and will not by itself: taken back, or failed.
    Failed,
}

/// What a host makes of a publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The host.
    pub host: String,
    /// How far it is.
    pub state: HostState,
    /// The word for what happened there, once it has.
    pub action: Option<Outcome>,
    /// The store path that it runs.
    pub running: Option<String>,
    /// Why, when there is something to say.
    pub reason: Option<String>,
}

impl Verdict {
    /// Whether nothing at all has been heard of this host.
    pub fn has_not_reported(&self) -> bool {
        self.state == HostState::Waiting && self.reason.as_deref() == Some(SILENT)
    }

    fn waiting(host: &str, reason: Option<String>) -> Self {
        Self { host: host.to_owned(), state: HostState::Waiting, action: None, running: None, reason }
    }
}

/// What is said of a host of which there is no report.
const SILENT: &str = "it has not reported";

impl Awaited {
    /// What the report of a host, or that there is none, means for this publish.
    pub fn verdict(&self, host: &str, report: Option<&HostReport>) -> Verdict {
        let Some(report) = report else {
            return Verdict::waiting(host, Some(SILENT.to_owned()));
        };
        if report.serial < self.serial {
            return Verdict::waiting(host, report.failure.clone());
        }
        let Some(service) = report.services.iter().find(|service| service.name == self.service) else {
            let reason = format!("it knows of no `{}`; does its agent call itself `{host}`?", self.service);
            return Verdict::waiting(host, Some(reason));
        };
        let is_declared = service.declared.as_deref() == Some(self.store_path.as_str());
        let state = match service.action {
            _ if !is_declared => HostState::Overtaken,
            Outcome::Held if !service.taken_back => HostState::Held,
            Outcome::RolledBack | Outcome::Failed | Outcome::Held => HostState::Failed,
            _ if service.is_well() => HostState::Healthy,
            _ => HostState::Waiting,
        };
        // Whichever round after it was looked at: taken back is taken back.
        let (action, reason) = match &service.reason {
            Some(reason) if service.taken_back => {
                // A first release has nothing to go back to: it is stopped.
                let action = match service.action {
                    Outcome::Failed => Outcome::Failed,
                    Outcome::Held if service.running.is_none() => Outcome::Failed,
                    _ => Outcome::RolledBack,
                };
                (action, Some(reason.trim_start_matches("it was taken back: ").to_owned()))
            }
            reason => (service.action, reason.clone()),
        };
        let running = service.running.clone();
        Verdict { host: host.to_owned(), state, action: Some(action), running, reason }
    }
}

/// What all hosts together come to: the worst of those that are done, and `Waiting` as long as nothing bad is known and one is not.
pub fn together(verdicts: &[Verdict]) -> HostState {
    let worst = verdicts.iter().map(|verdict| verdict.state).max();
    worst.unwrap_or(HostState::Waiting)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use serde_json::{Value as Json, json};

    use super::*;

    fn awaited() -> Awaited {
        Awaited { service: "web".to_owned(), store_path: "/nix/store/new".to_owned(), serial: 7 }
    }

    fn verdict(serial: u64, service: &Json) -> HostState {
        told(serial, service).state
    }

    fn told(serial: u64, service: &Json) -> Verdict {
        let mut whole = json!({"name": "web", "action": "none", "declared": "/nix/store/new", "running": "/nix/store/new", "healthy": true, "reason": null});
        for (name, value) in service.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let report = json!({"format": HostReport::FORMAT, "host": "a", "generation": null, "serial": serial, "when": 1, "services": [whole], "alerts": []});
        awaited().verdict("a", Some(&serde_json::from_value(report).unwrap()))
    }

    #[test]
    fn a_host_is_done_when_it_has_followed_this_publish_and_not_before() {
        assert_eq!(awaited().verdict("a", None).state, HostState::Waiting);
        assert_eq!(verdict(6, &json!({})), HostState::Waiting, "the same path, declared before");
        assert_eq!(verdict(7, &json!({})), HostState::Healthy);
        assert_eq!(
            verdict(9, &json!({"action": "upgraded"})),
            HostState::Healthy,
            "a later publish of another service"
        );
        assert_eq!(verdict(7, &json!({"name": "other"})), HostState::Waiting);
        assert_eq!(verdict(7, &json!({"healthy": false})), HostState::Waiting);
        assert_eq!(verdict(9, &json!({"declared": "/nix/store/newer"})), HostState::Overtaken);
    }

    #[test]
    fn a_release_that_was_taken_back_has_failed_in_the_rounds_after_it_too() {
        let old = json!("/nix/store/old");
        assert_eq!(verdict(7, &json!({"action": "rolled-back", "running": old})), HostState::Failed);
        assert_eq!(verdict(7, &json!({"action": "held", "takenBack": true, "running": old})), HostState::Failed);
        assert_eq!(verdict(7, &json!({"action": "held", "running": old})), HostState::Held);
        assert_eq!(verdict(7, &json!({"action": "failed", "running": null, "healthy": false})), HostState::Failed);
    }

    #[test]
    fn a_first_release_that_was_taken_back_has_failed_and_a_later_one_was_rolled_back() {
        let action = |action: &str, running: Json| {
            let reason = "it was taken back: it ended";
            told(7, &json!({"action": action, "running": running, "takenBack": true, "reason": reason})).action
        };
        let old = || json!("/nix/store/old");
        assert_eq!([action("failed", Json::Null), action("held", Json::Null)], [Some(Outcome::Failed); 2]);
        assert_eq!([action("rolled-back", old()), action("held", old())], [Some(Outcome::RolledBack); 2]);
    }

    #[test]
    fn one_bad_host_decides_before_all_are_done() {
        let of = |states: &[HostState]| {
            let verdicts: Vec<Verdict> =
                states.iter().map(|state| Verdict { state: *state, ..Verdict::waiting("a", None) }).collect();
            together(&verdicts)
        };
        use HostState::{Failed, Healthy, Held, Waiting};
        assert_eq!([of(&[]), of(&[Healthy]), of(&[Healthy, Waiting])], [Waiting, Healthy, Waiting]);
        assert_eq!([of(&[Waiting, Failed]), of(&[Held, Healthy]), of(&[Held, Failed])], [Failed, Held, Failed]);
    }
}
