//! What happened: one word for it in every `--json`, alert, metric and page, and the exit code that belongs to it.
//!
//! Deliberately no text for people beyond the reason. Read on in `alert.rs` for what stands until someone has looked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Release;

/// What a rollout, or a look at a workload, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It runs as declared and is healthy; nothing was done.
    #[default]
    None,
    /// It runs for the first time, or again.
    Deployed,
    /// It runs another release than before.
    Upgraded,
    /// The release failed; the last good one runs again.
    RolledBack,
    /// A release was not tried, because a person has to look first.
    Held,
    /// What is declared does not run as it should, and nothing took its place.
    Failed,
    /// It is no longer declared and does not run.
    Stopped,
}

/// How a command that rolls out ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Well,
    /// 1: it could not be done, and nothing changed.
    NotDone,
    /// 2: all is well and something changed; only with `--detailed-exitcode`.
    Changed,
    /// 3: what is declared does not run, or is not healthy.
    Unwell,
    /// 4: held.
    Held,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::NotDone => 1,
            Self::Changed => 2,
            Self::Unwell => 3,
            Self::Held => 4,
        }
    }
}

impl Outcome {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Deployed, Self::Upgraded, Self::RolledBack, Self::Held, Self::Failed, Self::Stopped];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Deployed => "deployed",
            Self::Upgraded => "upgraded",
            Self::RolledBack => "rolled-back",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether an alert stands after it.
    pub fn alerts(self) -> bool {
        matches!(self, Self::RolledBack | Self::Held | Self::Failed)
    }

    /// How a command ends with it. `touched` is whether anything that runs was touched; `detailed` is `--detailed-exitcode`.
    pub fn exit(self, touched: bool, detailed: bool) -> Exit {
        match self {
            Self::None => Exit::Well,
            Self::Deployed | Self::Upgraded | Self::Stopped if detailed => Exit::Changed,
            Self::Deployed | Self::Upgraded | Self::Stopped => Exit::Well,
            Self::Failed if !touched => Exit::NotDone,
            Self::RolledBack | Self::Failed => Exit::Unwell,
            Self::Held => Exit::Held,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The last word of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it came to.
    pub outcome: Outcome,
    /// Why, when there is something to say.
    pub reason: Option<String>,
    /// The release that was to run.
    pub release: Option<Release>,
    /// The release that is recorded as the last good one now.
    pub last_good: Option<Release>,
    /// Whether what runs was touched.
    pub touched: bool,
}

impl Report {
    /// How a command ends with it; `detailed` is `--detailed-exitcode`.
    pub fn exit(&self, detailed: bool) -> Exit {
        self.outcome.exit(self.touched, detailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_the_documented_exit_codes() {
        let rows: Vec<(String, u8, u8, u8)> = Outcome::ALL
            .iter()
            .map(|o| {
                (o.to_string(), o.exit(true, false).code(), o.exit(true, true).code(), o.exit(false, false).code())
            })
            .collect();
        let expected = [
            ("none", 0, 0, 0),
            ("deployed", 0, 2, 0),
            ("upgraded", 0, 2, 0),
            ("rolled-back", 3, 3, 3),
            ("held", 4, 4, 4),
            ("failed", 3, 3, 1),
            ("stopped", 0, 2, 0),
        ];
        assert_eq!(rows, expected.map(|(word, a, b, c)| (word.to_owned(), a, b, c)));
    }

    #[test]
    fn the_word_is_the_same_in_json() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }
}
