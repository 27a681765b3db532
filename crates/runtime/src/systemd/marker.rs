//! The line at the top of a unit by which it is known to be ours, and what runs is read back from it.

use freehold_rollout::Release;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How the line begins.
const PREFIX: &str = "# freehold-release: ";

/// What a unit of ours says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    /// Whose unit it is.
    pub(crate) workload: String,
    /// The release that it starts.
    pub(crate) release: Release,
    /// The port that the release listens on.
    pub(crate) port: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    workload: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    payload: Json,
}

impl Mark {
    /// The line, without its end.
    pub(crate) fn to_line(&self) -> String {
        let line = Line {
            workload: self.workload.clone(),
            id: self.release.id().to_owned(),
            port: self.port,
            payload: self.release.payload().clone(),
        };
        format!("{PREFIX}{}", serde_json::to_string(&line).unwrap_or_default())
    }

    /// What a unit file says; `None` when it is not ours.
    pub(crate) fn of(unit: &str) -> Option<Self> {
        let line = unit.lines().find_map(|line| line.strip_prefix(PREFIX))?;
        let line: Line = serde_json::from_str(line).ok()?;
        let release = Release::new(line.id, line.payload).ok()?;
        Some(Self { workload: line.workload, release, port: line.port })
    }
}
