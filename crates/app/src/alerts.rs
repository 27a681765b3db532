//! The alert of an app: a file that stands while a person has to look, in the form that Co-op Cloud hosts watch for.

use std::path::{Path, PathBuf};

use freehold_rollout::{Alert, Outcome};
use freehold_runtime::{remove_durably, write_durably};
use serde::{Deserialize, Serialize};

use crate::release::version_of;
use crate::{App, AppError};

/// What stands in `APP.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppAlert {
    /// The app, as its settings name it; else its domain, with `@SERVER` on another server than `default`.
    pub app: String,
    /// `rolled-back`, `held` or `failed`.
    pub kind: Outcome,
    /// The version that ran, or runs again.
    pub from: Option<String>,
    /// The version that was to run.
    pub to: Option<String>,
    /// Why.
    pub reason: String,
    /// When it began to stand (RFC 3339, UTC).
    pub at: String,
    /// For people who look closer: the domain, the snapshot that holds the data, when it was last found to stand, how often.
    pub detail: serde_json::Value,
}

impl AppAlert {
    /// The same as the machine's own alert, in this form.
    pub fn of(app: &App, alert: &Alert) -> Self {
        let detail = serde_json::json!({
            "domain": app.domain(),
            "snapshot": alert.snapshot,
            "seen": time(alert.seen),
            "count": alert.count,
        });
        Self {
            app: app.name(),
            kind: alert.outcome,
            from: alert.last_good.as_ref().map(version_of),
            to: alert.release.as_ref().map(version_of),
            reason: alert.reason.clone(),
            at: time(alert.since),
            detail,
        }
    }

    /// Lets it stand.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn raise(&self, dir: &Path) -> Result<(), AppError> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        Ok(write_durably(&path(dir, &self.app), &bytes)?)
    }

    /// Lets none stand.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear(dir: &Path, app: impl AsRef<str>) -> Result<(), AppError> {
        let path = path(dir, app.as_ref());
        if path.exists() { Ok(remove_durably(&path)?) } else { Ok(()) }
    }
}

fn path(dir: &Path, app: &str) -> PathBuf {
    dir.join(format!("{}.json", app.replace('/', "_")))
}

/// RFC 3339 with seconds, UTC.
pub(crate) fn time(millis: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(millis).unwrap_or(i64::MAX)).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use freehold_recipe::AppPath;

    use super::*;

    #[test]
    fn one_domain_on_two_servers_has_two_alerts() {
        let scratch = freehold_testkit::Scratch::new();
        let here = crate::testing::app(scratch.path());
        let staging = App { path: AppPath::new("staging", "x.example.org").unwrap(), ..here.clone() };
        for app in [&here, &staging] {
            let alert = AppAlert {
                app: app.name(),
                kind: Outcome::Failed,
                from: None,
                to: None,
                reason: "why".to_owned(),
                at: time(0),
                detail: serde_json::Value::Null,
            };
            alert.raise(scratch.path()).unwrap();
        }
        assert!(scratch.exists("x.example.org.json") && scratch.exists("x.example.org@staging.json"));
        AppAlert::clear(scratch.path(), staging.name()).unwrap();
        assert!(scratch.exists("x.example.org.json") && !scratch.exists("x.example.org@staging.json"));
    }
}
