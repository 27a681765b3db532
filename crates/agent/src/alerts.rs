//! Alerts that are the agent's own: a service whose rollout could not even be decided, a manifest that cannot be read, routes that
//! cannot be set. What a rollout alerts about is the machine's affair.

use freehold_rollout::{Alert, Outcome, Record};
use freehold_runtime::RuntimeError;

use crate::agent::{Shared, now};

/// Whose alert it is when routes cannot be set. No service can be called so.
pub(crate) const ROUTES: &str = "@routes";
/// Whose alert it is when a profile does not lead to what runs, or closures cannot be kept. No service can be called so.
pub(crate) const PROFILES: &str = "@profiles";
/// Whose alert it is when the manifest cannot be read. No service can be called so.
pub(crate) const MANIFEST: &str = "@manifest";

impl Shared {
    /// Lets an alert stand for something that failed beside a rollout.
    pub(crate) fn alert_failed(&self, workload: &str, reason: &str) {
        let before = self.alerts.get(workload).ok().flatten();
        let alert = Alert {
            format: Alert::FORMAT.to_owned(),
            workload: workload.to_owned(),
            outcome: Outcome::Failed,
            reason: reason.to_owned(),
            release: None,
            last_good: None,
            snapshot: None,
            since: now(),
            seen: now(),
            count: 1,
        };
        self.alert_stands(&alert.after(before.as_ref()));
    }

    /// Lets this one stand.
    pub(crate) fn alert_stands(&self, alert: &Alert) {
        self.tell(&alert.workload, self.alerts.raise(alert));
    }

    /// Lets none stand.
    pub(crate) fn alert_over(&self, workload: &str) {
        self.tell(workload, self.alerts.clear(workload));
    }

    /// Lets that alert stand which the record of a workload has, and no other.
    pub(crate) fn alert_as_recorded(&self, workload: &str, record: &Record) {
        match (&record.alert, self.alerts.get(workload).ok().flatten()) {
            (None, None) => {}
            (None, Some(_)) => self.alert_over(workload),
            (Some(recorded), Some(stands)) if *recorded == stands => {}
            (Some(recorded), _) => self.alert_stands(recorded),
        }
    }

    fn tell(&self, workload: &str, result: Result<(), RuntimeError>) {
        if let Err(error) = result {
            self.voice.say(Some(workload), &format!("the alert cannot be written: {}", error.chain()));
        }
    }
}
