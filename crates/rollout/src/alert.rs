//! The alert: a sentinel that stands while a person has to look, and is cleared by the next success.
//!
//! One JSON shape for every runtime; where it is kept and whom it calls is the program's affair. The machine yields it as an
//! effect: read on in `effect.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Millis, Outcome, Release};

/// What a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// [`Alert::FORMAT`].
    pub format: String,
    /// Whose.
    pub workload: String,
    /// `rolled-back`, `held` or `failed`.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// The release that was to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The last good release: what runs, unless the outcome is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Release>,
    /// The snapshot that holds the data from before, when they could not be put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// When it began to stand, in milliseconds since 1970, UTC.
    pub since: Millis,
    /// When it was last found to stand, in milliseconds since 1970, UTC.
    pub seen: Millis,
    /// How often it was found to stand, the first time included.
    pub count: u32,
}

impl Alert {
    /// The name of the format and its version. New fields may come within a version; none changes its meaning.
    pub const FORMAT: &'static str = "freehold.alert/1";

    /// The same alert found once more, or a new one when it tells something else.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let id = |alert: &Self| alert.release.as_ref().map(|release| release.id().to_owned());
        match before {
            Some(old) if old.outcome == self.outcome && id(old) == id(&self) => {
                Self { since: old.since, count: old.count.saturating_add(1), ..self }
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_goes_on_keeps_its_beginning() {
        let at = |outcome, now| Alert {
            format: Alert::FORMAT.to_owned(),
            workload: "site".to_owned(),
            outcome,
            reason: "no answer".to_owned(),
            release: None,
            last_good: None,
            snapshot: None,
            since: now,
            seen: now,
            count: 1,
        };
        let first = at(Outcome::Held, 1000);
        let again = at(Outcome::Held, 5000).after(Some(&first));
        assert_eq!((again.since, again.seen, again.count), (1000, 5000, 2));
        let other = at(Outcome::Failed, 6000).after(Some(&again));
        assert_eq!((other.since, other.count), (6000, 1));
    }
}
